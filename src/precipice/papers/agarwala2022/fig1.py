"""agarwala2022/fig1: descent on a quartic loss goes to minima of larger curvature; every other step is smooth."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import plane
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("every-step", "every-other-step")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        epsilon: Q has the eigenvalues 1 and -epsilon.
        lr: learning rate.
        starts: parameters "theta_1,theta_2; ...".
        num_steps: steps of each run.
        precision: float64.
    """

    epsilon: float
    lr: float
    starts: str
    num_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure's eigenvalues; its learning rate and starts are not given."""
    return Settings(epsilon=0.1, lr=1.0, starts="0.6,3.4; 0.9,3.9; 1.0,4.3", num_steps=400)


def control(settings: Settings) -> Settings:
    """Starts on the other side of the minima, where the residual is positive: descent flattens."""
    flipped = plane.points(settings.starts) * [1.0, 0.2]
    return dataclasses.replace(settings, starts="; ".join(f"{a:g},{b:g}" for a, b in flipped))


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    plane.check_epsilon(settings.epsilon)
    plane.points(settings.starts)
    positive("lr", settings.lr)
    at_least("num_steps", settings.num_steps, 20)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend in the plane of the parameters."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, problems
    from precipice.results import to_dataset

    problem = problems.QuadraticRegression(jnp.array([1.0, -settings.epsilon]))
    starts = plane.points(settings.starts)

    def probe(state):
        return {
            "entries": state.params,
            "residual": problem.output(state.params),
            "kernel": problem.kernel(state.params),
            "loss": problem.loss(state.params),
        }

    def one(start):
        process = dynamics.Descent(problem, dynamics.gradient_descent(settings.lr), start=start)
        run = dynamics.simulate(process, key=jax.random.key(0), num_steps=settings.num_steps, every=1, probes=(probe,))
        return {**run.saved, "status": run.status, "diverged_at": run.diverged_at}

    saved = {name: np.asarray(value) for name, value in jax.jit(jax.vmap(one))(jnp.asarray(starts)).items()}
    saved["edge"] = np.array(2 / settings.lr)
    steps = range(settings.num_steps + 1)
    return to_dataset(saved, coords={"start": range(len(starts)), "step": steps, "entry": range(2)})


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The trajectories over the loss, all steps and even steps."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        _draw(ax, dataset, settings, 1 if name == "every-step" else 2)
        ax.set_title(name.replace("-", " "))
    style.caption(
        picture,
        f"Quadratic regression with eigenvalues 1 and -{settings['epsilon']:g}, E = 0: loss (levels) and gradient "
        f"descent at lr = {settings['lr']:g} from {dataset.sizes['start']} starts (circles); dashed: minima. Learning "
        f"rate and starts are not given in the paper; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw(ax, dataset: "xarray.Dataset", settings: dict, period: int) -> None:
    from precipice.figures import style

    points = dataset["entries"].values
    x_limit, y_limit = (1.15 * np.nanmax(np.abs(points[..., i])) for i in (0, 1))
    x, y = np.linspace(-0.15 * x_limit, x_limit, 200), np.linspace(0.0, y_limit, 200)
    mesh_x, mesh_y = np.meshgrid(x, y)
    loss = ((mesh_x**2 - settings["epsilon"] * mesh_y**2) / 2) ** 2 / 2
    ax.contourf(x, y, np.log10(loss + 1e-4), levels=14, cmap="Greys", alpha=0.5)
    ax.plot(np.sqrt(settings["epsilon"]) * y, y, color="#4a4a4a", ls="--", lw=1.0, label="minima")
    for index in range(dataset.sizes["start"]):
        one, colour = points[index, ::period], style.COLOURS[index % len(style.COLOURS)]
        kernel = dataset["kernel"].isel(start=index).values
        label = f"lr NTK {settings['lr'] * kernel[0]:.2f} to {settings['lr'] * kernel[-1]:.2f}"
        ax.plot(*one.T, ".-", ms=3, lw=0.8, color=colour, label=label)
        ax.plot(*one[0], "o", mfc="white", color=colour)
    ax.set_xlabel("theta_1 (eigenvalue 1)")
    ax.set_ylabel(f"theta_2 (eigenvalue -{settings['epsilon']:g})")
    ax.legend(fontsize=8, loc="lower right")


def _converged(dataset: "xarray.Dataset") -> bool:
    return bool((np.abs(dataset["residual"].isel(step=-1)) < 1e-2).all())


def _growth(dataset: "xarray.Dataset") -> float | None:
    kernel = dataset["kernel"].values
    return float((kernel[:, -1] / kernel[:, 0]).min()) if _converged(dataset) else None


def _turn_rates(dataset: "xarray.Dataset") -> tuple[np.ndarray, np.ndarray] | None:
    """How often successive changes of z differ in sign, over one and over two steps, per start, while z moves."""
    if not _converged(dataset):
        return None
    rates = []
    for period in (1, 2):
        z = dataset["residual"].values[:, ::period]
        change = np.diff(z, axis=1)
        moving = np.abs(change) > 1e-3 * np.abs(change).max(axis=1, keepdims=True)
        both = moving[:, 1:] & moving[:, :-1]
        turns = (change[:, 1:] * change[:, :-1] < 0) & both
        rates.append(turns.sum(axis=1) / np.maximum(both.sum(axis=1), 1))
    return rates[0], rates[1]


def _oscillation(dataset: "xarray.Dataset") -> float | None:
    rates = _turn_rates(dataset)
    return None if rates is None else float(np.median(rates[0]))


def _zigzag(dataset: "xarray.Dataset") -> float | None:
    rates = _turn_rates(dataset)
    return None if rates is None else float(np.max(rates[1]))


CLAIMS = (
    Claim(
        "sharpens",
        "Descent converges to minima with larger curvature than at initialisation.",
        "agarwala2022 figure 1, left",
        (1.0 + 1e-9, np.inf),
        "smallest ratio over the starts of the final to the initial NTK; at a minimum it is the curvature",
        _growth,
    ),
    Claim(
        "one-step-view-oscillates",
        "Near the edge the steps oscillate.",
        "agarwala2022 figure 1, left",
        (0.5, 1.0),
        "median over starts of the fraction of steps on which the change of the residual turns back",
        _oscillation,
    ),
    Claim(
        "two-step-view-is-smooth",
        "Every other step shows no oscillation.",
        "agarwala2022 figure 1, right; eq. 14 (QR-15, ERR-Q4)",
        (0.0, 0.1),
        "largest such fraction over the starts on every other step: a turning point, no zigzag",
        _zigzag,
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig1",
    title="Gradient descent on the quartic loss of a quadratic model, at every and at every other step",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "3 seconds", NO_DATA), "paper": Scale(paper_settings, "3 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="sharpens",
    claim_panels={
        "sharpens": "every-step",
        "one-step-view-oscillates": "every-step",
        "two-step-view-is-smooth": "every-other-step",
    },
)
