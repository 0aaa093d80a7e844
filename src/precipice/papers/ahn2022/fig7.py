"""ahn2022/fig7: the smoothed ReLU, the mean of ReLU(z + b) over standard normal z."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("smoothed-relu",)


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        low: the smallest bias.
        high: the largest.
        points: biases between them, ends included.
        noise: standard deviation of z.
        precision: float64.
    """

    low: float
    high: float
    points: int
    noise: float
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Standard normal noise; the paper's window is not given."""
    return Settings(low=-4.0, high=4.0, points=401, noise=1.0)


def control(settings: Settings) -> Settings:
    """Half the noise: another function."""
    return dataclasses.replace(settings, noise=settings.noise / 2)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    if not settings.low < 0 < settings.high:
        raise InputError(f"low must be below 0 and high above it; got {settings.low} and {settings.high}.")
    at_least("points", settings.points, 3)
    positive("noise", settings.noise)
    check_precision(settings.precision)


def mean_relu(bias: "np.ndarray", noise: float) -> "np.ndarray":
    """The mean of max(z + b, 0) for z normal of this standard deviation, by Gauss-Legendre quadrature."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(80)
    low = np.clip(-bias / noise, -12.0, 12.0)[:, None]  # where z + b > 0 begins, in standard deviations
    z = (12 + low) / 2 + (12 - low) / 2 * nodes
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.sum((12 - low) / 2 * weights * np.maximum(noise * z + bias[:, None], 0) * density, axis=1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """The formula, its derivative, and the mean it stands for."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice.problems import smoothed_relu
    from precipice.results import to_dataset

    bias = np.linspace(settings.low, settings.high, settings.points)
    value, slope = jax.vmap(jax.value_and_grad(smoothed_relu))(jnp.asarray(bias))
    saved = {"smoothed_relu": value, "smoothed_relu_slope": slope, "mean_relu": mean_relu(bias, settings.noise)}
    return to_dataset(saved, coords={"bias_point": bias})


# Claims -------------------------------------------------------------------------------------------------------------


def _error(dataset: "xarray.Dataset") -> float:
    return float(abs(dataset["mean_relu"] - dataset["smoothed_relu"]).max())


def _largest_excess(dataset: "xarray.Dataset") -> float:
    bias = dataset["bias_point"]
    return float((dataset["mean_relu"] - bias.where(bias > 0, 0)).max())


def _smallest_slope_change(dataset: "xarray.Dataset") -> float:
    return float(dataset["smoothed_relu_slope"].diff("bias_point").min())


CLAIMS = (
    Claim(
        "is-phi-plus-b-times-Phi",
        "The mean of ReLU(z + b) over standard normal z is phi(b) + b Phi(b).",
        "ahn2022 lemma 2 and figure 7",
        (0.0, 1e-12),
        "largest difference of a quadrature and the formula; both are exact to about 1e-14",
        _error,
    ),
    Claim(
        "largest-where-relu-has-its-corner",
        "Smoothing lifts the ReLU most at 0, by 1/sqrt(2 pi).",
        "ahn2022 section 3.2: g(0)^2 = 1/(2 pi)",
        (0.3979, 0.39895),
        "largest excess of the mean over ReLU(b), 0.39894 at b = 0, which a grid may miss by a little",
        _largest_excess,
    ),
    Claim(
        "convex",
        "g' = Phi rises from 0 to 1: g is smooth and convex.",
        "ahn2022 lemma 2",
        (0.0, 1.0),
        "smallest change of the slope along the grid",
        _smallest_slope_change,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """Smoothed ReLU, ReLU and the derivative."""
    from precipice.figures import style

    picture, (ax,) = style.panels(1)
    bias = dataset["bias_point"].values
    ax.plot(bias, dataset["smoothed_relu"], color=style.COLOURS[0], lw=1.8, label="g(b) = phi(b) + b Phi(b)")
    ax.plot(bias, bias.clip(0), color=style.COLOURS[1], lw=1.0, ls="--", label="ReLU(b)")
    ax.plot(bias, dataset["smoothed_relu_slope"], color=style.COLOURS[2], lw=1.0, label="g'(b) = Phi(b)")
    every = max(len(bias) // 20, 1)
    ax.plot(bias[::every], dataset["mean_relu"][::every], ".", color=style.COLOURS[0], label="mean of ReLU(z + b)")
    ax.set_xlabel("bias b")
    ax.set_ylabel("smoothed ReLU g(b) and its slope")
    ax.set_title("the smoothed ReLU")
    ax.legend(fontsize=8, loc="upper left")
    noise = style.parameters(dataset)["noise"]
    style.caption(
        picture,
        f"z is normal of standard deviation {noise:g}; dots: its mean by quadrature. Scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig7",
    title="The smoothed ReLU",
    panels=PANELS,
    scales={
        "quick": Scale(paper_settings, "1 second", NO_DATA),
        "paper": Scale(paper_settings, "1 second", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="is-phi-plus-b-times-Phi",
    claim_panels={claim.name: PANELS[0] for claim in CLAIMS},
)
