"""zhu2022/fig9: the two-step movement of the degree-4 network leads along a parabola to just below its edge minimum."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022 import movement
from precipice.papers.zhu2022.movement import Settings, run, validate

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("movement",)


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rate; 41 x 41 starts."""
    return Settings(degree=4, lr=0.2, width=0.15, height=0.4, grid=41, num_steps=50_000)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """21 x 21 starts, 10,000 steps."""
    return dataclasses.replace(paper_settings(), grid=21, num_steps=10_000)


def control(settings: Settings) -> Settings:
    """Degree 2, where starts turn around the minimum instead."""
    return dataclasses.replace(settings, degree=2)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """Arrows in (x, y)."""
    return movement.plot_first(dataset)


def _right(dataset: "xarray.Dataset") -> float | None:
    return movement.concentrated(dataset, 0)


def _flattens(dataset: "xarray.Dataset") -> float:
    """Fraction of the starts off the minima whose two steps lead to the flatter side, x^2 - y^2 falling."""
    import numpy as np

    here = dataset["start_entries"].isel(minimum=0).values
    after = here + dataset["two_step_movement"].isel(minimum=0).values
    before, behind = (points[..., 0] ** 2 - points[..., 1] ** 2 for points in (here, after))
    off = np.abs(here[..., 0] * here[..., 1] - 1) > 0.02
    return float((behind < before)[off].mean())


CLAIMS = (
    Claim(
        "right-side-concentrates",
        "Starts to the right of the minimum of sharpness 2/lr tend to end just below 2/lr.",
        "zhu2022 figure 9; corollary 3.1 (MIN-11)",
        (0.8, 1.0),
        "fraction of the converging starts beyond that minimum in x that end within 0.1 below 2/lr; the others are "
        "thrown far in their first steps, as in figure 14",
        _right,
    ),
    Claim(
        "movement-flattens",
        "Two steps lead towards the flatter side.",
        "zhu2022 figure 9; eq. 6 (MIN-7)",
        (1.0, 1.0),
        "fraction of the starts off the minima with x^2 - y^2 falling; c' < c exactly",
        _flattens,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig9",
    title="Degree 4: two-step movement around the edge minimum",
    panels=PANELS,
    scales={"quick": Scale(quick_settings, "4 seconds", NO_DATA), "paper": Scale(paper_settings, "a minute", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="right-side-concentrates",
    claim_panels={claim.name: "movement" for claim in CLAIMS},
)
