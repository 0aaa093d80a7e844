"""zhu2022/fig8: at degree 4, starts above, below and very close to the minima all end just below 2/lr."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022 import three_starts
from precipice.papers.zhu2022.three_starts import PANELS, Settings, run, validate
from precipice.papers.zhu2022.trajectories import last

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rate; its starts are not given."""
    return Settings(degree=4, starts="2.5,0.5; 2.6,0.3; 2.5,0.4001", lr=0.2, num_steps=1200)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate, whose edge of 100 lies far above the sharpness of the starts."""
    return dataclasses.replace(settings, lr=settings.lr / 10)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness and the two-step view in (x, y)."""
    return three_starts.plot(dataset, panel)


def _lowest(dataset: "xarray.Dataset") -> float:
    return float((last(dataset["sharpness"]) / dataset["edge"]).min())


def _highest(dataset: "xarray.Dataset") -> float:
    return float((last(dataset["sharpness"]) / dataset["edge"]).max())


def _loss(dataset: "xarray.Dataset") -> float:
    return float(last(dataset["loss"]).max())


CLAIMS = (
    Claim(
        "sharpness-concentrates",
        "The sharpness of all trajectories converges to around 2/lr.",
        "zhu2022 figure 8; theorem 3.1 (MIN-11)",
        (0.98, 1.0),
        "smallest final sharpness over 2/lr; the gap lr/2 of MIN-10 gives 0.99",
        _lowest,
    ),
    Claim(
        "ends-below-the-edge",
        "It ends below 2/lr.",
        "zhu2022 corollary 3.1 (MIN-11)",
        (0.9, 1.0),
        "largest final sharpness over 2/lr",
        _highest,
    ),
    Claim(
        "loss-vanishes",
        "The loss decreases exponentially.",
        "zhu2022 figure 8; lemma 15 (ERR-M5)",
        (0.0, 1e-8),
        "largest last loss; its factor per two steps is 1 - lr^2 near the end, squared",
        _loss,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig8",
    title="Degree 4: loss, sharpness and orbit from three starts",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "2 seconds", NO_DATA), "paper": Scale(settings_of, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="sharpness-concentrates",
    claim_panels={
        "sharpness-concentrates": "sharpness",
        "ends-below-the-edge": "sharpness",
        "loss-vanishes": "loss",
    },
)
