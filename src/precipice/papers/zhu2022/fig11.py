"""zhu2022/fig11: at degree 2, runs that start sharper than 2/lr turn around the edge minimum and end far below."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022 import three_starts
from precipice.papers.zhu2022.three_starts import PANELS, Settings, run, validate
from precipice.papers.zhu2022.trajectories import last, valley_sharpness

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Three starts at the paper's learning rate; its starts are not given."""
    return Settings(degree=2, starts="3.35,0.36; 3.35,0.2; 3.35,0.296", lr=0.2, num_steps=150)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate: nearly gradient flow, which keeps x^2 - y^2 and so the sharpness of the valley."""
    return dataclasses.replace(settings, lr=settings.lr / 10, num_steps=10 * settings.num_steps)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness and the two-step view in (x, y)."""
    remark = (
        "The loss is that of the coefficients of eq. 12, where the paper prints (1 - xy)^2; the caption of figure 11 "
        "is not in the text: this is figure 8 at degree 2."
    )
    return three_starts.plot(dataset, panel, remark)


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
