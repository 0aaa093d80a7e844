"""The settings of zhu2022/fig6 at each scale, and its control."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, positive
from precipice.papers.zhu2022.networks import check_degree, parse_starts

EVERY = 7
"""Steps between saved states: odd, to see both sides of the oscillation; not 3, for windows of period 3."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        grid_lr: learning rate of the grid of starts.
        x_low: the grid's starts from this x ...
        x_high: ... to this.
        y_low: from this y ...
        y_high: ... to this.
        grid: starts along each axis before refinement.
        levels: doublings of the grid along the border.
        grid_steps: most steps from each start.
        lr: learning rate of the trajectory.
        start: "x,y", its start.
        num_steps: its steps, a multiple of 7.
        values: scaled offsets A of the bifurcation diagram, up to 1/4.
        transient: steps of the cubic map before its tail.
        precision: float64.
    """

    grid_lr: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    grid: int
    levels: int
    grid_steps: int
    lr: float
    start: str
    num_steps: int
    values: int
    transient: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rates and start; its window is not given."""
    return Settings(
        grid_lr=0.2,
        x_low=2.8,
        x_high=3.6,
        y_low=0.01,
        y_high=0.55,
        grid=65,
        levels=4,
        grid_steps=12_800,
        lr=0.01,
        start="12.5,0.05",
        num_steps=301_000,
        values=1001,
        transient=20_000,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A finest grid of 257 x 257 starts in place of 1025 x 1025, 3,200 steps, and 251 values of A."""
    return dataclasses.replace(paper_settings(), grid=33, levels=3, grid_steps=3200, values=251, transient=4000)


def control(settings: Settings) -> Settings:
    """A start beside the edge minimum: there is no chaos to come out of."""
    return dataclasses.replace(settings, start="10.3,0.098")


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for lr in (settings.grid_lr, settings.lr):
        check_degree(4, lr, settings.precision)
    for axis in "xy":
        low, high = getattr(settings, f"{axis}_low"), getattr(settings, f"{axis}_high")
        positive(f"{axis}_low", low)
        if not low < high:
            raise InputError(f"{axis}_high must be above {axis}_low ({low}); got {high}.")
    if len(parse_starts(settings.start, "start")[0]) != 2 or len(parse_starts(settings.start, "start")) != 1:
        raise InputError(f"start must be one start of 2 entries; got {settings.start!r}.")
    if settings.num_steps % EVERY:
        raise InputError(f"num_steps must be a multiple of {EVERY}; got {settings.num_steps}.")
    for name, least in (("grid", 9), ("levels", 1), ("grid_steps", 1), ("num_steps", 30), ("values", 11)):
        at_least(name, getattr(settings, name), least)
    at_least("transient", settings.transient, 100)
