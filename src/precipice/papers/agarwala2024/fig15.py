"""agarwala2024/fig15: MLP-Mixer S/16 on CIFAR-10: K is of order one over many learning rates, far below the edge."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.cifar import run
from precipice.papers.agarwala2024.cifar_measures import (
    NORM,
    best,
    cost_of_slowness,
    largest_norm,
    lr_times_sharpness,
    medians,
    only_at_size,
    slow_start,
)
from precipice.papers.agarwala2024.cifar_pictures import Panel, against_norm, along, course, draw
from precipice.papers.agarwala2024.cifar_settings import DATA, PAPER, RATIOS, Settings, quick, slower, validate
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Batches of 128 at nine learning rates from 0.00625 to 1.6, an epoch of warm-up."""
    return dataclasses.replace(
        PAPER,
        network="mixer_s16",
        blocks="8",
        stride=16,
        lr_ratios=f"0.000048828125, {RATIOS}",
        warmup_epochs=1,
        hessian_products=100,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """Two blocks at a quarter of the width, batches of 8."""
    return quick(
        data_dir,
        network="mixer_s16",
        blocks="2",
        stride=16,
        num_measurements=10,
        warmup_epochs=1,
        hessian_products=20,
    )


# Claims -------------------------------------------------------------------------------------------------------------


def _closest(dataset: "xarray.Dataset") -> float | None:
    values = lr_times_sharpness(dataset)
    return float(np.nanmax(values)) if np.isfinite(values).any() else None


def _spread(dataset: "xarray.Dataset") -> float | None:
    norms = medians(dataset)[0]
    kept = norms[np.isfinite(norms)]
    return float(kept.max() / kept[-8:].min()) if len(kept) > 1 else None


def _best_place(dataset: "xarray.Dataset") -> float | None:
    number = best(dataset, "test_error")
    last = np.flatnonzero(np.isfinite(medians(dataset)[0]))
    return None if number is None else float(number / last[-1])


CLAIMS = (
    Claim(
        "K-reaches-order-one",
        "At the larger learning rates K reaches order one.",
        "agarwala2024 figure 15 (top left)",
        (0.2, 2.0),
        "largest K along the runs that do not diverge; the paper has 1.0, and a run far above it would diverge",
        largest_norm,
    ),
    Claim(
        "K-stays-in-a-narrow-range",
        "Learning rates vary by a factor of 128, the typical K by one of 3.",
        "agarwala2024 appendix D.6",
        (1.0, 6.0),
        "largest over smallest median K of the eight largest learning rates that do not diverge: the paper's 3 with as "
        "much again for reading a picture; at the paper's size only",
        only_at_size(_spread),
    ),
    Claim(
        "far-from-the-edge",
        "The largest eigenvalue stays far from 2/lr_t, even at the largest learning rates.",
        "agarwala2024 figure 15 (top right)",
        (0.0, 2.0),
        "largest lr_t lambda_max of all runs that do not diverge; about 1 in the paper",
        _closest,
    ),
    Claim(
        "small-learning-rates-are-slow",
        "Small learning rates improve slowly.",
        "agarwala2024 figure 15 (bottom left)",
        (1.1, 1e12),
        "final training loss at the smallest learning rate over the lowest of all",
        cost_of_slowness,
    ),
    Claim(
        "K-near-one-impedes",
        "Large learning rates, with K near 1, improve slowly at first.",
        "agarwala2024 figure 15 (bottom left)",
        (1.2, 100.0),
        "test error halfway at the largest learning rate that does not diverge over the lowest at that time; at the "
        "paper's size only",
        only_at_size(slow_start),
    ),
    Claim(
        "best-at-intermediate-K",
        "The lowest error is reached at intermediate values of K.",
        "agarwala2024 figure 15 (bottom right)",
        (0.2, 0.9),
        "rank of the learning rate of the lowest final test error among those that do not diverge, 0 the smallest and "
        "1 the largest; at the paper's size only",
        only_at_size(_best_place),
    ),
)

PANELS = {
    "norm": Panel("noise kernel norm", "K", course(NORM), along, (1.0, "K = 1")),
    "normalised": Panel("eigenvalue times lr", "lr_t lambda_max", lr_times_sharpness, along, (2.0, "2")),
    "error": Panel("test error along training", "test error", course("test_error"), along, None, "linear"),
    "best": Panel("error against K", "final test error", course("test_error"), against_norm, None, "linear"),
}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """K, lr_t lambda_max and the test error along training, and the last error against the median K."""
    return draw(dataset, PANELS, panel)


FIGURE = Figure(
    id="agarwala2024/fig15",
    title="MLP-Mixer on CIFAR-10: K is of order one over many learning rates, the eigenvalue far below 2/lr",
    panels=tuple(PANELS),
    scales={
        "quick": Scale(quick_settings, "about 60 seconds", DATA),
        "paper": Scale(paper_settings, "weeks on a GPU", DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=slower,
    main_claim="K-reaches-order-one",
    claim_panels={
        "K-reaches-order-one": "norm",
        "K-stays-in-a-narrow-range": "norm",
        "far-from-the-edge": "normalised",
        "small-learning-rates-are-slow": "error",
        "K-near-one-impedes": "error",
        "best-at-intermediate-K": "best",
    },
)
