"""agarwala2024/fig16: ResNet-50 and ViT on ImageNet under cross-entropy: K varies far less than the learning rate."""

import math
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim, Measure, only_where
from precipice.papers.agarwala2024.imagenet import run
from precipice.papers.agarwala2024.imagenet_settings import (
    NETWORKS,
    Settings,
    at_size,
    control,
    paper_settings,
    quick_settings,
    validate,
)
from precipice.papers.figure import Figure, Scale
from precipice.papers.settings import from_json

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

NORM = "gauss_newton_noise_kernel_norm"
TITLES = {"resnet50": "ResNet-50", "vit_s16": "ViT S/16"}
PANELS = ("norm", "error", "best")

# Claims -------------------------------------------------------------------------------------------------------------


def settings_of(dataset: "xarray.Dataset") -> Settings:
    """The recorded settings."""
    return from_json(Settings, dataset.attrs["parameters"])


def courses(dataset: "xarray.Dataset", name: str) -> np.ndarray:
    """A result along each training [network, lr, measurement]; NaN throughout where it diverged."""
    alive = dataset["diverged_at"].transpose("network", "lr").values < 0
    return np.where(alive[..., None], dataset[name].transpose("network", "lr", "measurement").values, np.nan)


def typical(dataset: "xarray.Dataset") -> np.ndarray:
    """Median K after the warm-up [network, lr]; NaN where the run diverged."""
    settings = settings_of(dataset)
    after = math.ceil(settings.warmup_epochs * settings.num_measurements / settings.epochs)
    return np.median(courses(dataset, NORM)[..., max(after, 1) :], axis=-1)


def succeeded(dataset: "xarray.Dataset") -> np.ndarray:
    """Runs that end no nearer to chance than to the network's lowest error [network, lr]."""
    errors = courses(dataset, "test_error")[..., -1]
    chance = 1 - 1 / settings_of(dataset).num_classes
    lowest = np.min(np.where(np.isfinite(errors), errors, np.inf), axis=-1, keepdims=True)
    return np.isfinite(errors) & (errors <= (lowest + chance) / 2) & (lowest < 0.75 * chance)


def exponent(dataset: "xarray.Dataset") -> float | None:
    """Slope of log typical K against log lr over the runs that do not diverge: the larger one of the networks'."""
    lrs, slopes = dataset["lr"].values, []
    for norms in typical(dataset):
        kept = np.isfinite(norms) & (norms > 0)
        if kept.sum() > 1:
            slopes.append(np.polyfit(np.log(lrs[kept]), np.log(norms[kept]), 1)[0])
    return float(max(slopes)) if slopes else None


def threshold(dataset: "xarray.Dataset") -> float | None:
    """Largest typical K of a run that succeeds, farthest from 1; None where all learning rates do: none was reached."""
    found = []
    for norms, well in zip(typical(dataset), succeeded(dataset), strict=True):
        if well.any() and not well[-1]:
            found.append(norms[well].max())
    return float(max(found, key=lambda norm: abs(math.log(norm)))) if found else None


def cost_of_slowness(dataset: "xarray.Dataset") -> float | None:
    """Final error at the smallest learning rate over the lowest, the smaller ratio of the networks."""
    errors = courses(dataset, "test_error")[..., -1]
    kept = errors[np.isfinite(errors[:, 0]) & succeeded(dataset).any(axis=1)]
    floor = 0.5 / settings_of(dataset).held_out  # an error of 0 is one below what the held-out images can tell
    return float(np.min(kept[:, 0] / np.maximum(np.nanmin(kept, axis=1), floor))) if len(kept) else None


def _spread(dataset: "xarray.Dataset") -> float | None:
    norms = typical(dataset)
    ratios = np.nanmax(norms, axis=1) / np.nanmin(norms, axis=1)
    return max((float(ratio) for ratio in ratios), key=lambda ratio: abs(math.log(ratio / 5)))


def _best(dataset: "xarray.Dataset") -> float | None:
    errors, norms = courses(dataset, "test_error")[..., -1], typical(dataset)
    kept = [n[np.nanargmin(e)] for e, n in zip(errors, norms, strict=True) if np.isfinite(e).any()]
    return float(max(kept, key=lambda norm: abs(math.log(norm)))) if kept else None


