"""What became of the cells of a study: the worst over the axes that are not shown, as a map in letters or a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from precipice.results.variable import Status

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

COLOURS = {
    Status.DONE: "#3a8f5c",
    Status.DIVERGED: "#1f5fa8",
    Status.FAILED: "#c0392b",
    Status.MISSING: "#d9d9d9",
}
"""By how a cell ended; in the order in which the worse hides the better, missing last."""

LETTERS = {Status.DONE: "#", Status.DIVERGED: "v", Status.FAILED: "X", Status.MISSING: "."}


def shown_axes(status: "xarray.DataArray") -> tuple[str, ...]:
    """The two longest axes, the longest last; one where there is one."""
    return tuple(str(name) for name in sorted(status.dims, key=lambda name: status.sizes[name])[-2:])


def plane(status: "xarray.DataArray", most: tuple[int, int] | None = None) -> np.ndarray:
    """The worst status over the axes that are not shown, as codes in the order of `COLOURS` [rows, columns].

    Args:
        status: of each cell, over the axes of a study.
        most: rows and columns at most; neighbouring cells are then joined, the worst counting.
    """
    axes = shown_axes(status)
    ranks = np.zeros(max(Status) + 1, int)
    for rank, code in enumerate(COLOURS):
        ranks[code] = rank
    others = [name for name in status.dims if name not in axes]
    worst = ranks[status.transpose(*axes, *others).to_numpy()]
    worst = worst.reshape(*worst.shape[: len(axes)], -1).max(axis=-1)
    if len(axes) == 1:
        worst = worst[None, :]
    return worst if most is None else _joined(_joined(worst, most[0], 0), most[1], 1)


def _joined(codes: np.ndarray, most: int, axis: int) -> np.ndarray:
    size = codes.shape[axis]
    if size <= most:
        return codes
    starts = np.unique(np.arange(most) * size // most)
    return np.maximum.reduceat(codes, starts, axis=axis)


def lines(status: "xarray.DataArray", most: tuple[int, int] = (24, 72)) -> list[str]:
    """The plane in letters, one line a row."""
    letters = [LETTERS[code] for code in COLOURS]
    return ["".join(letters[code] for code in row) for row in plane(status, most).tolist()]


def draw(status: "xarray.DataArray", name: str) -> "Picture":
    """The plane as a picture with its axes and counts."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    from precipice.figures import style

    picture, (ax,) = style.panels(1)
    axes, codes = shown_axes(status), plane(status)
    colours = ListedColormap(list(COLOURS.values()))
    ax.imshow(codes, cmap=colours, vmin=-0.5, vmax=len(COLOURS) - 0.5, aspect="auto", interpolation="nearest")
    _label(ax, status, axes)
    counts = {code: int((status == code).sum()) for code in COLOURS}
    ax.legend(
        handles=[Patch(color=c, label=f"{code.name.lower()}: {counts[code]:,}") for code, c in COLOURS.items()],
        fontsize=8,
        loc="upper right",
    )
    ax.grid(False)
    ax.set_title(name)
    hidden = [str(dim) for dim in status.dims if dim not in axes]
    if hidden:
        style.caption(picture, f"Each place shows the worst cell along {', '.join(hidden)}; counts are of cells.")
    return picture


def _label(ax, status: "xarray.DataArray", axes: Sequence[str]) -> None:
    """A few values of each axis at their places."""
    for name, place, name_it in zip(
        axes[::-1], (ax.set_xticks, ax.set_yticks), (ax.set_xlabel, ax.set_ylabel), strict=False
    ):
        values = status[name].to_numpy()
        at = np.unique(np.linspace(0, len(values) - 1, min(6, len(values))).astype(int))
        place(at, [f"{values[i]:.3g}" for i in at])
        units = status[name].attrs.get("units", "1")
        name_it(name if units == "1" else f"{name} [{units}]")
    if len(axes) == 1:
        ax.set_yticks([])
