"""Targets of classification: a function of the original class of each example and of the classes kept.

``f(originals, classes)`` takes the class numbers of the data set [n] and the tuple of classes kept, and
returns the targets [n, outputs] in float64.

To add one: write it here in the same form, export it, add it to the table in `tests/test_data.py`.
"""

import numpy as np
from jaxtyping import Float, Integer

from precipice._checks import InputError

Originals = Integer[np.ndarray, "n"]


def positions(originals: Originals, classes: tuple[int, ...]) -> Integer[np.ndarray, "n"]:
    """The place of each example's class in `classes`: its renumbered label."""
    return np.argmax(originals[:, None] == np.asarray(classes)[None, :], axis=1)


def one_hot(originals: Originals, classes: tuple[int, ...]) -> Float[np.ndarray, "n outputs"]:
    """1 in the column of the example's class, 0 elsewhere; columns in the order of `classes`.

    Example:
        >>> one_hot(np.array([7, 3]), (3, 7))
        array([[0., 1.],
               [1., 0.]])
    """
    return np.eye(len(classes))[positions(originals, classes)]


def binary_pair(originals: Originals, classes: tuple[int, ...]) -> Float[np.ndarray, "n outputs"]:
    """One column: +1 for the first of two classes, -1 for the second.

    Raises:
        InputError: not exactly two classes.
    """
    if len(classes) != 2:
        raise InputError(f"binary_pair needs classes to name exactly two classes; got {len(classes)}.")
    return 1.0 - 2.0 * positions(originals, classes)[:, None]


def parity(originals: Originals, classes: tuple[int, ...]) -> Float[np.ndarray, "n outputs"]:  # noqa: ARG001
    """One column: +1 where the original class number is odd, -1 where it is even (agarwala2024)."""
    return 2.0 * (originals % 2).astype(np.float64)[:, None] - 1.0
