"""The picture of zhu2022/fig6."""

from typing import TYPE_CHECKING

from precipice.papers.zhu2022.fig6.claims import scaled

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("boundary", "trajectory", "bifurcation")

FIRST_DOUBLING = 0.125
"""A at which the cubic map doubles its period first (MIN-12)."""


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Where starts diverge; every other step in (x, y); the trajectory over the map's bifurcation diagram."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    draw = {"boundary": draw_boundary, "trajectory": draw_trajectory, "bifurcation": draw_diagram}
    for name, ax in zip(names, axes, strict=True):
        draw[name](ax, dataset)
    computed = float(dataset["start_computed"].mean())
    style.caption(
        picture,
        f"Coupled degree-4 network, (1 - x^2 y^2)^2/4. Boundary: lr = {settings['grid_lr']:g}, up to "
        f"{settings['grid_steps']:,} steps; {dataset.sizes['start_x']} x {dataset.sizes['start_y']} starts, of which "
        f"{computed:.0%} were run, where neighbours differ. Trajectory: lr = {settings['lr']:g} from "
        f"({settings['start']}), {settings['num_steps']:,} steps, every seventh drawn. "
        f"Bifurcation: grey, orbits of b' = b(1 + 8A - 16b^2) and their mirror images; colour, the trajectory. The "
        f"window is ours; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def draw_boundary(ax, dataset: "xarray.Dataset") -> None:
    """Starts that converge in colour, those that diverge in white."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    from precipice.figures import style
    from precipice.results import Status

    diverged = (dataset["end_status"] == int(Status.DIVERGED)).transpose("start_y", "start_x")
    ax.pcolormesh(
        dataset["start_x"],
        dataset["start_y"],
        diverged.astype(float),
        cmap=ListedColormap([style.COLOURS[0], "white"]),
        shading="nearest",
        vmin=0,
        vmax=1,
    )
    ax.grid(visible=False)
    ax.set_xlabel("start x")
    ax.set_ylabel("start y")
    ax.set_title("border of divergence")
    handles = [
        Patch(facecolor=style.COLOURS[0], label="does not diverge"),
        Patch(facecolor="white", edgecolor="black", label="diverges"),
    ]
    ax.legend(handles=handles, fontsize=8, loc="upper right")


def draw_trajectory(ax, dataset: "xarray.Dataset") -> None:
    """The entries, dots joined in no way."""
    import numpy as np

    from precipice.figures import style
    from precipice.papers.zhu2022.trajectories import draw_valley

    x, y = np.abs(dataset["entries"].transpose("entry", "step").values)
    ax.plot(x, y, ".", color=style.COLOURS[0], ms=1, rasterized=True)
    ax.plot(x[0], y[0], "o", color=style.COLOURS[1], mfc="white", label="start")
    ax.plot(x[-1], y[-1], "s", color=style.COLOURS[1], label=f"end ({x[-1]:.4g}, {y[-1]:.3g})")
    draw_valley(ax, np.linspace(np.nanmin(x), np.nanmax(x), 100))
    ax.set_xlabel("entry x")
    ax.set_ylabel("entry y")
    ax.set_title("from close to the border")
    ax.legend(fontsize=8, loc="lower left")


def draw_diagram(ax, dataset: "xarray.Dataset") -> None:
    """The map's tails, mirrored, and the trajectory."""
    import numpy as np

    from precipice.figures import style

    tail = dataset["orbit_tail"].transpose("scaled_offset", "tail").values
    values = np.repeat(dataset["scaled_offset"].values, tail.shape[1])
    for sign in (1, -1):
        label = "cubic map" if sign > 0 else None
        ax.plot(values, sign * tail.ravel(), ".", color="#999999", ms=1, label=label, rasterized=True)
    scale, b = scaled(dataset)
    ax.plot(scale, b, ".", color=style.COLOURS[1], ms=1, alpha=0.5, label="gradient descent", rasterized=True)
    ax.axvline(FIRST_DOUBLING, color="black", lw=1.0, ls="--", label="A = 1/8")
    ax.set_xlabel("A = a κ")
    ax.set_ylabel("b = xy - 1")
    ax.set_title("against the map at frozen a")
    ax.legend(fontsize=8, loc="lower left", markerscale=6)
