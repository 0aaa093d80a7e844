"""agarwala2024/fig3: batches of one example on MNIST: K rises above 1 and returns below it."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.mnist import DATA, PAPER, Settings, run, slower, smaller, validate
from precipice.papers.agarwala2024.mnist_measures import finals, setting_line
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "noise_kernel_norm")


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """2,500 images for 480 epochs."""
    return dataclasses.replace(PAPER, batch_sizes="1", num_measurements=48)


def quick_settings(data_dir: Path | None = None) -> Settings:
    """250 images, a quarter of the width, 40 epochs."""
    return smaller(
        PAPER,
        data_dir,
        batch_sizes="1",
        num_examples=250,
        width=64,
        lr_ratios="0.001, 0.004, 0.015, 0.03, 0.04, 0.05, 0.08",
        epochs=40,
        num_measurements=40,
        seeds=2,
    )


def control(settings: Settings) -> Settings:
    """A tenth of the learning rates: K stays far below 1 and only grows."""
    return slower(settings)


# Claims -------------------------------------------------------------------------------------------------------------


def _norms(dataset: "xarray.Dataset") -> np.ndarray:
    """K [lr_ratio, measurement] of the runs that end."""
    norms = dataset["noise_kernel_norm"].isel(batch_size=0).transpose("lr_ratio", "measurement").values
    return norms[np.isfinite(finals(dataset, "training_loss")[0])]


def _fall(dataset: "xarray.Dataset") -> float | None:
    norms = _norms(dataset)
    return float(norms[-1, -1] / np.nanmax(norms[-1])) if len(norms) else None


def _ends(dataset: "xarray.Dataset") -> float | None:
    norms = _norms(dataset)
    return float(np.nanmax(norms[:, -1])) if len(norms) else None


def _peaks(dataset: "xarray.Dataset") -> float | None:
    norms = _norms(dataset)
    return float(np.nanmax(norms)) if len(norms) else None


def _small(dataset: "xarray.Dataset") -> float | None:
    norms = _norms(dataset)
    return float(np.nanmax(norms[0])) if len(norms) else None


def _slow(dataset: "xarray.Dataset") -> float | None:
    losses = finals(dataset, "training_loss")[0]
    return float(losses[0] / np.nanmin(losses)) if np.isfinite(losses).any() else None


def _diverged(dataset: "xarray.Dataset") -> float:
    return float(np.sum(~np.isfinite(finals(dataset, "training_loss"))))


CLAIMS = (
    Claim(
        "K-falls-again",
        "At larger learning rates K is large at first and decreases as training goes on.",
        "agarwala2024 figure 3 (right)",
        (0.0, 0.7),
        "last K over the largest, at the largest learning rate that does not diverge; without stabilisation it would "
        "only grow, as it does at small learning rates",
        _fall,
    ),
    Claim(
        "K-exceeds-one",
        "On the way it attains values above 1.",
        "agarwala2024 figure 3 (right)",
        (1.0, 10.0),
        "largest K of any run that does not diverge",
        _peaks,
    ),
    Claim(
        "K-ends-below-one",
        "Trainings that do not diverge stabilise below 1.",
        "agarwala2024 figure 3 (right)",
        (0.1, 1.0),
        "largest final K; far below 1 the last step of the sweep would have been too coarse",
        _ends,
    ),
    Claim(
        "small-learning-rates-stay-below",
        "At small learning rates K is well below 1 throughout.",
        "agarwala2024 figure 3 (right)",
        (0.0, 0.3),
        "largest K at the smallest learning rate",
        _small,
    ),
    Claim(
        "small-learning-rates-are-slow",
        "There the loss falls slowly.",
        "agarwala2024 figure 3 (left)",
        (5.0, 1e12),
        "final loss at the smallest learning rate over the lowest of all",
        _slow,
    ),
    Claim(
        "the-largest-diverge",
        "At the largest learning rates the loss diverges.",
        "agarwala2024 section 4.1",
        (1.0, 100.0),
        "how many runs diverge; one suffices",
        _diverged,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss and K against the step, a colour for each learning rate."""
    import matplotlib

    from precipice.figures import style

    settings = style.parameters(dataset)
    shown = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(shown))
    first = dataset.isel(batch_size=0, seed=0)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, first.sizes["lr_ratio"]))
    for ax, name in zip(axes, shown, strict=True):
        variable = "training_loss" if name == "loss" else name
        for i, colour in enumerate(colours):
            one = first.isel(lr_ratio=i)
            ended = "" if int(one["diverged_at"]) < 0 else ", diverges"
            ax.plot(one["measured_at"], one[variable], color=colour, label=f"lr {float(one['run_lr']):g}{ended}")
        ax.set_xlabel("step")
        ax.set_yscale("log")
        if name == "loss":
            ax.set_ylabel("training loss")
            ax.legend(fontsize=7, loc="lower left")
        else:
            ax.set_ylabel("noise kernel norm K")
            style.edge_line(ax, 1.0, "K = 1", "#444444")
        ax.set_title("loss" if name == "loss" else "noise kernel norm")
    style.caption(
        picture,
        f"Batch size {int(first['batch_size'])}. {setting_line(settings)} First of "
        f"{style.count(settings['seeds'], 'seed')}, scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="agarwala2024/fig3",
    title="MNIST with batches of one: the noise kernel norm rises above 1 and returns below it",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 30 seconds", DATA),
        "paper": Scale(paper_settings, "about 90 minutes", "mnist"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="K-falls-again",
    claim_panels={
        "K-falls-again": "noise_kernel_norm",
        "K-exceeds-one": "noise_kernel_norm",
        "K-ends-below-one": "noise_kernel_norm",
        "small-learning-rates-stay-below": "noise_kernel_norm",
        "small-learning-rates-are-slow": "loss",
        "the-largest-diverge": "loss",
    },
)
