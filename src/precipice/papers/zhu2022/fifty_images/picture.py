"""The panels of figures 7 and 23 to 26 of zhu2022, each a function of axes and the first seed's dataset."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

MARKER = 2.0


def plot(dataset: "xarray.Dataset", names: Sequence[str]) -> "Picture":
    """The named panels side by side."""
    from precipice.figures import style

    picture, axes = style.panels(len(names))
    one = dataset.isel(seed=0)
    for name, ax in zip(names, axes, strict=True):
        DRAW[name](ax, one)
    style.caption(picture, caption(dataset))
    return picture


def draw_loss(ax, one: "xarray.Dataset") -> None:
    """Loss at every step."""
    from precipice.figures import style

    ax.plot(one["step"], one["loss"], color=style.COLOURS[0], lw=0.5)
    ax.set_yscale("log")
    ax.set_xlabel("gradient step")
    ax.set_ylabel("training loss (mean squared error)")
    ax.set_title("loss")


def draw_sharpness(ax, one: "xarray.Dataset") -> None:
    """Sharpness on its schedule, and 2/lr."""
    from precipice.figures import style

    edge, final = float(one["edge"]), float(one["final_sharpness"])
    label = f"sharpness (ends at {final:.6g})" if np.isfinite(final) else "sharpness"
    ax.plot(
        one["probe_step"], one["hessian_eigenvalue"].isel(eigenvalue=0), color=style.COLOURS[0], lw=1.0, label=label
    )
    style.edge_line(ax, edge, f"2/lr = {edge:.4g}", style.COLOURS[1])
    ax.set_xlabel("gradient step")
    ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
    ax.set_title("sharpness")
    ax.legend(fontsize=8, loc="lower right")


def draw_window(ax, one: "xarray.Dataset") -> None:
    """Loss and sharpness at each step of the window."""
    from precipice.figures import style

    steps, edge = one["window_step"].values, float(one["edge"])
    ax.plot(steps, one["window_sharpness"], ".-", color=style.COLOURS[0], lw=0.8, label="sharpness")
    style.edge_line(ax, edge, f"2/lr = {edge:.4g}", style.COLOURS[0])
    ax.set_xlabel("gradient step")
    ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
    ax.set_title(f"from step {steps[0]:,} to {steps[-1]:,}")
    other = ax.twinx()
    steps = steps[steps < one.sizes["step"]]
    other.plot(steps, one["loss"].values[steps], ".-", color=style.COLOURS[1], lw=0.8, label="loss")
    other.set_xlabel("gradient step")
    other.set_ylabel("training loss (mean squared error)")
    lines = [*ax.get_lines(), *other.get_lines()]
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    ax.legend(lines, [line.get_label() for line in lines], fontsize=8, loc="upper right", ncols=3)


def draw_outside(ax, one: "xarray.Dataset") -> None:
    """What the plane leaves out, beside what it holds."""
    from precipice.figures import style

    held = np.hypot(one["movement"], one["oscillation"])
    ax.plot(one["step"], held, color=style.COLOURS[1], lw=0.6, label="inside the plane")
    ax.plot(one["step"], one["outside_plane"], color=style.COLOURS[0], lw=0.6, label="outside")
    ax.set_yscale("log")
    ax.set_xlabel("gradient step")
    ax.set_ylabel("norm of the offset from the end")
    ax.set_title("offset in and outside the plane")
    ax.legend(fontsize=8, loc="upper right")


def draw_trajectory(ax, one: "xarray.Dataset") -> None:
    """Every step in the plane, coloured by the sharpness."""
    _dots(ax, one, 0)
    ax.set_title("whole trajectory in the plane")


def draw_tip(ax, one: "xarray.Dataset") -> None:
    """The local trajectory and its parabola."""
    from precipice.figures import style
    from precipice.papers.zhu2022.fifty_images.claims import parabola

    begin = style.parameters(one)["tip_step"]
    _dots(ax, one, begin)
    found = parabola(one)
    if found is not None:
        reach = np.abs(one["oscillation"].values[begin:]).max()
        y = np.linspace(-reach, reach, 200)
        label = f"x = {found.coefficient:.3g} y²"
        ax.plot(found.coefficient * y**2, y, color=style.COLOURS[1], lw=1.0, ls="--", label=label)
        ax.legend(fontsize=8, loc="center right")  # a parabola that opens to the right leaves room there
    ax.locator_params(axis="x", nbins=5)
    ax.set_title(f"from step {begin:,} on")


def _dots(ax, one: "xarray.Dataset", begin: int) -> None:
    steps = one["step"].values[begin:]
    near = np.interp(steps, one["probe_step"], one["hessian_eigenvalue"].isel(eigenvalue=0))
    edge = float(one["edge"])
    dots = ax.scatter(
        one["movement"].values[begin:],
        one["oscillation"].values[begin:],
        c=near,
        s=MARKER,
        cmap="coolwarm",
        vmin=0.97 * edge,
        vmax=1.03 * edge,
        rasterized=True,
        linewidths=0,
    )
    ax.figure.colorbar(dots, ax=ax, label="sharpness, between measurements by a line", extend="both")
    ax.set_xlabel("movement x")
    ax.set_ylabel("oscillation y")


DRAW: Mapping[str, Callable] = {
    "loss": draw_loss,
    "sharpness": draw_sharpness,
    "window": draw_window,
    "outside-plane": draw_outside,
    "trajectory": draw_trajectory,
    "tip": draw_tip,
}


def caption(dataset: "xarray.Dataset") -> str:
    """What was run, in a few sentences."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    return (
        f"{network(settings)}, gradient descent at lr = {settings['lr']:g} for {settings['num_steps']:,} steps, "
        f"{settings['precision']}, sharpness every {settings['every']}; movement from step "
        f"{settings['projection_step']:,}. Seed 0 of {settings['seeds']}; initialisation and range of the pixels are "
        f"not given in the paper; scale {dataset.attrs.get('scale', 'custom')}."
    )


def network(settings: Mapping[str, Any]) -> str:
    """Network, data and loss in one clause, from recorded settings."""
    return (
        f"{settings['depth'] + 1} layers, hidden width {settings['width']}, {settings['activation']} "
        f"({settings['initialisation']} initialisation), on the first {settings['num_examples'] // 2} images each of "
        f"classes 0 and 1 of {settings['dataset']} ({settings['preprocess'].replace('_', ' ')}), computed in the span "
        f"of the images; mean squared error"
    )
