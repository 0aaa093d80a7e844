"""The sparse coding task: one spike in noise, and the label is its sign."""

import jax
import jax.numpy as jnp
import numpy as np

from precipice._checks import at_least, positive
from precipice._types import PRNGKey
from precipice.problems.data.dataset import Dataset, float_dtype, from_arrays


def sparse_coding(d: int, n: int, signal: float, *, key: PRNGKey, dtype: jax.typing.DTypeLike | None = None) -> Dataset:
    """Examples x = signal y e_j + xi with labels y = +1 or -1, a random place j and standard normal noise xi.

    Labels are fair, places uniform, all draws independent; the same in either precision.

    Args:
        d: inputs; x has shape [n, d].
        n: examples; y has shape [n, 1].
        signal: lambda, the size of the spike.
        key: a JAX key, used once.
        dtype: float32 or float64; by default JAX's.

    Raises:
        InputError: d or n below 1, a signal that is not positive.

    References:
        Ahn et al. 2023, eq. 1 (TN-30).

    Example:
        >>> data = sparse_coding(50, 20, 100.0, key=jax.random.key(0))
        >>> spike = np.take_along_axis(np.asarray(data.x), np.abs(data.x).argmax(axis=1)[:, None], axis=1)
        >>> bool(np.all(np.sign(spike) == data.y))
        True
    """
    at_least("d", d, 1)
    at_least("n", n, 1)
    positive("signal", signal)
    label_key, place_key, noise_key = jax.random.split(key, 3)
    y = np.where(np.asarray(jax.random.bernoulli(label_key, 0.5, (n,))), 1.0, -1.0)
    place = np.asarray(jax.random.randint(place_key, (n,), 0, d))
    x = np.asarray(jax.random.normal(noise_key, (n, d), jnp.float32), np.float64)
    x[np.arange(n), place] += signal * y
    precision = float_dtype(dtype)
    words = " ".join(str(word) for word in np.asarray(jax.random.key_data(key)).ravel())
    provenance = f"Sparse coding task: {n} examples of {d} inputs, a spike of {signal:g}, key {words}, {precision}."
    return from_arrays(x, y[:, None], None, provenance, dtype=precision)
