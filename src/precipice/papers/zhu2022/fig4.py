"""zhu2022/fig4: how gradient descent on the degree-4 network converges, in the plane (a, b) around its edge minimum."""

import dataclasses
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

PANELS = ("diagram",)


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure is a sketch; this is the exact map at lr 0.02."""
    return Settings(lr=0.02, a_limit=100.0, b_limit=0.2, side="right", starts=4, num_steps=60_000)


def control(settings: Settings) -> Settings:
    """Starts to the left of the edge minimum: they come to rest where they are."""
    return dataclasses.replace(settings, side="left", b_limit=settings.b_limit / 10)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """Movement, borders and trajectories."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    picture, (ax,) = style.panels(1)
    diagram.draw(ax, dataset)
    ax.set_title("convergence diagram")
    style.caption(
        picture,
        f"Degree-4 scalar network at lr = {settings['lr']:g}, exact two-step movement in (a, b) and every other step "
        f"of {dataset.sizes['start']} runs. The paper's diagram is a sketch that is not to scale; borders are those it "
        f"names, the appendix has others; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _highest(dataset: "xarray.Dataset") -> float | None:
    ends = diagram.ends_in_units(dataset)
    return None if ends is None else float(ends.max())


def _lowest(dataset: "xarray.Dataset") -> float | None:
    ends = diagram.ends_in_units(dataset)
    return None if ends is None else float(ends.min())


def _signs(dataset: "xarray.Dataset") -> float | None:
    """Of the points right of kappa^(5/2): |b| falls where b^2 > 2 a kappa and grows where b^2 < a kappa/4."""
    from precipice.figures import style

    lr = style.parameters(dataset)["lr"]
    field = diagram.movement(dataset, lr)
    a, b = np.meshgrid(field.x, field.y)
    scale = a * lr**0.5
    right = (a > lr**1.25) & (np.abs(b) > 0.01)
    above, below = right & (b**2 > 2 * scale), right & (b**2 < scale / 4)
    grows = np.abs(b + field.dy) > np.abs(b)
    if above.sum() < 5 or below.sum() < 5:
        return None
    return float(min(np.mean(~grows[above]), np.mean(grows[below])))


CLAIMS = (
    Claim(
        "ends-left-of-the-edge-minimum",
        "Starts on the right end just left of the edge minimum: a above -5/3 kappa^3 ...",
        "zhu2022 figure 4; theorem 3.1 (MIN-11)",
        (-5 / 3, 0.0),
        "smallest final a over kappa^3, over the starts; the law is -1/8",
        _lowest,
    ),
    Claim(
        "and-below-a-tenth",
        "... and below -1/10 kappa^3.",
        "zhu2022 figure 4; theorem 3.1 (MIN-11)",
        (-5 / 3, -0.1),
        "largest final a over kappa^3, over the starts",
        _highest,
    ),
    Claim(
        "movement-by-region",
        "|b| falls above b^2 = 2 a kappa and grows below b^2 = a kappa/4.",
        "zhu2022 figure 4; lemmas 8 and 9",
        (0.95, 1.0),
        "the smaller of the two fractions, over the grid of arrows right of kappa^(5/2)",
        _signs,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig4",
    title="Degree 4: convergence diagram in the plane (a, b)",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "3 seconds", NO_DATA), "paper": Scale(settings_of, "3 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="ends-left-of-the-edge-minimum",
    claim_panels={claim.name: "diagram" for claim in CLAIMS},
)
