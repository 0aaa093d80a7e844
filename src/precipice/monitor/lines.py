"""Lines not to cross: stated in advance, reported once at each crossing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from precipice._checks import InputError, one_of
from precipice.monitor.history import History
from precipice.monitor.phase import with_error
from precipice.monitor.reading import NAMES
from precipice.monitor.setting import Setting


class EdgeWarning(UserWarning):
    """A monitored training crossed a stated line."""


@dataclass(frozen=True)
class Line:
    """A limit of one measured number.

    Args:
        name: of the value, one that is a single number.
        limit: where the line lies.
        says: what it means to be beyond it, a clause.
        side: whether "above" or "below" is beyond.

    Raises:
        InputError: an unknown name or side, a limit that is NaN.

    Example:
        >>> Line("batch_sharpness", 20.0, "SGD's own edge is reached").beyond(21.0)
        True
    """

    name: str
    limit: float
    says: str
    side: Literal["above", "below"] = "above"

    def __post_init__(self):
        one_of("measured value", self.name, NAMES)
        if self.side not in ("above", "below"):
            raise InputError(f"side must be 'above' or 'below'; got {self.side!r}.")
        if math.isnan(self.limit):
            raise InputError("limit must be a number; got nan.")

    def beyond(self, value: float) -> bool:
        """Whether the value lies on the far side; NaN does not."""
        return value >= self.limit if self.side == "above" else value <= self.limit


def default_lines(setting: Setting) -> tuple[Line, ...]:
    """The optimiser's edge, the stochastic edge and, where a paper names one, the range of trouble.

    Example:
        >>> [(line.name, line.limit) for line in default_lines(Setting("squared", "sgd", 8, 100))]
        [('normalised_sharpness', 1.0), ('noise_kernel_norm_estimate', 1.0)]
    """
    edge = Line("normalised_sharpness", 1.0, f"the curvature has reached the edge of {setting.optimiser}")
    limit, source = (2.0, " of trouble under cross-entropy") if setting.loss == "cross-entropy" else (1.0, "")
    noise = Line(
        "noise_kernel_norm_estimate", limit, f"the noise of the batches has reached the stochastic edge{source}"
    )
    return edge, noise


def crossed(history: History, lines: Sequence[Line], *, num: int = 1) -> tuple[str, ...]:
    """One sentence for each line that the latest `num` readings of its value lie beyond and the one before did not.

    Args:
        history: its latest reading is judged.
        lines: `default_lines`, or one's own.
        num: 1, or 2 for adaptive optimisers, one reading of which may lie beyond by a preconditioner out of date.

    Example:
        >>> from precipice.monitor.reading import Rates, Reading
        >>> history = History(Setting("squared", "sgd", batch_size=8, num_examples=100))
        >>> for step, value in enumerate([0.9, 1.1, 1.2]):
        ...     history = history.appended(Reading(step, (Rates(0.1, 20.0),), {"normalised_sharpness": value}))
        ...     print(crossed(history, default_lines(history.setting)))
        ()
        ('step 1: normalised_sharpness is 1.1, above 1: the curvature has reached the edge of sgd.',)
        ()
    """
    last = history.last
    found = []
    for line in lines:
        if line.name not in last.values or not line.beyond(last[line.name]):
            continue
        beyond = [line.beyond(r[line.name]) for r in history.readings if line.name in r.values][-num - 1 :]
        if beyond in ([True] * num, [False] + [True] * num):
            found.append(
                f"step {last.step}: {line.name} is {with_error(last, line.name)}, {line.side} {line.limit:g}: "
                f"{line.says}."
            )
    return tuple(found)
