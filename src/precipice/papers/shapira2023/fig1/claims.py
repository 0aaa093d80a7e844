"""The claims of shapira2023/fig1, each with its measure."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


SETTLING_STEPS = 50
"""Steps after which sharpness has left its first, falling transient ("after the first tens of steps")."""


def _sharpness(dataset: "xarray.Dataset", index: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """(steps, sharpness, edge) of the training at learning rate number `index`, measured steps only."""
    one = dataset.isel(lr=index)
    values = one["hessian_eigenvalue"].isel(eigenvalue=0).values.astype(float)
    finite = np.isfinite(values)
    return dataset["probe_step"].values[finite], values[finite], float(one["edge"])


def crossing(dataset: "xarray.Dataset", index: int = 0) -> int | None:
    """The first measured step at which sharpness is at or above the edge, or None."""
    steps, sharpness, edge = _sharpness(dataset, index)
    above = np.flatnonzero(sharpness >= edge)
    return int(steps[above[0]]) if len(above) else None


def _rise(dataset: "xarray.Dataset") -> float | None:
    from scipy.stats import rankdata

    steps, sharpness, _ = _sharpness(dataset)
    if not len(steps):
        return None
    first = crossing(dataset)
    rising = (steps >= SETTLING_STEPS) & (steps <= (steps[-1] if first is None else first))
    if rising.sum() < 5:
        return None
    return float(np.corrcoef(rankdata(steps[rising]), rankdata(sharpness[rising]))[0, 1])


def _crossing_step(dataset: "xarray.Dataset") -> float | None:
    first = crossing(dataset)
    return None if first is None else float(first)


def _level(dataset: "xarray.Dataset", index: int = 0) -> float | None:
    """Median sharpness from the first crossing on, over the edge; where it never crosses, the largest over the edge."""
    steps, sharpness, edge = _sharpness(dataset, index)
    if not len(steps):
        return None
    first = crossing(dataset, index)
    return float((sharpness.max() if first is None else np.median(sharpness[steps >= first])) / edge)


def _later_losses(dataset: "xarray.Dataset") -> np.ndarray | None:
    first = crossing(dataset)
    if first is None:
        return None
    losses = dataset["loss"].isel(lr=0).values.astype(float)[first:]
    losses = losses[np.isfinite(losses)]
    return losses if len(losses) >= 100 else None


def _raised(dataset: "xarray.Dataset") -> float | None:
    losses = _later_losses(dataset)
    return None if losses is None else float(np.mean(np.diff(losses) > 0))


def _loss_ratio(dataset: "xarray.Dataset") -> float | None:
    losses = _later_losses(dataset)
    if losses is None:
        return None
    tenth = len(losses) // 10
    return float(losses[-tenth:].mean() / losses[:tenth].mean())


def _double(dataset: "xarray.Dataset") -> float | None:
    """Median sharpness at the smaller of two learning rates, one twice the other, over that at the larger."""
    rates = dataset["lr"].values
    levels = (_level(dataset, 0), _level(dataset, 1))
    if crossing(dataset, 0) is None or crossing(dataset, 1) is None or None in levels:
        return None
    if not np.isclose(abs(np.log2(rates[1] / rates[0])), 1):
        return None
    heights = np.array(levels, float) * 2 / rates
    small, large = heights[np.argsort(rates)]
    return float(small / large)


CLAIMS = (
    Claim(
        "progressive-sharpening",
        "After the first tens of steps sharpness grows until it first reaches 2/lr.",
        "shapira2023 figure 1b; Cohen et al. 2021, section 3.1",
        (0.9, 1.0),
        "rank correlation of sharpness with the step from step 50 to the first crossing; 1 is steady growth, 0 is none",
        _rise,
    ),
    Claim(
        "reaches-the-edge",
        "Sharpness reaches 2/lr after hundreds of steps or more, not at once.",
        "shapira2023 figure 1b",
        (100, np.inf),
        "step of the first crossing; below 100 the run would have started at the edge",
        _crossing_step,
    ),
    Claim(
        "hovering",
        "From then on sharpness hovers at or just above 2/lr.",
        "shapira2023 figure 1b; Cohen et al. 2021, section 3.2",
        (1.0, 1.2),
        "median sharpness after the first crossing over 2/lr (the largest sharpness over 2/lr where it never crosses); "
        "Cohen et al. describe it as just above 2/lr",
        _level,
    ),
    Claim(
        "loss-is-not-monotone",
        "At the edge the loss goes up and down from step to step.",
        "shapira2023 figure 1a",
        (0.1, 1.0),
        "fraction of the steps after the first crossing that raise the loss; gradient flow has none",
        _raised,
    ),
    Claim(
        "loss-still-falls",
        "Over long times the loss decreases all the same.",
        "shapira2023 figure 1a",
        (0.0, 1.0 - 1e-6),
        "mean loss of the last tenth of the later steps over that of the first tenth; below 1 is a decrease",
        _loss_ratio,
    ),
    Claim(
        "half-lr-twice-as-sharp",
        "Half the learning rate hovers at twice the height.",
        "Cohen et al. 2021, figure 1",
        (1.8, 2.2),
        "median sharpness after the crossing at the smaller rate over that at the larger; 2 to within a tenth",
        _double,
    ),
)
