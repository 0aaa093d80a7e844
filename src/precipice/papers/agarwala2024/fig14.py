"""agarwala2024/fig14: ResNet-18 on CIFAR-10: the Hessian's trace in place of the kernel's is no estimate of K."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.cifar import run
from precipice.papers.agarwala2024.cifar_measures import best, courses, medians, only_at_size, settings_of
from precipice.papers.agarwala2024.cifar_pictures import Panel, along, draw
from precipice.papers.agarwala2024.cifar_settings import DATA, NUM_OUTPUTS, PAPER, Settings, quick, slower, validate
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Batches of 128 at eight learning rates, 30 random vectors over all the data."""
    return dataclasses.replace(PAPER, trace_samples=30)


def quick_settings(data_dir: Path | None = None) -> Settings:
    """Batches of 8, measured every fifth epoch, both traces over 16 images, 32 random vectors."""
    return quick(data_dir, num_measurements=8, hessian_examples=16, trace_samples=32)


# Claims -------------------------------------------------------------------------------------------------------------


def _l2_part(dataset: "xarray.Dataset") -> float:
    """The L2 term's trace: l2 for each parameter."""
    return settings_of(dataset).l2 * float(np.max(dataset["num_params"].values))


def _estimate(dataset: "xarray.Dataset", added: float) -> np.ndarray:
    """lr_t (tr(H) + added)/(2 (1 - mu) B C) [batch_size, lr_ratio, measurement]."""
    settings, batches = settings_of(dataset), dataset["batch_size"].values[:, None, None]
    traces = courses(dataset, "training_hessian_trace") + added
    return courses(dataset, "scheduled_lr") * traces / (2 * (1 - settings.momentum) * batches * NUM_OUTPUTS)


def _with_l2(dataset: "xarray.Dataset") -> np.ndarray:
    return _estimate(dataset, _l2_part(dataset))


def _without_l2(dataset: "xarray.Dataset") -> np.ndarray:
    return _estimate(dataset, 0.0)


def _share(dataset: "xarray.Dataset") -> float | None:
    part, traces = _l2_part(dataset), medians(dataset, "training_hessian_trace")
    return float(np.nanmedian(part / (part + traces))) if np.isfinite(traces).any() else None


def _ratio(dataset: "xarray.Dataset") -> tuple[np.ndarray, np.ndarray]:
    """tr(H)/tr(Theta) of the first batch size and twice its standard error [lr_ratio, measurement].

    Both over the same images have the random signs' error alone; else that of the kernel's subset counts too.
    """
    hessian, hessian_sem = (courses(dataset, f"training_hessian_trace{end}")[0] for end in ("", "_sem"))
    kernel, kernel_sem = (courses(dataset, f"kernel_trace{end}")[0] for end in ("", "_sem"))
    ratio, settings = hessian / kernel, settings_of(dataset)
    if settings.kernel_examples == settings.hessian_examples:
        kernel_sem = np.zeros_like(kernel)
    return ratio, 2 * np.hypot(hessian_sem / kernel, ratio * kernel_sem / kernel)


def _wander(dataset: "xarray.Dataset") -> float | None:
    number = best(dataset, "training_loss")
    if number is None:
        return None
    ratio, error = (values[number] for values in _ratio(dataset))
    return float(max(np.max(ratio - error) - np.min(ratio + error), 0.0))


def _far(dataset: "xarray.Dataset") -> float | None:
    ratio, error = _ratio(dataset)
    return float(np.nanmax(np.maximum(np.abs(ratio - 1) - error, 0.0))) if np.isfinite(ratio).any() else None


CLAIMS = (
    Claim(
        "the-ratio-to-the-kernel-wanders",
        "Without the L2 term too the Hessian's trace varies over the training as the kernel's does not.",
        "agarwala2024 figure 14 (right), appendix D.5",
        (0.25, 1e3),
        "largest less smallest tr(H)/tr(Theta) along the run of lowest training loss, each two standard errors towards "
        "the other, so that chance cannot make it: were the Hessian its Gauss-Newton part it would be 0",
        _wander,
    ),
    Claim(
        "no-estimate-of-K",
        "It does not approximate K.",
        "agarwala2024 figure 14 (right)",
        (0.25, 1e3),
        "largest |tr(H)/tr(Theta) - 1| less two standard errors, over all runs",
        _far,
    ),
    Claim(
        "L2-dominates",
        "The trace of the full Hessian is mostly the L2 term's.",
        "agarwala2024 figure 14 (left)",
        (0.5, 1.0),
        "l2 P/(l2 P + tr(H)) with the median trace of a run, median over the learning rates; at the paper's size only: "
        "l2 P grows with the number of parameters, to 5,587 for 11 million",
        only_at_size(_share),
    ),
)

PANELS = {
    "with_l2": Panel("with the L2 term", "lr_t tr(H + l2)/(2 (1 - mu) B C)", _with_l2, along, (1.0, "1"), "linear"),
    "without_l2": Panel("without", "lr_t tr(H)/(2 (1 - mu) B C)", _without_l2, along, (1.0, "1"), "linear"),
}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """What takes the place of K with the trace of the Hessian, with and without the L2 term."""
    settings = settings_of(dataset)
    words = (
        f"Trace of the Hessian over {settings.hessian_examples:,} images by {settings.trace_samples} random vectors, "
        f"the L2 term {_l2_part(dataset):.3g} of it. "
    )
    return draw(dataset, PANELS, panel, words)


FIGURE = Figure(
    id="agarwala2024/fig14",
    title="ResNet-18 on CIFAR-10: the Hessian's trace is no estimate of K",
    panels=tuple(PANELS),
    scales={
        "quick": Scale(quick_settings, "about 75 seconds", DATA),
        "paper": Scale(paper_settings, "weeks on a GPU", DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=slower,
    main_claim="the-ratio-to-the-kernel-wanders",
    claim_panels={
        "the-ratio-to-the-kernel-wanders": "without_l2",
        "no-estimate-of-K": "without_l2",
        "L2-dominates": "with_l2",
    },
)
