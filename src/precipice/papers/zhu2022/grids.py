"""The sharpness at which gradient descent ends from a grid of starts (x, y), for a scalar network of two entries."""

from typing import TYPE_CHECKING, Any

from precipice._checks import InputError, at_least, positive
from precipice.papers.zhu2022.networks import CONVERGED

if TYPE_CHECKING:
    import numpy as np
    import xarray

WIDTH = 0.1
"""Concentrated: a final sharpness in (2/lr - 0.1, 2/lr), the band of figure 2's caption."""

NEAR = 0.5
"""Starts near the valley have an output (x y, or x y^2) within so much of 1."""


def check_grid(settings: Any) -> None:
    """Refuse a grid that is empty or leaves the positive quadrant (fields x_low, x_high, y_low, y_high, grid).

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for axis in "xy":
        low, high = getattr(settings, f"{axis}_low"), getattr(settings, f"{axis}_high")
        positive(f"{axis}_low", low)
        if not low < high:
            raise InputError(f"{axis}_high must be above {axis}_low ({low}); got {high}.")
    at_least("grid", settings.grid, 4)
    at_least("grid_steps", settings.grid_steps, 1)


def grid_of(settings: Any) -> "tuple[np.ndarray, np.ndarray]":
    """(x, y) of the starts along each axis."""
    import numpy as np

    x = np.linspace(settings.x_low, settings.x_high, settings.grid)
    return x, np.linspace(settings.y_low, settings.y_high, settings.grid)


def final_sharpness(settings: Any, degree: int, lr: float) -> "dict[str, np.ndarray]":
    """``final_sharpness``, ``final_loss`` and ``status`` of each start [x, y]."""
    import numpy as np

    from precipice.papers.zhu2022.networks import ends

    starts = np.stack(np.meshgrid(*grid_of(settings), indexing="ij"), axis=-1)
    found = ends(degree, starts, lr, settings.grid_steps)
    return {name: found[name] for name in ("final_sharpness", "final_loss", "status")}


def near_valley(dataset: "xarray.Dataset", degree: int) -> "xarray.DataArray":
    """Whether a start lies near the valley and its run converged."""
    x, y = dataset["start_x"], dataset["start_y"]
    output = x * y**2 if degree == 3 else x * y
    return (abs(output - 1) < NEAR) & (dataset["final_loss"] < CONVERGED)


def concentrated(dataset: "xarray.Dataset", where: "xarray.DataArray") -> float | None:
    """The fraction of the starts `where` that ends within `WIDTH` below 2/lr; None of fewer than ten."""
    if int(where.sum()) < 10:
        return None
    gap = dataset["edge"] - dataset["final_sharpness"]
    return float((where & (gap > 0) & (gap < WIDTH)).sum() / where.sum())


def draw(ax, dataset: "xarray.Dataset", degree: int, minima: "np.ndarray"):
    """The final sharpness as colours; white where the run diverged or found no minimum."""
    import numpy as np

    edge = float(dataset["edge"])
    x, y = dataset["start_x"].values, dataset["start_y"].values
    final = dataset["final_sharpness"].where(dataset["final_loss"] < CONVERGED).transpose("start_y", "start_x")
    colours = ax.pcolormesh(x, y, final, cmap="coolwarm", vmin=max(edge - 6, 0), vmax=edge, shading="nearest")
    valley = x**-0.5 if degree == 3 else 1 / x
    inside = (valley >= y[0]) & (valley <= y[-1])
    ax.plot(x[inside], valley[inside], color="#333333", lw=1.0, label="minima")
    shown = np.array([m for m in minima if x[0] <= m[0] <= x[-1] and y[0] <= m[1] <= y[-1]]).reshape(-1, 2)
    ax.plot(*shown.T, "*", color="black", ms=10, linestyle="none", label=f"minimum of sharpness 2/lr = {edge:.4g}")
    ax.set_xlabel("start x")
    ax.set_ylabel("start y (duplicated)" if degree == 3 else "start y")
    ax.grid(visible=False)
    ax.legend(loc="upper right", fontsize=8)
    return colours
