"""The third derivative of a function of parameters, twice along one direction, matrix-free."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from precipice._types import Params, Scalar
from precipice.curvature.chunks import Chunks, weighted_mean
from precipice.curvature.coupled import check_chunks


def third_derivative(
    function: Callable[..., Scalar], params: Params, direction: PyTree, chunks: Chunks | None = None
) -> PyTree:
    """D^3 f(., v, v): the gradient of theta -> v^T H(theta) v, with v held fixed.

    With v a unit eigenvector of a simple eigenvalue of the Hessian it is the gradient of that eigenvalue (of the
    sharpness, for the top one). Two forward derivatives over a reverse one: about 4 gradients.

    Args:
        function: as for `curvature.Hessian`; a bound method keeps later calls compiled.
        params: the point.
        direction: v, shaped like `params`.
        chunks: the data in chunks (`curvature.chunked`), to bound memory at one chunk.

    Raises:
        InputError: chunks of a problem with BatchNorm.

    References: shapira2023, lemma 2 (REV-3).

    Example:
        >>> import jax.numpy as jnp
        >>> third_derivative(lambda p: p[0] ** 2 * p[1], jnp.array([1.0, 1.0]), jnp.array([1.0, 0.0]))
        Array([0., 2.], dtype=...)
    """
    check_chunks(function, chunks)

    def along(one):
        def second(point):
            return jax.jvp(jax.grad(one), (point,), (direction,))[1]

        return jax.jvp(second, (params,), (direction,))[1]

    if chunks is None:
        return along(function)
    return weighted_mean(lambda batch: along(lambda point: function(point, batch)), chunks)
