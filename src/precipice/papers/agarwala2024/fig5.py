"""agarwala2024/fig5: final K on MNIST depends on lr/B, and final loss on K rather than on the largest eigenvalue."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2024.fig4 import paper_settings, quick_settings
from precipice.papers.agarwala2024.mnist import DATA, Settings, run, validate
from precipice.papers.agarwala2024.mnist_measures import (
    best,
    disagreement,
    finals,
    lr_times_top,
    plateau,
    setting_line,
    settings_of,
    small,
)
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("ratio", "loss_of_norm", "loss_of_eigenvalue")


def control(settings: Settings) -> Settings:
    """All batch sizes at the same learning rates in place of the same lr/B."""
    batches = [part.strip() for part in settings.batch_sizes.split(",")]
    kept = [batch for batch in batches if float(batch) <= settings.small_batch]
    ratios = [float(part) for part in settings.lr_ratios.split(",")]
    return dataclasses.replace(
        settings,
        batch_sizes=", ".join(kept),
        lr_ratios=", ".join(f"{ratio:g}" for ratio in ratios[: max(len(ratios) // 2, 1)]),
        small_batch=1,
        seeds=1,
    )


# Claims -------------------------------------------------------------------------------------------------------------


def _disagreement(dataset: "xarray.Dataset") -> float | None:
    norms = finals(dataset, "noise_kernel_norm")
    if settings_of(dataset).small_batch > 1:
        return disagreement(dataset, norms, top=1.0)
    kept = np.isfinite(norms).all(axis=0)  # the control: one learning rate for all batch sizes
    rows = norms[:, kept]
    return float(np.max((rows.max(axis=0) - rows.min(axis=0)) / rows.mean(axis=0))) if kept.any() else None


def _range(dataset: "xarray.Dataset") -> float | None:
    return plateau(dataset, 0.3, 1.0)


def _paper_range(dataset: "xarray.Dataset") -> float | None:
    settings = settings_of(dataset)
    paper = settings.dataset == "mnist" and settings.num_examples >= 2500 and settings.epochs >= 480
    return plateau(dataset, 0.7, 0.9) if paper else None


def _best_norm(dataset: "xarray.Dataset") -> float | None:
    found = best(dataset, finals(dataset, "noise_kernel_norm"))
    return float(np.median(found)) if len(found) else None


def _spread(values: np.ndarray) -> float | None:
    return float(values.max() / values.min()) if len(values) > 1 else None


def _spread_of_norm(dataset: "xarray.Dataset") -> float | None:
    return _spread(best(dataset, finals(dataset, "noise_kernel_norm")))


def _spread_of_eigenvalue(dataset: "xarray.Dataset") -> float | None:
    return _spread(best(dataset, lr_times_top(dataset)))


CLAIMS = (
    Claim(
        "K-depends-on-the-ratio",
        "For small batches final K depends on lr/B.",
        "agarwala2024 figure 5 (left)",
        (0.0, 0.35),
        "largest (max - min)/mean over the small batch sizes at one lr/B, of those with a trace form of K up to 1 at "
        "the start, above which larger batches begin to diverge; at one lr it would be near 2 (B_max - 1)/(B_max + 1)",
        _disagreement,
    ),
    Claim(
        "K-is-of-order-one-over-a-wide-range",
        "K takes similar values below 1 over a large range of learning rates.",
        "agarwala2024 figure 5 (left)",
        (4.0, 1e4),
        "at B = 1, by which factor lr varies over neighbouring runs that end with K in [0.3, 1]; K at a fixed kernel "
        "would cross this interval within a factor of 3.3",
        _range,
    ),
    Claim(
        "K-plateau-of-the-paper",
        "K lies in [0.7, 0.9] over a large range of learning rates.",
        "agarwala2024 section 4.1",
        (1.5, 1e4),
        "the same with K in [0.7, 0.9], which a fixed kernel would cross within a factor of 1.3; at the paper's 2,500 "
        "images and 480 epochs only",
        _paper_range,
    ),
    Claim(
        "best-loss-at-moderate-K",
        "The lowest loss is reached where final K is neither small nor close to 1.",
        "agarwala2024 figure 5 (middle); [0.6, 0.8] in the paper's setting",
        (0.25, 0.85),
        "final K of the run of lowest loss, median over the small batch sizes; wider than the paper's interval, since "
        "fewer images are fitted sooner",
        _best_norm,
    ),
    Claim(
        "K-of-the-best-agrees-across-batches",
        "Final K informs of the loss whatever the batch size.",
        "agarwala2024 figure 5 (middle)",
        (1.0, 2.0),
        "largest over smallest final K of the best runs of each small batch size",
        _spread_of_norm,
    ),
    Claim(
        "the-eigenvalue-does-not-predict",
        "The largest eigenvalue predicts the loss poorly, even when scaled by lr.",
        "agarwala2024 figure 5 (right)",
        (2.5, 1e4),
        "largest over smallest lr lambda_max of those best runs",
        _spread_of_eigenvalue,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Final K against lr/B; final loss against final K and against lr lambda_max."""
    import matplotlib

    from precipice.figures import style

    settings = style.parameters(dataset)
    shown = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(shown))
    first = dataset.isel(seed=0)
    norms, losses, tops = finals(first, "noise_kernel_norm"), finals(first, "training_loss"), lr_times_top(first)
    lrs, batches = first["run_lr"].values, first["batch_size"].values
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(batches)))
    for ax, name in zip(axes, shown, strict=True):
        for i in np.flatnonzero(small(first) | (name != "loss_of_norm")):
            x = {"ratio": lrs[i] / batches[i], "loss_of_norm": norms[i], "loss_of_eigenvalue": tops[i]}[name]
            y = norms[i] if name == "ratio" else losses[i]
            order = np.argsort(x)
            shown_at = order if name == "ratio" else order[np.isfinite(x[order])]
            if name == "ratio" and not np.any(norms[i] > 0):
                continue  # the full batch has K = 0
            ax.plot(x[shown_at], y[shown_at], "o-", markersize=3, color=colours[i], label=f"B = {batches[i]}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        _label(ax, name)
    style.caption(
        picture,
        f"{setting_line(settings)} Runs that diverged are left out, in the middle batches above "
        f"{settings['small_batch']} too. First of {style.count(settings['seeds'], 'seed')}, scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _label(ax, name: str) -> None:
    if name == "ratio":
        ax.axhline(1.0, color="#444444", linestyle="--", linewidth=1, label="K = 1")
        ax.set(xlabel="learning rate / batch size", ylabel="final K", title="final K")
    elif name == "loss_of_norm":
        ax.axvline(1.0, color="#444444", linestyle="--", linewidth=1, label="K = 1")
        ax.set(xlabel="final K", ylabel="final training loss", title="loss against K")
    else:
        ax.axvline(2.0, color="#444444", linestyle="--", linewidth=1, label="2")
        ax.set(xlabel="lr times largest eigenvalue", ylabel="final training loss", title="loss against eigenvalue")
    ax.legend(fontsize=7)


FIGURE = Figure(
    id="agarwala2024/fig5",
    title="MNIST: final K depends on lr/B and tells where the loss is lowest",
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
    main_claim="K-depends-on-the-ratio",
    claim_panels={
        "K-depends-on-the-ratio": "ratio",
        "K-is-of-order-one-over-a-wide-range": "ratio",
        "K-plateau-of-the-paper": "ratio",
        "best-loss-at-moderate-K": "loss_of_norm",
        "K-of-the-best-agrees-across-batches": "loss_of_norm",
        "the-eigenvalue-does-not-predict": "loss_of_eigenvalue",
    },
)
