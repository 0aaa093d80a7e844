"""zhu2022/fig3: solutions of the equation that the two-step map of degree 4 obeys for small learning rates."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, one_of, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("solutions",)


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        kappa: sqrt of the learning rate; 1 in the figure, where only the shape counts.
        a: offset a from which solutions start; they run to where b is 0.
        b: offsets b from which they start; each also with its sign changed in the picture.
        direction: forward, as descent moves (a falls), or backward.
        samples: points of each solution.
        precision: float64.
    """

    kappa: float
    a: float
    b: str
    direction: str
    samples: int
    precision: str = "float64"


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure's kappa; its constants are not given."""
    return Settings(kappa=1.0, a=0.5, b="0.1,0.25,0.45,0.559017,0.7,0.9,1.2", direction="forward", samples=400)


def control(settings: Settings) -> Settings:
    """Backward in time, where solutions leave the parabola."""
    return dataclasses.replace(settings, direction="backward", a=settings.a / 10)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    one_of("precision", settings.precision, ("float64",))
    one_of("direction", settings.direction, ("forward", "backward"))
    positive("kappa", settings.kappa)
    if not np.isfinite(settings.a):
        raise InputError(f"a must be finite; got {settings.a}.")
    numbers(settings.b, "b")
    at_least("samples", settings.samples, 20)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Integrate the equation from each start, in time: da/dt = -4 b^2 kappa^3, db/dt = 8 a b kappa - 16 b^3."""
    from scipy.integrate import solve_ivp

    from precipice.results import to_dataset

    kappa, sign = settings.kappa, 1 if settings.direction == "forward" else -1

    def rate(_, point):
        a, b = point
        return sign * np.array([-4 * b**2 * kappa**3, 8 * a * b * kappa - 16 * b**3])

    times = np.linspace(0, 1, settings.samples) ** 3 * (40 / kappa**4 if sign > 0 else 0.01 / kappa**4)
    starts = [(settings.a, b) for b in numbers(settings.b, "b")]
    found = [
        solve_ivp(rate, (0, times[-1]), start, t_eval=times, method="LSODA", rtol=1e-10, atol=1e-14).y
        for start in starts
    ]
    a, b = (np.stack([solution[i] for solution in found]) for i in (0, 1))
    return to_dataset({"orbit_a": a, "orbit_b": b}, coords={"start": range(len(starts)), "time": times})


def _excess(dataset: "xarray.Dataset") -> tuple[np.ndarray, np.ndarray, float]:
    """(a, b^2 less the parabola, kappa) along each solution."""
    import jax.numpy as jnp

    from precipice.figures import style
    from precipice.measures import degree_four_parabola

    kappa = style.parameters(dataset)["kappa"]
    a, b = dataset["orbit_a"].values, dataset["orbit_b"].values
    return a, b**2 - np.asarray(degree_four_parabola(jnp.asarray(a), kappa**2)), kappa


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """The solutions in the plane (a, b), and the parabola that attracts them."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    picture, (ax,) = style.panels(1)
    a, b = dataset["orbit_a"].values, dataset["orbit_b"].values
    for index in range(dataset.sizes["start"]):
        for sign in (1, -1):
            label = "solutions" if index == 0 and sign == 1 else None
            ax.plot(a[index], sign * b[index], color=style.COLOURS[0], lw=1.0, label=label)
    grid = np.linspace(-(settings["kappa"] ** 3) / 8, float(np.nanmax(a)), 300)
    edge = np.sqrt(np.maximum(grid * settings["kappa"] / 2 + settings["kappa"] ** 4 / 16, 0))
    for sign in (1, -1):
        label = "b^2 = a kappa/2 + kappa^4/16" if sign == 1 else None
        ax.plot(grid, sign * edge, color=style.COLOURS[1], lw=1.6, ls="--", label=label)
    ax.plot(-(settings["kappa"] ** 3) / 8, 0, "*", color="black", ms=10, label="tip a = -kappa^3/8")
    ax.set_xlabel("a (offset along the minima)")
    ax.set_ylabel("b (offset from the minima, xy - 1)")
    ax.set_title(f"solutions, kappa = {settings['kappa']:g}")
    ax.legend(fontsize=8)
    style.caption(
        picture,
        f"db/da = (4 b^2 - 2 a kappa)/(b kappa^3), integrated {settings['direction']} from a = {settings['a']:g} and "
        f"{dataset.sizes['start']} values of b, mirrored. The paper does not give its constants; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _attraction(dataset: "xarray.Dataset") -> float | None:
    """Largest |C| exp(8 a/kappa^3) at the end over that at the start, of the solutions off the parabola."""
    _, excess, _ = _excess(dataset)
    off = np.abs(excess[:, 0]) > 1e-3
    return float(np.max(np.abs(excess[off, -1] / excess[off, 0]))) if off.any() else None


def _closed_form(dataset: "xarray.Dataset") -> float:
    a, excess, kappa = _excess(dataset)
    exact = excess[:, :1] * np.exp(8 * (a - a[:, :1]) / kappa**3)
    return float(np.max(np.abs(excess - exact)) / np.max(np.abs(excess)))


def _above_tip(dataset: "xarray.Dataset") -> float:
    """How far from the tip solutions end that began above the parabola's lower reach, in units of kappa^3/8."""
    a, _, kappa = _excess(dataset)
    return float(np.max(np.abs(a[:, -1] / (kappa**3 / 8) + 1)))


CLAIMS = (
    Claim(
        "parabola-attracts",
        "Solutions approach the parabola as a falls.",
        "zhu2022 figure 3; eq. 9 (MIN-9)",
        (0.0, 0.1),
        "largest distance of b^2 from the parabola at the end over that at the start; it falls as exp(8 a/kappa^3)",
        _attraction,
    ),
    Claim(
        "closed-form",
        "b^2 = a kappa/2 + kappa^4/16 + C exp(8 a/kappa^3).",
        "zhu2022 eq. 9 (MIN-9)",
        (0.0, 1e-6),
        "largest difference from the integrated solutions, over the largest distance from the parabola",
        _closed_form,
    ),
    Claim(
        "ends-near-the-tip",
        "They end near the tip of the parabola.",
        "zhu2022 section 3.2, figure 3",
        (0.0, 0.3),
        "largest distance of the end from a = -kappa^3/8, in units of kappa^3/8; solutions start at 4 kappa^3",
        _above_tip,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig3",
    title="Degree 4: solutions of the two-step map's limiting equation",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "2 seconds", NO_DATA), "paper": Scale(settings_of, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="parabola-attracts",
    claim_panels={claim.name: "solutions" for claim in CLAIMS},
)
