"""ahn2022/fig13: SGD of ResNet-18 on ten classes: larger learning rates, lower biases and sparser activations."""

from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import residual
from precipice.papers.ahn2022.residual import Settings, slower, validate
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("small batch", "large batch")


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """All 50,000 images, batches of 100 and 1,000; the paper gives no learning rates and no number of epochs."""
    return Settings(
        dataset="cifar10",
        classes=residual.WHOLE,
        num_examples=50_000,
        preprocess="standardise_channels",
        width=1.0,
        stem_stride=1,
        batch_sizes="100,1000",
        lrs="0.01,0.03,0.1,0.3",
        epochs=100,
        every=1,
        seeds=1,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """400 images, a sixteenth of the width, batches of 20 and 40; digits where no CIFAR-10 is."""
    return residual.with_digits(
        Settings(
            dataset="cifar10",
            classes=residual.WHOLE,
            num_examples=400,
            preprocess="standardise_channels",
            width=1 / 16,
            stem_stride=2,
            batch_sizes="20,40",
            lrs="0.02,0.5",
            epochs=12,
            every=1,
            seeds=1,
        ),
        data_dir,
        400,
    )


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train at each batch size and learning rate, measure at each epoch."""
    return residual.run(settings, context).drop_vars("mean_logit")


# Claims -------------------------------------------------------------------------------------------------------------


def _bias(dataset: "xarray.Dataset") -> float:
    return float(residual.fall(dataset, "last_bias_median").max())


def _activation(dataset: "xarray.Dataset") -> float:
    last = dataset["mean_activation"].isel(epoch=-1)
    return float((last.isel(lr=-1) / last.isel(lr=0)).max())


CLAIMS = (
    Claim(
        "bias-falls-more-at-the-largest-learning-rate",
        "The median bias of the last layer falls more at larger learning rates, at each batch size.",
        "ahn2022 figure 13 and appendix B.2",
        (-10.0, -0.01),
        "last median bias at the largest learning rate minus that at the smallest, the batch size where it falls "
        "least; the floor of figure 3 (bottom)",
        _bias,
    ),
    Claim(
        "activations-are-sparser-at-the-largest-learning-rate",
        "The mean activation before the classifier is lower at larger learning rates, at each batch size.",
        "ahn2022 figure 13 and appendix B.2",
        (0.0, 0.95),
        "last mean activation at the largest learning rate over that at the smallest, the batch size where it falls "
        "least; one in twenty is plain on a curve",
        _activation,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Bias and activation against the epochs, two axes for each batch size."""
    from precipice.figures import style

    sizes = (0, -1) if panel is None else (0,) if panel == PANELS[0] else (-1,)
    picture, axes = style.panels(2 * len(sizes))
    for size, left, right in zip(sizes, axes[::2], axes[1::2], strict=True):
        one = dataset.isel(batch_size=size)
        residual.draw(left, one, "last_bias_median", "median bias of the last layer")
        residual.draw(right, one, "mean_activation", "mean last activation")
        for ax, what in ((left, "bias"), (right, "activation")):
            ax.set_title(f"{what}, batch {int(one['batch_size'])}")
    words = "the paper: 50,000 images, batches of 100 and 1,000, learning rates not given"
    style.caption(picture, residual.sizes_line(dataset, words) + ".")
    return picture


FIGURE = Figure(
    id="ahn2022/fig13",
    title="ResNet-18 by SGD: lower biases and sparser activations at larger learning rates",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 100 seconds", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "hours on a GPU", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=slower,
    main_claim="bias-falls-more-at-the-largest-learning-rate",
    claim_panels={claim.name: PANELS[0] for claim in CLAIMS},
)
