"""ahn2022/fig3-bottom: full-batch descent of ResNet-18 on two classes: the bias falls more at larger learning rates."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim, only_where
from precipice.papers.ahn2022 import residual
from precipice.papers.ahn2022.residual import Settings, slower, validate
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "bias")
AT_SIZE = 10_000
"""Images from which the bias is judged to fall throughout."""


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """All images of airplanes and automobiles; the paper gives no learning rates and no number of steps."""
    return Settings(
        dataset="cifar10",
        classes="0,1",
        num_examples=10_000,
        preprocess="standardise_channels",
        width=1.0,
        stem_stride=1,
        batch_sizes=residual.WHOLE,
        lrs="0.01,0.03,0.1,0.3",
        epochs=200,
        every=1,
        seeds=1,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """128 images, a sixteenth of the width, images halved by the first convolution; digits where no CIFAR-10 is."""
    return residual.with_digits(
        Settings(
            dataset="cifar10",
            classes="0,1",
            num_examples=128,
            preprocess="standardise_channels",
            width=1 / 16,
            stem_stride=2,
            batch_sizes=residual.WHOLE,
            lrs="0.02,0.1,0.5",
            epochs=48,
            every=1,
            seeds=1,
        ),
        data_dir,
        128,
    )


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train at each learning rate, measure at each step."""
    return residual.run(settings, context)


# Claims -------------------------------------------------------------------------------------------------------------


def _fall(dataset: "xarray.Dataset") -> float:
    return float(residual.fall(dataset, "last_bias_median").max())


def _steady(dataset: "xarray.Dataset") -> float:
    bias = dataset["last_bias_median"].isel(lr=-1, batch_size=0).values
    quarters = [part.mean() for part in np.array_split(bias[1:], 4)]
    return float(max(np.diff([bias[0], *quarters])))


def _at_size(dataset: "xarray.Dataset") -> bool:
    from precipice.figures import style

    return style.parameters(dataset)["num_examples"] >= AT_SIZE


def _rises(dataset: "xarray.Dataset") -> float:
    return float(np.sum(np.diff(dataset["epoch_loss"].isel(lr=-1, batch_size=0).values) > 0))


CLAIMS = (
    Claim(
        "bias-falls-more-at-the-largest-learning-rate",
        "The median bias of the last layer falls more at the largest learning rate.",
        "ahn2022 figure 3 (bottom) and appendix B.2",
        (-10.0, -0.01),
        "last median bias at the largest learning rate minus that at the smallest, after as many steps; activations "
        "before it are normalised, so that biases are in units of their scatter; one hundredth is a floor above what a "
        "hundredth of the learning rates can do in these steps",
        _fall,
    ),
    Claim(
        "bias-steadily-falls",
        "The bias decreases steadily.",
        "ahn2022 section 1.1 and figure 3 (bottom)",
        (-10.0, 0.0),
        "largest change from one quarter of the training to the next, in the mean over it, at the largest learning "
        f"rate; oscillations of single steps are averaged out; judged from {AT_SIZE:,} images: some hundred are "
        "memorised in a fifth of the steps, after which the bias takes back a tenth of its fall",
        only_where(_at_size, _steady),
    ),
    Claim(
        "loss-is-not-monotone",
        "The loss is not monotone.",
        "ahn2022 section 1.1 and figure 3 (bottom)",
        (1.0, 1e6),
        "how many steps raise the loss at the largest learning rate; one suffices",
        _rises,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------

LABELS = {"loss": ("epoch_loss", "training loss"), "bias": ("last_bias_median", "median bias of the last layer")}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss and bias against the steps."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        residual.draw(ax, dataset.isel(batch_size=0), *LABELS[name])
        ax.set_xlabel("epoch (one full-batch step)")
        ax.set_title(name)
    style.caption(picture, residual.sizes_line(dataset, "the paper: all 10,000 images, learning rates not given") + ".")
    return picture


FIGURE = Figure(
    id="ahn2022/fig3-bottom",
    title="ResNet-18 by full-batch descent: the bias of the last layer falls more at larger learning rates",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 90 seconds", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "hours on a GPU of 80 GB or more", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=slower,
    main_claim="bias-falls-more-at-the-largest-learning-rate",
    claim_panels={
        "bias-falls-more-at-the-largest-learning-rate": "bias",
        "bias-steadily-falls": "bias",
        "loss-is-not-monotone": "loss",
    },
)
