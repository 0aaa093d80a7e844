"""The identity as a square of a rank-one matrix: two vectors that first align, then move as the degree-4 network."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import at_least, positive
from precipice._types import Number, PRNGKey, Scalar
from precipice.problems.problem import AbstractProblem


class RankOneFactorization(AbstractProblem):
    """loss(x, y) = |I - x y^T x y^T|_F^2/4 = [d - 2 s^2 + s^2 |x|^2 |y|^2]/4 with s = x . y; parameters [2, d].

    Minima are x = c y with |x| |y| = 1, where the loss is (d - 1)/4 and the sharpness 2 (|x|^2 + |y|^2). Vectors that
    are parallel stay so, and their lengths move as the entries of `ScalarNetwork((2, 2), 1/4)`.

    Args:
        dimension: d, of each vector.
        norm: length of x at the start; that of y is 1/(2 norm).

    Raises:
        InputError: a dimension below 1, a norm not positive.

    References: zhu2022, eq. 11 and appendix C (MIN-13; the norm is printed without its square, ERR-M6).

    Example:
        >>> problem = RankOneFactorization(3)
        >>> float(problem.loss(jnp.array([[2.0, 0.0, 0.0], [0.5, 0.0, 0.0]])))
        0.5
    """

    dimension: int = eqx.field(static=True)
    norm: Array

    def __init__(self, dimension: int, norm: Number = 0.5**0.5):
        at_least("dimension", dimension, 1)
        if not isinstance(norm, Tracer):
            positive("norm", float(norm))
        self.dimension = dimension
        self.norm = jnp.asarray(norm)

    def init(self, key: PRNGKey) -> Float[Array, "2 d"]:
        """Uniform directions, with |x| = norm and |y| = 1/(2 norm)."""
        draws = jax.random.normal(key, (2, self.dimension))
        directions = draws / jnp.linalg.norm(draws, axis=1, keepdims=True)
        lengths = jnp.stack([self.norm, 0.5 / self.norm]).astype(directions.dtype)
        return directions * lengths[:, None]

    def loss(self, params: Float[Array, "2 d"], batch: None = None) -> Scalar:  # noqa: ARG002
        """The loss at `params` = (x, y); there are no examples, so `batch` must be None."""
        x, y = params
        square = jnp.dot(x, y) ** 2
        return (self.dimension - 2 * square + square * jnp.dot(x, x) * jnp.dot(y, y)) / 4
