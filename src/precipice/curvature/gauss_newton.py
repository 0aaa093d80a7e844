"""The Gauss-Newton matrix: G = J^T (d^2 loss / d outputs^2) J, the Hessian without the curvature of the model."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from precipice._types import Params, Scalar
from precipice.curvature.chunks import Chunks, weighted_mean
from precipice.curvature.coupled import check_chunks
from precipice.curvature.operator import AbstractOperator


class GaussNewton(AbstractOperator):
    """G = J^T H_out J at `params`, with J the Jacobian of the outputs and H_out the Hessian of the loss in the outputs.

    Positive semi-definite where the loss is convex in the outputs. One product costs about 1.5 gradients.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``.
        loss_of_outputs: ``loss_of_outputs(outputs, batch) -> scalar``, a mean over examples, such as
            ``problem.loss_of_outputs``.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it.

    Raises:
        InputError: chunks of a problem with BatchNorm.

    References: Schraudolph 2002.
    """

    outputs: Callable[..., Any]
    loss_of_outputs: Callable[..., Scalar]
    params: Params
    data: Any

    def __check_init__(self):
        check_chunks(self.outputs, self.data)

    @property
    def like(self) -> PyTree:
        """The parameters."""
        return self.params

    def mv(self, v: PyTree) -> PyTree:
        """G v."""

        def one_batch(batch):
            def outputs(p):
                return self.outputs(p, batch)

            f, jv = jax.jvp(outputs, (self.params,), (v,))
            hjv = jax.jvp(jax.grad(lambda o: self.loss_of_outputs(o, batch)), (f,), (jv,))[1]
            return jax.vjp(outputs, self.params)[1](hjv)[0]

        return weighted_mean(one_batch, self.data) if isinstance(self.data, Chunks) else one_batch(self.data)
