"""Checks of what a caller hands in: each raises `InputError` with one sentence (name, rule, value)."""

import difflib
import math
import operator
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


_LONGEST = 300
_RAISED = re.compile(r"^[\w.]+(Error|Exception|Interrupt|Warning): ")


class InputError(ValueError):
    """Bad input: the message is one sentence that says what was wrong, the rule, and the value."""


class NonFiniteError(InputError):
    """NaN or inf where a finite number is needed: bad input at the start of a run, divergence later in it."""


def positive(name: str, value: float) -> None:
    """Refuse a number that is not finite and above zero."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} must be positive and finite; got {value}.")


def at_least(name: str, value: float, minimum: float) -> None:
    """Refuse a number below `minimum`."""
    if not value >= minimum:
        raise InputError(f"{name} must be at least {minimum}; got {value}.")


def whole(name: str, value: object, minimum: int) -> None:
    """Refuse what is not a whole number of at least `minimum`, or does not fit into 31 bits."""
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise InputError(f"{name} must be a whole number; got {value!r}.") from None
    at_least(name, number, minimum)
    at_most(name, number, 2**31 - 1, "what 32 bits hold")


def at_most(name: str, value: float, maximum: float, why: str = "") -> None:
    """Refuse a number above `maximum`; `why` says where the limit comes from."""
    if not value <= maximum:
        raise InputError(f"{name} must be at most {maximum}{f' ({why})' if why else ''}; got {value}.")


def one_of(name: str, value: str, options: Iterable[str]) -> None:
    """Refuse a name that is not among `options`; the message offers the nearest ones."""
    known = sorted(options)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}."
    raise InputError(f"{name} {value!r} is unknown; {hint}")


def check_batch_size(batch_size: int, num_examples: int) -> None:
    """Refuse a batch that is no whole number from 1 to the number of examples."""
    whole("batch_size", batch_size, 1)
    at_most("batch_size", batch_size, num_examples, "the number of examples")


def symmetric(name: str, matrix: "np.ndarray") -> None:
    """Refuse what is not a square, finite matrix, symmetric to 10^4 roundings of its largest entry."""
    import numpy as np

    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise InputError(f"{name} must be a square matrix; got shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} must be finite; got NaN or inf.")
    largest, skew = float(np.abs(matrix).max()), float(np.abs(matrix - matrix.T).max())
    if skew > 1e4 * np.finfo(matrix.dtype).eps * largest:
        raise InputError(f"{name} must be symmetric; got entries that differ from their mirror images by {skew:.3g}.")


def one_line(error: BaseException) -> str:
    """An exception in one line: its type and the first line of its message that says something.

    Example:
        >>> one_line(ValueError("too wide"))
        'ValueError: too wide'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind, said = type(error).__name__.lstrip("_"), lines[0] if lines else ""
    raised = [line for line in lines if _RAISED.match(line)]
    if raised and raised[-1] != said:  # a traceback in the message: of a callback, or of Equinox
        path, _, said = raised[-1].partition(": ")
        kind = path.rpartition(".")[2].lstrip("_")
    text = f"{kind}: {said}" if said else kind
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
