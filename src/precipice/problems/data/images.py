"""What every image data set does once its files are read: choose, preprocess, make targets, cast."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import jax
import numpy as np

from precipice._checks import InputError, at_least
from precipice.problems.data.dataset import Dataset, float_dtype, from_arrays
from precipice.problems.data.targets import positions

Chunk: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Some consecutive examples: images [m, channels, height, width] of whole numbers from 0, classes [m]."""

Targets: TypeAlias = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
"""A function of `targets.py`."""

Preprocess: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""A function of `preprocess.py`."""

NUM_CLASSES = 10
"""Every data set here has the classes 0 to 9."""


def image_dataset(
    chunks: Iterable[Chunk],
    *,
    title: str,
    top: int,
    count: int,
    n: int | None,
    classes: tuple[int, ...] | None,
    targets: Targets,
    preprocess: Preprocess,
    layout: Preprocess,
    dtype: jax.typing.DTypeLike | None,
) -> Dataset:
    """The first n examples of the chosen classes as a `Dataset`. Chunks are read only until there are enough.

    Pixels are divided by `top` and preprocessed in float64, then cast. Memory: a few copies of 8 bytes a
    pixel (CIFAR-10 with n = 5000: 120 MB a copy).

    Args:
        chunks: the examples, in order.
        title: name and split, for messages and provenance.
        top: the pixel value that becomes 1.
        count: number of examples in all chunks together.
        n: number of examples, of the chosen classes; None for all.
        classes: classes kept, renumbered 0, 1, ... in this order; None for 0 to 9.
        targets: makes y.
        preprocess: acts on pixels in [0, 1].
        layout: the shape of x.
        dtype: of x and y.

    Raises:
        InputError: n outside 1 to the number of examples there are, classes that are not distinct whole
            numbers from 0 to 9, or a function that returns another shape or a value that is not finite.
    """
    precision = float_dtype(dtype)
    kept = _check_classes(classes)
    whose = title if classes is None else f"{title}, classes {kept}"
    _check_n(n, count, title)
    pixels, originals = _first(chunks, n, kept, whose)
    images = _apply(preprocess, pixels.astype(np.float64) / top)
    y = np.asarray(targets(originals, kept), np.float64)
    provenance = (
        f"{whose}: first {len(images)} images, pixels in [0, 1], {_name(preprocess)} over these images, "
        f"{_name(layout)}, targets {_name(targets)}, {precision}."
    )
    return from_arrays(layout(images), y, positions(originals, kept), provenance, dtype=precision)


def _first(chunks: Iterable[Chunk], n: int | None, classes: tuple[int, ...], whose: str) -> Chunk:
    """The first n examples whose class is kept."""
    images, originals, have = [], [], 0
    for some, labels in chunks:
        chosen = np.flatnonzero(np.isin(labels, classes))[: None if n is None else n - have]
        images.append(some[chosen])
        originals.append(labels[chosen].astype(np.int64))
        have += len(chosen)
        if have == n:
            break
    _check_n(n, have, whose)
    if have == 0:
        raise InputError(f"classes must occur in the data; got none of them in {whose}.")
    return np.concatenate(images), np.concatenate(originals)


def _check_n(n: int | None, count: int, whose: str) -> None:
    if n is None:
        return
    at_least("n", n, 1)
    if n > count:
        raise InputError(f"n must be at most {count}, the number of images there are ({whose}); got {n}.")


def _check_classes(classes: tuple[int, ...] | None) -> tuple[int, ...]:
    if classes is None:
        return tuple(range(NUM_CLASSES))
    known = all(c in range(NUM_CLASSES) for c in classes)
    if not classes or not known or len(set(classes)) < len(classes):
        raise InputError(f"classes must be distinct whole numbers from 0 to {NUM_CLASSES - 1}; got {classes}.")
    return tuple(classes)


def _apply(function: Preprocess, images: np.ndarray) -> np.ndarray:
    result = np.asarray(function(images), np.float64)
    if result.shape != images.shape:
        raise InputError(f"preprocess {_name(function)} must keep the shape {images.shape}; got {result.shape}.")
    return result


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)
