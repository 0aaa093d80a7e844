"""The Jacobian of a network's outputs in its parameters, by products."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from precipice._types import Params
from precipice.curvature.chunks import Chunks, concatenated, num_examples, paired, weighted_mean
from precipice.curvature.coupled import check_chunks


class Jacobian(eqx.Module):
    """J = d outputs / d theta at `params`, from parameters to outputs [n, C]; never formed.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it (memory of one chunk).

    Raises:
        InputError: chunks of a problem with BatchNorm.
    """

    outputs: Callable[..., Any]
    params: Params
    data: Any

    def __check_init__(self):
        check_chunks(self.outputs, self.data)

    def mv(self, v: PyTree) -> Float[Array, "n C"]:
        """J v: how the outputs move with the parameters (one forward-mode pass)."""

        def one_batch(batch):
            return jax.jvp(lambda p: self.outputs(p, batch), (self.params,), (v,))[1]

        return concatenated(one_batch, self.data) if isinstance(self.data, Chunks) else one_batch(self.data)

    def rmv(self, u: Float[Array, "n C"]) -> PyTree:
        """J^T u: a direction in the parameters (one reverse-mode pass)."""

        def one_batch(batch_and_u):
            batch, part = batch_and_u
            return jax.vjp(lambda p: self.outputs(p, batch), self.params)[1](part)[0]

        if not isinstance(self.data, Chunks):
            return one_batch((self.data, u))
        pairs = paired(self.data, u)
        return weighted_mean(
            lambda pair: jax.tree.map(lambda g: g * (u.shape[0] / num_examples(pair)), one_batch(pair)), pairs
        )

    def dense(self) -> Float[Array, "n_C size"]:
        """The matrix [n C, size], row by row; for tests and tiny problems."""
        like = jax.eval_shape(self.mv, self.params)
        rows = jnp.eye(like.size, dtype=like.dtype).reshape(like.size, *like.shape)
        return jax.lax.map(lambda u: ravel_pytree(self.rmv(u))[0], rows)
