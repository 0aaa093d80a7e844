"""The phase of each step of a trajectory: sharpening, edge of stability, catapult, convergence or divergence."""

import itertools
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Int

from precipice._checks import InputError, at_least, positive


class Phase(IntEnum):
    """What a trajectory does at a step; the definition is in `phases`."""

    NOT_MEASURED = 0
    SHARPENING = 1
    EDGE_OF_STABILITY = 2
    CATAPULT = 3
    CONVERGENCE = 4
    DIVERGENCE = 5


class Segment(NamedTuple):
    """A run of steps in one phase.

    Args:
        phase: which.
        start: index of its first step.
        stop: index after its last.
    """

    phase: Phase
    start: int
    stop: int


def phases(
    sharpness: ArrayLike,
    loss: ArrayLike,
    edge: float,
    *,
    window: int = 11,
    tolerance: float = 0.2,
    growth: float = 100.0,
) -> Int[np.ndarray, "steps"]:
    """The `Phase` of each of a row of measurements of sharpness and loss.

    With s the running median of sharpness/edge over `window` measurements, in this order:

    - divergence: from the first measurement that is not finite, or from where the loss exceeds `growth` times its first
      value for good;
    - edge of stability: s within `tolerance` of 1;
    - catapult: s above that, where gradient descent is unstable, and after it until the loss is back below its value
      at the beginning of the excursion;
    - sharpening: s below, and higher half a window later than half a window before;
    - convergence: s below, and not higher.

    Measured values are taken as they come: measurements at every step see the oscillation of the loss, which
    `window` averages out of the sharpness only.

    Args:
        sharpness: largest Hessian eigenvalue at each measurement [steps].
        loss: training loss at each [steps].
        edge: 2/lr, in the units of the sharpness.
        window: odd number of measurements.
        tolerance: half width of the band around the edge, relative.
        growth: how far the loss may rise and still come back.

    Returns:
        Codes of `Phase` [steps], int8.

    Raises:
        InputError: rows of different lengths, an even window, numbers out of range.

    References: definitions are ours; the words those of Cohen et al. 2021 and agarwala2022, section 2 (QR-24).

    Example:
        >>> rise = np.concatenate([np.linspace(0.2, 1.0, 40), np.full(40, 1.02)])
        >>> [(s.phase.name, s.start, s.stop) for s in segments(phases(rise, np.linspace(1, 0.1, 80), edge=1.0))]
        [('SHARPENING', 0, 30), ('EDGE_OF_STABILITY', 30, 80)]
    """
    values, losses = np.asarray(sharpness, float), np.asarray(loss, float)
    _check(values, losses, edge, window, tolerance, growth)
    lost = _divergence(values, losses, growth)
    labels = np.full(len(values), Phase.DIVERGENCE, np.int8)
    if lost:
        labels[:lost] = _of_finite(values[:lost] / edge, losses[:lost], window, tolerance)
    return labels


def segments(labels: Int[np.ndarray, "steps"]) -> list[Segment]:
    """The labels of `phases` as runs of steps of one phase, in order.

    Example:
        >>> [tuple(s) for s in segments(np.array([1, 1, 2]))]
        [(<Phase.SHARPENING: 1>, 0, 2), (<Phase.EDGE_OF_STABILITY: 2>, 2, 3)]
    """
    borders = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
    return [Segment(Phase(labels[a]), int(a), int(b)) for a, b in itertools.pairwise(borders) if b > a]


def _check(values, losses, edge: float, window: int, tolerance: float, growth: float) -> None:
    if values.ndim != 1 or values.shape != losses.shape:
        raise InputError(f"sharpness and loss must be rows of one length; got {values.shape} and {losses.shape}.")
    at_least("number of measurements", len(values), 1)
    positive("edge", edge)
    at_least("window", window, 1)
    if np.isfinite(losses[0]) and not losses[0] > 0:
        raise InputError(f"the first loss must be positive, as later ones are compared with it; got {losses[0]}.")
    if window % 2 == 0:
        raise InputError(f"window must be odd, so that it has a middle; got {window}.")
    positive("tolerance", tolerance)
    if not growth > 1:
        raise InputError(f"growth must be above 1; got {growth}.")


def _divergence(values: np.ndarray, losses: np.ndarray, growth: float) -> int:
    """The index from which on the trajectory has diverged; the length if it has not."""
    lost = ~(np.isfinite(values) & np.isfinite(losses))
    end = int(np.argmax(lost)) if lost.any() else len(values)
    high = losses[:end] > growth * losses[0]
    return end - int(np.argmin(high[::-1])) if len(high) and high[-1] and not high.all() else end


def _of_finite(relative: np.ndarray, losses: np.ndarray, window: int, tolerance: float) -> np.ndarray:
    from scipy.ndimage import median_filter

    smooth = median_filter(relative, size=min(window, len(relative) - 1 + len(relative) % 2), mode="reflect")
    half = max(window // 2, 1)
    index = np.arange(len(smooth))
    later, earlier = np.minimum(index + half, len(smooth) - 1), np.maximum(index - half, 0)
    rising = smooth[later] > smooth[earlier]
    labels = np.where(rising, Phase.SHARPENING, Phase.CONVERGENCE).astype(np.int8)
    labels[np.abs(smooth - 1) <= tolerance] = Phase.EDGE_OF_STABILITY
    return _with_catapults(labels, smooth > 1 + tolerance, losses)


def _with_catapults(labels: np.ndarray, unstable: np.ndarray, losses: np.ndarray) -> np.ndarray:
    before = np.inf
    flying = False
    for index, above in enumerate(unstable):
        if above and not flying:
            flying, before = True, losses[index]
        elif flying and not above and losses[index] <= before:
            flying = False
        if flying and labels[index] != Phase.EDGE_OF_STABILITY:
            labels[index] = Phase.CATAPULT
    return labels
