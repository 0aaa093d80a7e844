"""The loss on which gradient descent takes exactly the predicted steps of self-stabilization."""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import positive
from precipice._types import Number, PRNGKey, Scalar
from precipice.problems.problem import AbstractProblem


class SelfStabilizing(AbstractProblem):
    """L(x, w) = (2/lr + g w) x^2/2 - (alpha/g) w with g = sqrt(beta), at parameters (x, w).

    At w = 0 the curvature along x is 2/lr. Its gradient has the component alpha/g that raises w, and with it that
    curvature (progressive sharpening), until x^2 lowers it again. With y = g w, gradient descent at learning rate `lr`
    is the map of `dynamics.SelfStabilization`.

    Args:
        lr: learning rate whose edge is at w = 0.
        alpha: rate of progressive sharpening.
        beta: strength of self-stabilization.

    Raises:
        InputError: one of them is not positive.

    References: shapira2023, definition 4.1 (REV-4).

    Example:
        >>> problem = SelfStabilizing(0.5, 1.0, 4.0)
        >>> float(problem.loss(jnp.array([1.0, 2.0])))
        3.0
    """

    lr: Array
    alpha: Array
    beta: Array

    def __init__(self, lr: Number, alpha: Number, beta: Number):
        for name, value in (("lr", lr), ("alpha", alpha), ("beta", beta)):
            if not isinstance(value, Tracer):
                positive(name, float(value))
        self.lr, self.alpha, self.beta = jnp.asarray(lr), jnp.asarray(alpha), jnp.asarray(beta)

    def init(self, key: PRNGKey) -> Float[Array, "2"]:
        """A small displacement along x, at the edge."""
        return jnp.stack([1e-3 * jax.random.normal(key, ()), jnp.zeros(())])

    def loss(self, params: Float[Array, "2"], batch: None = None) -> Scalar:  # noqa: ARG002
        """The loss at (x, w); there are no examples."""
        x, w = params
        lr, alpha, beta = (number.astype(params.dtype) for number in (self.lr, self.alpha, self.beta))
        root = jnp.sqrt(beta)
        return (2 / lr + root * w) * x**2 / 2 - alpha / root * w
