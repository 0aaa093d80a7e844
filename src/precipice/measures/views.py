"""Views of a trajectory: every other step, as oscillation along a sharp direction makes it natural."""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Num

from precipice._checks import InputError, at_least


class View(NamedTuple):
    """One of the interleaved sub-trajectories.

    Args:
        step: the steps it has.
        values: the trajectory at them, a leading axis [n].
    """

    step: np.ndarray
    values: Num[np.ndarray, "n ..."]


def every_other(values: ArrayLike, *, period: int = 2, first: int = 0) -> list[View]:
    """A trajectory as `period` interleaved ones: with 2, its even and its odd steps.

    Near the edge of stability the coordinate along the top eigenvector changes sign at each step; each view is smooth.

    Args:
        values: the trajectory, a leading axis of steps.
        period: steps between two of a view.
        first: the step of the first value.

    Raises:
        InputError: a period below 1, or a trajectory without steps.

    References: agarwala2022, eqs. 14 and 15.

    Example:
        >>> even, odd = every_other(np.array([1.0, -2.0, 3.0]), first=10)
        >>> even.step.tolist(), even.values.tolist(), odd.values.tolist()
        ([10, 12], [1.0, 3.0], [-2.0])
    """
    at_least("period", period, 1)
    rows = np.asarray(values)
    if not rows.ndim or not len(rows):
        raise InputError(f"values must have a leading axis of at least one step; got shape {rows.shape}.")
    steps = first + np.arange(len(rows))
    return [View(steps[i::period], rows[i::period]) for i in range(period)]
