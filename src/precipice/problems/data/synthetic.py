"""Data made from a formula."""

import jax
import jax.numpy as jnp
import numpy as np

from precipice._checks import at_least
from precipice._types import PRNGKey
from precipice.problems.data.dataset import Dataset, float_dtype, from_arrays


def chebyshev(degree: int, n: int, *, dtype: jax.typing.DTypeLike | None = None) -> Dataset:
    """Regression on y = T_degree(x) = cos(degree arccos x) at n points uniformly spaced in [-1, 1].

    The ends are included. Cohen et al. 2021 use 20 points and degrees 3, 4, 5.

    Args:
        degree: of the Chebyshev polynomial of the first kind.
        n: number of points; x and y have shape [n, 1].
        dtype: float32 or float64; by default JAX's.

    Raises:
        InputError: a negative degree or fewer than two points.

    Example:
        >>> chebyshev(2, 3).y[:, 0].tolist()
        [1.0, -1.0, 1.0]
    """
    at_least("degree", degree, 0)
    at_least("n", n, 2)
    x = np.linspace(-1.0, 1.0, n)
    y = np.polynomial.chebyshev.chebval(x, np.eye(degree + 1)[degree])
    precision = float_dtype(dtype)
    provenance = f"Chebyshev polynomial of degree {degree} at {n} points uniformly spaced in [-1, 1], {precision}."
    return from_arrays(x[:, None], y[:, None], None, provenance, dtype=precision)


def rescaled_layers_task(d: int, *, key: PRNGKey, dtype: jax.typing.DTypeLike | None = None) -> Dataset:
    """Linear regression of d examples of width d: X X^T = d I and Y = X diag(1, (d-1)/d, ..., 1/d).

    The task on which layers of unequal size are compared: the solution is a known diagonal matrix, and the
    inputs favour no direction. X is sqrt(d) times an orthogonal matrix from the uniform (Haar) distribution:
    the Q of the QR decomposition of a Gaussian matrix, signs chosen so that R has a positive diagonal. The
    draw is the same in either precision.

    Args:
        d: number of examples, inputs and outputs; x and y have shape [d, d], one example a row.
        key: a JAX key, used once.
        dtype: float32 or float64; by default JAX's.

    Raises:
        InputError: d below 1.

    References:
        Zhu et al. 2022, the synthetic data of the rescaled-layers experiments (formula MIN-21).

    Example:
        >>> x = np.asarray(rescaled_layers_task(4, key=jax.random.key(0)).x)
        >>> np.allclose(x @ x.T, 4 * np.eye(4), atol=1e-5)
        True
    """
    at_least("d", d, 1)
    gaussian = np.asarray(jax.random.normal(key, (d, d), jnp.float32), np.float64)
    q, r = np.linalg.qr(gaussian)
    x = np.sqrt(d) * q * np.sign(np.diag(r))[None, :]
    y = x * (np.arange(d, 0, -1) / d)[None, :]
    precision = float_dtype(dtype)
    provenance = (
        f"Rescaled-layers task of width {d}: X X^T = d I, Y = X diag(1, ..., 1/d), key {_words(key)}, {precision}."
    )
    return from_arrays(x, y, None, provenance, dtype=precision)


def _words(key: PRNGKey) -> str:
    return " ".join(str(word) for word in np.asarray(jax.random.key_data(key)).ravel())
