"""The neural tangent kernel, raw and weighted by the loss, as an operator on outputs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from precipice._types import Params, Scalar
from precipice.curvature.chunks import Chunks, concatenated
from precipice.curvature.coupled import check_chunks
from precipice.curvature.jacobian import Jacobian
from precipice.curvature.operator import AbstractOperator


class NTK(AbstractOperator):
    """R J J^T R on outputs [n, C]: the raw kernel J J^T with ``root=None``.

    With R the square root of the loss's output Hessian this is the Gauss-Newton Gram matrix of the training loss, which
    has the nonzero spectrum of J^T H_out J, so that its edge is 2/lr whatever the reduction: make that one with `gram`.
    A product costs one reverse-mode and one forward-mode pass.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it.
        root: symmetric blocks [n, C, C], or None for the identity.

    Raises:
        InputError: chunks of a problem with BatchNorm.
    """

    outputs: Callable[..., Any]
    params: Params
    data: Any
    root: Float[Array, "n C C"] | None = None

    def __check_init__(self):
        check_chunks(self.outputs, self.data)

    @property
    def like(self) -> PyTree:
        """The shape of the outputs [n, C]."""
        if self.root is not None:
            return jax.ShapeDtypeStruct(self.root.shape[:2], self.root.dtype)
        return jax.eval_shape(lambda p, d: _outputs(self.outputs, p, d), self.params, self.data)

    def mv(self, v: Float[Array, "n C"]) -> Float[Array, "n C"]:
        """R J J^T R v."""
        jacobian = Jacobian(self.outputs, self.params, self.data)
        return self._weighted(jacobian.mv(jacobian.rmv(self._weighted(v))))

    def _weighted(self, v: Float[Array, "n C"]) -> Float[Array, "n C"]:
        return v if self.root is None else jnp.einsum("nij,nj->ni", self.root, v)


def gram(outputs: Callable[..., Any], loss_of_outputs: Callable[..., Scalar], params: Params, data: Any) -> NTK:
    """The Gauss-Newton Gram matrix of the training loss, H_out^(1/2) J J^T H_out^(1/2), as an `NTK` operator.

    For a mean of half squared errors over n examples it is J J^T / n. Costs one forward pass and n eigendecompositions
    of C x C blocks.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``.
        loss_of_outputs: ``loss_of_outputs(outputs, batch) -> scalar``, convex in the outputs, a **mean over examples**.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it.
    """

    def roots(batch):
        return output_roots(loss_of_outputs, outputs(params, batch), batch)

    root = concatenated(roots, data) if isinstance(data, Chunks) else roots(data)
    return NTK(outputs, params, data, root / root.shape[0] ** 0.5)


def output_roots(loss_of_outputs: Callable[..., Scalar], outputs: Float[Array, "n C"], batch: Any) -> Array:
    """Symmetric roots [n, C, C] of the Hessians of each example's own loss in its outputs (no 1/n)."""
    single = jax.tree.map(lambda a: a[:, None], batch)
    blocks = jax.vmap(lambda o, b: jax.hessian(lambda q: loss_of_outputs(q[None], b))(o))(outputs, single)
    values, vectors = jnp.linalg.eigh(blocks)
    rounding = 10 * jnp.finfo(outputs.dtype).eps * jnp.max(jnp.abs(values), axis=1, keepdims=True)
    roots = jnp.sqrt(jnp.where(values > rounding, values, 0))  # the root of rounding would be half the digits
    return jnp.einsum("nik,nk,njk->nij", vectors, roots, vectors)


def _outputs(outputs: Callable[..., Any], params: Params, data: Any) -> Array:
    if isinstance(data, Chunks):
        return concatenated(lambda batch: outputs(params, batch), data)
    return outputs(params, data)
