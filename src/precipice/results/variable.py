"""What describes a result: a variable, an axis, and the codes of how a run ended."""

from dataclasses import dataclass
from enum import IntEnum

from precipice._checks import InputError


class Status(IntEnum):
    """What became of a run; stored as int8."""

    MISSING = 0
    RUNNING = 1
    DONE = 2
    DIVERGED = 3
    FAILED = 4


class StopReason(IntEnum):
    """Why a run ended; stored as int8."""

    NONE = 0
    STEPS_SPENT = 1
    ACCURACY_REACHED = 2
    LOSS_REACHED = 3
    DIVERGED = 4
    VALUE_REACHED = 5


@dataclass(frozen=True)
class Dimension:
    """An axis of results.

    Args:
        name: an identifier.
        units: "1" where it has none.
        meaning: one sentence.
        sweep: whether runs differ along it (it leads) or it lies within one run (it trails).
    """

    name: str
    units: str
    meaning: str
    sweep: bool = False


@dataclass(frozen=True)
class Variable:
    """A result: what it is called, which axes it has within one run, and what it means.

    Args:
        name: an identifier; the one name of this quantity in code, plots and files.
        dims: its own axes, in order, within one run; a sweep puts further axes before them.
        units: "1" where it has none.
        meaning: one sentence.
        reference: author and year, or an equation; "definition" where the sentence says all.
        codes: the table of an integer code, or None; values are stored as int8 and described in the file.

    Raises:
        InputError: a name or axis that is no identifier, an axis named twice, an empty sentence.

    Example:
        >>> Variable("margin", ("step",), "1", "Smallest margin over the examples.", "definition").dims
        ('step',)
    """

    name: str
    dims: tuple[str, ...]
    units: str
    meaning: str
    reference: str
    codes: type[IntEnum] | None = None

    def __post_init__(self):
        for word in (self.name, *self.dims):
            if not word.isidentifier():
                raise InputError(f"Names of variables and dimensions must be identifiers; got {word!r}.")
        if len(set(self.dims)) != len(self.dims):
            raise InputError(f"The dimensions of variable {self.name!r} must differ; got {self.dims}.")
        if not (self.units and self.meaning and self.reference):
            raise InputError(f"Variable {self.name!r} must state its units, meaning and reference; one is empty.")
