"""The axes of a study: named values, given or drawn."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from precipice._checks import InputError, at_least, at_most, positive, whole

MOST_VALUES = 1_000_000
"""Of an axis: they are stored as text in the description of its store."""


@dataclass(frozen=True)
class Axis:
    """One axis of a study's grid.

    Args:
        name: an identifier: the argument of the study's function that it gives, `seed` excepted, see `Study`.
        values: finite, distinct numbers; all whole, or all with a point.
        splits: whether a value changes the shapes or the structure of a run, as a width or a batch size does. It is
            then given as a Python number, and each value has a program of its own. The values of other axes are
            batched into one program.

    Raises:
        InputError: values that are empty, repeat, or are not finite numbers.

    Example:
        >>> Axis("lr", (0.1, 0.2)).values
        (0.1, 0.2)
    """

    name: str
    values: Sequence[float]
    splits: bool = False

    def __post_init__(self):
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise InputError(f"The name of an axis must be an identifier; got {self.name!r}.")
        object.__setattr__(self, "values", _numbers(self.name, self.values))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dtype(self) -> np.dtype:
        """int64 or float64."""
        return np.dtype(np.int64 if isinstance(self.values[0], int) else np.float64)


def _numbers(name: str, values: Sequence[float]) -> tuple[float, ...]:
    array = _array(name, values)
    if not np.isfinite(array).all():
        raise InputError(f"Axis {name!r} must have finite values; got {array[~np.isfinite(array)][0]}.")
    numbers = array.astype(np.float64 if array.dtype.kind == "f" else np.int64).tolist()
    if len(set(numbers)) < len(numbers):
        repeated = next(v for i, v in enumerate(numbers) if v in numbers[:i])
        raise InputError(f"Axis {name!r} must not repeat a value; got {repeated} twice.")
    return tuple(numbers)


def _array(name: str, values: Sequence[float]) -> np.ndarray:
    if isinstance(values, Sequence):
        at_most(f"The number of values of axis {name!r}", len(values), MOST_VALUES)
    array = np.zeros(0)
    with contextlib.suppress(ValueError):  # lists of different lengths
        array = np.asarray(values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf":
        raise InputError(f"Axis {name!r} must have at least 1 value, each a number; got {values!s:.80}.")
    if array.dtype.kind == "u":
        at_most(f"The values of axis {name!r}", int(array.max()), 2**63 - 1, "what 64 bits hold")
    return array


def linear(name: str, low: float, high: float, num: int) -> Axis:
    """`num` equally spaced values from `low` to `high`, both included.

    Example:
        >>> linear("lr", 0.0, 1.0, 3).values
        (0.0, 0.5, 1.0)
    """
    _check_range(name, low, high, num)
    return Axis(name, np.linspace(low, high, num).tolist())


def logarithmic(name: str, low: float, high: float, num: int) -> Axis:
    """`num` values from `low` to `high`, each the same multiple of the one before.

    Example:
        >>> [round(value, 9) for value in logarithmic("lr", 0.01, 1.0, 3).values]
        [0.01, 0.1, 1.0]
    """
    _check_range(name, low, high, num)
    positive(f"low of axis {name!r}", low)
    return Axis(name, np.geomspace(low, high, num).tolist())


def counted(name: str, num: int) -> Axis:
    """0, 1, ... `num` - 1: seeds, draws.

    Example:
        >>> counted("seed", 3).values
        (0, 1, 2)
    """
    _check_num(name, num)
    return Axis(name, range(num))


def uniform(name: str, low: float, high: float, num: int, *, seed: int) -> Axis:
    """`num` draws from the uniform distribution on [low, high); more draws keep the first ones.

    Example:
        >>> uniform("lr", 0.0, 1.0, 2, seed=0).values == uniform("lr", 0.0, 1.0, 3, seed=0).values[:2]
        True
    """
    _check_range(name, low, high, num)
    return Axis(name, _drawing(name, seed).uniform(low, high, num).tolist())


def log_uniform(name: str, low: float, high: float, num: int, *, seed: int) -> Axis:
    """`num` draws whose logarithm is uniform between those of `low` and `high`.

    Example:
        >>> all(0.01 <= value <= 1 for value in log_uniform("lr", 0.01, 1.0, 50, seed=0).values)
        True
    """
    _check_range(name, low, high, num)
    positive(f"low of axis {name!r}", low)
    return Axis(name, np.exp(_drawing(name, seed).uniform(math.log(low), math.log(high), num)).tolist())


def normal(name: str, mean: float, deviation: float, num: int, *, seed: int) -> Axis:
    """`num` draws from the normal distribution.

    Example:
        >>> len(normal("noise", 0.0, 1.0, 4, seed=0))
        4
    """
    _check_num(name, num)
    positive(f"deviation of axis {name!r}", deviation)
    return Axis(name, _drawing(name, seed).normal(mean, deviation, num).tolist())


def _drawing(name: str, seed: int) -> np.random.Generator:
    whole(f"seed of axis {name!r}", seed, 0)
    return np.random.default_rng(seed)


def _check_num(name: str, num: int) -> None:
    whole(f"num of axis {name!r}", num, 1)
    at_most(f"num of axis {name!r}", num, MOST_VALUES)


def _check_range(name: str, low: float, high: float, num: int) -> None:
    _check_num(name, num)
    for end, value in (("low", low), ("high", high)):
        if not math.isfinite(value):
            raise InputError(f"{end} of axis {name!r} must be finite; got {value}.")
    at_least(f"high of axis {name!r}", high, low)
