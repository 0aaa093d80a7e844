"""Verdicts and endings of runs in words: the rows of a claim table, a tally, a line for each run that diverged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import FAILS, HOLDS, NOT_EVALUATED, Verdict
from precipice.results import Status

if TYPE_CHECKING:
    import xarray

MOST_LINES = 6
"""Runs that diverged are listed one by one up to so many."""

COLUMNS = ("claim", "source", "measured", "band", "verdict")
"""Of a claim table: the first fields of a `Row`, in order."""


@dataclass(frozen=True)
class Row:
    """One claim, judged, in words.

    Args:
        claim: its name.
        source: equation or figure number.
        measured: the median over the seeds, and their range where there are several.
        band: where it must lie.
        verdict: ``holds 3/3``: in three of the three seeds that could decide.
        says: what the paper says, in a sentence.
        meaning: what was measured, and why the band is what it is.
    """

    claim: str
    source: str
    measured: str
    band: str
    verdict: str
    says: str
    meaning: str


def rows(verdicts: Sequence[Verdict]) -> tuple[Row, ...]:
    """The verdicts as rows of a table.

    Example:
        >>> from precipice.figures.claims import Claim
        >>> claim = Claim("hovering", "Sharpness hovers.", "figure 1", (1.0, 1.2), "over 2/lr", lambda dataset: 1.04)
        >>> row, = rows([Verdict(claim, (1.02, 1.04, 1.31), 2, "holds")])
        >>> row.measured, row.band, row.verdict
        ('1.04 (1.02 to 1.31)', '1 to 1.2', 'holds 2/3')
    """
    return tuple(
        Row(
            claim=v.claim.name,
            source=v.claim.source,
            measured=_measured(v),
            band=_band(*v.claim.band),
            verdict=v.verdict if v.verdict == NOT_EVALUATED else f"{v.verdict} {v.held}/{len(v.measured)}",
            says=v.claim.says,
            meaning=v.claim.reason,
        )
        for v in verdicts
    )


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many claims hold, which fail and which were not evaluated, in a few words."""
    holds, failing, blank = ([v.claim.name for v in verdicts if v.verdict == w] for w in (HOLDS, FAILS, NOT_EVALUATED))
    words = [f"{len(holds)} of {len(verdicts)} claims hold"]
    words += [f"{len(failing)} fail{'s' if len(failing) == 1 else ''}: {', '.join(failing)}"] if failing else []
    words += [f"{len(blank)} not evaluated: {', '.join(blank)}"] if blank else []
    return "; ".join(words)


def divergences(dataset: "xarray.Dataset") -> tuple[str, ...]:
    """A line for each run of the dataset that diverged: which one, and at which step; of many, only how many."""
    if "status" not in dataset:
        return ()
    status, lines = dataset["status"], []
    found = np.argwhere(status.values == Status.DIVERGED)
    if len(found) > MOST_LINES or (len(found) and "diverged_at" not in dataset):
        return (f"{len(found):,} of {status.size:,} runs diverged",)
    for where in found:
        cell = dict(zip(status.dims, (int(i) for i in where), strict=True))
        labels = ", ".join(f"{dim} {float(dataset[dim][i]):g}" for dim, i in cell.items()) or "the run"
        lines.append(f"{labels}: diverged at step {int(dataset['diverged_at'].isel(cell))}")
    return tuple(lines)


def reduced(dataset: "xarray.Dataset") -> str:
    """What was changed from the scale's own settings; empty where nothing was."""
    words = dataset.attrs.get("reduced", "no")
    return "" if words == "no" else words


def _measured(verdict: Verdict) -> str:
    if not verdict.measured:
        return "-"
    low, high = min(verdict.measured), max(verdict.measured)
    spread = f" ({_number(low)} to {_number(high)})" if _number(low) != _number(high) else ""
    return _number(verdict.value) + spread


def _number(value: float) -> str:
    return f"{value:.0f}" if 10_000 <= abs(value) < 1e9 else f"{value:.4g}"


def _band(low: float, high: float) -> str:
    if np.isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if np.isinf(low) else f"{low:g} to {high:g}"
