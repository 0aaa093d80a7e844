"""What is undefined where the examples of a batch act on each other, as BatchNorm makes them."""

from collections.abc import Callable
from typing import Any

from precipice._checks import InputError
from precipice.curvature.chunks import Chunks


def check_uncoupled(function: Callable[..., Any], what: str) -> None:
    """Refuse a bound method of a problem that says its examples act on each other (``couples_examples``).

    Raises:
        InputError: for a problem with BatchNorm.
    """
    if getattr(getattr(function, "__self__", None), "couples_examples", False):
        raise InputError(
            f"{what} must be of a network whose examples do not act on each other; got one with BatchNorm, where it "
            "is undefined (products on all the data at once are; or take layer_norm)."
        )


def check_chunks(function: Callable[..., Any], data: Any) -> None:
    """Refuse chunks of such a problem: its mean over all data is no mean of means over chunks."""
    if isinstance(data, Chunks):
        check_uncoupled(function, "curvature in chunks")
