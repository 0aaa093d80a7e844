"""ahn2022/fig5: where starts of the single neuron end, below and above the hyperbola y^2 - x^2 = 2/lr."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import single_neuron
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("trajectories", "ends")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        loss: sqrt, tanh or huber.
        lr: learning rate.
        tilt: t of the starts sqrt((2 + d)/lr) (t, sqrt(1 + t^2)), for which y^2 - x^2 = (2 + d)/lr.
        low: smallest d, above -2.
        high: largest d.
        starts: how many between them.
        num_steps: steps of the trajectories that are drawn, and the most of those that are only run to their end.
        precision: float64.
    """

    loss: str
    lr: float
    tilt: float
    low: float
    high: float
    starts: int
    num_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure is a sketch without numbers; these are ours."""
    return Settings(loss="sqrt", lr=0.05, tilt=0.75, low=-1.6, high=2.0, starts=19, num_steps=20_000)


def control(settings: Settings) -> Settings:
    """Twenty times the learning rate: far from the limit of small steps in which the prediction holds."""
    return dataclasses.replace(settings, lr=settings.lr * 20)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    single_neuron.check(settings.loss, settings.precision)
    for name in ("lr", "tilt"):
        positive(name, getattr(settings, name))
    if not -2 < settings.low < 0 < settings.high:
        raise InputError(
            f"low and high must lie on both sides of 0, low above -2; got {settings.low}, {settings.high}."
        )
    at_least("starts", settings.starts, 4)
    at_least("num_steps", settings.num_steps, 20)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend from each start to its end, and follow the first steps of each."""
    from precipice import measures
    from precipice.results import to_dataset

    loss = single_neuron.loss_of(settings.loss)
    distances = np.linspace(settings.low, settings.high, settings.starts)
    starts = np.stack([measures.single_neuron_start(d, settings.tilt, settings.lr) for d in distances])
    saved = single_neuron.ends(loss, starts, settings.lr, settings.num_steps)
    followed = single_neuron.follow(loss, starts, np.full(len(starts), settings.lr), min(settings.num_steps, DRAWN))
    saved["entries"] = followed["entries"]
    saved["predicted_sharpness"] = np.asarray(
        measures.single_neuron_final_sharpness(starts[:, 0], starts[:, 1], settings.lr)
    )
    saved["start_entries"] = starts
    saved["edge"] = np.array(2 / settings.lr)
    steps = range(saved["entries"].shape[1])
    return to_dataset(saved, coords={"start": range(settings.starts), "step": steps, "entry": range(2)})


DRAWN = 2000
"""Steps of each trajectory that are kept."""


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The trajectories, and the final sharpness against the prediction."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        (_draw_trajectories if name == "trajectories" else _draw_ends)(ax, dataset, settings["lr"])
    style.caption(
        picture,
        f"Single neuron l(xy), {settings['loss']} loss, lr = {settings['lr']:g}, {settings['starts']} starts with "
        f"y^2 - x^2 from {(2 + settings['low']) / settings['lr']:.3g} to "
        f"{(2 + settings['high']) / settings['lr']:.3g}; the paper's figure is a sketch. The limit above the edge is "
        f"(0, sqrt(2/lr)) (ERR-T1); scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _above(dataset: "xarray.Dataset") -> np.ndarray:
    x, y = dataset["start_entries"].values.T
    return y**2 - x**2 > float(dataset["edge"])


def _draw_trajectories(ax, dataset: "xarray.Dataset", lr: float) -> None:
    from precipice.figures import style

    seen = set()
    for index, above in enumerate(_above(dataset)):
        x, y = dataset["entries"].isel(start=index).values.T
        label = ("edge of stability" if above else "gradient flow") + " regime"
        colour = style.COLOURS[1 if above else 0]
        ax.plot(x, y, lw=0.5, color=colour, label=None if label in seen else label)
        ax.plot(x[0], y[0], "o", ms=3, color=colour)
        seen.add(label)
    limit = 1.05 * float(np.nanmax(np.abs(dataset["entries"].isel(entry=0))))
    single_neuron.draw_edge(ax, np.linspace(-limit, limit, 200), lr)
    ax.plot(0, np.sqrt(2 / lr), "s", color="#b02a30", label="(0, sqrt(2/lr))")
    single_neuron.axis_labels(ax)
    ax.set_title("gradient descent")
    ax.legend(fontsize=8)


def _draw_ends(ax, dataset: "xarray.Dataset", lr: float) -> None:
    from precipice.figures import style

    x, y = dataset["start_entries"].values.T
    ax.plot(y**2 - x**2, dataset["predicted_sharpness"], color="#4a4a4a", lw=1.0, label="min(y0^2 - x0^2, 2/lr)")
    ax.plot(y**2 - x**2, dataset["final_sharpness"], "o", color=style.COLOURS[0], label="gradient descent")
    style.edge_line(ax, float(dataset["edge"]), f"2/lr = {2 / lr:.4g}", style.COLOURS[1])
    ax.set_xlabel("y0^2 - x0^2 (sharpness where the flow ends)")
    ax.set_ylabel("final sharpness (largest Hessian eigenvalue)")
    ax.set_title("where it ends")
    ax.legend()


def _error(dataset: "xarray.Dataset") -> float | None:
    ratio = (dataset["final_sharpness"] / dataset["predicted_sharpness"]).values
    return float(np.abs(ratio - 1).max()) if np.isfinite(ratio).all() else None


def _gap(dataset: "xarray.Dataset") -> float | None:
    ends = dataset["final_sharpness"].values[_above(dataset)]
    return float(ends.min() / float(dataset["edge"])) if np.isfinite(ends).all() else None


def _highest(dataset: "xarray.Dataset") -> float | None:
    ends = (dataset["final_sharpness"] / dataset["edge"]).values
    return float(ends.max()) if np.isfinite(ends).all() else None


CLAIMS = (
    Claim(
        "ends-where-predicted",
        "The final sharpness is min(y0^2 - x0^2, 2/lr) to leading order.",
        "ahn2022 section 2.2 (TN-5)",
        (0.0, 0.1),
        "largest relative error over the starts; corrections are of the order lr, 5 % here",
        _error,
    ),
    Claim(
        "above-the-edge-all-end-at-it",
        "Whatever the start above the hyperbola, it ends just below 2/lr.",
        "ahn2022 theorem 2 (TN-7)",
        (0.95, 1.0),
        "smallest final sharpness over 2/lr of those starts; the gap law gives 0.999",
        _gap,
    ),
    Claim(
        "never-above-the-edge",
        "No start ends above 2/lr.",
        "ahn2022 theorems 1 and 2 (TN-6, TN-7)",
        (0.0, 1.0),
        "largest final sharpness over 2/lr",
        _highest,
    ),
)

FIGURE = Figure(
    id="ahn2022/fig5",
    title="A single neuron below and above the edge: the gradient-flow and the edge-of-stability regime",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "5 seconds", NO_DATA), "paper": Scale(paper_settings, "5 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="ends-where-predicted",
    claim_panels={claim.name: "ends" for claim in CLAIMS},
)
