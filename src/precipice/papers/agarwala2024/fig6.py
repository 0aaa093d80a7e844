"""agarwala2024/fig6: ResNet-18 on CIFAR-10: K rises, stays of order one while the learning rate is large, and falls."""

from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.cifar import run
from precipice.papers.agarwala2024.cifar_measures import (
    NORM,
    cost_of_slowness,
    courses,
    exponent,
    growth,
    largest_norm,
    late_share,
    median_of_best_error,
    only_at_size,
    slow_start,
)
from precipice.papers.agarwala2024.cifar_pictures import Panel, against_norm, along, course, draw
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


CLAIMS = (
    Claim(
        "K-reaches-order-one",
        "At the larger learning rates K reaches order one.",
        "agarwala2024 figure 6 (left)",
        (0.2, 2.0),
        "largest K along the runs that do not diverge; the trace form lies somewhat below K, whose edge is 1, and a "
        "run that stayed far above it would diverge",
        largest_norm,
    ),
    Claim(
        "K-rises-early",
        "K starts low and rises at early times.",
        "agarwala2024 figure 6 (left)",
        (1.3, 100.0),
        "largest K in the first half over K at the start, of the run of lowest training loss; at a fixed kernel 1, as "
        "the schedule only lowers lr",
        lambda dataset: growth(dataset, courses(dataset, NORM)),
    ),
    Claim(
        "K-falls-late",
        "K decreases at late times, primarily by the schedule.",
        "agarwala2024 figure 6 (left)",
        (0.0, 0.2),
        "K at 0.9 of the training over the largest, of the same run: the cosine is at 0.024 of its peak there, and the "
        "kernel moves by less than a factor of eight",
        lambda dataset: late_share(dataset, courses(dataset, NORM)),
    ),
    Claim(
        "K-moves-less-than-the-learning-rate",
        "K remains of order one over a factor of 100 in the learning rate.",
        "agarwala2024 figure 6 (left)",
        (-0.2, 0.75),
        "slope of log median K against log lr; 1 at a fixed kernel, 0.5 where K goes from 0.1 to 1 over a factor of "
        "100. At the paper's size only: a small network that is trained for some epochs stays near its first kernel",
        only_at_size(exponent),
    ),
    Claim(
        "small-learning-rates-are-slow",
        "Small learning rates improve slowly.",
        "agarwala2024 figure 6 (middle)",
        (1.1, 1e12),
        "final training loss at the smallest learning rate over the lowest of all",
        cost_of_slowness,
    ),
    Claim(
        "large-learning-rates-are-slow-at-first",
        "At large learning rates, where K is near 1, the error falls slowly until the schedule lowers K.",
        "agarwala2024 figure 6 (middle)",
        (1.2, 100.0),
        "test error halfway at the largest learning rate that does not diverge over the lowest at that time; at the "
        "paper's size only, as is all that is said of test errors",
        only_at_size(slow_start),
    ),
    Claim(
        "best-error-at-moderate-K",
        "The lowest error is reached where the median K is in [0.4, 0.8].",
        "agarwala2024 figure 6 (right)",
        (0.4, 0.8),
        "the paper's interval; at the paper's size only",
        only_at_size(median_of_best_error),
    ),
)

PANELS = {
    "norm": Panel("noise kernel norm", "K", course(NORM), along, (1.0, "K = 1")),
    "error": Panel("test error along training", "test error", course("test_error"), along, None, "linear"),
    "best": Panel("error against K", "final test error", course("test_error"), against_norm, None, "linear"),
}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """K and the test error along training, and the last error against the median K."""
    return draw(dataset, PANELS, panel)


FIGURE = Figure(
    id="agarwala2024/fig6",
    title="ResNet-18 on CIFAR-10: K rises, is of order one at large learning rates, and falls with the schedule",
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
    main_claim="K-reaches-order-one",
    claim_panels={
        "K-reaches-order-one": "norm",
        "K-rises-early": "norm",
        "K-falls-late": "norm",
        "K-moves-less-than-the-learning-rate": "norm",
        "small-learning-rates-are-slow": "error",
        "large-learning-rates-are-slow-at-first": "error",
        "best-error-at-moderate-K": "best",
    },
)
