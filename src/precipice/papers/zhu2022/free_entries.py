"""Scalar networks of free entries followed at each step: figures 16 to 21 of zhu2022 share this run and its views."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least, positive
from precipice.papers.settings import check_precision
from precipice.papers.zhu2022.networks import parse_starts

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

    from precipice.papers.figure import Context

WIDTH = 0.1
"""Concentrated: a final sharpness in (2/lr - 0.1, 2/lr), the band of figure 2's caption."""

FLOOR = 1e-24
"""Losses (and squared distances) below this are near rounding and are left out of fits."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        entries: "6,0.1,0.4": the entries at the start.
        lr: learning rate.
        num_steps: steps of the run.
        precision: float64.
    """

    entries: str
    lr: float
    num_steps: int
    precision: str = "float64"


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    if len(parse_starts(settings.entries, "entries")) > 1:
        raise InputError(f"entries must be one list; got {settings.entries!r}.")
    positive("lr", settings.lr)
    at_least("num_steps", settings.num_steps, 100)
    check_precision(settings.precision)


def run(settings: Settings, context: "Context") -> "xarray.Dataset":  # noqa: ARG001
    """Descend and record loss, sharpness and entries at each step."""
    import numpy as np

    from precipice.papers.zhu2022.trajectories import follow
    from precipice.problems import ScalarNetwork
    from precipice.results import to_dataset

    start = np.array(parse_starts(settings.entries, "entries"))
    problem = ScalarNetwork((1,) * start.shape[1])
    found = follow(problem, start, np.array([settings.lr]), settings.num_steps)
    saved = {name: values[0] for name, values in found.items()} | {"edge": np.array(2 / settings.lr)}
    return to_dataset(saved, coords={"step": range(settings.num_steps + 1)})


# Measures -----------------------------------------------------------------------------------------------------------


def gap(dataset: "xarray.Dataset") -> float:
    """2/lr minus the last sharpness."""
    return float(dataset["edge"] - dataset["sharpness"].isel(step=-1))


def geometric(values: "np.ndarray") -> float | None:
    """Correlation of log(values) with the step, in the last half of the steps before they reach `FLOOR`."""
    import numpy as np

    below = np.flatnonzero(values < FLOOR)
    stop = below[0] if below.size else values.size
    steps = np.arange(stop // 2, stop)
    if steps.size < 10 or not np.isfinite(values[steps]).all():
        return None
    return float(np.corrcoef(steps, np.log(values[steps]))[0, 1])


def distance(dataset: "xarray.Dataset", entry: int) -> "np.ndarray":
    """Distance of an entry from the last one at each step."""
    import numpy as np

    entries = dataset["entries"].values
    return np.abs(entries[:, entry] - entries[:, -1])


def settled(dataset: "xarray.Dataset", entry: int) -> slice | None:
    """The steps of smooth oscillation: from where an entry's steps only shrink to where they are 1 % of the largest."""
    import numpy as np

    size = np.abs(np.diff(dataset["entries"].values[:, entry]))
    if not np.isfinite(size).all():
        return None
    stop = np.flatnonzero(size > 0.01 * size.max())[-1]
    grew = np.flatnonzero(np.diff(size[:stop]) > 0)
    start = grew[-1] + 1 if grew.size else 0
    return slice(start, stop) if stop - start >= 10 else None


def parabola(dataset: "xarray.Dataset", small: int, other: int) -> float | None:
    """How far the two-step orbit of entries `small` and `other` is a parabola, between 0 and 1.

    On a parabola, however tilted, the midpoint of successive values of `other` is linear in the square of the step of
    `small`: R^2 of this line over the `settled` steps, times the fraction of them on which `small` turns.
    """
    import numpy as np

    steps = settled(dataset, small)
    if steps is None:
        return None
    entries = dataset["entries"].values
    step, middle = np.diff(entries[:, small]), (entries[1:, other] + entries[:-1, other]) / 2
    turns = np.mean(step[1:][steps] * step[:-1][steps] < 0)
    return float(turns * np.corrcoef(step[steps] ** 2, middle[steps])[0, 1] ** 2)


def correlation(dataset: "xarray.Dataset", first: int, second: int) -> float:
    """Correlation of two entries over all steps."""
    import numpy as np

    entries = dataset["entries"].values
    return float(np.corrcoef(entries[:, first], entries[:, second])[0, 1])


# Pictures -----------------------------------------------------------------------------------------------------------


def caption(dataset: "xarray.Dataset", more: str = "") -> str:
    """What was run, in one sentence."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    return (
        f"Scalar network of {len(settings['entries'].split(','))} layers, (1 - prod x_i)^2/2 (the paper's eq. 17 lacks "
        f"the square), from ({settings['entries']}), gradient descent at lr = {settings['lr']:g} for "
        f"{settings['num_steps']:,} steps; {more}scale {dataset.attrs.get('scale', 'custom')}."
    )


TRAINING_PANELS = ("loss", "sharpness", "distance")


def plot_training(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness, and the distance of the last entry from the others."""
    from precipice.figures import style

    names = TRAINING_PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "distance":
            last = dataset.sizes["entry"]
            for i in range(last - 1):
                colour = style.COLOURS[i % len(style.COLOURS)]
                shown = distance(dataset, i)
                ax.plot(
                    dataset["step"][shown > 0], shown[shown > 0], color=colour, lw=1.0, label=f"|x{i + 1} - x{last}|"
                )
        else:
            ax.plot(dataset["step"], dataset[name], color=style.COLOURS[0], lw=0.8)
        if name == "sharpness":
            edge = float(dataset["edge"])
            style.edge_line(ax, edge, f"2/lr = {edge:.4g}", style.COLOURS[1])
        if name != "loss":
            ax.legend(fontsize=8, loc="center right" if name == "distance" else "upper right")
        ax.set_yscale("linear" if name == "sharpness" else "log")
        ax.set_xlabel("gradient step")
        ax.set_ylabel(
            {
                "loss": "loss",
                "sharpness": "sharpness (largest Hessian eigenvalue)",
                "distance": "distance from the last entry",
            }[name]
        )
        ax.set_title(name if name != "distance" else "distance of the entries")
    style.caption(picture, caption(dataset))
    return picture


def plot_pairs(dataset: "xarray.Dataset", pairs: dict[str, tuple[int, int]], panel: str | None) -> "Picture":
    """The two-step view of pairs of entries; `pairs` by panel name, entries numbered from 1."""
    from precipice.figures import style

    names = tuple(pairs) if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        first, second = pairs[name]
        for parity, label in ((0, "even steps"), (1, "odd steps")):
            half = dataset["entries"].isel(step=slice(parity, None, 2))
            x, y = half.isel(entry=first - 1), half.isel(entry=second - 1)
            ax.plot(x, y, ".-", color=style.COLOURS[parity], lw=0.4, ms=2.5, label=label)
        ax.set_xlabel(f"entry x{first}")
        ax.set_ylabel(f"entry x{second}")
        ax.set_title(f"x{first} and x{second}")
        ax.legend(fontsize=8)
    style.caption(picture, caption(dataset))
    return picture
