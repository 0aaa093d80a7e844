"""zhu2022/fig14: at degree 3 one of the two edge minima concentrates as at degree 4, the other turns as at degree 2."""

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

PANELS = ("large-x", "small-x")


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rate; 41 x 41 starts around each minimum."""
    return Settings(degree=3, lr=0.2, width=0.15, height=0.3, grid=41, num_steps=50_000)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """21 x 21 starts, 10,000 steps."""
    return dataclasses.replace(paper_settings(), grid=21, num_steps=10_000)


def control(settings: Settings) -> Settings:
    """Degree 2: no minimum concentrates."""
    return dataclasses.replace(settings, degree=2)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Arrows in (x, y) around the minimum with small duplicated entries and around the one with large ones."""
    from precipice.figures import style

    names = [name for i, name in enumerate(PANELS) if i < dataset.sizes["minimum"] and panel in (None, name)]
    picture, axes = style.panels(max(len(names), 1))
    for name, ax in zip(names, axes, strict=False):
        arrows = movement.draw(ax, dataset, PANELS.index(name))
        picture.colorbar(arrows, ax=ax, label="final sharpness", extend="min")
        ax.set_title("large x, small y" if name == "large-x" else "small x, large y")
    settings = style.parameters(dataset)
    style.caption(
        picture,
        f"Scalar network of degree {settings['degree']}, (1 - x y y)^2/2 for degree 3, lr = {settings['lr']:g}: "
        f"direction of two steps from {settings['grid']} x {settings['grid']} starts around each minimum of sharpness "
        f"2/lr, coloured by the sharpness after {settings['num_steps']:,} steps. Minima are x y^2 = 1 (the paper "
        f"prints sqrt(x) y = 1, the same); scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _large_x(dataset: "xarray.Dataset") -> float | None:
    return movement.concentrated(dataset, 0)


def _small_x(dataset: "xarray.Dataset") -> float | None:
    return movement.concentrated(dataset, 1)


CLAIMS = (
    Claim(
        "large-x-concentrates",
        "Around the minimum with small duplicated entries, starts concentrate at the edge as at degree 4.",
        "zhu2022 figure 14, left",
        (0.8, 1.0),
        "fraction of the converging starts on the sharp side that end within 0.1 below 2/lr: nearly all, but for those "
        "whose first steps jump to the flat side",
        _large_x,
    ),
    Claim(
        "small-x-does-not",
        "Around the minimum with large duplicated entries there is no edge of stability, as at degree 2.",
        "zhu2022 figure 14, right",
        (0.0, 0.2),
        "the same fraction, of the starts beyond the other minimum; the degree-2 figure has the same band",
        _small_x,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig14",
    title="Degree 3: two-step movement around its two edge minima",
    panels=PANELS,
    scales={"quick": Scale(quick_settings, "5 seconds", NO_DATA), "paper": Scale(paper_settings, "a minute", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="large-x-concentrates",
    claim_panels={"large-x-concentrates": "large-x", "small-x-does-not": "small-x"},
)
