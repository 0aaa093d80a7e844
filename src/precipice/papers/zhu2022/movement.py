"""Two-step movement around minima of sharpness 2/lr, and where each start ends: figures 12 and 14 of zhu2022."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from precipice._checks import at_least, positive
from precipice.papers.zhu2022.networks import CONVERGED, check_degree

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

    from precipice.papers.figure import Context

WIDTH = 0.1
"""Concentrated: a final sharpness in (2/lr - 0.1, 2/lr), the band of figure 2's caption."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        degree: 2, 3 or 4 (the coupled network).
        lr: learning rate.
        width: starts reach so far to either side of the minimum in its larger entry, as a fraction of it.
        height: the same in its smaller entry, along which descent oscillates.
        grid: starts along each axis.
        num_steps: steps of each run.
        precision: float64.
    """

    degree: int
    lr: float
    width: float
    height: float
    grid: int
    num_steps: int
    precision: str = "float64"


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_degree(settings.degree, settings.lr, settings.precision)
    for name in ("width", "height"):
        positive(name, getattr(settings, name))
        if not getattr(settings, name) < 1:
            at_least(f"1 - {name}", 1 - getattr(settings, name), 0.01)
    at_least("grid", settings.grid, 4)
    at_least("num_steps", settings.num_steps, 2)


def run(settings: Settings, context: "Context") -> "xarray.Dataset":  # noqa: ARG001
    """Descend from a grid of starts around each minimum of sharpness 2/lr."""
    import numpy as np

    from precipice.papers.zhu2022.networks import edge_minima, ends
    from precipice.results import to_dataset

    minima = edge_minima(settings.degree, settings.lr)
    large = np.linspace(-settings.width, settings.width, settings.grid)
    small = np.linspace(-settings.height, settings.height, settings.grid)
    offsets = np.stack(np.meshgrid(large, small, indexing="ij"), axis=-1)
    starts = np.stack([(x, y) * (1 + (offsets if x > y else offsets[..., ::-1])) for x, y in minima])
    saved = {"start_entries": starts, **ends(settings.degree, starts, settings.lr, settings.num_steps)}
    saved["edge_entries"] = minima
    saved["edge"] = np.array(2 / settings.lr)
    coords = {"minimum": range(len(minima)), "relative_large": large, "relative_small": small, "entry": range(2)}
    return to_dataset(saved, coords=coords)


def concentrated(dataset: "xarray.Dataset", minimum: int) -> float | None:
    """Of the starts beyond a minimum in its larger entry that converge: the fraction ending within `WIDTH` of 2/lr."""
    if minimum >= dataset.sizes["minimum"]:
        return None
    one = dataset.isel(minimum=minimum)
    ended = (one["final_loss"] < CONVERGED) & (one["relative_large"] > 0)
    if int(ended.sum()) < 10:
        return None
    gap = one["edge"] - one["final_sharpness"]
    return float(((gap > 0) & (gap < WIDTH) & ended).sum() / ended.sum())


def turning(dataset: "xarray.Dataset") -> float | None:
    """Fraction of arrows that move towards the flat side while leaving the valley on the sharp side, nearing it else.

    In (a, b) = (c - c0, d - 1) with c^2 = x^2 - y^2 and d = xy: a'' < a, and b^2 grows where a > 0 and falls
    where a < 0. Judged around the first minimum at starts with b and a visibly off 0.
    """
    import numpy as np

    one = dataset.isel(minimum=0)
    here = one["start_entries"].values
    after = here + one["two_step_movement"].values
    edge = one["edge_entries"].values

    def coordinates(points):
        x, y = points[..., 0], points[..., 1]
        return np.sqrt(np.maximum(x**2 - y**2, 0)), x * y - 1

    (c, b), (c2, b2), (c0, _) = coordinates(here), coordinates(after), coordinates(edge)
    visible = (np.abs(b) > 0.02) & (np.abs(c / c0 - 1) > 0.02) & np.isfinite(c2) & np.isfinite(b2)
    right = (c2 < c) & ((np.abs(b2) > np.abs(b)) == (c > c0))
    return float(right[visible].mean()) if visible.sum() >= 10 else None


def draw(ax, dataset: "xarray.Dataset", minimum: int):
    """Arrows of the two-step movement, coloured by the final sharpness; the minima and the edge minimum."""
    import numpy as np

    one = dataset.isel(minimum=minimum)
    degree = _degree(dataset)
    start, move = one["start_entries"].values.reshape(-1, 2), one["two_step_movement"].values.reshape(-1, 2)
    final, edge = one["final_sharpness"].values.ravel(), float(one["edge"])
    length = np.hypot(*(move / (start.max(0) - start.min(0))).T)
    shown = np.isfinite(final) & (one["final_loss"].values.ravel() < CONVERGED) & (length > 0)
    unit = move[shown] / length[shown, None] * 0.8 / len(one["relative_large"])
    arrows = ax.quiver(
        *start[shown].T, *unit.T, final[shown], angles="xy", scale_units="xy", scale=1, width=0.004, cmap="coolwarm"
    )
    arrows.set_clim(edge - 4, edge)
    x = np.linspace(start[:, 0].min(), start[:, 0].max(), 200)
    y = x**-0.5 if degree == 3 else 1 / x
    inside = (y >= start[:, 1].min()) & (y <= start[:, 1].max())
    ax.plot(x[inside], y[inside], color="#444444", lw=1.0, label="minima")
    ax.plot(*one["edge_entries"].values, "*", color="black", ms=11, label=f"minimum of sharpness 2/lr = {edge:.4g}")
    low, high = start[:, 1].min(), start[:, 1].max()
    ax.set_ylim(low - 0.08 * (high - low), high + 0.25 * (high - low))  # room for the legend
    ax.set_xlabel("entry x")
    ax.set_ylabel("duplicated entry y" if degree == 3 else "entry y")
    ax.legend(loc="upper right", fontsize=8)
    return arrows


LOSSES = {2: "(1 - xy)^2/2", 4: "(1 - x^2 y^2)^2/4"}


def plot_first(dataset: "xarray.Dataset", remark: str = "") -> "Picture":
    """`draw` around the first minimum as a picture of one panel; `remark` is added to its caption."""
    from precipice.figures import style

    picture, (ax,) = style.panels(1)
    arrows = draw(ax, dataset, 0)
    picture.colorbar(arrows, ax=ax, label="final sharpness", extend="min")
    ax.set_title("two-step movement")
    settings = style.parameters(dataset)
    loss = f", {LOSSES[settings['degree']]}" if settings["degree"] in LOSSES else ""
    style.caption(
        picture,
        f"Scalar network of degree {settings['degree']}{loss}, lr = {settings['lr']:g}: direction of two steps from "
        f"{settings['grid']} x {settings['grid']} starts, coloured by the sharpness after {settings['num_steps']:,} "
        f"steps. {remark}{' ' if remark else ''}Scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _degree(dataset: "xarray.Dataset") -> int:
    from precipice.figures import style

    return style.parameters(dataset)["degree"]
