"""Phase portraits: arrows of a field, nullclines, and the region that belongs to the model, on any axes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice._checks import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NULLCLINE_COLOURS = ("#1f5fa8", "#d1622b")


def draw_field(ax: "Axes", field: Any, *, signs_only: bool = False, colour: str = "#777777") -> None:
    """Arrows of one length along a field (`dynamics.field`): the direction of motion, or the signs of its components.

    Args:
        ax: where to draw; its limits are set to the grid.
        field: ``x`` [nx], ``y`` [ny], ``dx`` and ``dy`` [ny, nx].
        signs_only: draw the signs of the two components (eight directions), as agarwala2022 figure 8 does.
        colour: of the arrows.

    Raises:
        InputError: increments whose shape does not fit the axes.
    """
    shape = (len(field.y), len(field.x))
    if np.shape(field.dx) != shape or np.shape(field.dy) != shape:
        raise InputError(f"dx and dy must have shape {shape}; got {np.shape(field.dx)} and {np.shape(field.dy)}.")
    dx, dy = (np.where(np.isfinite(d), d, 0) for d in (field.dx, field.dy))
    dx, dy = dx / max(np.ptp(field.x), 1e-300), dy / max(np.ptp(field.y), 1e-300)  # directions as they are seen
    if signs_only:
        dx, dy = np.sign(dx), np.sign(dy)
    size = np.hypot(dx, dy)
    size = np.where(size > 0, size, 1)
    ax.quiver(field.x, field.y, dx / size, dy / size, color=colour, pivot="mid", angles="uv", scale=32, width=0.0025)
    if len(field.x) > 1 and len(field.y) > 1:
        ax.set_xlim(field.x.min(), field.x.max())
        ax.set_ylim(field.y.min(), field.y.max())


def draw_nullclines(ax: "Axes", curves: Mapping[str, tuple[Any, Any]]) -> None:
    """Curves (x, y) by label, each clipped to the axes' view and broken where it jumps across it."""
    view = ax.get_ylim()
    for colour, (label, (x, y)) in zip(NULLCLINE_COLOURS * len(curves), curves.items(), strict=False):
        values = np.array(y, float)
        values[(values < view[0]) | (values > view[1])] = np.nan
        ax.plot(x, values, color=colour, lw=1.4, label=label)
    ax.set_ylim(view)


def shade_forbidden(ax: "Axes", x: Any, y: Any, allowed: Any, label: str = "no model") -> None:
    """Grey where `allowed` [ny, nx] is false."""
    ax.contourf(x, y, ~np.asarray(allowed, bool), levels=[0.5, 1.5], colors=["#cccccc"], zorder=0)
    ax.fill([], [], color="#cccccc", label=label)
