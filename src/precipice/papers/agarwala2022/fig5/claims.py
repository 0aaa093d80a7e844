"""The claims of agarwala2022/fig5, each with its measure."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


def _diverged(dataset: "xarray.Dataset") -> bool:
    """Whether the run has no window near the edge to judge, because it left every scale."""
    from precipice.results import Status

    return "status" in dataset and int(dataset["status"]) == Status.DIVERGED


def _z1(dataset: "xarray.Dataset") -> np.ndarray:
    if _diverged(dataset):
        return np.zeros(0)
    values = dataset["residual_projection"].values.astype(float)
    return values[np.isfinite(values)]


def _lambda(dataset: "xarray.Dataset", rank: int) -> np.ndarray:
    if _diverged(dataset):
        return np.zeros(0)
    values = dataset["ntk_eigenvalue"].isel(eigenvalue=rank).values.astype(float)
    return values[np.isfinite(values)]


def _growth(dataset: "xarray.Dataset") -> float | None:
    z1 = np.abs(_z1(dataset))
    tenth = max(len(z1) // 10, 2)
    return float(z1.max() / np.median(z1[:tenth])) if len(z1) >= 20 else None


VISIBLE = 0.01
"""Steps with |z1| above this fraction of its largest value: below it z1 follows slow drift, not its own oscillation."""


def _flips(dataset: "xarray.Dataset") -> float | None:
    z1 = _z1(dataset)
    if len(z1) < 20:
        return None
    visible = np.abs(z1[1:]) > VISIBLE * np.abs(z1).max()
    return float(np.mean((z1[1:] * z1[:-1] < 0)[visible]))


def _turns(dataset: "xarray.Dataset") -> float | None:
    """How often successive two-step changes of z1 differ in sign, on visible steps; 1 at every step of a zigzag."""
    z1 = _z1(dataset)
    if len(z1) < 20:
        return None
    change = z1[2:] - z1[:-2]
    visible = np.abs(z1[2:-2]) > VISIBLE * np.abs(z1).max()
    return float(np.mean((change[2:] * change[:-2] < 0)[visible])) if visible.any() else None


def _crossings(dataset: "xarray.Dataset") -> float | None:
    above = _lambda(dataset, 0) >= float(dataset["edge"])
    return float(np.sum(above[1:] != above[:-1])) if len(above) >= 20 else None


def _second(dataset: "xarray.Dataset") -> float | None:
    values = _lambda(dataset, 1)
    return float(values.max() / float(dataset["edge"])) if len(values) >= 20 else None


CLAIMS = (
    Claim(
        "z1-grows",
        "z1, the residual along the top kernel eigenvector, grows in size.",
        "agarwala2022 figure 5, left",
        (3.0, np.inf),
        "largest |z1| of the window over the median of its first tenth; 1 would be no growth",
        _growth,
    ),
    Claim(
        "z1-oscillates",
        "z1 oscillates around 0 from step to step.",
        "agarwala2022 figure 5, left",
        (0.8, 1.0),
        "fraction of visible steps on which z1 changes sign; its factor 1 - lr lambda_1 is near -1 at the edge",
        _flips,
    ),
    Claim(
        "every-other-step-is-smooth",
        "Seen at every other step the fast oscillation is gone.",
        "agarwala2022 figure 5, middle",
        (0.0, 0.25),
        "how often successive two-step changes differ in sign on visible steps: at turning points only; a zigzag has 1",
        _turns,
    ),
    Claim(
        "lambda1-crosses-more-than-once",
        "The top kernel eigenvalue crosses 2/lr more than once.",
        "agarwala2022 figure 5, right",
        (2, np.inf),
        "number of steps on which lambda_1 changes sides of the edge",
        _crossings,
    ),
    Claim(
        "lambda2-stays-below",
        "The second kernel eigenvalue stays below 2/lr in the window.",
        "agarwala2022 figure 5, right",
        (0.0, 1.0 - 1e-6),
        "largest lambda_2 of the window over 2/lr",
        _second,
    ),
)
