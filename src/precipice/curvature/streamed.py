"""Means and traces over data that come a batch at a time and are never all held."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from precipice._checks import InputError
from precipice._types import PRNGKey
from precipice.curvature.chunks import num_examples
from precipice.curvature.trace import Estimate


def streamed_mean(fn: Callable[[Any], PyTree], batches: Iterable[Any]) -> PyTree:
    """The mean over all examples of `fn`, itself a mean over the examples of one batch: sum_b (n_b/n) fn(batch_b).

    Args:
        fn: compiled; batches of another size compile anew.
        batches: pytrees with a leading axis of examples, such as `problems.ImageStream.one_pass`.

    Raises:
        InputError: no batch.

    Example:
        >>> float(streamed_mean(jnp.mean, [jnp.array([1.0, 2.0]), jnp.array([6.0])]))
        3.0
    """
    total, count = None, 0
    for batch in batches:
        num = num_examples(batch)
        part = jax.tree.map(lambda leaf, num=num: num * leaf, fn(batch))
        total = part if total is None else jax.tree.map(jnp.add, total, part)
        jax.block_until_ready(total)  # or batches would pile up before the device
        count += num
    if total is None:
        raise InputError("batches must hold at least one batch; got none.")
    return jax.tree.map(lambda leaf: leaf / count, total)


def streamed_estimate(fn: Callable[[Any, PRNGKey], Estimate], batches: Iterable[Any], *, key: PRNGKey) -> Estimate:
    """The mean over all examples of an estimate of independent draws for each batch, and its standard error.

    The error is that of the draws, sqrt(sum_b (n_b/n)^2 sem_b^2); which examples are in the batches is taken as given.

    Args:
        fn: ``fn(batch, key)``, an estimate of a mean over the batch's examples: `gram_trace_bartlett` of one batch.
        batches: as for `streamed_mean`.
        key: split for the batches, by their numbers.

    Raises:
        InputError: no batch.
    """
    found: list[tuple[int, Estimate]] = []
    for number, batch in enumerate(batches):
        found.append((num_examples(batch), fn(batch, jax.random.fold_in(key, number))))
        jax.block_until_ready(found[-1][1])
    if not found:
        raise InputError("batches must hold at least one batch; got none.")
    count = sum(num for num, _ in found)
    shares = [(num / count, one) for num, one in found]
    value = sum(share * one.value for share, one in shares)
    return Estimate(jnp.asarray(value), jnp.sqrt(jnp.asarray(sum((share * one.sem) ** 2 for share, one in shares))))