def only_at_size(measure: Measure) -> Measure:
    """`measure`, and None where images, networks or epochs are not the paper's."""
    return only_where(lambda dataset: at_size(settings_of(dataset)), measure)


_AT_SIZE = "judged with ImageNet, the full networks and 90 epochs only, as photographs and scale set this number"

CLAIMS = (
    Claim(
        "K-varies-less-than-the-learning-rate",
        "Over a range of learning rates of a factor of 100 to 1,000, K varies by a factor of about 5.",
        "agarwala2024 appendix D.7 and figure 16 (top)",
        (0.0, 0.6),
        "slope of log typical K (median after warm-up) against log lr, the steeper one of the networks': a factor of 5 "
        "is 0.35 over a factor of 100 and 0.23 over 1,000; 1 where training does not answer; as much again for two "
        "readings of a picture",
        exponent,
    ),
    Claim(
        "K-varies-about-fivefold",
        "K varies by a factor of about 5 over the learning rates.",
        "agarwala2024 figure 16, caption",
        (2.5, 10.0),
        f"largest over smallest typical K of the runs that do not diverge, a factor of 2 to either side; {_AT_SIZE}",
        only_at_size(_spread),
    ),
    Claim(
        "threshold-of-order-one",
        "There is a threshold of K of order one beyond which training is not stable.",
        "agarwala2024 appendix D.7",
        (0.3, 6.0),
        "largest typical K of a run that ends nearer to the lowest error than to chance, where the largest learning "
        "rate does not; the paper's 2, a factor of 3 above, and more below, as rates lie 3 to 4 times apart",
        threshold,
    ),
    Claim(
        "threshold-near-two",
        "The threshold is slightly below 2 for ResNet-50 and slightly above 2 for the other network.",
        "agarwala2024 appendix D.7 and figure 16 (top and middle)",
        (1.0, 4.0),
        f"the same number, a factor of 2 to either side; {_AT_SIZE}",
        only_at_size(threshold),
    ),
    Claim(
        "small-learning-rates-are-inefficient",
        "Small K leads to inefficient training.",
        "agarwala2024 appendix D.7 and figure 16 (middle and bottom)",
        (1.1, 1e6),
        "final error at the smallest learning rate over the lowest of all, the smaller one of the networks'",
        cost_of_slowness,
    ),
    Claim(
        "best-between-one-half-and-two",
        "K below 0.5 and above 2 lead to inefficient or unstable training.",
        "agarwala2024 appendix D.7 and figure 16 (bottom)",
        (0.5, 2.0),
        f"typical K of the run with the lowest final error; {_AT_SIZE}",
        only_at_size(_best),
    ),
)

# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """For each network K and the error along training, and the last error against the typical K."""
    from precipice.figures import style

    settings = settings_of(dataset)
    shown = PANELS if panel is None else (panel,)
    first = dataset.isel(seed=0)
    picture, rows = style.grid(len(first["network"]), len(shown))
    for place, axes in enumerate(rows):
        name = NETWORKS[int(first["network"].values[place])]
        for ax, kind in zip(axes, shown, strict=True):
            _DRAW[kind](ax, first, place, settings)
            ax.set_title(f"{TITLES[name]}: {_TITLES[kind]}")
    style.caption(picture, _caption(dataset, settings))
    return picture


_TITLES = {"norm": "K along training", "error": "error along training", "best": "error against K"}


def _colours(num: int) -> np.ndarray:
    import matplotlib

    return matplotlib.colormaps["viridis"](np.linspace(0, 0.92, num))


def _along(ax: "Axes", first: "xarray.Dataset", place: int, settings: Settings, name: str) -> None:
    epochs = np.linspace(0, settings.epochs, first.sizes["measurement"])
    lrs, ends = first["lr"].values, first["diverged_at"].transpose("network", "lr").values[place]
    rows = first[name].transpose("network", "lr", "measurement").values[place]
    for row, lr, end, colour in zip(rows, lrs, ends, _colours(len(lrs)), strict=True):
        drawn = np.where(row > 0, row, np.nan) if name == NORM else row
        ax.plot(epochs, drawn, color=colour, label=f"lr {lr:.3g}{'' if end < 0 else ', diverges'}")
    ax.set_xlabel("epoch")


