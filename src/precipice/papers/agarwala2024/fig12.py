"""agarwala2024/fig12: ResNet-18 on CIFAR-10: the kernel's trace rises for much of the training."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.cifar import run
from precipice.papers.agarwala2024.cifar_measures import best, courses, finals, only_at_size, place
from precipice.papers.agarwala2024.cifar_pictures import Panel, along, course, draw
from precipice.papers.agarwala2024.cifar_settings import DATA, PAPER, Settings, quick, slower, validate
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Batches of 128 at eight learning rates."""
    return PAPER


def quick_settings(data_dir: Path | None = None) -> Settings:
    """Batches of 8 at four learning rates."""
    return quick(data_dir)


# Claims -------------------------------------------------------------------------------------------------------------


def _ratio(later: float, earlier: float):
    def measure(dataset: "xarray.Dataset") -> float | None:
        number = best(dataset, "training_loss")
        if number is None:
            return None
        course = courses(dataset, "kernel_trace")[0, number]
        return float(course[place(dataset, later)] / course[place(dataset, earlier)])

    return measure


def _last_over_largest(dataset: "xarray.Dataset") -> float | None:
    number = best(dataset, "training_loss")
    if number is None:
        return None
    return float(finals(dataset, "kernel_trace")[0, number] / np.max(courses(dataset, "kernel_trace")[0, number]))


CLAIMS = (
    Claim(
        "trace-rises",
        "The trace of the kernel rises for much of the training.",
        "agarwala2024 figure 12",
        (1.3, 1e3),
        "trace at three quarters of the training over that at the start, of the run of lowest training loss; at a "
        "fixed kernel 1",
        _ratio(0.75, 0.0),
    ),
    Claim(
        "trace-rises-as-the-learning-rate-falls",
        "It goes on rising slightly as the schedule lowers the learning rate.",
        "agarwala2024 appendix D.3",
        (1.0, 3.0),
        "trace at three quarters of the training over that halfway, of the same run: lr falls to 0.29 of its value",
        _ratio(0.75, 0.5),
    ),
    Claim(
        "trace-falls-at-the-end",
        "It decreases at the end.",
        "agarwala2024 figure 12",
        (0.0, 0.99),
        "last trace over the largest, of the same run; at the paper's size only, where the residuals that sharpen the "
        "kernel have gone by then",
        only_at_size(_last_over_largest),
    ),
)

PANELS = {"trace": Panel("trace of the kernel", "tr(Theta)", course("kernel_trace"), along)}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The kernel's trace along training."""
    return draw(dataset, PANELS, panel)


FIGURE = Figure(
    id="agarwala2024/fig12",
    title="ResNet-18 on CIFAR-10: the kernel's trace rises for much of the training",
    panels=tuple(PANELS),
    scales={
        "quick": Scale(quick_settings, "about 45 seconds", DATA),
        "paper": Scale(paper_settings, "days on a GPU", DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=slower,
    main_claim="trace-rises",
    claim_panels=dict.fromkeys((claim.name for claim in CLAIMS), "trace"),
)
