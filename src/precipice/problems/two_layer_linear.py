"""The two-layer linear network of Li et al. with one output: f(x) = a . W x / sqrt(m)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from precipice._checks import InputError
from precipice._types import PRNGKey, Scalar
from precipice.problems.problem import AbstractProblem

LinearLayers = dict[str, Array]
"""``{"a": [m], "w": [m, d]}``."""


class TwoLayerLinear(AbstractProblem):
    """L = |F - y|^2 / n with F_i = a . W x_i / sqrt(m): mean squared error over n examples, m hidden units.

    Parameters are ``{"a": [m], "w": [m, d]}``. What gradient descent does to F - y, |a|^2 and the kernel is known
    exactly (`measures.two_layer_linear_step`).

    Args:
        x: inputs [n, d], one example in a row (the paper's X is the transpose).
        y: targets [n]; +1 and -1 in the paper.
        width: m.
        output_scale: standard deviation of the entries of a at the start; those of W have variance 1/d.

    Raises:
        InputError: shapes that do not fit, a width below 1.

    References: shapira2023, section 5; Li et al. 2022 (REV-8).

    Example:
        >>> problem = TwoLayerLinear(jnp.eye(2), jnp.array([1.0, -1.0]), width=4)
        >>> params = {"a": jnp.ones(4), "w": jnp.ones((4, 2))}
        >>> [float(v) for v in problem.outputs(params)], float(problem.loss(params))
        ([2.0, 2.0], 5.0)
    """

    x: Float[Array, "n d"]
    y: Float[Array, "n"]
    width: int = eqx.field(static=True)
    output_scale: float

    def __init__(self, x: ArrayLike, y: ArrayLike, *, width: int, output_scale: float = 1.0):
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1]:
            raise InputError(f"x and y must have shapes [n, d] and [n]; got {self.x.shape} and {self.y.shape}.")
        if not width >= 1:
            raise InputError(f"width must be at least 1; got {width}.")
        self.width, self.output_scale = width, output_scale

    def init(self, key: PRNGKey) -> LinearLayers:
        """Gaussian entries: of a with standard deviation `output_scale`, of W with variance 1/d."""
        first, second = jax.random.split(key)
        inputs = self.x.shape[1]
        w = jax.random.normal(first, (self.width, inputs), self.x.dtype) / inputs**0.5
        return {"a": self.output_scale * jax.random.normal(second, (self.width,), self.x.dtype), "w": w}

    def outputs(self, params: LinearLayers, x: Float[Array, "k d"] | None = None) -> Float[Array, "k"]:
        """F on the training inputs, or on others."""
        inputs = self.x if x is None else x
        return inputs @ (params["a"] @ params["w"]) / params["a"].shape[0] ** 0.5

    def loss(self, params: LinearLayers, batch: tuple[Array, Array] | None = None) -> Scalar:
        """Mean squared error on all examples, or on a batch (x, y)."""
        x, y = (self.x, self.y) if batch is None else batch
        return jnp.mean((self.outputs(params, x) - y) ** 2)
