"""A loss of any pytree model, as the curvature room takes it: of arrays alone, in one precision, on a probe set."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from precipice._checks import InputError, at_least, one_line
from precipice._types import Params, Scalar
from precipice.curvature import Chunks, chunked
from precipice.curvature.chunks import num_examples, weighted_mean

MEAN_TOLERANCE = 1e-3
"""Relative difference at which a loss counts as no mean over examples; a sum is off by 1."""


class SplitLoss(eqx.Module):
    """A loss in two parts, ``loss_of_outputs(outputs(model, batch), batch)``: the Gauss-Newton matrix is then known.

    Args:
        outputs: ``outputs(model, batch) -> [n, C]``; an example's outputs depend on that example alone.
        loss_of_outputs: ``loss_of_outputs(outputs, batch) -> scalar``, convex in the outputs, a mean over examples.

    Example:
        >>> loss = SplitLoss(lambda w, x: w * x, lambda f, x: jnp.mean(f**2) / 2)
        >>> float(loss(jnp.array(2.0), jnp.array([[1.0], [3.0]])))
        10.0
    """

    outputs: Callable[..., Any]
    loss_of_outputs: Callable[..., Scalar]

    def __call__(self, model: PyTree, batch: Any) -> Scalar:
        """The loss."""
        return self.loss_of_outputs(self.outputs(model, batch), batch)


class Held(eqx.Module):
    """A function of the trained arrays, the rest of the model held: ``function(combine(params, rest), *args)``."""

    function: Callable[..., Any]
    rest: PyTree

    def __call__(self, params: Params, *args: Any) -> Any:
        """The function at `params`."""
        return self.function(eqx.combine(params, self.rest), *args)


class OnData(eqx.Module):
    """``params -> function(params, data)``."""

    function: Callable[..., Scalar]
    data: Any

    def __call__(self, params: Params) -> Scalar:
        """The function on the data."""
        return self.function(params, self.data)


class Probe(NamedTuple):
    """The examples that measurements run on.

    Args:
        data: all of them, a pytree with a leading axis.
        chunks: the same in chunks, or None where all fit at once.
    """

    data: Any
    chunks: Chunks | None


def probe_of(data: Any, chunk_size: int | None) -> Probe:
    """A fixed probe set, copied, in chunks of so many examples (None, or no fewer than there are: all at once).

    Raises:
        InputError: an iterator, which shuffles or runs out; no arrays, unequal lengths, or numbers that are not finite.
    """
    if isinstance(data, Iterator) or not jax.tree.leaves(data):
        raise InputError(
            "data must be arrays with a leading axis of examples, the same at every measurement; got "
            f"{type(data).__name__}: collect some batches into arrays first."
        )
    for leaf in jax.tree.leaves(data):
        if not np.ndim(leaf):
            raise InputError(
                f"data must be arrays with a leading axis of examples; got {type(leaf).__name__} {leaf!r}."
            )
    data = jax.tree.map(jnp.array, data)
    total = num_examples(data)
    at_least("number of probe examples", total, 1)
    for leaf in jax.tree.leaves(data):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not bool(jnp.isfinite(leaf).all()):
            raise InputError("data must be finite; got NaN or inf.")
    if chunk_size is not None:
        at_least("chunk_size", chunk_size, 1)
    return Probe(data, None if chunk_size is None or chunk_size >= total else chunked(data, chunk_size))


def trained_part(model: PyTree, trainable: Any) -> tuple[Params, PyTree]:
    """The arrays that are trained, in one precision of at least 32 bits, and the rest of the model.

    Raises:
        InputError: nothing is trained, or complex numbers are.
    """
    params, rest = eqx.partition(model, trainable)
    leaves = [leaf for leaf in jax.tree.leaves(params) if eqx.is_inexact_array(leaf)]
    if not leaves:
        raise InputError("params must hold at least one floating-point array that is trained; got none.")
    if any(jnp.iscomplexobj(leaf) for leaf in leaves):
        raise InputError("params must be real; got complex arrays.")
    dtype = jnp.float64 if any(leaf.dtype == jnp.float64 for leaf in leaves) else jnp.float32
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params), rest


@eqx.filter_jit
def mean_loss(loss: Callable[..., Scalar], params: Params, probe: Probe) -> Scalar:
    """The mean over the probe examples."""
    if probe.chunks is None:
        return loss(params, probe.data)
    return weighted_mean(lambda batch: loss(params, batch), probe.chunks)


def check_mean_loss(loss: Callable[..., Scalar], params: Params, probe: Probe) -> bool:
    """Refuse a loss that is no mean over the examples of its batch, where a few evaluations can tell.

    The same examples twice must give the same loss, and where the data are taken in chunks, the mean of two halves that
    of both; there at parameters moved at random too, as a layer of zeros may hide how examples meet. A loss that
    normalises over the batch (BatchNorm in training mode) passes the first alone: without chunks.

    Returns:
        Whether it could be told: not where the loss is NaN or infinite.

    Raises:
        InputError: a loss that does not run on the data, a sum, a scalar that is none, or a loss that couples examples
            while the data are in chunks.
    """
    first = second = probe.data
    if probe.chunks is not None:
        half = min(num_examples(probe.data) // 2, num_examples(_first(probe.chunks)))
        first, second = (jax.tree.map(lambda a, i=i: a[i * half : (i + 1) * half], probe.data) for i in (0, 1))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    one, two, both = (_value(loss, params, batch) for batch in (first, second, joined))
    if not np.isfinite([one, two, both]).all():
        return False
    _check_mean(one, two, both)
    if probe.chunks is not None:
        _check_mean(*(_value(loss, _moved(params), batch) for batch in (first, second, joined)))
    return True


def _moved(params: Params) -> Params:
    """Each array moved at random by a tenth of its root mean square, or by 0.1 where it is zero."""
    leaves, structure = jax.tree.flatten(params)

    def moved(leaf, key):
        size = jnp.sqrt(jnp.mean(leaf**2))
        noise = jax.random.normal(key, leaf.shape, leaf.dtype)
        return leaf + noise * jnp.asarray(jnp.where(size > 0, size / 10, 0.1), leaf.dtype)

    keys = jax.random.split(jax.random.key(0), len(leaves))
    return jax.tree.unflatten(structure, [moved(leaf, key) for leaf, key in zip(leaves, keys, strict=True)])


def _check_mean(one: float, two: float, both: float) -> None:
    if abs((one + two) / 2 - both) > MEAN_TOLERANCE * max(abs(one), abs(two), abs(both)):
        raise InputError(
            f"loss must be a mean over the examples of its batch; got {both:.6g} on two sets of examples together and "
            f"{one:.6g} and {two:.6g} on each (where examples are coupled, as by BatchNorm: a chunk_size of them all)."
        )


def _first(chunks: Chunks) -> Any:
    return chunks.rest if chunks.body is None else jax.tree.map(lambda a: a[0], chunks.body)


@eqx.filter_jit
def _compiled(loss: Callable[..., Scalar], params: Params, batch: Any) -> Any:
    return loss(params, batch)


def _value(loss: Callable[..., Scalar], params: Params, batch: Any) -> float:
    try:
        value = _compiled(loss, params, batch)
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"loss must run as loss(params, batch) on data, and on any part of its examples; it raised "
            f"{one_line(error)} (data is one batch of all probe examples, not a list of batches)."
        ) from error
    if np.shape(value):
        raise InputError(f"loss must return one number; got shape {np.shape(value)} (a mean over examples is meant).")
    return float(value)