def _norm(ax: "Axes", first: "xarray.Dataset", place: int, settings: Settings) -> None:
    _along(ax, first, place, settings, NORM)
    ax.axhline(2.0, color="#444444", linestyle="--", linewidth=1, label="K = 2")
    ax.set_yscale("log")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom=max(bottom, 1e-4 * top))  # a network that died in the warm-up has K = 1e-6
    ax.set_ylabel("K = lr_t tr(H_GN)/(2 (1 - mu) B)")
    ax.legend(fontsize=7)


def _error(ax: "Axes", first: "xarray.Dataset", place: int, settings: Settings) -> None:
    _along(ax, first, place, settings, "test_error")
    chance = 1 - 1 / settings.num_classes
    ax.axhline(chance, color="#444444", linestyle=":", linewidth=1, label="chance")
    ax.set_ylabel("error on held-out images")
    ax.legend(ax.lines[-1:], ["chance"], fontsize=7)


def _against(ax: "Axes", first: "xarray.Dataset", place: int, settings: Settings) -> None:  # noqa: ARG001
    norms, errors = typical(first)[place], courses(first, "test_error")[place, :, -1]
    kept = np.isfinite(norms) & (norms > 0)
    ax.plot(norms[kept], errors[kept], "-", color="#999999", linewidth=0.8)
    ax.scatter(norms[kept], errors[kept], c=_colours(len(norms))[kept], s=28, zorder=3)
    ax.axvline(2.0, color="#444444", linestyle="--", linewidth=1, label="K = 2")
    ax.set_xscale("log")
    ax.set(xlabel="median K after warm-up", ylabel="final error on held-out images")
    ax.legend(fontsize=7)


_DRAW = {"norm": _norm, "error": _error, "best": _against}


def _caption(dataset: "xarray.Dataset", settings: Settings) -> str:
    from precipice.figures import style

    sizes = ", ".join(
        f"{TITLES[NETWORKS[int(n)]]} {int(dataset['num_params'].sel(network=n).max().item()):,}"
        for n in dataset["network"].values
    )
    full = (settings.width, settings.blocks, settings.depth, settings.patch) == (1.0, "3, 4, 6, 3", 12, 16)
    cut = "" if full else (
        f" Networks reduced: {settings.width:g} of their widths, ResNet blocks {settings.blocks} of 3, 4, 6, 3, ViT "
        f"blocks {settings.depth} of 12, patches of {settings.patch}."
    )  # fmt: skip
    source = "ImageNet" if settings.dataset == "imagenet" else "GENERATED images (gratings in noise, not ImageNet)"
    error = float(np.nanmax(dataset["training_gauss_newton_trace_sem"] / dataset["training_gauss_newton_trace"]))
    return (
        f"{settings.num_examples:,} {source} of {settings.num_classes:,} classes at {settings.image_size} pixels, "
        f"random parts and mirrored; mean softmax cross-entropy; batches of {settings.batch_size:,}, momentum "
        f"{settings.momentum:g}, {settings.epochs} epochs, {settings.warmup_epochs} of warm-up, cosine; ResNet with "
        f"LayerNorm and GELU; parameters: {sizes}.{cut} tr(H_GN) by {settings.trace_samples} sampled targets "
        f"(Bartlett) of {settings.trace_examples:,} training images, standard error up to {error:.0%}; no factor 1/C "
        f"in K. Errors on {settings.held_out:,} held-out images. First of {style.count(settings.seeds, 'seed')}, "
        f"scale {dataset.attrs.get('scale', 'custom')}."
    )


FIGURE = Figure(
    id="agarwala2024/fig16",
    title="ResNet-50 and ViT on ImageNet, cross-entropy: K varies far less than the learning rate",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 3 minutes", "generated"),
        "paper": Scale(paper_settings, "weeks on a GPU", "imagenet"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="K-varies-less-than-the-learning-rate",
    claim_panels={
        "K-varies-less-than-the-learning-rate": "norm",
        "K-varies-about-fivefold": "norm",
        "threshold-of-order-one": "best",
        "threshold-near-two": "best",
        "small-learning-rates-are-inefficient": "error",
        "best-between-one-half-and-two": "best",
    },
)
