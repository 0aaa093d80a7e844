"""The box-counting dimension of the border between differently labelled parts of a grid."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from precipice._checks import InputError


class BoxDimension(NamedTuple):
    """A dimension from box counts.

    Args:
        value: minus the slope of log count on log size.
        sem: standard error of the slope, from the scatter about the line.
        sizes: sides of the boxes, in cells of the grid [k].
        counts: boxes that the border crosses [k].
    """

    value: float
    sem: float
    sizes: Int[np.ndarray, "k"]
    counts: Int[np.ndarray, "k"]


def box_dimension(label: Shaped[np.ndarray, "n m"], *, sizes: Sequence[int] = (1, 2, 4, 8, 16, 32)) -> BoxDimension:
    """The box-counting dimension of the border of labels on a grid, by a straight line through the counts.

    A box of side s counts if its (s + 1) x (s + 1) points do not all have one label. 1 for a smooth line, 2 for labels
    mixed everywhere; a border that is fractal over the sizes given lies between. Boxes that the grid cuts are left out.

    Args:
        label: labels at the points of a grid [n, m].
        sizes: at least three sides of boxes, in cells, each fitting the grid.

    Raises:
        InputError: fewer than three sizes, one that does not fit, or labels without a border.

    References: definition; zhu2022, figure 6a has the border it is used on.

    Example:
        >>> x = np.linspace(-1, 1, 257)
        >>> found = box_dimension(np.hypot(x[:, None], x[None]) < 0.7)
        >>> bool(abs(found.value - 1) < 0.1)
        True
    """
    if len(sizes) < 3:
        raise InputError(f"sizes must be at least 3; got {len(sizes)}.")
    for size in sizes:
        if not 1 <= size < min(label.shape):
            raise InputError(f"sizes must be from 1 to {min(label.shape) - 1}, the cells of the grid; got {size}.")
    counts = np.array([_crossed(label, size) for size in sizes])
    if not counts.all():
        raise InputError("label must have a border; got one label in all whole boxes.")
    lengths, logs = np.log(np.asarray(sizes, float)), np.log(counts)
    centred = lengths - lengths.mean()
    slope = centred @ logs / (centred @ centred)
    scatter = logs - logs.mean() - slope * centred
    sem = np.sqrt(scatter @ scatter / (len(sizes) - 2) / (centred @ centred))
    return BoxDimension(float(-slope), float(sem), np.asarray(sizes, int), counts)


def _crossed(label: np.ndarray, size: int) -> int:
    """How many whole boxes of side `size` have two labels or more."""
    windows = np.lib.stride_tricks.sliding_window_view(label, (size + 1, size + 1))[::size, ::size]
    return int(np.sum(np.any(windows != windows[..., :1, :1], axis=(2, 3))))
