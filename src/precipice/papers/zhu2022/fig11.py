"""zhu2022/fig11: at degree 2, runs that start sharper than 2/lr turn around the edge minimum and end far below."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022.networks import check_degree, parse_starts, scalar_network
from precipice.papers.zhu2022.trajectories import draw_orbit, draw_valley, follow, last, valley_sharpness

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "sharpness", "trajectory")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        starts: "x,y; x,y": above, below and close to the minima xy = 1.
        lr: learning rate.
        num_steps: steps of each run.
        precision: float64.
    """

    starts: str
    lr: float
    num_steps: int
    precision: str = "float64"


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Three starts at the paper's learning rate; its starts are not given."""
    return Settings(starts="3.35,0.36; 3.35,0.2; 3.35,0.296", lr=0.2, num_steps=150)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_degree(2, settings.lr, settings.precision)
    if len(parse_starts(settings.starts)[0]) != 2:
        raise InputError(f"starts must have 2 entries each; got {settings.starts!r}.")
    at_least("num_steps", settings.num_steps, 10)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend from each start."""
    import numpy as np

    from precipice.results import to_dataset

    starts = np.array(parse_starts(settings.starts))
    saved = follow(scalar_network(2), starts, np.full(len(starts), settings.lr), settings.num_steps)
    saved["edge"] = np.full(len(starts), 2 / settings.lr)
    return to_dataset(saved, coords={"start": range(len(starts)), "step": range(settings.num_steps + 1)})


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate: nearly gradient flow, which keeps x^2 - y^2 and so the sharpness of the valley."""
    return dataclasses.replace(settings, lr=settings.lr / 10, num_steps=10 * settings.num_steps)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness and the two-step view in (x, y)."""
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
        f"Degree-2 scalar network, (1 - xy)^2/2 (the loss of the coefficients of eq. 12, where the paper prints "
        f"(1 - xy)^2), gradient descent at lr = {settings['lr']:g} for {settings['num_steps']:,} steps. Circles: "
        f"starts; squares: ends. The caption of figure 11 is not in the text: this is figure 8 at degree 2; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _fall(dataset: "xarray.Dataset") -> float:
    start = valley_sharpness(dataset["entries"].isel(step=0))
    return float((last(valley_sharpness(dataset["entries"])) / start).max())


def _gap(dataset: "xarray.Dataset") -> float:
    return float((1 - last(dataset["sharpness"]) / dataset["edge"]).min())


def _loss(dataset: "xarray.Dataset") -> float:
    return float(last(dataset["loss"]).max())


CLAIMS = (
    Claim(
        "sharpness-falls-past-the-edge",
        "Starts sharper than 2/lr are carried to minima that are clearly flatter.",
        "zhu2022 section 4, figure 11",
        (0.0, 0.9),
        "largest ratio, over the starts, of the last to the first sharpness of the valley (the minimum that gradient "
        "flow would reach); the ellipse leads from c0 + a to c0 - a, gradient flow gives 1",
        _fall,
    ),
    Claim(
        "ends-far-from-the-edge",
        "The runs end farther from 2/lr than those of degree 4.",
        "zhu2022 section 4, figure 11",
        (0.05, 1.0),
        "smallest (2/lr - final sharpness) over 2/lr; at degree 4 it is 0.007 at this learning rate (MIN-C01)",
        _gap,
    ),
    Claim(
        "loss-vanishes",
        "The runs converge to minima.",
        "zhu2022 figure 11",
        (0.0, 1e-12),
        "largest last loss; the residual shrinks by at least 0.9 at each step where the sharpness is 5 % below 2/lr",
        _loss,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig11",
    title="Degree 2: loss, sharpness and orbit from three starts",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "2 seconds", NO_DATA), "paper": Scale(settings_of, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="sharpness-falls-past-the-edge",
    claim_panels={
        "sharpness-falls-past-the-edge": "trajectory",
        "ends-far-from-the-edge": "sharpness",
        "loss-vanishes": "loss",
    },
)
