"""zhu2022/fig12: the two-step movement of the degree-2 network turns around its edge minimum, without concentration."""

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
    return Settings(degree=2, lr=0.2, width=0.1, height=0.4, grid=41, num_steps=50_000)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """21 x 21 starts, 5,000 steps."""
    return dataclasses.replace(paper_settings(), grid=21, num_steps=5000)


def control(settings: Settings) -> Settings:
    """The coupled degree-4 network, whose starts on the sharp side concentrate."""
    return dataclasses.replace(settings, degree=4)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """Arrows in (x, y)."""
    return movement.plot_first(
        dataset, "The paper prints (1 - xy)^2 beside the coefficients of (1 - xy)^2/2, which is used here (its eq. 12)."
    )


def _near_edge(dataset: "xarray.Dataset") -> float | None:
    return movement.concentrated(dataset, 0)


def _ends_below(dataset: "xarray.Dataset") -> float | None:
    final = dataset["final_sharpness"].where(dataset["final_loss"] < movement.CONVERGED)
    return float(final.max() / dataset["edge"]) if int(final.count()) else None


CLAIMS = (
    Claim(
        "no-concentration",
        "Only starts very close to the edge minimum end near 2/lr; there is no concentration.",
        "zhu2022 figure 12",
        (0.0, 0.2),
        "fraction of the converging starts beyond the minimum that end within 0.1 below 2/lr; where starts "
        "concentrate (degree 4) nearly all do",
        _near_edge,
    ),
    Claim(
        "movement-turns-around-the-minimum",
        "Two-step orbits turn around the edge minimum as around the centre of an ellipse.",
        "zhu2022 eq. 12, figure 12",
        (0.85, 1.0),
        "fraction of arrows that move to the flat side, and leave the valley where sharp but near it where flat; "
        "eq. 12 is the leading order in sqrt(lr) = 0.45, so that some at the rim may differ",
        movement.turning,
    ),
    Claim(
        "ends-below-the-edge",
        "No run ends above the stability threshold.",
        "zhu2022 section 4",
        (0.0, 1.0 + 1e-6),
        "largest final sharpness over 2/lr: a sharper minimum repels",
        _ends_below,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig12",
    title="Degree 2: two-step movement around the edge minimum",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "2 seconds", NO_DATA),
        "paper": Scale(paper_settings, "20 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="no-concentration",
    claim_panels={claim.name: "movement" for claim in CLAIMS},
)
