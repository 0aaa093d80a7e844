"""The curvature of a model: the second derivative of its outputs, projected on a direction of the outputs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from precipice._checks import InputError
from precipice._types import Params
from precipice.curvature.chunks import Chunks, num_examples, paired, total_examples, weighted_mean
from precipice.curvature.coupled import check_chunks
from precipice.curvature.operator import AbstractOperator, Linearised


class ModelCurvature(AbstractOperator):
    """v . Q, the Hessian of theta -> sum_a v_a f_a(theta): Q = d^2 f / d theta^2 projected on v, never formed.

    With v the gradient of the loss in the outputs it is the Hessian less the Gauss-Newton matrix; with v the top
    eigenvector of the kernel it is the paper's Q_1. A sum over examples and outputs, not a mean. A product costs about
    1.5 gradients; its spectrum is that of any operator (`eigs`, `density`, `trace`), on both sides of 0.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it.
        direction: v [n, C]; a unit vector for the paper's Q_1.

    Raises:
        InputError: a direction of another shape than the outputs, or chunks of a problem with BatchNorm.

    References: agarwala2022, section 4 and figure 6.

    Example:
        >>> from precipice import problems
        >>> model = problems.QuadraticModel(problems.Rows(jnp.ones(1), jnp.ones((1, 2)), jnp.diag(jnp.ones(2))[None]))
        >>> ModelCurvature(model.outputs, jnp.zeros(2), model.data, jnp.array([[3.0]])).dense()
        Array([[3., 0.],
               [0., 3.]], dtype=...)
    """

    outputs: Callable[..., Any]
    params: Params
    data: Any
    direction: Float[Array, "n C"]

    def __check_init__(self):
        check_chunks(self.outputs, self.data)
        shape = jnp.shape(self.direction)
        if isinstance(self.data, Chunks):
            wanted = (total_examples(self.data), shape[-1] if len(shape) == 2 else 1)
        else:
            wanted = jax.eval_shape(self.outputs, self.params, self.data).shape
        if shape != wanted:
            raise InputError(f"direction must have the shape of the outputs, {wanted}; got {shape}.")

    @property
    def like(self) -> PyTree:
        """The parameters."""
        return self.params

    def mv(self, v: PyTree) -> PyTree:
        """(v . Q) applied to one vector of the parameters."""
        if not isinstance(self.data, Chunks):
            return jax.jvp(jax.grad(self._projected), (self.params,), (v,))[1]
        total = self.direction.shape[0]

        def one_chunk(pair):
            product = jax.jvp(jax.grad(lambda p: self._projected(p, *pair)), (self.params,), (v,))[1]
            return jax.tree.map(lambda a: a * (total / num_examples(pair)), product)

        return weighted_mean(one_chunk, paired(self.data, self.direction))

    def linearise(self) -> Linearised:
        """A product costs about one gradient instead of 1.5."""
        if isinstance(self.data, Chunks):
            return Linearised(self.mv, None)
        gradient, product = jax.linearize(jax.grad(self._projected), self.params)
        return Linearised(product, gradient)

    def _projected(self, params: Params, data: Any = None, direction: Array | None = None) -> Array:
        data = self.data if data is None else data
        return jnp.sum((self.direction if direction is None else direction) * self.outputs(params, data))
