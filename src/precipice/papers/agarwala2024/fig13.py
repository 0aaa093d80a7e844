"""agarwala2024/fig13: ResNet-18 on CIFAR-10: the largest Hessian eigenvalue stays below the deterministic edge."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.cifar import run
from precipice.papers.agarwala2024.cifar_measures import (
    best,
    courses,
    growth,
    late_share,
    lr_times_sharpness,
    only_at_size,
    place,
    settings_of,
)
from precipice.papers.agarwala2024.cifar_pictures import Panel, along, course, draw
from precipice.papers.agarwala2024.cifar_settings import DATA, PAPER, Settings, quick, slower, validate
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Batches of 128 at eight learning rates, the Hessian of all the data."""
    return dataclasses.replace(PAPER, hessian_products=100)


def quick_settings(data_dir: Path | None = None) -> Settings:
    """Batches of 8, measured every fifth epoch over 32 images."""
    return quick(data_dir, num_measurements=8, hessian_products=20)


# Claims -------------------------------------------------------------------------------------------------------------


def _closest(dataset: "xarray.Dataset") -> float | None:
    values = lr_times_sharpness(dataset)[0, :-1]
    return float(np.nanmax(values)) if np.isfinite(values).any() else None


def _plateau(dataset: "xarray.Dataset") -> float | None:
    number = best(dataset, "training_loss")
    if number is None:
        return None
    middle = courses(dataset, "training_sharpness")[0, number, place(dataset, 0.3) : place(dataset, 0.7) + 1]
    return float(middle.max() / middle.min())


CLAIMS = (
    Claim(
        "sharpness-rises-early",
        "The largest eigenvalue rises at early times.",
        "agarwala2024 figure 13 (left)",
        (1.2, 1e3),
        "largest value in the first half over that at the start, of the run of lowest training loss",
        lambda dataset: growth(dataset, courses(dataset, "training_sharpness")),
    ),
    Claim(
        "below-the-edge",
        "It stays below 2/lr_t at all but the largest learning rate.",
        "agarwala2024 figure 13 (right)",
        (0.0, 2.0),
        "largest lr_t lambda_max of all runs but those at the largest learning rate; with momentum 0.9 the edge of the "
        "mean is at 3.8, the paper compares with 2",
        _closest,
    ),
    Claim(
        "falls-with-the-schedule",
        "lr_t lambda_max rises and then falls.",
        "agarwala2024 figure 13 (right)",
        (0.0, 0.3),
        "lr_t lambda_max at 0.9 of the training over the largest, of the run of lowest training loss: the cosine is at "
        "0.024 of its peak",
        lambda dataset: late_share(dataset, lr_times_sharpness(dataset)),
    ),
    Claim(
        "plateau",
        "At intermediate times the eigenvalue is steady.",
        "agarwala2024 figure 13 (left)",
        (1.0, 2.0),
        "largest over smallest between 0.3 and 0.7 of the training, of the same run; at the paper's size only",
        only_at_size(_plateau),
    ),
)

PANELS = {
    "sharpness": Panel("largest eigenvalue", "lambda_max", course("training_sharpness"), along),
    "normalised": Panel("times the learning rate", "lr_t lambda_max", lr_times_sharpness, along, (2.0, "2")),
}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The largest eigenvalue along training, and times the learning rate."""
    settings = settings_of(dataset)
    words = f"Hessian of loss and L2 term over {settings.hessian_examples:,} images. "
    return draw(dataset, PANELS, panel, words)


FIGURE = Figure(
    id="agarwala2024/fig13",
    title="ResNet-18 on CIFAR-10: the largest Hessian eigenvalue stays below 2/lr",
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
    main_claim="sharpness-rises-early",
    claim_panels={
        "sharpness-rises-early": "sharpness",
        "below-the-edge": "normalised",
        "falls-with-the-schedule": "normalised",
        "plateau": "sharpness",
    },
)
