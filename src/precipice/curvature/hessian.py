"""The Hessian of a function of parameters: H v = d/de grad f(theta + e v) at e = 0, forward over reverse."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from precipice._types import Params, Scalar
from precipice.curvature.chunks import Chunks, weighted_mean
from precipice.curvature.coupled import check_chunks
from precipice.curvature.operator import AbstractOperator, Linearised


class Hessian(AbstractOperator):
    """H = d^2 f / d theta^2 at `params`, by forward-over-reverse products (about 1.5 gradients each).

    Args:
        function: ``function(params) -> scalar``; with `chunks`, ``function(params, batch) -> scalar``, a mean over the
            examples of the batch. A bound method of a problem (``problem.loss``) keeps later calls compiled; a lambda
            made anew recompiles at every call.
        params: the point.
        chunks: the data in chunks (`curvature.chunked`), to bound memory at one chunk; None calls ``function(params)``.

    Raises:
        InputError: chunks of a problem with BatchNorm.

    Example:
        >>> import jax.numpy as jnp
        >>> op = Hessian(lambda p: 2 * p["a"] ** 2 + p["a"] * p["b"], {"a": jnp.array(1.0), "b": jnp.array(0.0)})
        >>> op.dense()
        Array([[4., 1.],
               [1., 0.]], dtype=...)
    """

    function: Callable[..., Scalar]
    params: Params
    chunks: Chunks | None = None

    def __check_init__(self):
        check_chunks(self.function, self.chunks)

    @property
    def like(self) -> PyTree:
        """The parameters."""
        return self.params

    def mv(self, v: PyTree) -> PyTree:
        """H v."""
        if self.chunks is None:
            return jax.jvp(jax.grad(self.function), (self.params,), (v,))[1]

        def one_chunk(batch):
            return jax.jvp(jax.grad(lambda p: self.function(p, batch)), (self.params,), (v,))[1]

        return weighted_mean(one_chunk, self.chunks)

    def linearise(self) -> Linearised:
        """A product costs about one gradient instead of 1.5, and the gradient itself comes with it."""
        if self.chunks is not None:
            return Linearised(self.mv, None)
        gradient, product = jax.linearize(jax.grad(self.function), self.params)
        return Linearised(product, gradient)
