"""agarwala2024/fig11: ResNet-18 on CIFAR-10: median K and final error over lr/B and batch size."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.cifar import run
from precipice.papers.agarwala2024.cifar_measures import (
    disagreement,
    finals,
    medians,
    only_at_size,
)
from precipice.papers.agarwala2024.cifar_pictures import Panel, draw, final, plane
from precipice.papers.agarwala2024.cifar_settings import (
    DATA,
    PAPER,
    Settings,
    batches_of,
    quick,
    ratios_of,
    validate,
)
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Six batch sizes at eight lr/B."""
    return dataclasses.replace(PAPER, batch_sizes="8, 16, 32, 64, 128, 256")


def quick_settings(data_dir: Path | None = None) -> Settings:
    """Two batch sizes, half of the epochs."""
    return quick(data_dir, batch_sizes="2, 8", epochs=20, num_measurements=10)


def control(settings: Settings) -> Settings:
    """All batch sizes at the learning rates of the smallest, in place of the same lr/B; the lower half of them."""
    kept = ratios_of(settings)[: max(len(ratios_of(settings)) // 2, 1)]
    ratios = ", ".join(f"{ratio:g}" for ratio in kept)
    return dataclasses.replace(settings, lr_batch=batches_of(settings)[0], lr_ratios=ratios, seeds=1)


# Claims -------------------------------------------------------------------------------------------------------------


def _disagreement(dataset: "xarray.Dataset") -> float | None:
    rows = disagreement(medians(dataset))
    return float(np.nanmedian(rows)) if np.isfinite(rows).any() else None


def _of_errors(dataset: "xarray.Dataset") -> float | None:
    rows = disagreement(finals(dataset, "test_error")[:-1])
    return float(np.nanmedian(rows)) if np.isfinite(rows).any() else None


def _rising(dataset: "xarray.Dataset") -> float | None:
    steps = np.diff(np.log(medians(dataset)), axis=1)
    return float(np.mean(steps[np.isfinite(steps)] > 0)) if np.isfinite(steps).any() else None


def _breakdown(dataset: "xarray.Dataset") -> float | None:
    rows = disagreement(medians(dataset))
    kept = rows[np.isfinite(rows)]
    return float(kept[-1] / np.median(kept)) if len(kept) > 2 else None


CLAIMS = (
    Claim(
        "K-depends-on-the-ratio",
        "Median K is similar across batch sizes at the same lr/B.",
        "agarwala2024 figure 11 (left)",
        (0.0, 0.35),
        "(max - min)/mean of the median K over the batch sizes at one lr/B, median over lr/B; at the same lr it would "
        "be near 2 (B_max - 1)/(B_max + 1) with B_max over B_min: 1.2 for a factor of 4",
        _disagreement,
    ),
    Claim(
        "K-grows-with-the-ratio",
        "K increases with lr/B.",
        "agarwala2024 figure 11 (left)",
        (0.9, 1.0),
        "fraction of neighbouring lr/B, at each batch size, between which the median K rises",
        _rising,
    ),
    Claim(
        "errors-agree-across-batches",
        "Final test error is similar across batch sizes at the same lr/B.",
        "agarwala2024 figure 11 (right)",
        (0.0, 0.35),
        "the same of the final test error, all batch sizes but the largest; at the paper's size only: a few hundred "
        "images leave all errors near chance, where they agree of themselves",
        only_at_size(_of_errors),
    ),
    Claim(
        "agreement-breaks-at-large-ratios",
        "The consistency breaks down at large lr/B.",
        "agarwala2024 figure 11",
        (1.5, 1e3),
        "disagreement of the median K at the largest lr/B that no batch size diverges at over its median; at the "
        "paper's size and batch sizes only",
        only_at_size(_breakdown),
    ),
)

PANELS = {
    "norm": Panel("median K", "median K of the run", medians, plane),
    "error": Panel("final test error", "final test error", final("test_error"), plane, None, "linear"),
}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Median K and final test error, colours over lr/B and B."""
    return draw(dataset, PANELS, panel, "White: diverged. ")


FIGURE = Figure(
    id="agarwala2024/fig11",
    title="ResNet-18 on CIFAR-10: median K and final error depend on lr/B",
    panels=tuple(PANELS),
    scales={
        "quick": Scale(quick_settings, "about 45 seconds", DATA),
        "paper": Scale(paper_settings, "weeks on a GPU", DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="K-depends-on-the-ratio",
    claim_panels={
        "K-depends-on-the-ratio": "norm",
        "K-grows-with-the-ratio": "norm",
        "errors-agree-across-batches": "error",
        "agreement-breaks-at-large-ratios": "norm",
    },
)
