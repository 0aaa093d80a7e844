"""Claims: what a paper says of a figure, as a number computed from the dataset and a band it must lie in."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import xarray

HOLDS, FAILS, NOT_EVALUATED = "holds", "fails", "not evaluated"

QUORUM = 2 / 3
"""The fraction of seeds for which a claim must hold, where a figure has several."""


Measure: TypeAlias = "Callable[[xarray.Dataset], float | None]"


@dataclass(frozen=True)
class Claim:
    """A statement about a dataset that can be computed.

    Args:
        name: short, with hyphens.
        says: what the paper says, in our words.
        source: equation or figure number.
        band: (low, high), both ends included; written down before the run that it judges.
        reason: why this band.
        measure: one seed's dataset -> the number, or None where the dataset cannot decide (too few steps, no run).
    """

    name: str
    says: str
    source: str
    band: tuple[float, float]
    reason: str
    measure: Measure


@dataclass(frozen=True)
class Verdict:
    """A claim after it was computed.

    Args:
        claim: the claim.
        measured: the number for each seed that could decide.
        held: how many of them lie in the band.
        verdict: `HOLDS`, `FAILS` or `NOT_EVALUATED`.
    """

    claim: Claim
    measured: tuple[float, ...]
    held: int
    verdict: str

    @property
    def value(self) -> float:
        """The median over the seeds; NaN where nothing was evaluated."""
        return float(np.median(self.measured)) if self.measured else math.nan


def only_where(condition: "Callable[[xarray.Dataset], bool]", measure: Measure) -> Measure:
    """`measure` where a dataset meets a condition, such as the paper's size; else the claim is not evaluated."""
    return lambda dataset: measure(dataset) if condition(dataset) else None


def evaluate(dataset: "xarray.Dataset", claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Judge every claim on every seed of `dataset`: it holds if it held for `QUORUM` of the seeds that could decide."""
    several = "seed" in dataset.dims
    seeds = [dataset.isel(seed=i) for i in range(dataset.sizes["seed"])] if several else [dataset]
    return tuple(_judge(claim, seeds) for claim in claims)


def _judge(claim: Claim, seeds: "Sequence[xarray.Dataset]") -> Verdict:
    found = [claim.measure(seed) for seed in seeds]
    measured = tuple(float(value) for value in found if value is not None)
    low, high = claim.band
    held = sum(low <= value <= high for value in measured)
    if not measured:
        return Verdict(claim, measured, held, NOT_EVALUATED)
    return Verdict(claim, measured, held, HOLDS if held >= QUORUM * len(measured) - 1e-9 else FAILS)
