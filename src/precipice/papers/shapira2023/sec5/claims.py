"""The claims of shapira2023/sec5, each with its measure."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


def _error(dataset: "xarray.Dataset") -> float | None:
    error = dataset["recurrence_error"].values
    return float(error.max()) if np.isfinite(error).all() else None


def _learning(dataset: "xarray.Dataset") -> np.ndarray:
    """The steps until the loss has fallen to 1 % of its largest."""
    loss = dataset["loss"].values
    return np.cumsum(loss < 0.01 * loss.max()) == 0


def _growth(dataset: "xarray.Dataset") -> float | None:
    top = dataset["ntk_eigenvalue"].isel(eigenvalue=0).values
    return float(top[-1] / top[0]) if np.isfinite(top).all() else None


def _agrees(dataset: "xarray.Dataset") -> float | None:
    """How often the top eigenvalue moves against the sign of <F, D>, while learning."""
    rising = np.diff(dataset["ntk_eigenvalue"].isel(eigenvalue=0).values) > 0
    below, learning = dataset["residual_overlap"].values[:-1] < 0, _learning(dataset)[:-1]
    return float(np.mean((rising == below)[learning])) if learning.sum() >= 20 else None


def _outputs_below(dataset: "xarray.Dataset") -> float | None:
    below, learning = dataset["residual_overlap"].values < 0, _learning(dataset)
    return float(np.mean(below[learning])) if learning.sum() >= 20 else None


def _gap(dataset: "xarray.Dataset") -> float | None:
    gap = dataset["ntk_eigenvalue"].isel(eigenvalue=0) - dataset["kernel_along_data"]
    return float((gap / dataset["kernel_along_data_bound"]).max())


CLAIMS = (
    Claim(
        "progressive-sharpening",
        "The kernel's top eigenvalue grows while the network learns.",
        "shapira2023 section 5; Li et al. 2022",
        (1.2, np.inf),
        "lambda_1(M) at the end over that at the start; 1 would be no growth",
        _growth,
    ),
    Claim(
        "recurrences-are-exact",
        "Residual, output weights' norm and kernel follow a closed map.",
        "shapira2023 lemmas 4 and 5 (REV-11 to 13, ERR-R5)",
        (0.0, 1e-10),
        "largest difference from gradient descent on the weights over the whole run; rounding only",
        _error,
    ),
    Claim(
        "outputs-stay-below-targets",
        "<F, D> is negative while the network learns.",
        "shapira2023 section 5 (REV-15, ERR-R7)",
        (0.9, 1.0),
        "fraction of the steps until the loss is 1 % of its largest; lr lambda_1 is below 1, and outputs begin near 0 "
        "but not at 0, so that a few first steps may differ",
        _outputs_below,
    ),
    Claim(
        "grows-while-below",
        "The kernel grows as long as <F, D> is negative.",
        "shapira2023 section 5 (REV-14)",
        (0.9, 1.0),
        "fraction of those steps on which lambda_1(M) rises if and only if <F, D> < 0; exact along an eigenvector of "
        "the data up to the term <v, F><v, D>",
        _agrees,
    ),
    Claim(
        "data-carry-the-top-eigenvector",
        "lambda_1(M) exceeds v1 . M v1, with v1 the data's top eigenvector, by 2 c/m at most.",
        "shapira2023 lemma 3 (REV-15, ERR-R6)",
        (0.0, 1.0),
        "largest gap over its bound",
        _gap,
    ),
    Claim(
        "condition-below-two-is-not-enough",
        "With lr lambda = (1.6, 1.2, 0.3), below 2, <F, D> turns positive.",
        "shapira2023 section 5, last claim, corrected (ERR-R7)",
        (0.5, np.inf),
        "<F, D> after one step with a kernel that stands still; the printed claim says it is below 0",
        lambda dataset: float(dataset["counterexample_overlap"]),
    ),
)
