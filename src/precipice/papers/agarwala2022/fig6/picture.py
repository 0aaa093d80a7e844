"""The picture of agarwala2022/fig6."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.agarwala2022.fig5.picture import caption
from precipice.papers.agarwala2022.fig6 import claims

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("spectrum", "two-step", "ratio")

DIRECTIONS = ("v1, first step", "v1, last step", "random direction")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The spectrum of v . Q, the two-step change of z1 against 2 y z1, and the non-linear ratio beside y."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    one = dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"spectrum": _plot_spectrum, "two-step": _plot_two_step, "ratio": _plot_ratio}[name](ax, one)
    style.caption(picture, f"{caption(dataset)} {_words(dataset)}")
    return picture


def _words(dataset: "xarray.Dataset") -> str:
    """What figure 5's caption leaves out."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    span = "Inputs: the images in coordinates of their span. " if settings["layout"] == "span" else ""
    return (
        f"{span}Spectra by {settings['vectors']} random vectors and {settings['nodes']} Lanczos steps, smoothed. "
        "The ratio is the paper's formula with the bare J and the lr of the mean loss; it depends on these units. "
        "Dotted: the two terms of a step themselves, which does not."
    )


def _plot_spectrum(ax, one: "xarray.Dataset") -> None:
    from precipice.figures import style

    nodes, weights = one["model_curvature_node"].values, one["model_curvature_weight"].values
    reach = 1.1 * np.abs(nodes).max()
    grid, width = np.linspace(-reach, reach, 400), reach / 60
    for index, label in enumerate(DIRECTIONS):
        bumps = np.exp(-0.5 * ((grid[:, None, None] - nodes[index]) / width) ** 2)
        density = (bumps * weights[index]).sum(-1).mean(-1) / (width * (2 * np.pi) ** 0.5)
        ax.plot(grid, density, color=style.COLOURS[index], lw=1.2, ls=("-", "--", "-")[index], label=label)
    ax.set_yscale("log")
    ax.set_ylim(1e-5 / reach, 3 / width)
    ax.set_xlabel("eigenvalue of v . Q (outputs' second derivative along v)")
    ax.set_ylabel("density of eigenvalues")
    ax.set_title("spectrum of Q along a direction")
    ax.legend(fontsize=8)


def _plot_two_step(ax, one: "xarray.Dataset") -> None:
    from precipice.figures import style

    change, predicted, literal, seen = claims.two_steps(one)
    ax.plot(literal[seen], change[seen], ".", color="#aaaaaa", ms=4, label="y of the first step alone")
    ax.plot(predicted[seen], change[seen], ".", color=style.COLOURS[0], ms=4, label="y the mean over the two steps")
    if seen.any():
        ends = np.array([predicted[seen].min(), predicted[seen].max()])
        ax.plot(ends, ends, color="#4a4a4a", lw=0.8, label="equal")
    ax.set_xlabel("2 y z1, with y = lr lambda_1 - 2")
    ax.set_ylabel("z1 two steps later, less z1")
    ax.set_title("two-step change of z1")
    ax.legend(fontsize=8)


def _plot_ratio(ax, one: "xarray.Dataset") -> None:
    from precipice.figures import style

    steps = int(one["window_start"]) + one["probe_step"].values
    ax.plot(steps, np.abs(claims.printed_ratio(one)), color=style.COLOURS[1], lw=1.0, label="|ratio| as printed (left)")
    ax.plot(steps, np.abs(claims.step_ratio(one)), color=style.COLOURS[1], lw=0.8, ls=":", label="of one step (left)")
    ax.set_yscale("log")
    ax.set_xlabel("gradient step")
    ax.set_ylabel("lr^2 Q1(J z1 v1, J z1 v1) / (lambda_1 z1), size")
    ax.set_title("non-linear over linear change of z1")
    other = ax.twinx()
    other.plot(steps, claims.excess(one), color=style.COLOURS[0], lw=0.9, label="y (right)")
    other.axhline(0.0, color="#888888", lw=0.6)
    other.set_ylabel("y = lr lambda_1 - 2")
    lines = [*ax.lines, other.lines[0]]
    ax.legend(lines, [line.get_label() for line in lines], fontsize=8)
