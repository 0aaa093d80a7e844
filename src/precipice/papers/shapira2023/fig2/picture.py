"""The picture of shapira2023/fig2."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.shapira2023.fig2.claims import displacements, first_peak, returns

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("phases", "cycles", "plane")
PHASES = (
    ("y > 0, x small", "sharpness above 2/lr"),
    ("y > 0, x grows", "divergence"),
    ("y falls", "back to stability"),
    ("y < 0, x shrinks", "decay"),
)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The first cycle with its phases, all cycles, and the phase plane."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"phases": _draw_phases, "cycles": _draw_cycles, "plane": _draw_plane}[name](ax, dataset)
    style.caption(
        picture,
        f"x' = -(1 + lr y) x, y' = y + lr (alpha - beta x^2/2) with lr = {settings['lr']:g}, alpha = "
        f"{settings['alpha']:g}, beta = {settings['beta']:g}, from x = {settings['x']:g}, y = 0; the paper gives no "
        f"numbers. Its product formula for x has the wrong sign (ERR-R3): x alternates; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_phases(ax, dataset: "xarray.Dataset") -> None:
    from precipice import measures
    from precipice.figures import style

    x, y, settings = displacements(dataset)
    back = returns(y)
    end = int(back[0]) if len(back) else len(y) - 1
    turning = measures.turning_displacement(settings["alpha"], settings["beta"])
    peak, falls = first_peak(y[: end + 1]) or end, int(np.argmax((y[: end + 1] < 0) & (np.arange(end + 1) > 0))) or end
    grows = int(np.argmax(np.abs(x[: end + 1]) > turning / 10)) or peak
    borders = (0, min(grows, peak), peak, falls, end)
    for number, (label, meaning) in enumerate(PHASES):
        ax.axvspan(*borders[number : number + 2], color=style.COLOURS[number], alpha=0.12, label=f"{label}: {meaning}")
    ax.plot(x[: end + 1], color=style.COLOURS[0], lw=0.8, label="x (displacement)")
    ax.plot(y[: end + 1], color=style.COLOURS[1], lw=1.4, label="y (sharpness - 2/lr)")
    ax.axhline(0, color="#888888", lw=0.6)
    ax.set_ylim(top=2.1 * max(np.abs(x[: end + 1]).max(), y[: end + 1].max()))
    ax.set_xlabel("step")
    ax.set_ylabel("displacement x, excess sharpness y")
    ax.set_title("the first cycle")
    ax.legend(fontsize=7, loc="upper left")


def _draw_cycles(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    x, y, _ = displacements(dataset)
    ax.plot(x, color=style.COLOURS[0], lw=0.6, label="x (displacement)")
    ax.plot(y, color=style.COLOURS[1], lw=1.2, label="y (sharpness - 2/lr)")
    ax.axhline(0, color="#4a4a4a", lw=1.0, ls="--", label="y = 0: sharpness is 2/lr")
    ax.set_xlabel("step")
    ax.set_ylabel("displacement x, excess sharpness y")
    ax.set_title("cycles")
    ax.legend(fontsize=8, loc="upper right")


def _draw_plane(ax, dataset: "xarray.Dataset") -> None:
    from precipice import measures
    from precipice.figures import style

    x, y, settings = displacements(dataset)
    turning = measures.turning_displacement(settings["alpha"], settings["beta"])
    ax.plot(np.abs(x), y, ".-", color=style.COLOURS[0], lw=0.6, ms=2, label="map")
    grid_x = np.geomspace(max(np.abs(x).min(), 1e-12), 1.3 * np.abs(x).max(), 400)
    grid_y = np.linspace(1.2 * min(y.min(), -1e-3), 1.2 * max(y.max(), 1e-3), 300)
    plane_x, plane_y = np.meshgrid(grid_x, grid_y)
    level = measures.stabilization_invariant(plane_x, plane_y, settings["alpha"], settings["beta"])
    first = float(measures.stabilization_invariant(x[0], 0.0, settings["alpha"], settings["beta"]))
    ax.contour(grid_x, grid_y, level, levels=[first], colors=style.COLOURS[1], linewidths=1.2)
    ax.plot([], [], color=style.COLOURS[1], label="cycle in the limit of small steps")
    ax.axvline(turning, color="#4a4a4a", ls="--", lw=1.0, label="|x| = sqrt(2 alpha/beta)")
    ax.set_xscale("log")
    ax.set_xlabel("|x| (displacement along the top eigenvector)")
    ax.set_ylabel("y (sharpness - 2/lr)")
    ax.set_title("phase plane")
    ax.legend(fontsize=8, loc="lower left")
