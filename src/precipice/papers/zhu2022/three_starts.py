"""Loss, sharpness and orbit of a scalar network from a few starts: figures 8 (degree 4) and 11 (degree 2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least
from precipice.papers.zhu2022.networks import check_degree, parse_starts, scalar_network
from precipice.papers.zhu2022.trajectories import draw_orbit, draw_valley, follow

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

    from precipice.papers.figure import Context

PANELS = ("loss", "sharpness", "trajectory")
LOSSES = {2: "(1 - xy)^2/2", 4: "(1 - x^2 y^2)^2/4"}


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        degree: 2, or 4 (the coupled network).
        starts: "x,y; x,y": above, below and close to the minima xy = 1.
        lr: learning rate.
        num_steps: steps of each run.
        precision: float64.
    """

    degree: int
    starts: str
    lr: float
    num_steps: int
    precision: str = "float64"


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_degree(settings.degree, settings.lr, settings.precision)
    if settings.degree == 3:
        raise InputError("degree must be 2 or 4 here; got 3.")
    if len(parse_starts(settings.starts)[0]) != 2:
        raise InputError(f"starts must have 2 entries each; got {settings.starts!r}.")
    at_least("num_steps", settings.num_steps, 10)


def run(settings: Settings, context: "Context") -> "xarray.Dataset":  # noqa: ARG001
    """Descend from each start."""
    import numpy as np

    from precipice.results import to_dataset

    starts = np.array(parse_starts(settings.starts))
    saved = follow(scalar_network(settings.degree), starts, np.full(len(starts), settings.lr), settings.num_steps)
    saved["edge"] = np.full(len(starts), 2 / settings.lr)
    return to_dataset(saved, coords={"start": range(len(starts)), "step": range(settings.num_steps + 1)})


def plot(dataset: "xarray.Dataset", panel: str | None = None, remark: str = "") -> "Picture":
    """Loss, sharpness and the two-step view in (x, y); `remark` is added to the caption."""
    import numpy as np

    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    edge = float(dataset["edge"][0])
    for name, ax in zip(names, axes, strict=True):
        for i in range(dataset.sizes["start"]):
            one, colour = dataset.isel(start=i), style.COLOURS[i % len(style.COLOURS)]
            label = "start ({:.3g}, {:.3g})".format(*one["entries"].values[0])
            if name == "trajectory":
                draw_orbit(ax, one, colour, label)
            else:
                ax.plot(one["step"], one[name], color=colour, lw=1.0, label=label)
        if name == "sharpness":
            style.edge_line(ax, edge, f"2/lr = {edge:.4g}", "#4a4a4a")
        if name == "trajectory":
            x = dataset["entries"].isel(entry=0)
            draw_valley(ax, np.linspace(float(x.min()), float(x.max()), 100))
        ax.set_yscale("log" if name == "loss" else "linear")
        ax.set_xlabel("entry x" if name == "trajectory" else "gradient step")
        ax.set_ylabel(
            {"loss": "loss", "sharpness": "sharpness (largest Hessian eigenvalue)", "trajectory": "entry y"}[name]
        )
        ax.set_title({"trajectory": "every other step"}.get(name, name))
        ax.legend(fontsize=8, loc="center" if name == "trajectory" else "best")
    settings = style.parameters(dataset)
    style.caption(
        picture,
        f"Scalar network of degree {settings['degree']}, {LOSSES[settings['degree']]}, gradient descent at "
        f"lr = {settings['lr']:g} for {settings['num_steps']:,} steps from starts above, below and close to the minima "
        f"xy = 1; circles: starts; squares: ends. The starts are not given in the paper. {remark}"
        f"{' ' if remark else ''}Scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture
