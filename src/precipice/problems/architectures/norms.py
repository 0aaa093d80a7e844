"""Normalisations: functions (params, h, given) -> (normalised h, statistics of the batch).

Only `batch_norm` has statistics: they are part of the function when `given` is None, and fixed numbers otherwise.
Half-precision signals are normalised in float32 and rounded again.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from precipice._types import Params
from precipice.problems.architectures.layers import along_last


def batch_norm(params: Params, h: Float[Array, "n ... c"], given: Any = None) -> tuple[Array, Any]:
    """Each channel less its mean, over its standard deviation, over all examples and places; then scale and bias.

    The variance is the biased one, plus 1e-5. With `given` None mean and variance are those of `h`, and derivatives go
    through them: the outputs of an example then depend on its whole batch.

    Args:
        params: scale [c] and bias [c].
        h: the signals, channels last.
        given: (mean [c], variance [c]) to use instead of those of `h`.

    Returns:
        The signals and (mean, variance).

    References: Ioffe and Szegedy 2015, algorithm 1.
    """
    axes, wide = tuple(range(h.ndim - 1)), _at_least_float32(h)
    mean, variance = (jnp.mean(wide, axes), jnp.var(wide, axes)) if given is None else given
    normal = (wide - along_last(mean, h)) * jax.lax.rsqrt(along_last(variance, h) + 1e-5)
    return scaled(params, normal.astype(h.dtype)), (mean, variance)


def layer_norm(params: Params, h: Float[Array, "... c"], given: Any = None) -> tuple[Array, Any]:  # noqa: ARG001
    """Each place of each example less its mean over the channels, over their standard deviation; no statistics.

    The variance is the biased one, plus 1e-6; scale and bias have one entry a channel.

    Args:
        params: scale [c] and bias [c].
        h: the signals, channels last.
        given: not used: there are no statistics.

    References: Ba, Kiros and Hinton 2016.
    """
    wide = _at_least_float32(h)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)
    return scaled(params, normal.astype(h.dtype)), ()


def _at_least_float32(h: Array) -> Array:
    """Means and variances of half-precision signals are taken in float32."""
    return h if h.dtype.itemsize >= 4 else h.astype(jnp.float32)


def norm_params(channels: int, dtype) -> Params:
    """Scale 1 and bias 0 for each channel."""
    return {"scale": jnp.ones(channels, dtype), "bias": jnp.zeros(channels, dtype)}


def scaled(params: Params, h: Array) -> Array:
    """Scale and bias of each channel."""
    return h * along_last(params["scale"], h) + along_last(params["bias"], h)


def running(statistics: PyTree, batch: PyTree, *, momentum: float = 0.1) -> PyTree:
    """(1 - momentum) statistics + momentum batch: the statistics for evaluation, kept along a training.

    Args:
        statistics: as `ResNet.statistics` gives them, from the first batch or all the data.
        batch: those of the next batch; variances are biased, as in Flax (PyTorch keeps n/(n-1) times them).
        momentum: PyTorch's; 1 less Flax's.

    Example:
        >>> import jax.numpy as jnp
        >>> running(jnp.array([1.0]), jnp.array([2.0]), momentum=0.25).tolist()
        [1.25]
    """
    return jax.tree.map(lambda old, new: (1 - momentum) * old + momentum * new, statistics, batch)
