"""The claims of precipice/self-stabilization, each with its measure."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


class Cycle(NamedTuple):
    """One cycle of a seed, to the step at which the predicted excess rises above 0 again (or the window ends).

    Args:
        x: alternating part of the real displacement, |x_t - x_{t+1}|/2 [steps].
        y: real excess, the mean of two successive steps.
        predicted_x, predicted_y: the same of the prediction.
        sharpness: measured sharpness minus 2/lr, the mean of two successive steps.
        turning: sqrt(2 alpha/beta).
    """

    x: np.ndarray
    y: np.ndarray
    predicted_x: np.ndarray
    predicted_y: np.ndarray
    sharpness: np.ndarray
    turning: float


def cycle(dataset: "xarray.Dataset") -> Cycle | None:
    """The first cycle of one seed, or None where descent diverged or ended within 20 steps."""
    names = ("real_displacement", "real_excess", "top_displacement", "excess_sharpness", "real_sharpness_excess")
    x, y, predicted_x, predicted_y, sharpness = (dataset[name].values.astype(float) for name in names)
    predicted = _mean(predicted_y)
    back = np.flatnonzero((predicted[1:] > 0) & (predicted[:-1] <= 0))
    end = int(back[0]) + 1 if len(back) else len(predicted)
    turning = float(np.sqrt(2 * dataset["stabilization_alpha"] / dataset["stabilization_beta"]))
    parts = (_swing(x), _mean(y), _swing(predicted_x), predicted, _mean(sharpness))
    found = Cycle._make((*(part[:end] for part in parts), turning))
    return found if end >= 20 and all(np.isfinite(part).all() for part in found) else None


def _swing(values: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(values)) / 2


def _mean(values: np.ndarray) -> np.ndarray:
    return (values[1:] + values[:-1]) / 2


def _grows_and_shrinks(dataset: "xarray.Dataset") -> float | None:
    one = cycle(dataset)
    return None if one is None else float(one.x.max() / max(one.x[0], one.x[-1]))


def _turns(dataset: "xarray.Dataset") -> float | None:
    one = cycle(dataset)
    return None if one is None else float(one.x[np.argmax(one.y)] / one.turning)


def _peak(dataset: "xarray.Dataset") -> float | None:
    one = cycle(dataset)
    return None if one is None else float(one.y.max() / one.predicted_y.max())


def _falls(dataset: "xarray.Dataset") -> float | None:
    one = cycle(dataset)
    if one is None:
        return None
    real, predicted = (_first_fall(values) for values in (one.y, one.predicted_y))
    return None if real is None or predicted is None else float(real / predicted)


def _first_fall(values: np.ndarray) -> int | None:
    found = np.flatnonzero((values[1:] < 0) & (values[:-1] >= 0))
    return int(found[0]) + 1 if len(found) else None


def error(one: Cycle) -> np.ndarray:
    """|real - predicted excess| over the range of the prediction in the cycle."""
    return np.abs(one.y - one.predicted_y) / np.ptp(one.predicted_y)


def _error(dataset: "xarray.Dataset") -> float | None:
    one = cycle(dataset)
    return None if one is None else float(error(one).max())


def _follows(dataset: "xarray.Dataset") -> float | None:
    one = cycle(dataset)
    return None if one is None else float(np.corrcoef(one.sharpness, one.y)[0, 1])


CLAIMS = (
    Claim(
        "displacement-grows-and-shrinks",
        "Along the top eigenvector the network first moves away from the point, then comes back.",
        "precipice; shapira2023 section 4, Damian et al. 2022",
        (2.0, np.inf),
        "largest swing in the cycle over the larger of its ends; the prediction has 5 to 15; below the edge it is 1",
        _grows_and_shrinks,
    ),
    Claim(
        "turns-at-sqrt-2-alpha-over-beta",
        "The excess begins to fall once the displacement passes sqrt(2 alpha/beta).",
        "precipice; shapira2023 section 4 (REV-5)",
        (0.7, 1.4),
        "swing at the largest excess over that; alpha and beta are constants of the starting point",
        _turns,
    ),
    Claim(
        "peak-of-the-excess",
        "The excess peaks at the predicted height.",
        "precipice; shapira2023 definition 4.1",
        (0.7, 1.3),
        "largest real excess over the largest predicted; terms of higher order are left out of the prediction",
        _peak,
    ),
    Claim(
        "falls-when-predicted",
        "The excess falls below 0 when predicted.",
        "precipice; shapira2023 definition 4.1",
        (0.75, 1.25),
        "step of the first fall below 0 over the predicted one",
        _falls,
    ),
    Claim(
        "sharpness-follows",
        "The measured sharpness follows y.",
        "precipice; shapira2023 section 4 (REV-3, ERR-R2)",
        (0.9, 1.0),
        "correlation in the cycle of sharpness and y, each averaged over two steps, which removes (grad S . u) x",
        _follows,
    ),
    Claim(
        "error-over-the-cycle",
        "Constants of one point predict the whole cycle.",
        "precipice; Damian et al. 2022, theorem 1",
        (0.0, 0.4),
        "largest |real - predicted excess| over the range of the prediction in the cycle; a prediction of no cycle, a "
        "straight line, would be off by more than half",
        _error,
    ),
)
