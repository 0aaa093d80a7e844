"""zhu2022/fig18: in a 7-layer network, entries of one size move in proportion, small against large along a parabola."""

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

PAIRS = {
    "large-large": (2, 3),
    "small-small": (4, 5),
    "x2-x4": (4, 2),
    "x3-x5": (5, 3),
}
"""Panels; entries are numbered from 1: x2 and x3 start large, x4 and x5 small."""


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's start and learning rate, until the oscillation has died."""
    return Settings(entries="2,2.5,3,0.1,0.2,0.3,0.4", lr=0.2, num_steps=4000)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Two pairs of one size, and two of a small and a large entry."""
    return free_entries.plot_pairs(dataset, PAIRS, panel)


def _alike(dataset: "xarray.Dataset") -> float | None:
    pairs = [(1, 2), (3, 4)]
    found = [free_entries.correlation(dataset, first, second) for first, second in pairs]
    return min(found)


def _across(dataset: "xarray.Dataset") -> float | None:
    found = [free_entries.parabola(dataset, small, large) for small in (3, 4) for large in (1, 2)]
    return min((value for value in found if value is not None), default=None)


CLAIMS = (
    Claim(
        "alike-entries-move-in-proportion",
        "Within the small and within the large entries the pairwise dynamics are approximately linear.",
        "zhu2022 figure 18",
        (0.95, 1.0),
        "smaller of the correlations over all steps of x2 with x3 and of x4 with x5; a line has 1",
        _alike,
    ),
    Claim(
        "across-they-follow-a-parabola",
        "A large entry follows a parabola of a small one in the two-step view.",
        "zhu2022 figure 18",
        (0.9, 1.0),
        "smallest R^2 of the midpoints of a large entry as a linear function of the squared steps of a small one, over "
        "the steps of smooth oscillation, times the fraction of them on which the small one turns",
        _across,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig18",
    title="Degree 7, free entries: pairs in the two-step view",
    panels=tuple(PAIRS),
    scales={"quick": Scale(settings_of, "2 seconds", NO_DATA), "paper": Scale(settings_of, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="across-they-follow-a-parabola",
    claim_panels={
        "alike-entries-move-in-proportion": "large-large",
        "across-they-follow-a-parabola": "x2-x4",
    },
)
