"""zhu2022/fig30: the convergence diagram of the degree-4 network, with the regions that trajectories pass in order."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022 import diagram
from precipice.papers.zhu2022.diagram import Settings, run, validate

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("diagram", "regions")
NAMES = ("outside", "I far", "II parabola", "III valley", "IV approach", "V tube", "VI end")
NEXT = {(1, 2), (1, 3), (3, 2), (2, 4), (4, 5), (5, 6)}
"""Changes of region that the proof describes; from I a first step may lead through II into III."""


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure is a sketch; this is the exact map at lr 0.015, small enough for a tube wider than the steps."""
    return Settings(lr=0.015, a_limit=40.0, b_limit=0.2, side="right", starts=3, num_steps=80_000)


def control(settings: Settings) -> Settings:
    """Starts to the left of the edge minimum: they come to rest where they are, and pass no region."""
    return dataclasses.replace(settings, side="left", b_limit=settings.b_limit / 10)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Movement, borders and trajectories; the region of each trajectory against the step."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "diagram":
            diagram.draw(ax, dataset)
            ax.set_title("convergence diagram")
        else:
            _draw_regions(ax, dataset)
    style.caption(
        picture,
        f"Degree-4 scalar network at lr = {settings['lr']:g}, exact two-step movement in (a, b) and "
        f"{dataset.sizes['start']} runs; right: the region of the mean of two steps. The paper's diagram is a sketch "
        f"that is not to scale; borders are those of figure 4, the appendix has others; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_regions(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for index in range(dataset.sizes["start"]):
        region = dataset["region"].isel(start=index).values + 0.06 * (index - dataset.sizes["start"] / 2)
        ax.plot(dataset["step"] + 1, region, color=style.COLOURS[index % len(style.COLOURS)], lw=1.0)
    ax.set_xscale("log")
    ax.set_yticks(range(len(NAMES)), NAMES)
    ax.set_xlabel("gradient step + 1")
    ax.set_ylabel("region")
    ax.set_title("regions in time")


def _visits(dataset: "xarray.Dataset") -> list[list[int]]:
    """The regions that each start passes, in order."""
    rows = dataset["region"].values
    return [[int(v) for v in row[np.concatenate([[True], np.diff(row) != 0])]] for row in rows]


def _complete(dataset: "xarray.Dataset") -> float:
    """Fraction of the starts that pass II, IV, V and VI in this order."""
    return float(np.mean([[v for v in visit if v in (2, 4, 5, 6)] == [2, 4, 5, 6] for visit in _visits(dataset)]))


def _described(dataset: "xarray.Dataset") -> float | None:
    changes = [pair for visit in _visits(dataset) for pair in itertools.pairwise(visit)]
    return float(np.mean([pair in NEXT for pair in changes])) if changes else None


def _end(dataset: "xarray.Dataset") -> float | None:
    ends = diagram.ends_in_units(dataset)
    return None if ends is None else float(np.max(np.abs(ends + 1 / 8)))


CLAIMS = (
    Claim(
        "regions-in-order",
        "Runs come near the parabola (II), approach (IV), follow it in its tube (V) and end (VI).",
        "zhu2022 figure 30; section 3.2, phases 1 to 3",
        (1.0, 1.0),
        "fraction of the starts that pass these regions once each and in this order",
        _complete,
    ),
    Claim(
        "changes-are-those-of-the-proof",
        "Every change of region is one that the proof describes.",
        "zhu2022 figure 30; lemmas 8 to 15",
        (1.0, 1.0),
        "fraction of the changes that lead from I or III to II, II to IV, IV to V, V to VI (in a first step I to III)",
        _described,
    ),
    Claim(
        "ends-at-the-tip",
        "They end at the tip of the parabola.",
        "zhu2022 section 3.2 (MIN-9, MIN-10)",
        (0.0, 0.02),
        "largest distance of the final a from -kappa^3/8, in units of kappa^3; the paper's interval is (-5/3, -1/10)",
        _end,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig30",
    title="Degree 4: convergence diagram, and the regions passed in time",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "3 seconds", NO_DATA), "paper": Scale(settings_of, "3 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="regions-in-order",
    claim_panels={
        "regions-in-order": "regions",
        "changes-are-those-of-the-proof": "regions",
        "ends-at-the-tip": "diagram",
    },
)
