"""Data in weighted chunks: exact means over all examples at the memory of one chunk."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from precipice._checks import InputError, at_least


class Chunks(eqx.Module):
    """Examples cut into equal chunks and a shorter rest; make it with `chunked`, or on many devices `spread_chunks`.

    Args:
        body: the batch with leaves [num, size, ...], or None.
        rest: the batch with leaves [r, ...], `Chunks` of it, or None.
    """

    body: PyTree
    rest: PyTree


def num_examples(batch: Any) -> int:
    """The leading length that all leaves of `batch` share.

    Raises:
        InputError: the leaves disagree.
    """
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1:
        raise InputError(f"all arrays of a batch must have the same number of examples; got {sorted(lengths)}.")
    return lengths.pop()


def chunked(batch: Any, size: int) -> Chunks:
    """Cut `batch` (a pytree with a leading axis of examples) into chunks of `size` examples.

    Operators that are given the chunks weight each by its number of examples, so that a rest of another size leaves the
    mean exact, and hold the activations of one chunk at a time.

    Raises:
        InputError: `size` below 1, or leaves of unequal length.

    Example:
        >>> import jax.numpy as jnp
        >>> pieces = chunked(jnp.arange(7.0), 3)
        >>> pieces.body.shape, pieces.rest.shape
        ((2, 3), (1,))
    """
    at_least("size of a chunk", size, 1)
    total = num_examples(batch)
    whole = total // size
    body = jax.tree.map(lambda a: a[: whole * size].reshape(whole, size, *a.shape[1:]), batch) if whole else None
    rest = jax.tree.map(lambda a: a[whole * size :], batch) if total % size else None
    return Chunks(body, rest)


def _counts(chunks: Chunks) -> tuple[int, int, int]:
    num, size = jax.tree.leaves(chunks.body)[0].shape[:2] if chunks.body is not None else (0, 0)
    return num, size, _length(chunks.rest)


def _length(rest: PyTree) -> int:
    if rest is None:
        return 0
    return total_examples(rest) if isinstance(rest, Chunks) else num_examples(rest)


def weighted_mean(fn: Callable[[Any], PyTree], chunks: Chunks) -> PyTree:
    """The mean over all examples of `fn`, itself a mean over the examples of one chunk: sum_c (n_c/n) fn(chunk_c)."""
    num, size, rest = _counts(chunks)
    total = num * size + rest
    parts = []
    if num:
        first = jax.eval_shape(fn, jax.tree.map(lambda a: a[0], chunks.body))
        start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), first)
        summed, _ = jax.lax.scan(lambda acc, c: (jax.tree.map(jnp.add, acc, fn(c)), None), start, chunks.body)
        parts.append(jax.tree.map(lambda a: a * (size / total), summed))
    if rest:
        mean = weighted_mean(fn, chunks.rest) if isinstance(chunks.rest, Chunks) else fn(chunks.rest)
        parts.append(jax.tree.map(lambda a: a * (rest / total), mean))
    return parts[0] if len(parts) == 1 else jax.tree.map(jnp.add, *parts)


def concatenated(fn: Callable[[Any], Array], chunks: Chunks) -> Array:
    """`fn` of every chunk, its leading axes of examples joined in the order of the data."""
    num, size, rest = _counts(chunks)
    parts = []
    if num:
        body = jax.lax.map(fn, chunks.body)
        parts.append(body.reshape(num * size, *body.shape[2:]))
    if rest:
        parts.append(concatenated(fn, chunks.rest) if isinstance(chunks.rest, Chunks) else fn(chunks.rest))
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def paired(chunks: Chunks, rows: Array) -> Chunks:
    """Chunks of the batch together with the matching rows of `rows` [n, ...]."""
    body, rest, start = None, None, 0
    if chunks.body is not None:
        num, size = jax.tree.leaves(chunks.body)[0].shape[:2]
        start = num * size
        body = (chunks.body, rows[:start].reshape(num, size, *rows.shape[1:]))
    if chunks.rest is not None:
        own = rows[start:]
        rest = paired(chunks.rest, own) if isinstance(chunks.rest, Chunks) else (chunks.rest, own)
    return Chunks(body, rest)


def in_chunks(data: Any) -> Chunks:
    """`Chunks` as they are, and any other batch as one chunk."""
    return data if isinstance(data, Chunks) else Chunks(None, data)


def total_examples(chunks: Chunks) -> int:
    """How many examples the chunks hold together."""
    num, size, rest = _counts(chunks)
    return num * size + rest
