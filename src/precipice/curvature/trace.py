"""The trace of an operator by random signs (Hutchinson 1990), with its standard error."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from precipice._checks import at_least
from precipice._types import PRNGKey, Scalar
from precipice.curvature.operator import AbstractOperator, dtype_of, flat_product


class Estimate(NamedTuple):
    """A number estimated by sampling, and the standard error of the mean."""

    value: Scalar
    sem: Scalar


def trace(op: AbstractOperator, *, key: PRNGKey, num: int = 30) -> Estimate:
    """The sum of the eigenvalues, as the mean of s^T A s over `num` vectors of random signs.

    Unbiased; the variance of one sample is twice the sum of the squared off-diagonal entries. Samples are taken one
    after the other, so memory is that of one product.

    Args:
        op: the operator.
        key: for the signs.
        num: how many products; at least 2, or there is no standard error.

    Returns:
        The mean and its standard error.

    Raises:
        InputError: `num` below 2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from precipice.curvature import Hessian
        >>> op = Hessian(lambda p: 0.5 * jnp.sum(jnp.array([1.0, 2.0, 3.0]) * p**2), jnp.ones(3))
        >>> float(trace(op, key=jax.random.key(0)).value)  # exact: a diagonal matrix has no variance
        6.0
    """
    at_least("num of a trace", num, 2)
    samples = _samples(op, jax.random.split(key, num))
    return Estimate(jnp.mean(samples), jnp.std(samples, ddof=1) / num**0.5)


@eqx.filter_jit
def _samples(op: AbstractOperator, keys: Key[Array, "num"]) -> Float[Array, "num"]:
    """s^T A s for random signs s of each key."""

    def sample(key):
        signs = jax.random.rademacher(key, (op.size,), dtype_of(op))
        return signs @ flat_product(op, signs)

    return jax.lax.map(sample, keys)
