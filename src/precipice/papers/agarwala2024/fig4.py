"""agarwala2024/fig4: the kernel's largest eigenvalue at the end of training on MNIST, over batch sizes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.mnist import DATA, PAPER, Settings, run, slower, smaller, validate
from precipice.papers.agarwala2024.mnist_measures import (
    disagreement,
    finals,
    lr_times_top,
    setting_line,
    survivors,
)
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("lr", "lr_over_batch")


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's sweep."""
    return PAPER


def quick_settings(data_dir: Path | None = None) -> Settings:
    """250 images, a quarter of the width, 40 epochs, five batch sizes up to the full batch."""
    return smaller(
        PAPER,
        data_dir,
        batch_sizes="1, 4, 16, 64, 250",
        num_examples=250,
        width=64,
        lr_ratios="0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.04, 0.05",
        small_batch=16,
        epochs=40,
        num_measurements=8,
        seeds=2,
    )


def control(settings: Settings) -> Settings:
    """A tenth of the learning rates: 2/lr is ten times as high and is not reached."""
    return slower(settings)


# Claims -------------------------------------------------------------------------------------------------------------


def _largest(row: np.ndarray) -> float | None:
    return float(np.nanmax(row)) if np.isfinite(row).any() else None


def _at_largest_batch(dataset: "xarray.Dataset") -> float | None:
    return _largest(lr_times_top(dataset)[-1])


def _at_one(dataset: "xarray.Dataset") -> float | None:
    return _largest(lr_times_top(dataset)[0])


def _same_ratio(dataset: "xarray.Dataset") -> float | None:
    return disagreement(dataset, finals(dataset, "kernel_top_eigenvalue"), top=0.3)


def _stable(dataset: "xarray.Dataset") -> float | None:
    largest = survivors(dataset)
    return float(largest[0] / largest[-1]) if np.isfinite(largest[[0, -1]]).all() else None


CLAIMS = (
    Claim(
        "large-batches-reach-the-edge",
        "At large batch the final eigenvalue is at the deterministic edge, 2/lr.",
        "agarwala2024 figure 4 (left)",
        (1.8, 2.1),
        "largest lr lambda_max at the end, at the largest batch size; it hovers about 2 in full-batch descent",
        _at_largest_batch,
    ),
    Claim(
        "single-examples-do-not",
        "At small batch the edge is not reached.",
        "agarwala2024 figure 4 (left)",
        (0.0, 1.0),
        "the same at the smallest batch size; half of the edge is far from it",
        _at_one,
    ),
    Claim(
        "such-learning-rates-diverge-at-small-batch",
        "Learning rates at which large batches reach the edge make small batches diverge.",
        "agarwala2024 section 4.1",
        (0.0, 0.5),
        "largest learning rate that does not diverge, smallest batch size over largest; the paper's curves part by a "
        "factor of ten or more",
        _stable,
    ),
    Claim(
        "equal-ratios-end-alike",
        "At small B and lr/B the eigenvalue depends on lr/B.",
        "agarwala2024 figure 4 (right)",
        (0.0, 0.3),
        "largest (max - min)/mean over the small batch sizes at one lr/B, of those with a trace form of K up to 0.3 at "
        "the start; at equal lr in place of lr/B they would differ by what a factor in training time makes",
        _same_ratio,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The final eigenvalue against lr and against lr/B, a colour for each batch size."""
    import matplotlib

    from precipice.figures import style

    settings = style.parameters(dataset)
    shown = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(shown))
    first = dataset.isel(seed=0)
    lrs, tops = first["run_lr"].values, finals(first, "kernel_top_eigenvalue")
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(lrs)))
    for ax, name in zip(axes, shown, strict=True):
        for batch, lr, top, colour in zip(first["batch_size"].values, lrs, tops, colours, strict=True):
            x = lr if name == "lr" else lr / batch
            ax.plot(x, top, "o-", markersize=3, color=colour, label=f"B = {batch}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("learning rate" if name == "lr" else "learning rate / batch size")
        ax.set_ylabel("largest kernel eigenvalue at the end")
        if name == "lr":
            x = np.geomspace(np.nanmin(lrs), np.nanmax(lrs), 50)
            y = 2 / x
            kept = y < 3 * np.nanmax(tops)
            ax.plot(x[kept], y[kept], "--", color="#444444", linewidth=1, label="2/lr")
        ax.legend(fontsize=7)
        ax.set_title("against lr" if name == "lr" else "against lr/B")
    style.caption(
        picture,
        f"{setting_line(settings)} Runs that diverged are left out. First of "
        f"{style.count(settings['seeds'], 'seed')}, scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="agarwala2024/fig4",
    title="MNIST: the kernel's largest eigenvalue reaches 2/lr at large batch only",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 90 seconds", DATA),
        "paper": Scale(paper_settings, "about six hours", "mnist"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="large-batches-reach-the-edge",
    claim_panels={
        "large-batches-reach-the-edge": "lr",
        "single-examples-do-not": "lr",
        "such-learning-rates-diverge-at-small-batch": "lr",
        "equal-ratios-end-alike": "lr_over_batch",
    },
)
