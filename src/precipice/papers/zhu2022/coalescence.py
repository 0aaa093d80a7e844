"""The claims of figures 16, 17 and 20 of zhu2022: free entries concentrate at the edge, small ones may coalesce."""

import dataclasses
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.zhu2022 import free_entries
from precipice.papers.zhu2022.free_entries import Settings

if TYPE_CHECKING:
    import xarray

COALESCED = 1e-5
"""Entries coalesce where their distance falls by this factor; once the oscillation has died it stands still."""

CLAIM_PANELS = {
    "ends-just-below-the-edge": "sharpness",
    "loss-falls-geometrically": "loss",
    "small-entries-coalesce": "distance",
    "small-entries-stay-apart": "distance",
}


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate, whose edge is never reached."""
    return dataclasses.replace(settings, lr=settings.lr / 10)


def _loss(dataset: "xarray.Dataset") -> float | None:
    return free_entries.geometric(dataset["loss"].values)


def _fall(dataset: "xarray.Dataset", entry: int) -> float:
    distance = free_entries.distance(dataset, entry - 1)
    return float(distance[-1] / distance[0])


def concentration(figure: str) -> tuple[Claim, Claim]:
    """The final sharpness and the loss, with the figure as their source."""
    return (
        Claim(
            "ends-just-below-the-edge",
            "The sharpness converges to just below 2/lr.",
            f"zhu2022 {figure}",
            (0.0, free_entries.WIDTH),
            "2/lr minus the last sharpness; figure 2 calls a width of 0.1 concentrated, at the same learning rate",
            free_entries.gap,
        ),
        Claim(
            "loss-falls-geometrically",
            "The loss decreases geometrically.",
            f"zhu2022 {figure}",
            (-1.0, -0.999),
            "correlation of log loss with the step in the last half of its fall to rounding; t^-2 has -0.996",
            _loss,
        ),
    )


def coalesce(figure: str, small: tuple[int, ...]) -> Claim:
    """Entries `small` (numbered from 1) converge to the last one."""

    def measure(dataset: "xarray.Dataset") -> float:
        return max(_fall(dataset, entry) for entry in small)

    return Claim(
        "small-entries-coalesce",
        "The small entries converge to one another.",
        f"zhu2022 {figure}",
        (0.0, COALESCED),
        "largest ratio of the last to the first distance of a small entry from the last one; x_i^2 - x_j^2 shrinks at "
        "each step by a factor that the residual sets, so that it falls while the loss oscillates",
        measure,
    )


def stay_apart(figure: str, small: tuple[int, ...]) -> Claim:
    """Entries `small` (numbered from 1) do not converge to the last one."""

    def measure(dataset: "xarray.Dataset") -> float:
        return min(_fall(dataset, entry) for entry in small)

    return Claim(
        "small-entries-stay-apart",
        "The small entries do not converge to exactly the same value.",
        f"zhu2022 {figure}",
        (100 * COALESCED, 1.0),
        "smallest ratio of the last to the first distance of a small entry from the last one: a hundred times what "
        "counts as coalesced",
        measure,
    )
