"""The mean model of `threshold_network.py`: its population loss while inputs of many coordinates look alike."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import at_least
from precipice._types import Number, PRNGKey, Scalar
from precipice.problems.problem import AbstractProblem


@jax.custom_jvp
def smoothed_relu(b: Float[Array, "..."]) -> Float[Array, "..."]:
    """The smoothed ReLU g(b) = E max(z + b, 0) = phi(b) + b Phi(b) with z standard normal; its derivative is Phi(b).

    phi and Phi are the density and the distribution function of z. Positive, increasing and convex. For b below 0,
    where the two terms cancel, in a form with fewer roundings: phi(b) (1 + b sqrt(pi/2) erfcx(-b/sqrt(2))).

    Args:
        b: the bias, of any shape; a floating-point array.

    References: ahn2022, lemma 2 and figure 7 (TN-20).

    Example:
        >>> value, slope = jax.value_and_grad(smoothed_relu)(jnp.array(0.0))
        >>> round(float(value), 5), float(slope)
        (0.39894, 0.5)
    """
    density, below = jax.scipy.stats.norm.pdf(b), jnp.minimum(b, 0)
    scaled = jax.scipy.special.erfcx(-below * math.sqrt(0.5))
    negative = density * (1 + below * math.sqrt(math.pi / 2) * scaled)
    return jnp.where(b < 0, negative, density + b * jax.scipy.special.ndtr(b))


@smoothed_relu.defjvp
def _smoothed_relu_jvp(primals, tangents):
    (b,), (tangent,) = primals, tangents
    return smoothed_relu(b), jax.scipy.special.ndtr(b) * tangent


def symmetric_logistic(s: Float[Array, "..."]) -> Float[Array, "..."]:
    """l_sym(s) = (log(1 + exp(-s)) + log(1 + exp(s)))/2: the logistic loss of s for either label; l_sym''(0) = 1/4.

    References: ahn2022, section 1.2 (TN-20); it does not satisfy their assumption A1, which wants l''(0) = 1 (ERR-T4).

    Example:
        >>> float(jax.grad(jax.grad(symmetric_logistic))(jnp.array(0.0)))
        0.25
    """
    return (jax.nn.softplus(s) + jax.nn.softplus(-s)) / 2


class MeanModel(AbstractProblem):
    """L(a-, a+, b) = l_sym(d (a- + a+) g(b)), at the parameters (a-, a+, b) of the ReLU network it stands for.

    g is `smoothed_relu` and l_sym `symmetric_logistic`. With A = d (a- + a+), gradient descent on it is exactly

        A' = A - 2 d^2 lr l_sym'(A g(b)) g(b),     b' = b - lr l_sym'(A g(b)) A g'(b),

    which `dynamics.MeanModelMap` iterates in (A, b); the difference a+ - a- never moves.

    Args:
        dimension: d, inputs of the network.

    Raises:
        InputError: a dimension below 1.

    References: ahn2022, section 3.1 and appendix D (TN-20).

    Example:
        >>> round(float(MeanModel(200).loss(jnp.array([0.0, 0.0, -0.1]))), 5)
        0.69315
    """

    dimension: int = eqx.field(static=True)

    def __check_init__(self):
        at_least("dimension", self.dimension, 1)

    def init(self, key: PRNGKey) -> Float[Array, "3"]:
        """Weights normal of variance 1/(2 d^2), so that A is of order 1 as the theorems want (ERR-T3), and b = 0."""
        return weights_and_bias(key, 1 / (2 * self.dimension**2), jnp.result_type(float))

    def loss(self, params: Float[Array, "3"], batch: None = None) -> Scalar:  # noqa: ARG002
        """The population loss; there are no examples."""
        weight_minus, weight_plus, bias = params
        return symmetric_logistic(self.dimension * (weight_minus + weight_plus) * smoothed_relu(bias))


def weights_and_bias(key: PRNGKey, variance: Number, dtype) -> Float[Array, "3"]:
    """(a-, a+, 0) with normal weights of this variance."""
    weights = jnp.sqrt(jnp.asarray(variance, dtype)) * jax.random.normal(key, (2,), dtype)
    return jnp.concatenate([weights, jnp.zeros(1, dtype)])
