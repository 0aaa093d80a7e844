"""zhu2022/fig5: beyond the edge at degree 2, orbits are ellipses and sharper starts end flatter; no concentration."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022 import grids
from precipice.papers.zhu2022.networks import CONVERGED, check_degree, edge_minima, parse_starts, scalar_network
from precipice.papers.zhu2022.trajectories import draw_orbit, draw_valley, follow, last

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "sharpness", "trajectory", "grid")

SHOWN = 1
"""Index of the learning rate whose grid is drawn and judged: 2/10."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        edges: "8,10,12": the thresholds 2/lr.
        start: "x,y" of the trajectories.
        num_steps: steps of the trajectories.
        local_low: starts of the grid from this x, just beyond the edge minimum of 2/lr = 10 ...
        local_high: ... to this are compared with each other.
        x_low: grid starts from this x ...
        x_high: ... to this.
        y_low: grid starts from this y ...
        y_high: ... to this.
        grid: starts along each axis.
        grid_steps: steps of each run of the grid.
        precision: float64.
    """

    edges: str
    start: str
    num_steps: int
    local_low: float
    local_high: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    grid: int
    grid_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rates and 50,000 steps; its start and window are not given."""
    return Settings(
        edges="8,10,12",
        start="3.6,0.3",
        num_steps=150,
        local_low=3.2,
        local_high=3.8,
        x_low=0.02,
        x_high=4.5,
        y_low=0.02,
        y_high=4.5,
        grid=300,
        grid_steps=50_000,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """80 x 80 starts, 5,000 steps."""
    return dataclasses.replace(paper_settings(), grid=80, grid_steps=5000)


def lrs_of(settings: Settings) -> list[float]:
    """The learning rates, descending.

    Raises:
        InputError: not three or more ascending positive numbers.
    """
    (edges,) = parse_starts(settings.edges, "edges")
    if len(edges) < 2 or sorted(edges) != edges:
        raise InputError(f"edges must be 2 or more ascending numbers; got {settings.edges!r}.")
    return [2 / edge for edge in edges]


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    if ";" in settings.edges or ";" in settings.start:
        raise InputError(f"edges and start must be one list each; got {settings.edges!r} and {settings.start!r}.")
    for lr in lrs_of(settings):
        check_degree(2, lr, settings.precision)
    if len(parse_starts(settings.start, "start")[0]) != 2:
        raise InputError(f"start must have 2 entries; got {settings.start!r}.")
    at_least("num_steps", settings.num_steps, 10)
    at_least("local_high", settings.local_high, settings.local_low)
    grids.check_grid(settings)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Trajectories from one start, and the ends of a grid of starts, at each learning rate."""
    import numpy as np

    from precipice.results import to_dataset

    lrs = np.array(lrs_of(settings))
    starts = np.repeat(np.array(parse_starts(settings.start)), len(lrs), axis=0)
    saved = follow(scalar_network(2), starts, lrs, settings.num_steps)
    del saved["status"]  # the grid's is kept; a trajectory that diverges shows as NaN
    saved |= {"edge": 2 / lrs, "edge_entries": np.concatenate([edge_minima(2, lr) for lr in lrs])}
    orbits = to_dataset(saved, coords={"lr": lrs, "step": range(settings.num_steps + 1), "entry": range(2)})
    cells = [grids.final_sharpness(settings, 2, lr) for lr in lrs]
    x, y = grids.grid_of(settings)
    ends = {name: np.stack([cell[name] for cell in cells]) for name in cells[0]}
    return orbits.merge(to_dataset(ends, coords={"lr": lrs, "start_x": x, "start_y": y}))


def control(settings: Settings) -> Settings:
    """A tenth of the learning rates: nearly gradient flow, so that sharper starts end sharper."""
    edges = ",".join(f"{10 * 2 / lr:g}" for lr in lrs_of(settings))
    return dataclasses.replace(settings, edges=edges, num_steps=10 * settings.num_steps)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness and two-step view at each learning rate; the final sharpness over starts at one."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "grid":
            one = dataset.isel(lr=SHOWN)
            colours = grids.draw(ax, one, 2, one["edge_entries"].values[None])
            picture.colorbar(colours, ax=ax, label="final sharpness", extend="min")
            ax.set_title(f"where starts end, 2/lr = {float(one['edge']):.4g}")
        else:
            _draw(ax, dataset, name)
    settings = style.parameters(dataset)
    style.caption(
        picture,
        f"Degree-2 scalar network, (1 - xy)^2/2 (the loss of the coefficients of eq. 12, where the paper prints "
        f"(1 - xy)^2), gradient descent from ({settings['start']}) at 2/lr = {settings['edges']}. Circles: starts; "
        f"squares: ends; dashed ellipses: b^2 = 4 (C - a^2)/lr through the start. Grid: {settings['grid']} x "
        f"{settings['grid']} starts, {settings['grid_steps']:,} steps; white: diverged or not converged; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw(ax, dataset: "xarray.Dataset", name: str) -> None:
    import numpy as np

    from precipice.figures import style

    for i in range(dataset.sizes["lr"]):
        one, colour = dataset.isel(lr=i), style.COLOURS[i % len(style.COLOURS)]
        edge = float(one["edge"])
        if name == "trajectory":
            draw_orbit(ax, one, colour, f"2/lr = {edge:.4g}")
            ax.plot(*_ellipse(one), color=colour, lw=0.8, ls="--")
            ax.plot(*one["edge_entries"].values, "*", color=colour, ms=10)
        else:
            ax.plot(one["step"], one[name], color=colour, lw=1.0, label=f"lr = {float(one['lr']):.4g}")
        if name == "sharpness":
            style.edge_line(ax, edge, f"2/lr = {edge:.4g}", colour)
    if name == "trajectory":
        x = dataset["entries"].isel(entry=0)
        draw_valley(ax, np.linspace(float(x.min()), float(x.max()), 100))
    ax.set_yscale("log" if name == "loss" else "linear")
    ax.set_xlabel("entry x" if name == "trajectory" else "gradient step")
    ax.set_ylabel({"loss": "loss", "sharpness": "sharpness (largest Hessian eigenvalue)"}.get(name, "entry y"))
    ax.set_title({"trajectory": "every other step"}.get(name, name))
    ax.legend(fontsize=8, loc="lower right" if name == "sharpness" else "upper right")


def _ellipse(one: "xarray.Dataset"):
    """(x, y) along the ellipse of eq. 12's limit through the start."""
    import numpy as np

    lr, (x0, y0) = float(one["lr"]), one["entries"].isel(step=0).values
    edge_c = (4 / lr**2 - 4) ** 0.25
    a, b = np.sqrt(x0**2 - y0**2) - edge_c, x0 * y0 - 1
    size, angle = np.sqrt(a**2 + lr * b**2 / 4), np.linspace(0, 2 * np.pi, 200)
    c, d = edge_c + size * np.cos(angle), 1 + 2 * size * np.sin(angle) / np.sqrt(lr)
    x = np.sqrt((c**2 + np.sqrt(c**4 + 4 * d**2)) / 2)
    return x, d / x


def _rank_correlation(dataset: "xarray.Dataset") -> float | None:
    import numpy as np

    from precipice.figures import style

    one, settings = dataset.isel(lr=SHOWN), style.parameters(dataset)
    x = one["start_x"]
    where = grids.near_valley(one, 2) & (x >= settings["local_low"]) & (x <= settings["local_high"])
    if int(where.sum()) < 10:
        return None
    inside = np.asarray(where)
    starts, finals = np.asarray(x.broadcast_like(where))[inside], np.asarray(one["final_sharpness"])[inside]
    return float(np.corrcoef(starts.argsort().argsort(), finals.argsort().argsort())[0, 1])


def _gap(dataset: "xarray.Dataset") -> float:
    return float((1 - last(dataset["sharpness"]) / dataset["edge"]).min())


def _concentrated(dataset: "xarray.Dataset") -> float | None:
    one = dataset.isel(lr=SHOWN)
    return grids.concentrated(one, (one["final_loss"] < CONVERGED) & (one["start_x"] > one["edge_entries"][0]))


def _end_of_ellipse(dataset: "xarray.Dataset") -> float:
    import numpy as np

    one = dataset.isel(lr=-1)
    x, y = _ellipse(one)
    predicted = np.min(np.sqrt((x**2 - y**2) ** 2 + 4))
    return float(abs(last(one["sharpness"]) - predicted) / (one["edge"] - predicted))


CLAIMS = (
    Claim(
        "sharper-starts-end-flatter",
        "Locally, sharper starts converge to flatter minima.",
        "zhu2022 section 4, figure 5",
        (-1.0, -0.8),
        "rank correlation between start x and final sharpness, over the converging starts near the valley from "
        "local_low to local_high, at the second learning rate; gradient flow gives nearly +1",
        _rank_correlation,
    ),
    Claim(
        "ends-far-from-the-edge",
        "Trajectories end at minima that are distinguishably flatter than 2/lr.",
        "zhu2022 figure 5 (a)",
        (0.05, 1.0),
        "smallest (2/lr - final sharpness) over 2/lr of the learning rates; at degree 4 it is below 0.01 (MIN-C01)",
        _gap,
    ),
    Claim(
        "no-concentration",
        "No region of starts ends at the edge.",
        "zhu2022 figure 5 (b)",
        (0.0, 0.2),
        "fraction of the converging starts with x beyond the edge minimum that end within 0.1 below 2/lr",
        _concentrated,
    ),
    Claim(
        "orbits-are-ellipses",
        "The two-step orbit follows the ellipse around the edge minimum to its other end.",
        "zhu2022 section 4, after eq. 12",
        (0.0, 0.3),
        "error of the final sharpness predicted by the ellipse, over the predicted fall below 2/lr, at the smallest "
        "learning rate, where the start is nearest; it is the leading order in sqrt(lr) = 0.4",
        _end_of_ellipse,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig5",
    title="Degree 2: beyond the edge, sharper starts end flatter",
    panels=PANELS,
    scales={"quick": Scale(quick_settings, "5 seconds", NO_DATA), "paper": Scale(paper_settings, "4 minutes", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="sharper-starts-end-flatter",
    claim_panels={
        "sharper-starts-end-flatter": "grid",
        "ends-far-from-the-edge": "sharpness",
        "no-concentration": "grid",
        "orbits-are-ellipses": "trajectory",
    },
)
