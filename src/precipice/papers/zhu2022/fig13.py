"""zhu2022/fig13: final sharpness at degree 3 over starts (x, y, y): concentration where the duplicated y is small."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022 import grids
from precipice.papers.zhu2022.networks import check_degree

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("grid",)


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        degree: 3 in the paper; 2 and 4 too.
        lr: learning rate.
        x_low: starts from this x ...
        x_high: ... to this.
        y_low: starts from this y ...
        y_high: ... to this.
        grid: starts along each axis.
        grid_steps: steps of each run.
        precision: float64.
    """

    degree: int
    lr: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    grid: int
    grid_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rate and 50,000 steps; its window is not given: this one holds both edge minima."""
    return Settings(degree=3, lr=0.2, x_low=0.02, x_high=7.0, y_low=0.02, y_high=2.5, grid=300, grid_steps=50_000)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """80 x 80 starts, 5,000 steps."""
    return dataclasses.replace(paper_settings(), grid=80, grid_steps=5000)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_degree(settings.degree, settings.lr, settings.precision)
    grids.check_grid(settings)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend from each start of the grid."""
    import numpy as np

    from precipice.papers.zhu2022.networks import edge_minima
    from precipice.results import to_dataset

    minima = edge_minima(settings.degree, settings.lr)
    found = grids.final_sharpness(settings, settings.degree, settings.lr)
    x, y = grids.grid_of(settings)
    cells = to_dataset(found, coords={"start_x": x, "start_y": y})
    scalars = to_dataset(
        {"edge": np.array(2 / settings.lr), "edge_entries": minima},
        coords={"minimum": range(len(minima)), "entry": range(2)},
    )
    return cells.merge(scalars)


def control(settings: Settings) -> Settings:
    """Degree 2: starts on the sharp side end far below the edge."""
    return dataclasses.replace(settings, degree=2)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """Colours over (x, y)."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    picture, (ax,) = style.panels(1)
    colours = grids.draw(ax, dataset, settings["degree"], dataset["edge_entries"].values)
    picture.colorbar(colours, ax=ax, label="final sharpness", extend="min")
    ax.set_title(f"where starts end, degree {settings['degree']}")
    style.caption(
        picture,
        f"Scalar network of degree {settings['degree']}, (1 - x y y)^2/2 for degree 3, lr = {settings['lr']:g}: "
        f"sharpness after {settings['grid_steps']:,} steps from {settings['grid']} x {settings['grid']} "
        f"starts; white: diverged or not converged. The paper's window is not given; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _beyond(dataset: "xarray.Dataset", minimum: int) -> float | None:
    from precipice.figures import style

    if minimum >= dataset.sizes["minimum"]:
        return None
    x, y = dataset["edge_entries"].values[minimum]
    beyond = dataset["start_x"] > x if x > y else dataset["start_y"] > y
    degree = style.parameters(dataset)["degree"]
    return grids.concentrated(dataset, grids.near_valley(dataset, degree) & beyond)


CLAIMS = (
    Claim(
        "large-x-concentrates",
        "Starts near the edge minimum with large x and small duplicated y end just below 2/lr.",
        "zhu2022 figure 13, lower right",
        (0.8, 1.0),
        "fraction within 0.1 below 2/lr, of the converging starts near the valley (x y^2 within 0.5 of 1) beyond that "
        "minimum; the paper's red area covers this end of the valley, up to its edge",
        lambda dataset: _beyond(dataset, 0),
    ),
    Claim(
        "small-x-does-not",
        "Near the edge minimum with small x and large duplicated y there is no concentration, as at degree 2.",
        "zhu2022 figure 13, upper left",
        (0.0, 0.2),
        "the same fraction, of the starts beyond the other minimum",
        lambda dataset: _beyond(dataset, 1),
    ),
)

FIGURE = Figure(
    id="zhu2022/fig13",
    title="Degree 3: final sharpness over starts (x, y, y)",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "5 seconds", NO_DATA),
        "paper": Scale(paper_settings, "75 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="large-x-concentrates",
    claim_panels={claim.name: "grid" for claim in CLAIMS},
)
