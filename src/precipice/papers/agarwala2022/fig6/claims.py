"""The claims of agarwala2022/fig6, each with its measure."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray

VISIBLE = 0.01
"""Steps with |z1| above this fraction of its largest value: below it z1 follows slow drift, not its own oscillation."""

AT_SIZE = 5000
"""Images from which a claim is judged whose number depends on their count."""

BEFORE = 20
"""Steps before a fall in which the ratio is looked at."""


def excess(one: "xarray.Dataset") -> np.ndarray:
    """The excess y = lr lambda_1 - 2 at each step of the window."""
    return 2 * one["ntk_eigenvalue"].values[:, 0] / float(one["edge"]) - 2


class TwoSteps(NamedTuple):
    """Changes of z1 over two steps, what 2 y z1 says of them, and the steps on which z1 is visible.

    Args:
        change: (z1)_(t+2) - (z1)_t.
        predicted: 2 y z1 with y the mean of y_t and y_(t+1).
        literal: 2 y z1 with y_t alone.
        visible: a mask.
    """

    change: np.ndarray
    predicted: np.ndarray
    literal: np.ndarray
    visible: np.ndarray


def two_steps(one: "xarray.Dataset") -> TwoSteps:
    """The two-step change of z1, and what is said of it. Where z1 is large y alternates from step to step."""
    z1, y = one["residual_projection"].values, excess(one)
    visible = np.abs(z1[:-2]) > VISIBLE * np.nanmax(np.abs(z1))
    visible &= np.isfinite(z1[2:])
    return TwoSteps(z1[2:] - z1[:-2], (y[:-2] + y[1:-1]) * z1[:-2], 2 * y[:-2] * z1[:-2], visible)


def step_ratio(one: "xarray.Dataset") -> np.ndarray:
    """Non-linear over linear change of z1 in one step, by the top mode alone (`measures.TopMode.step_ratio`)."""
    num_examples, lr = _settings(one)["num_examples"], 2 / float(one["edge"])
    raw = num_examples * one["ntk_eigenvalue"].values[:, 0]
    curvature, z1 = one["top_mode_curvature"].values, one["residual_projection"].values
    return (lr / num_examples) * curvature / (2 * raw * z1)


def printed_ratio(one: "xarray.Dataset") -> np.ndarray:
    """lr^2 Q1(J^T z1 v1, J^T z1 v1)/(l1 z1) with the bare J and the lr of the mean loss: 2 n lr times `step_ratio`."""
    return 2 * _settings(one)["num_examples"] * (2 / float(one["edge"])) * step_ratio(one)


def _settings(one: "xarray.Dataset") -> dict:
    from precipice.figures import style

    return style.parameters(one)


def falls(one: "xarray.Dataset") -> list[int]:
    """Steps on which lambda_1 falls below the edge."""
    y = excess(one)
    return [t for t in (np.flatnonzero((y[:-1] > 0) & (y[1:] <= 0)) + 1).tolist() if _first_of(y, t)]


def _first_of(y: np.ndarray, step: int) -> bool:
    """Whether the `BEFORE` steps before were above the edge: a real fall, not the alternation of even and odd steps."""
    return step >= BEFORE and bool((y[step - BEFORE : step - 3] > 0).all())


def _agreement(one: "xarray.Dataset") -> float | None:
    change, predicted, _, visible = two_steps(one)
    if visible.sum() < 20:
        return None
    return float(1 - np.sum((change - predicted)[visible] ** 2) / np.sum(change[visible] ** 2))


def _literal_error(one: "xarray.Dataset") -> float | None:
    change, _, literal, visible = two_steps(one)
    if visible.sum() < 20:
        return None
    size = np.maximum(np.abs(literal[visible]), np.finfo(float).tiny)  # y may be 0
    return float(np.median(np.abs(change - literal)[visible] / size))


def _rms(one: "xarray.Dataset") -> np.ndarray:
    """Root mean square eigenvalue of v . Q for each direction."""
    nodes, weights = one["model_curvature_node"].values, one["model_curvature_weight"].values
    return np.sqrt((weights * nodes**2).sum(-1).mean(-1))


def _moved(one: "xarray.Dataset") -> float | None:
    """Distance of the two spectra along v1 (mean |difference of quantiles|) over the root mean square eigenvalue."""
    if not falls(one):
        return None
    nodes, weights = one["model_curvature_node"].values, one["model_curvature_weight"].values
    first, last = ((nodes[i].ravel(), weights[i].ravel() / nodes.shape[1]) for i in (0, 1))
    return distance(first, last) / float(_rms(one)[0])


def distance(first: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """The Wasserstein-1 distance of two weighted samples."""
    points = np.sort(np.concatenate([first[0], other[0]]))
    heights = [weights @ (values[:, None] <= points[:-1]) for values, weights in (first, other)]
    return float(np.sum(np.abs(heights[0] - heights[1]) * np.diff(points)))


def _over_random(one: "xarray.Dataset") -> float:
    rms = _rms(one)
    return float(rms[0] / rms[2])


def _quiet(one: "xarray.Dataset") -> float | None:
    """Median of the printed ratio in the first tenth of the window."""
    if not falls(one):
        return None
    ratio = np.abs(printed_ratio(one))
    return float(np.median(ratio[: max(len(ratio) // 10, 2)]))


def _peaks(one: "xarray.Dataset") -> list[float]:
    ratio = np.abs(printed_ratio(one))
    return [float(ratio[max(step - BEFORE, 0) : step].max()) for step in falls(one)]


def _growth(one: "xarray.Dataset") -> float | None:
    quiet, peaks = _quiet(one), _peaks(one)
    return None if quiet is None else float(np.log10(min(peaks) / quiet))


CLAIMS = (
    Claim(
        "spectrum-stays",
        "Q along v1 does not shift much over the window.",
        "agarwala2022 figure 6, left",
        (0.0, 0.25),
        "Wasserstein distance of its spectra at the two ends over the root mean square eigenvalue: 'not much' is a "
        "quarter; a spectrum scaled by 1.5 is 0.3 to 0.5 away",
        _moved,
    ),
    Claim(
        "larger-than-along-a-random-direction",
        "Q is much larger along v1 than along a random direction.",
        "agarwala2022 figure 6, left",
        (2.0, np.inf),
        "ratio of the root mean square eigenvalues; 1 would be no difference",
        _over_random,
    ),
    Claim(
        "two-step-change-is-2yz",
        "The two-step change of z1 is 2 y z1.",
        "agarwala2022 figure 6, middle; eq. 25 iterated (QR-F6)",
        (0.95, 1.0),
        "1 - sum (change - 2 y z1)^2/sum change^2 on visible steps, nothing fitted, y the mean over the two steps: the "
        "next term y^2 z1 is y/2 of it, at y up to 0.2 a tenth of the change and a hundredth of its square",
        _agreement,
    ),
    Claim(
        "two-step-change-is-2yz-of-one-step",
        "So it is with y of the first step alone, as the paper has it.",
        "agarwala2022 figure 6, middle",
        (0.0, 0.25),
        "median relative error on visible steps: y/2 is up to 0.1, and y alternates by as much as its size for the few "
        "steps in which it changes sign",
        _literal_error,
    ),
    Claim(
        "ratio-small-while-sharpening",
        "The non-linear ratio is small during the initial sharpening.",
        "agarwala2022 figure 6, right",
        (0.0, 0.1),
        "median in the first tenth of the window of lr^2 Q1(J z1 v1, J z1 v1)/(lambda_1 z1) as printed, with bare J "
        "and the lr of the mean loss; small against 1",
        _quiet,
    ),
    Claim(
        "ratio-grows-before-each-fall",
        "It becomes much larger shortly before each fall of the eigenvalue.",
        "agarwala2022 figure 6, right",
        (2.0, np.inf),
        f"decades from that median to its largest value in the {BEFORE} steps before lambda_1 falls below the edge, "
        "the least over the falls; free of units",
        _growth,
    ),
    Claim(
        "ratio-of-order-one",
        "It becomes O(1) before each fall.",
        "agarwala2022 figure 6, right",
        (0.1, 10.0),
        "the same largest value, the least over the falls, within a decade of 1; the printed formula has units: it is "
        f"2 n lr times the terms of a step themselves, so that it is judged from the paper's {AT_SIZE:,} images only",
        lambda one: min(_peaks(one), default=None) if _settings(one)["num_examples"] >= AT_SIZE else None,
    ),
)
