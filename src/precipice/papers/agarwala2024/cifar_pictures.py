"""How the CIFAR-10 figures are drawn: panels of curves along training, against median K, and phase planes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice.papers.agarwala2024.cifar_measures import courses, finals, medians
from precipice.papers.agarwala2024.cifar_settings import NUM_OUTPUTS, Settings, blocks_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

Values = Callable[["xarray.Dataset"], np.ndarray]
"""One seed's dataset -> [batch_size, lr_ratio, measurement], without the last axis for `plane`."""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Args:
        title: above it.
        label: of its y axis, or of the colours of a phase plane.
        values: what is drawn.
        draw: `along` training, `against_norm`, or `plane`.
        line: height of a dashed line and its label, or None.
        scale: of the y axis: "log" or "linear".
    """

    title: str
    label: str
    values: Values
    draw: "Callable[[Axes, Panel, xarray.Dataset, Settings], None]"
    line: tuple[float, str] | None = None
    scale: str = "log"


def course(name: str) -> Values:
    """A result along training."""
    return lambda dataset: courses(dataset, name)


def draw(dataset: "xarray.Dataset", panels: dict[str, Panel], panel: str | None, words: str = "") -> "Picture":
    """The panels, or one of them, with the setting and the convention of K below.

    Args:
        dataset: of `cifar.run`.
        panels: by name.
        panel: the one to draw, or None for all.
        words: further sentences of the caption.
    """
    from precipice.figures import style

    settings = Settings(**style.parameters(dataset))
    shown = panels if panel is None else {panel: panels[panel]}
    picture, axes = style.panels(len(shown))
    first = dataset.isel(seed=0)
    for ax, one in zip(axes, shown.values(), strict=True):
        one.draw(ax, one, first, settings)
        ax.set_title(one.title)
    seeds, scale = style.count(settings.seeds, "seed"), dataset.attrs.get("scale", "custom")
    style.caption(picture, f"{setting_line(first, settings)} {words}First of {seeds}, scale {scale}.")
    return picture


def along(ax: "Axes", panel: Panel, first: "xarray.Dataset", settings: Settings) -> None:
    """Values of the first batch size against the epoch, a line for each learning rate; those above 0 on a log axis."""
    epochs = np.linspace(0, settings.epochs, first.sizes["measurement"])
    values, lrs = panel.values(first)[0], first["run_lr"].isel(batch_size=0).values
    for row, lr, colour in zip(values, lrs, colours(len(lrs)), strict=True):
        ended = "" if np.isfinite(row).any() else ", diverges"
        shown = np.where(row > 0, row, np.nan) if panel.scale == "log" else row  # the schedule ends at lr 0
        ax.plot(epochs, shown, color=colour, label=f"lr {lr:.3g}{ended}")
    ax.set(xlabel="epoch", ylabel=panel.label)
    ax.set_yscale(panel.scale)
    _finish(ax, panel)


def against_norm(ax: "Axes", panel: Panel, first: "xarray.Dataset", settings: Settings) -> None:  # noqa: ARG001
    """Last values against the median K, a point for each learning rate, joined along a batch size."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ends, norms = panel.values(first)[..., -1], medians(first)
    for row, norm, batch, colour in zip(ends, norms, first["batch_size"].values, colours(len(ends)), strict=True):
        kept = np.isfinite(norm)
        ax.plot(norm[kept], row[kept], "o-", markersize=4, color=colour, label=f"B = {batch}")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="median K of the run", ylabel=panel.label)
    ax.set_yscale(panel.scale)
    _finish(ax, panel)


def plane(ax: "Axes", panel: Panel, first: "xarray.Dataset", settings: Settings) -> None:  # noqa: ARG001
    """One number of each run as a colour, over lr/B and B; runs that diverged are left white."""
    from matplotlib.colors import LogNorm, Normalize

    values = panel.values(first)
    batches, lrs = first["batch_size"].values, first["run_lr"].transpose("batch_size", "lr_ratio").values
    norm = LogNorm() if panel.scale == "log" else Normalize()
    picture = ax.pcolormesh(np.arange(len(lrs[0])), np.arange(len(batches)), values, norm=norm, shading="nearest")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ax.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=7, color="white", bbox=_BOX)
    ax.figure.colorbar(picture, ax=ax, label=panel.label)
    ax.set_xticks(range(len(lrs[0])), [f"{ratio:.3g}" for ratio in lrs[0] / batches[0]], rotation=45, fontsize=7)
    ax.set_yticks(range(len(batches)), [str(batch) for batch in batches])
    ax.grid(visible=False)
    ax.set(xlabel="peak learning rate / batch size", ylabel="batch size")


_BOX = {"boxstyle": "round,pad=0.15", "facecolor": "#333333", "alpha": 0.55, "linewidth": 0}


def _finish(ax: "Axes", panel: Panel) -> None:
    if panel.line is not None:
        ax.axhline(panel.line[0], color="#444444", linestyle="--", linewidth=1, label=panel.line[1])
    ax.legend(fontsize=7)


def colours(num: int) -> Sequence[Any]:
    """From small to large."""
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.92, num)))


def setting_line(first: "xarray.Dataset", settings: Settings) -> str:
    """Network, data, training and the convention of K in some sentences."""
    error = np.nanmax(courses(first, "kernel_trace_sem") / courses(first, "kernel_trace"), initial=0.0)
    sampled = settings.kernel_examples < settings.num_examples
    subset = f"from {settings.kernel_examples:,} images, standard error up to {error:.0%}" if sampled else "exact"
    start = (
        f"last layer from {settings.head_scale:g} of its initialisation" if settings.head_scale else "last layer from 0"
    )
    warm = f" after {settings.warmup_epochs} of warm-up" if settings.warmup_epochs else ""
    params = int(np.max(first["num_params"].values))
    return (
        f"{network_line(settings)}, {params:,} parameters; first {settings.num_examples:,} training images of "
        f"{settings.dataset} (50,000 in the paper), {settings.epochs} epochs, batches of {settings.batch_sizes}, "
        f"{start}, norms from {settings.norm_scale:g}, momentum {settings.momentum:g}, L2 {settings.l2:g}, cosine "
        f"schedule{warm}, no augmentation; errors on {settings.held_out:,} test images. Loss: mean over examples of "
        f"half the sum of squares over {NUM_OUTPUTS} outputs; K = lr_t tr(Theta)/(2 (1 - mu) B C), B examples, C = "
        f"{NUM_OUTPUTS} outputs each, Theta the Gram matrix of that loss, its trace {subset}."
    )


def network_line(settings: Settings) -> str:
    """The network in one clause, with what is not the paper's."""
    blocks = blocks_of(settings)
    if settings.network == "mixer_s16":
        cut = "" if settings.width == 1 else f" at {settings.width:g} of its width"
        return f"MLP-Mixer S/16{cut}, {blocks[0]} of 8 blocks, patches of {settings.stride}"
    if blocks == (2, 2, 2, 2) and settings.width == 1 and settings.stride == 1:
        return "ResNet-18 with LayerNorm and GELU"
    return (
        f"ResNet-18 with LayerNorm and GELU cut to {sum(blocks)} of 8 blocks in {len(blocks)} of 4 stages at "
        f"{settings.width:g} of its width, first convolution of stride {settings.stride}"
    )


def final(name: str) -> Values:
    """The last value of each run, for `plane`."""
    return lambda dataset: finals(dataset, name)
