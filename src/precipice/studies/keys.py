"""The key of a cell: the study's key with the names and values of axes folded in."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from precipice._types import PRNGKey
from precipice.studies.axes import Axis

if TYPE_CHECKING:
    from jaxtyping import Array, UInt32


def words(axis: Axis) -> np.ndarray:
    """Two 32-bit words for each value of an axis, from its name and value: uint32 [n, 2].

    Values that are equal numbers of one type have equal words on every machine.

    Example:
        >>> words(Axis("lr", (0.1, 0.2)))[0].tolist() == words(Axis("lr", (0.3, 0.1)))[1].tolist()
        True
    """
    digests = (hashlib.sha256(f"{axis.name}={value!r}".encode()).digest()[:8] for value in axis.values)
    return np.frombuffer(b"".join(digests), "<u4").reshape(-1, 2).astype(np.uint32)


def cell_key(seed: int, folded: "Mapping[str, UInt32[Array, 2]]") -> PRNGKey:
    """The key of a cell, given the words of its values in the axes that change it, in order."""
    import jax

    key = jax.random.key(seed)
    for pair in folded.values():
        key = jax.random.fold_in(jax.random.fold_in(key, pair[0]), pair[1])
    return key
