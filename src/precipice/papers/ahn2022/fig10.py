"""ahn2022/fig10: from one start the single neuron ends just below 2/lr, whatever the learning rate."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import single_neuron
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("trajectories", "sharpness")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        loss: sqrt, tanh or huber.
        edges: values of 2/lr.
        x: first weight of the start.
        y: second weight of the start.
        num_steps: steps of each run.
        precision: float64.
    """

    loss: str
    edges: str
    x: float
    y: float
    num_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure's learning rates; its start is not given."""
    return Settings(loss="sqrt", edges="9,7,5,3", x=3.0, y=6.0, num_steps=150)


def control(settings: Settings) -> Settings:
    """A start that is below all the edges."""
    return dataclasses.replace(settings, y=float(np.sqrt(settings.x**2 + 1)))


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    single_neuron.check(settings.loss, settings.precision)
    numbers(settings.edges, "edges")
    positive("x", settings.x)
    if not (np.isfinite(settings.y) and settings.y > settings.x):
        raise InputError(f"y must be above x ({settings.x:g}), as the theory needs; got {settings.y}.")
    at_least("num_steps", settings.num_steps, 20)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend from the start at each learning rate."""
    from precipice.results import to_dataset

    lrs = 2 / np.array(numbers(settings.edges, "edges"))
    starts = np.tile([settings.x, settings.y], (len(lrs), 1))
    saved = single_neuron.follow(single_neuron.loss_of(settings.loss), starts, lrs, settings.num_steps)
    saved["edge"] = 2 / lrs
    return to_dataset(saved, coords={"lr": lrs, "step": range(settings.num_steps + 1), "entry": range(2)})


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The trajectories and the sharpness along them."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        for index, lr in enumerate(dataset["lr"].values):
            one, colour = dataset.isel(lr=index), style.COLOURS[index % len(style.COLOURS)]
            label = f"2/lr = {2 / lr:.4g}"
            if name == "trajectories":
                ax.plot(*one["entries"].values.T, ".-", ms=2, lw=0.4, color=colour, label=label)
                ax.plot(0, np.sqrt(2 / lr), "s", mfc="white", color=colour)
            else:
                ax.plot(dataset["step"], one["sharpness"], color=colour, lw=1.0, label=label)
                style.edge_line(ax, float(one["edge"]), "", colour)
        if name == "trajectories":
            single_neuron.axis_labels(ax)
            ax.set_title("weights (squares: sharpness 2/lr)")
        else:
            ax.set_xlabel("gradient step")
            ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
            ax.set_title("sharpness, and 2/lr dashed")
        ax.legend(loc="lower right" if name == "trajectories" else "upper right")
    style.caption(
        picture,
        f"Single neuron l(xy), {settings['loss']} loss, gradient descent from ({settings['x']:g}, {settings['y']:g}); "
        f"the paper does not give its start; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _relative_ends(dataset: "xarray.Dataset") -> np.ndarray | None:
    ends = [single_neuron.last_sharpness(dataset.isel(lr=i)) for i in range(dataset.sizes["lr"])]
    return None if None in ends else np.array(ends, float) / dataset["edge"].values


def _lowest(dataset: "xarray.Dataset") -> float | None:
    ends = _relative_ends(dataset)
    return None if ends is None else float(ends.min())


def _highest(dataset: "xarray.Dataset") -> float | None:
    ends = _relative_ends(dataset)
    return None if ends is None else float(ends.max())


CLAIMS = (
    Claim(
        "ends-close-to-2-over-lr",
        "The final sharpness is close to 2/lr.",
        "ahn2022 figure 10; theorem 2 (TN-7)",
        (0.65, 1.0),
        "smallest final sharpness over 2/lr; the gap is lr to leading order (TN-9b), 0.67 of 3 at the largest rate",
        _lowest,
    ),
    Claim(
        "never-above-2-over-lr",
        "It is below 2/lr.",
        "ahn2022 theorem 2 (TN-7)",
        (0.0, 1.0),
        "largest final sharpness over 2/lr",
        _highest,
    ),
)

FIGURE = Figure(
    id="ahn2022/fig10",
    title="A single neuron at several learning rates: each ends just below its edge",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "3 seconds", NO_DATA), "paper": Scale(paper_settings, "3 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="ends-close-to-2-over-lr",
    claim_panels={claim.name: "sharpness" for claim in CLAIMS},
)
