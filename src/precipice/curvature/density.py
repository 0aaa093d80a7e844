"""The spectral density of an operator by stochastic Lanczos quadrature."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from precipice._checks import at_least, at_most, positive
from precipice._types import PRNGKey
from precipice.curvature.operator import AbstractOperator
from precipice.curvature.tridiagonal import tridiagonal


class Density(NamedTuple):
    """A spectral density as weighted points: each row is one random vector's quadrature and sums to 1.

    Args:
        nodes: eigenvalue estimates [num, depth].
        weights: their shares of the spectrum [num, depth].
    """

    nodes: Float[Array, "num depth"]
    weights: Float[Array, "num depth"]

    def mean(self, power: int = 1) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """(value, standard error) of the mean over the spectrum of eigenvalue^power, as tr A^power / size."""
        samples = jnp.sum(self.weights * self.nodes**power, axis=1)
        return jnp.mean(samples), jnp.std(samples, ddof=1) / samples.shape[0] ** 0.5

    def on_grid(self, grid: Float[Array, "points"], width: float) -> Float[Array, "points"]:
        """The density smoothed by a Gaussian of standard deviation `width`, per unit of eigenvalue; integrates to 1."""
        positive("width", width)
        distance = (grid[:, None, None] - self.nodes[None]) / width
        bumps = jnp.exp(-0.5 * distance**2) / (width * (2 * jnp.pi) ** 0.5)
        return jnp.mean(jnp.sum(bumps * self.weights[None], axis=2), axis=1)


def density(op: AbstractOperator, *, key: PRNGKey, num: int = 10, depth: int = 40) -> Density:
    """The distribution of the eigenvalues of `op`, from `num` random vectors and `depth` Lanczos steps each.

    Each row integrates polynomials of degree up to 2 depth - 1 exactly against the spectral measure of its vector.
    A Krylov space that ends early (few distinct eigenvalues) is recognised, and its remaining weights are zero.
    Costs num x depth products and the memory of `depth` vectors; the random vectors are taken one after the other.

    Args:
        op: the operator.
        key: for the random vectors.
        num: random vectors; at least 2, for the standard error.
        depth: Lanczos steps, at most the operator's size.

    Raises:
        InputError: `num` or `depth` out of range.

    References: Golub and Welsch 1969; Ubaru, Chen and Saad 2017; Ghorbani et al. 2019.
    """
    at_least("num of a density", num, 2)
    at_least("depth", depth, 1)
    at_most("depth", depth, op.size, "the size of the operator")
    return _density(op, jax.random.split(key, num), depth)


@eqx.filter_jit
def _density(op: AbstractOperator, keys: Key[Array, "num"], depth: int) -> Density:
    def one(key):
        values, vectors = jnp.linalg.eigh(tridiagonal(op, key, depth).matrix)
        return values, vectors[0] ** 2

    return Density(*jax.lax.map(one, keys))
