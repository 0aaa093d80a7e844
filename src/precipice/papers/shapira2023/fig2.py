"""shapira2023/fig2: the predicted dynamics at the edge go through four phases, again and again."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, one_of, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("phases", "cycles", "plane")
PHASES = (
    ("y > 0, x small", "sharpness above 2/lr"),
    ("y > 0, x grows", "divergence"),
    ("y falls", "back to stability"),
    ("y < 0, x shrinks", "decay"),
)


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        lr: learning rate.
        alpha: rate of progressive sharpening.
        beta: strength of self-stabilization.
        x: displacement at the start; the excess sharpness starts at 0.
        num_steps: steps of the map.
        precision: float64 or float32.
    """

    lr: float
    alpha: float
    beta: float
    x: float
    num_steps: int
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper gives no numbers; these are ours."""
    return Settings(lr=0.01, alpha=1.0, beta=1.0, x=1e-3, num_steps=6000, precision="float64")


def control(settings: Settings) -> Settings:
    """Hardly any progressive sharpening: the excess sharpness does not come back within the run."""
    return dataclasses.replace(settings, alpha=settings.alpha * 1e-4)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for name in ("lr", "alpha", "beta"):
        positive(name, getattr(settings, name))
    if not (np.isfinite(settings.x) and settings.x != 0):
        raise InputError(f"x must be finite and not 0; got {settings.x}.")
    at_least("num_steps", settings.num_steps, 10)
    one_of("precision", settings.precision, ("float32", "float64"))


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Iterate the map."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics
    from precipice.results import to_dataset

    start = jnp.asarray(settings.x, settings.precision)
    process = dynamics.SelfStabilization(settings.lr, settings.alpha, settings.beta, x=start)
    found = dynamics.simulate(
        process,
        key=jax.random.key(0),
        num_steps=settings.num_steps,
        every=1,
        probes=(lambda state: {"top_displacement": state.params[0], "excess_sharpness": state.params[1]},),
    )
    saved = {**found.saved, "status": found.status, "diverged_at": found.diverged_at}
    return to_dataset(saved, coords={"step": found.step})


# Claims -------------------------------------------------------------------------------------------------------------


def _xy(dataset: "xarray.Dataset") -> tuple[np.ndarray, np.ndarray, dict]:
    from precipice.figures import style

    x, y = dataset["top_displacement"].values.astype(float), dataset["excess_sharpness"].values.astype(float)
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite], style.parameters(dataset)


def returns(y: np.ndarray) -> np.ndarray:
    """The steps at which the excess sharpness rises above 0 again."""
    return np.flatnonzero((y[1:] > 0) & (y[:-1] <= 0))[1:] + 1


def first_peak(y: np.ndarray) -> int | None:
    """The step of the first local maximum of the excess sharpness, or None."""
    found = np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:]))
    return int(found[0]) + 1 if len(found) else None


def _number_of_returns(dataset: "xarray.Dataset") -> float | None:
    _, y, _ = _xy(dataset)
    return float(len(returns(y))) if len(y) >= 10 else None


def _grows_where_unstable(dataset: "xarray.Dataset") -> float | None:
    x, y, _ = _xy(dataset)
    moved = y[:-1] != 0
    return float(np.mean(((np.abs(x[1:]) > np.abs(x[:-1])) == (y[:-1] > 0))[moved])) if moved.any() else None


def _in_order(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    x, y, settings = _xy(dataset)
    large = np.abs(x) > measures.turning_displacement(settings["alpha"], settings["beta"])
    phase = np.where(y > 0, np.where(large, 1, 0), np.where(large, 2, 3))
    moves = np.diff(phase)[np.diff(phase) != 0] % 4
    return float(np.mean(moves == 1)) if len(moves) >= 4 else None


def _alternates(dataset: "xarray.Dataset") -> float | None:
    x, _, _ = _xy(dataset)
    return float(np.mean(x[1:] * x[:-1] < 0)) if len(x) >= 10 else None


def _turns_at(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    x, y, settings = _xy(dataset)
    peak = first_peak(y)
    if peak is None:
        return None
    return float(np.abs(x[peak]) / measures.turning_displacement(settings["alpha"], settings["beta"]))


def _peak_height(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    _, y, settings = _xy(dataset)
    peak, law = first_peak(y), measures.peak_excess(settings["x"], settings["alpha"], settings["beta"])
    return None if peak is None or not law else float(y[peak] / law)


CLAIMS = (
    Claim(
        "returns",
        "The excess sharpness falls below 0 and comes back: the four phases repeat.",
        "shapira2023 figure 2e, 2f",
        (2, np.inf),
        "times that y rises above 0 again; two show a cycle that repeats",
        _number_of_returns,
    ),
    Claim(
        "grows-where-unstable",
        "x grows exactly while the sharpness is above 2/lr.",
        "shapira2023 figure 2b, 2d; REV-5",
        (1.0, 1.0),
        "fraction of the steps on which |x| grows if and only if y > 0; exact for y > -1/lr",
        _grows_where_unstable,
    ),
    Claim(
        "phases-in-order",
        "The four phases follow each other in order.",
        "shapira2023 figure 2a to 2d",
        (1.0, 1.0),
        "fraction of the changes of phase (y above or below 0, |x| below or above sqrt(2 alpha/beta)) that lead to the "
        "next one: small x at y > 0, large x at y > 0, large x at y < 0, small x at y < 0",
        _in_order,
    ),
    Claim(
        "alternates",
        "x changes its sign at every step.",
        "shapira2023 figure 2b; REV-6",
        (1.0, 1.0),
        "fraction of the steps on which x changes sign",
        _alternates,
    ),
    Claim(
        "turns-at-sqrt-2-alpha-over-beta",
        "Sharpness begins to fall once |x| passes sqrt(2 alpha/beta).",
        "shapira2023 figure 2c; REV-5",
        (0.9, 1.1),
        "|x| at the first peak of y over sqrt(2 alpha/beta); one step changes |x| by lr y, 4 % here",
        _turns_at,
    ),
    Claim(
        "peak-height",
        "The peak of the excess sharpness is that of the cycle in the limit of small steps.",
        "shapira2023 definition 4.1; law derived (REV-7)",
        (0.97, 1.03),
        "first peak over its law; the map spirals outwards by about 1 % a cycle at this learning rate",
        _peak_height,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The first cycle with its phases, all cycles, and the phase plane."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"phases": _draw_phases, "cycles": _draw_cycles, "plane": _draw_plane}[name](ax, dataset)
    style.caption(
        picture,
        f"x' = -(1 + lr y) x, y' = y + lr (alpha - beta x^2/2) with lr = {settings['lr']:g}, alpha = "
        f"{settings['alpha']:g}, beta = {settings['beta']:g}, from x = {settings['x']:g}, y = 0; the paper gives no "
        f"numbers. Its product formula for x has the wrong sign (ERR-R3): x alternates; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_phases(ax, dataset: "xarray.Dataset") -> None:
    from precipice import measures
    from precipice.figures import style

    x, y, settings = _xy(dataset)
    back = returns(y)
    end = int(back[0]) if len(back) else len(y) - 1
    turning = measures.turning_displacement(settings["alpha"], settings["beta"])
    peak, falls = first_peak(y[: end + 1]) or end, int(np.argmax((y[: end + 1] < 0) & (np.arange(end + 1) > 0))) or end
    grows = int(np.argmax(np.abs(x[: end + 1]) > turning / 10)) or peak
    borders = (0, min(grows, peak), peak, falls, end)
    for number, (label, meaning) in enumerate(PHASES):
        ax.axvspan(*borders[number : number + 2], color=style.COLOURS[number], alpha=0.12, label=f"{label}: {meaning}")
    ax.plot(x[: end + 1], color=style.COLOURS[0], lw=0.8, label="x (displacement)")
    ax.plot(y[: end + 1], color=style.COLOURS[1], lw=1.4, label="y (sharpness - 2/lr)")
    ax.axhline(0, color="#888888", lw=0.6)
    ax.set_ylim(top=2.1 * max(np.abs(x[: end + 1]).max(), y[: end + 1].max()))
    ax.set_xlabel("step")
    ax.set_ylabel("displacement x, excess sharpness y")
    ax.set_title("the first cycle")
    ax.legend(fontsize=7, loc="upper left")


def _draw_cycles(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    x, y, _ = _xy(dataset)
    ax.plot(x, color=style.COLOURS[0], lw=0.6, label="x (displacement)")
    ax.plot(y, color=style.COLOURS[1], lw=1.2, label="y (sharpness - 2/lr)")
    ax.axhline(0, color="#4a4a4a", lw=1.0, ls="--", label="y = 0: sharpness is 2/lr")
    ax.set_xlabel("step")
    ax.set_ylabel("displacement x, excess sharpness y")
    ax.set_title("cycles")
    ax.legend(fontsize=8, loc="upper right")


def _draw_plane(ax, dataset: "xarray.Dataset") -> None:
    from precipice import measures
    from precipice.figures import style

    x, y, settings = _xy(dataset)
    turning = measures.turning_displacement(settings["alpha"], settings["beta"])
    ax.plot(np.abs(x), y, ".-", color=style.COLOURS[0], lw=0.6, ms=2, label="map")
    grid_x = np.geomspace(max(np.abs(x).min(), 1e-12), 1.3 * np.abs(x).max(), 400)
    grid_y = np.linspace(1.2 * min(y.min(), -1e-3), 1.2 * max(y.max(), 1e-3), 300)
    plane_x, plane_y = np.meshgrid(grid_x, grid_y)
    level = measures.stabilization_invariant(plane_x, plane_y, settings["alpha"], settings["beta"])
    first = float(measures.stabilization_invariant(x[0], 0.0, settings["alpha"], settings["beta"]))
    ax.contour(grid_x, grid_y, level, levels=[first], colors=style.COLOURS[1], linewidths=1.2)
    ax.plot([], [], color=style.COLOURS[1], label="cycle in the limit of small steps")
    ax.axvline(turning, color="#4a4a4a", ls="--", lw=1.0, label="|x| = sqrt(2 alpha/beta)")
    ax.set_xscale("log")
    ax.set_xlabel("|x| (displacement along the top eigenvector)")
    ax.set_ylabel("y (sharpness - 2/lr)")
    ax.set_title("phase plane")
    ax.legend(fontsize=8, loc="lower left")


FIGURE = Figure(
    id="shapira2023/fig2",
    title="Self-stabilization: the four phases of the predicted dynamics",
    panels=PANELS,
    scales={
        "quick": Scale(paper_settings, "2 seconds", NO_DATA),
        "paper": Scale(paper_settings, "2 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="returns",
    claim_panels={
        "returns": "cycles",
        "grows-where-unstable": "phases",
        "phases-in-order": "phases",
        "alternates": "phases",
        "turns-at-sqrt-2-alpha-over-beta": "plane",
        "peak-height": "plane",
    },
)
