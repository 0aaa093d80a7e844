"""The history as a picture: curvature and edge, the two stability numbers, the loss."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures import style
from precipice.monitor.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def picture(history: History) -> "Figure":
    """Three panels against the step: sharpness and edge; normalised sharpness and K with their line at 1; the loss.

    Values beyond `style.DRAWN` in size, of a run that diverged, are left out.

    Raises:
        InputError: the history holds no reading.
    """
    _ = history.last
    figure, axes = style.panels(3)
    _curvature(axes[0], history)
    _numbers(axes[1], history)
    _line(axes[2], history, "probe_loss", "loss on the probe examples", 0)
    for ax, label in zip(axes, ("curvature", "stability number (1 is the edge)", "mean loss"), strict=True):
        ax.set_xlabel("step")
        ax.set_ylabel(label)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8)
    setting = history.setting
    style.caption(figure, f"{setting.optimiser}, {setting.convention}. Model: {setting.mode}.")
    return figure


def save_picture(history: History, path: str | os.PathLike) -> None:
    """Write `picture` as a PNG, in one piece."""
    style.save(picture(history), Path(path))


def _curvature(ax: "Axes", history: History) -> None:
    adaptive = history.latest("preconditioned_sharpness") is not None
    name = "preconditioned_sharpness" if adaptive else "sharpness"
    _line(ax, history, name, name.replace("_", " "), 0)
    steps = [reading.step for reading in history.readings]
    for i, group in enumerate(history.setting.groups):
        label = "edge" if len(history.setting.groups) == 1 else f"edge of {group}"
        edges = [reading.rates[i].edge for reading in history.readings]
        ax.plot(steps, edges, "--", color=style.COLOURS[(i + 1) % len(style.COLOURS)], linewidth=1.0, label=label)
    _line(ax, history, "batch_sharpness", "batch sharpness", 3)
    ax.set_yscale("log")


def _numbers(ax: "Axes", history: History) -> None:
    _line(ax, history, "normalised_sharpness", "normalised sharpness", 0)
    _line(ax, history, "noise_kernel_norm_estimate", "K (trace estimate)", 1)
    ax.axhline(1.0, color="#444444", linestyle="--", linewidth=1.0)
    ax.set_ylim(bottom=0)


def _line(ax: "Axes", history: History, name: str, label: str, colour: int) -> None:
    values = history.row(name)
    shown = np.isfinite(values) & (np.abs(np.nan_to_num(values)) <= style.DRAWN)
    if shown.any():
        steps = np.array([reading.step for reading in history.readings])
        ax.plot(
            steps[shown], values[shown], ".-", color=style.COLOURS[colour], linewidth=1.3, markersize=4, label=label
        )
