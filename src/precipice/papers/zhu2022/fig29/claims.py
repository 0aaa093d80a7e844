"""The claims of zhu2022/fig29, each with its measure."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray

CONVERGED = 1e-8
"""The loss below which the paper's runs all end."""


def relative(dataset: "xarray.Dataset") -> np.ndarray:
    """Final sharpness over 2/lr [batch_size, lr, draw]; NaN where a run diverged."""
    values = (dataset["final_sharpness"] * dataset["lr"] / 2).transpose("batch_size", "lr", "draw")
    return values.values


def _ends(dataset: "xarray.Dataset", index: int) -> np.ndarray | None:
    """Medians over draws at one batch size [lr], or None where all runs of one diverged."""
    values = relative(dataset)[index]
    return np.nanmedian(values, axis=-1) if np.isfinite(values).any(axis=-1).all() else None


def _largest(dataset: "xarray.Dataset") -> float | None:
    found = _ends(dataset, -1)
    return None if found is None else float(found.min())


def _smallest(dataset: "xarray.Dataset") -> float | None:
    found = _ends(dataset, 0)
    return None if found is None else float(found.max())


def _spread(dataset: "xarray.Dataset") -> float | None:
    """Largest standard deviation over draws, over the mean, of the cells with two runs or more."""
    values = relative(dataset)
    several = values[np.isfinite(values).sum(axis=-1) >= 2]
    return float((np.nanstd(several, axis=-1) / np.nanmean(several, axis=-1)).max()) if len(several) else None


def _follows(dataset: "xarray.Dataset") -> float | None:
    """Smallest rank correlation over learning rates of the median with the batch size."""
    from scipy.stats import rankdata

    values = relative(dataset)
    if len(values) < 3 or not np.isfinite(values).any(axis=-1).all():
        return None
    ranks = [rankdata(row) for row in np.nanmedian(values, axis=-1).T]
    if any(np.ptp(row) == 0 for row in ranks):
        return 0.0
    return float(min(np.corrcoef(row, np.arange(len(row)))[0, 1] for row in ranks))


def _converged(dataset: "xarray.Dataset") -> float:
    return float((dataset["final_loss"] < CONVERGED).mean())


CLAIMS = (
    Claim(
        "large-batches-end-near-the-edge",
        "With a large batch the converging sharpness is close to 2/lr, as with gradient descent.",
        "zhu2022 figure 29; appendix A.7.2",
        (0.95, 1.0),
        "smallest median over starts, at the largest batch, of the final sharpness over 2/lr; within a twentieth below",
        _largest,
    ),
    Claim(
        "small-batches-end-far-below",
        "With a batch that is small compared with the data it is significantly lower.",
        "zhu2022 figure 29; appendix A.7.2",
        (0.0, 0.75),
        "largest median over starts, at the smallest batch, of the final sharpness over 2/lr; a quarter below is far "
        "beyond what starts differ by",
        _smallest,
    ),
    Claim(
        "grows-with-the-batch",
        "The converging sharpness is correlated with the batch size.",
        "zhu2022 figure 29; appendix A.7.2",
        (0.9, 1.0),
        "smallest rank correlation over learning rates of median and batch size; one swap of neighbours in six is 0.94",
        _follows,
    ),
    Claim(
        "each-batch-size-is-concentrated",
        "The converging sharpness of each batch size is highly concentrated.",
        "zhu2022 figure 29; appendix A.7.2",
        (0.0, 0.15),
        "largest standard deviation over the mean of the starts of a cell; batch sizes differ by a factor of several",
        _spread,
    ),
    Claim(
        "all-losses-vanish",
        "The loss of all models converges to lower than 1e-8.",
        "zhu2022 figure 29; appendix A.7.2",
        (1.0, 1.0),
        "fraction of the runs; one that diverged counts against it",
        _converged,
    ),
)
