"""zhu2022/fig2: at degree 4 descent ends just below 2/lr, for every learning rate (adaptivity) and from wide starts."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022 import grids, start_tiles
from precipice.papers.zhu2022.networks import check_degree, parse_starts

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("adaptivity", "concentration")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        degree: 4 in the paper; 2 too.
        edges: 2/lr of the trajectories, ascending.
        start: (x, y) of the trajectories.
        num_steps: of each trajectory.
        lr: learning rate of the grid.
        x_low: the grid's starts from this x ...
        x_high: ... to this.
        y_low: from this y ...
        y_high: ... to this.
        grid: starts along each axis.
        grid_steps: most steps from each of them.
        precision: float64.
    """

    degree: int
    edges: str
    start: str
    num_steps: int
    lr: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    grid: int
    grid_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rates and steps; start and window are not given in it."""
    return Settings(
        degree=4,
        edges="8,10,12",
        start="2.6,0.3",
        num_steps=1000,
        lr=0.2,
        x_low=0.01,
        x_high=4.0,
        y_low=0.01,
        y_high=4.0,
        grid=2000,
        grid_steps=50_000,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """120 x 120 starts, 10,000 steps."""
    return dataclasses.replace(paper_settings(), grid=120, grid_steps=10_000)


def control(settings: Settings) -> Settings:
    """Degree 2: starts end anywhere below the edge."""
    return dataclasses.replace(settings, degree=2)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    if settings.degree not in (2, 4):
        raise InputError(f"degree must be 2 or 4; got {settings.degree}.")
    for edge in parse_starts(settings.edges, "edges")[0]:
        check_degree(settings.degree, 2 / edge, settings.precision)
    check_degree(settings.degree, settings.lr, settings.precision)
    if len(parse_starts(settings.start, "start")[0]) != 2:
        raise InputError(f"start must have 2 entries; got {settings.start!r}.")
    at_least("num_steps", settings.num_steps, 10)
    grids.check_grid(settings)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Trajectories at each learning rate from one start, and the ends of a grid of starts at one learning rate."""
    import numpy as np

    from precipice.papers.zhu2022.networks import edge_minima, scalar_network
    from precipice.papers.zhu2022.trajectories import follow
    from precipice.results import to_dataset

    lrs = 2 / np.array(parse_starts(settings.edges, "edges")[0])
    starts = np.repeat(np.array(parse_starts(settings.start)), len(lrs), axis=0)
    saved = follow(scalar_network(settings.degree), starts, lrs, settings.num_steps)
    del saved["status"]  # the grid's is kept; a trajectory that diverges shows as NaN
    orbits = to_dataset(saved, coords={"lr": lrs, "step": range(settings.num_steps + 1), "entry": range(2)})
    x, y = grids.grid_of(settings)
    cells = to_dataset(start_tiles.final_sharpness(settings, context), coords={"start_x": x, "start_y": y})
    scalars = {"edge": np.array(2 / settings.lr), "edge_entries": edge_minima(settings.degree, settings.lr)}
    return orbits.merge(cells).merge(to_dataset(scalars, coords={"minimum": range(1), "entry": range(2)}))


# Claims -------------------------------------------------------------------------------------------------------------


def _gaps(dataset: "xarray.Dataset") -> "xarray.DataArray":
    """2/lr - final sharpness, in units of lr."""
    return (2 / dataset["lr"] - dataset["sharpness"].isel(step=-1)) / dataset["lr"]


def _largest_gap(dataset: "xarray.Dataset") -> float | None:
    gaps = _gaps(dataset)
    return float(gaps.max()) if bool(gaps.notnull().all()) else None


def _smallest_gap(dataset: "xarray.Dataset") -> float | None:
    gaps = _gaps(dataset)
    return float(gaps.min()) if bool(gaps.notnull().all()) else None


def _concentration(dataset: "xarray.Dataset") -> float | None:
    from precipice.figures import style

    sharp = dataset["start_x"] > float(dataset["edge_entries"].values[0, 0])
    return grids.concentrated(dataset, grids.near_valley(dataset, style.parameters(dataset)["degree"]) & sharp)


CLAIMS = (
    Claim(
        "adapts-to-each-learning-rate",
        "From one start, the sharpness ends very close to 2/lr for each learning rate.",
        "zhu2022 figure 2a, corollary 3.1",
        (0.0, 20 / 3),
        "largest (2/lr - sharpness)/lr; the corollary's upper bound, 20/3, is at most 0.21 of 2/lr here",
        _largest_gap,
    ),
    Claim(
        "ends-below-the-edge",
        "It ends just below 2/lr, not at it.",
        "zhu2022 corollary 3.1; MIN-10",
        (0.25, 0.55),
        "smallest (2/lr - sharpness)/lr; theory has 1/2 as lr goes to 0, reference runs 0.30 at lr 1/4 and 0.40 at 1/6",
        _smallest_gap,
    ),
    Claim(
        "concentration",
        "For a fixed learning rate, nearly all starts near the valley on its sharp side end within 0.1 below 2/lr.",
        "zhu2022 figure 2b",
        (0.8, 1.0),
        "fraction of the converging starts near the valley (xy within 0.5 of 1), with x beyond the edge minimum, whose "
        "final sharpness is in (2/lr - 0.1, 2/lr), the paper's red band",
        _concentration,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Sharpness against the step at each learning rate; the final sharpness over starts."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "adaptivity":
            draw_adaptivity(ax, dataset)
        else:
            colours = grids.draw(ax, dataset, settings["degree"], dataset["edge_entries"].values)
            picture.colorbar(colours, ax=ax, label="final sharpness", extend="min")
            ax.set_title(f"where starts end, lr = {settings['lr']:g}")
    style.caption(
        picture,
        f"Coupled scalar network of degree {settings['degree']}, (1 - x^2 y^2)^2/4 at degree 4. Left: from "
        f"({settings['start']}). Right: up to {settings['grid_steps']:,} steps from {settings['grid']} x "
        f"{settings['grid']} starts; white: diverged or not converged. Start and window are ours; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def draw_adaptivity(ax, dataset: "xarray.Dataset") -> None:
    """The sharpness of each trajectory and its edge."""
    from precipice.figures import style

    for index, lr in enumerate(dataset["lr"].values):
        colour = style.COLOURS[index % len(style.COLOURS)]
        ax.plot(dataset["step"], dataset["sharpness"].isel(lr=index), color=colour, lw=1.0, label=f"lr = {lr:.4g}")
        style.edge_line(ax, 2 / lr, f"2/lr = {2 / lr:.4g}", colour)
    ax.set_xlabel("gradient step")
    ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
    ax.set_title("from one start")
    ax.legend(fontsize=8)


FIGURE = Figure(
    id="zhu2022/fig2",
    title="Degree 4: sharpness adapts to the learning rate and concentrates over starts",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "6 seconds", NO_DATA),
        "paper": Scale(paper_settings, "2 minutes", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="concentration",
    claim_panels={
        "adapts-to-each-learning-rate": "adaptivity",
        "ends-below-the-edge": "adaptivity",
        "concentration": "concentration",
    },
)
