"""zhu2022/fig21: pairs of entries of a 4-layer network with a large, a moderate and two small entries."""

from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022 import free_entries
from precipice.papers.zhu2022.coalescence import control
from precipice.papers.zhu2022.free_entries import Settings, run, validate

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PAIRS = {"x1-x2": (2, 1), "x1-x3": (3, 1), "x2-x3": (3, 2), "x3-x4": (4, 3)}
"""Panels; entries are numbered from 1: x1 starts at 6, x2 at 0.7, x3 at 0.3 and x4 at 0.2."""


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's start and learning rate, until the oscillation has died."""
    return Settings(entries="6,0.7,0.3,0.2", lr=0.2, num_steps=4000)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Four pairs in the two-step view."""
    return free_entries.plot_pairs(dataset, PAIRS, panel)


def _x1(dataset: "xarray.Dataset") -> float | None:
    found = [free_entries.parabola(dataset, small, 0) for small in (2, 3)]
    return min((value for value in found if value is not None), default=None)


def _x3_x4(dataset: "xarray.Dataset") -> float:
    return free_entries.correlation(dataset, 2, 3)


def _x2_x3(dataset: "xarray.Dataset") -> float | None:
    return free_entries.parabola(dataset, 2, 1)


def _x1_x2(dataset: "xarray.Dataset") -> float:
    return free_entries.correlation(dataset, 0, 1)


CLAIMS = (
    Claim(
        "large-against-small-is-a-parabola",
        "The large entry follows a parabola of a small one in the two-step view.",
        "zhu2022 figure 21",
        (0.9, 1.0),
        "smaller R^2 of the midpoints of x1 as a linear function of the squared steps of x3 and of x4, over "
        "the smooth oscillation, times the fraction of steps on which the small one turns",
        _x1,
    ),
    Claim(
        "small-entries-move-in-proportion",
        "The two small entries move approximately in proportion.",
        "zhu2022 figure 21",
        (0.95, 1.0),
        "correlation of x3 with x4 over all steps; a line has 1",
        _x3_x4,
    ),
    Claim(
        "moderate-against-small-is-a-parabola",
        "The two-step dynamics of x2 and x3 roughly follows a parabola.",
        "zhu2022 figure 21",
        (0.9, 1.0),
        "the same for the midpoints of x2 and the squared steps of x3",
        _x2_x3,
    ),
    Claim(
        "large-against-moderate-is-roughly-linear",
        "x1 and x2 follow a roughly linear relation.",
        "zhu2022 figure 21",
        (0.9, 1.0),
        "correlation of x1 with x2 over all steps; the arms of a parabola open wide would bring it down",
        _x1_x2,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig21",
    title="Degree 4, free entries: pairs in the two-step view",
    panels=tuple(PAIRS),
    scales={"quick": Scale(settings_of, "2 seconds", NO_DATA), "paper": Scale(settings_of, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="large-against-small-is-a-parabola",
    claim_panels={
        "large-against-small-is-a-parabola": "x1-x3",
        "small-entries-move-in-proportion": "x3-x4",
        "moderate-against-small-is-a-parabola": "x2-x3",
        "large-against-moderate-is-roughly-linear": "x1-x2",
    },
)
