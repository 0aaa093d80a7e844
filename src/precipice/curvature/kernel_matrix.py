"""The neural tangent kernel as a dense matrix, from blocks of Jacobian rows, and its spectrum."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least, symmetric
from precipice._types import Params
from precipice.curvature.chunks import num_examples
from precipice.curvature.coupled import check_uncoupled

MOST_ROWS = 20_000
"""Rows of a dense kernel: 3.2 GB in float64."""


class KernelSpectrum(NamedTuple):
    """Eigenvalues of a kernel, descending, and its eigenvectors as columns in their order; float64.

    Args:
        values: [N].
        vectors: [N, N], column a for eigenvalue a.
    """

    values: Float[Array, "N"]
    vectors: Float[Array, "N N"]


def kernel_matrix(outputs: Callable[..., Any], params: Params, data: Any, *, chunk: int) -> Float[Array, "N N"]:
    """The raw kernel J J^T of n examples with C outputs, [n C, n C], in the precision of the outputs.

    Row i C + c belongs to output c of example i. Weighted by the loss it has its edge at 2/lr: `weighted_kernel`.

    The Jacobian is never formed: two blocks of `chunk` x C of its rows are held at a time. With p parameters the memory
    is 2 chunk C p numbers and the kernel, whatever n. Costs n C reverse passes of one example times n/(2 chunk), and
    n^2 C^2 p multiplications. For a fully connected network `measures.layerwise_kernel` is about a hundred times
    faster; where products are enough (`eigs`, `trace`) the operator `NTK` needs no matrix.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``; an example's outputs may not depend
            on the rest of its batch.
        params: the point.
        data: a batch with a leading axis of examples.
        chunk: how many examples a block holds.

    Raises:
        InputError: a chunk below 1, more than 20,000 rows, or outputs of a problem with BatchNorm.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
        >>> kernel_matrix(lambda w, x: (x @ w)[:, None], jnp.ones(2), x, chunk=2).tolist()
        [[1.0, 1.0, 0.0], [1.0, 5.0, 2.0], [0.0, 2.0, 1.0]]
    """
    at_least("chunk", chunk, 1)
    check_uncoupled(outputs, "a per-example kernel")
    like = jax.eval_shape(outputs, params, data)
    check_rows(like.shape[0] * like.shape[1], like.dtype)
    return _kernel(outputs, params, data, min(chunk, like.shape[0]))


def check_rows(rows: int, dtype: Any) -> None:
    """Refuse a dense kernel of more than `MOST_ROWS` rows, with its need of memory and the way without it."""
    if rows > MOST_ROWS:
        gigabytes = rows**2 * jnp.dtype(dtype).itemsize / 1e9
        raise InputError(
            f"rows of a dense kernel must be at most {MOST_ROWS}; got {rows}, which need {gigabytes:.1f} GB (products "
            "need no matrix: curvature.NTK with eigs or trace, and gram_trace for the trace)."
        )


@eqx.filter_jit
def _kernel(outputs: Callable[..., Any], params: Params, data: Any, chunk: int) -> Array:
    total = num_examples(data)
    num = -(-total // chunk)

    def block(number):
        picked = jnp.minimum(number * chunk + jnp.arange(chunk), total - 1)  # the last block repeats the last example
        return jacobian_rows(outputs, params, jax.tree.map(lambda a: a[picked], data))

    like = jax.tree.leaves(jax.eval_shape(block, 0))
    width, dtype = like[0].shape[0], like[0].dtype

    def one_row(kernel, i):
        left = block(i)

        def one_block(j, kernel):
            products = jax.tree.leaves(jax.tree.map(lambda a, b: a @ b.T, left, block(j)))
            product = functools.reduce(jnp.add, products)
            product = jnp.where(i == j, (product + product.T) / 2, product)
            kernel = jax.lax.dynamic_update_slice(kernel, product, (i * width, j * width))
            return jax.lax.dynamic_update_slice(kernel, product.T, (j * width, i * width))

        return jax.lax.fori_loop(i, num, one_block, kernel), None

    kernel = jax.lax.scan(one_row, jnp.zeros((num * width, num * width), dtype), jnp.arange(num))[0]
    rows = total * (width // chunk)
    return kernel[:rows, :rows]


def jacobian_rows(outputs: Callable[..., Any], params: Params, batch: Any) -> Any:
    """Rows of the Jacobian of a batch, example by example: leaves [m C, size of the leaf]."""

    def one(example):
        single = jax.tree.map(lambda a: a[None], example)
        return jax.jacrev(lambda p: outputs(p, single)[0])(params)

    return jax.tree.map(lambda a, p: a.reshape(-1, p.size), jax.vmap(one)(batch), params)


def weighted_kernel(kernel: Float[Array, "N N"], root: Float[Array, "n C C"] | None) -> Float[Array, "N N"]:
    """R K R with R block-diagonal: the Gram matrix of the training loss from the raw kernel, with its edge at 2/lr.

    For a mean of half squared errors R is I/sqrt(n), and the result is K/n.

    Args:
        kernel: J J^T [n C, n C], from `kernel_matrix` or `measures.layerwise_kernel`.
        root: symmetric blocks, ``gram(...).root``: roots of the output Hessian of the mean loss; None for the identity.

    Raises:
        InputError: a root that does not fit the kernel.

    Example:
        >>> import jax.numpy as jnp
        >>> weighted_kernel(jnp.array([[4.0, 2.0], [2.0, 9.0]]), jnp.full((2, 1, 1), 0.5)).tolist()
        [[1.0, 0.5], [0.5, 2.25]]
    """
    if root is None:
        return kernel
    n, c = root.shape[:2]
    if kernel.shape != (n * c, n * c):
        raise InputError(f"kernel must have shape {(n * c, n * c)}, as its root says; got {kernel.shape}.")
    blocks = kernel.reshape(n, c, n, c)
    return jnp.einsum("iab,ibjc,jcd->iajd", root, blocks, root).reshape(n * c, n * c)


def kernel_spectrum(kernel: Float[Array, "N N"]) -> KernelSpectrum:
    """All eigenvalues, descending, and eigenvectors of a symmetric kernel; computed in float64 from any precision.

    Small eigenvalues of a float32 kernel stay as wrong as the kernel: rounding of its largest entries. Costs about
    10 N^3 operations and the memory of three kernels; for a few eigenvalues at an end use `eigs`.

    Args:
        kernel: symmetric [N, N].

    Raises:
        InputError: a matrix that is not square, finite and symmetric, or JAX's 64 bits switched off.

    Example:
        >>> import jax.numpy as jnp
        >>> with jax.enable_x64(True):
        ...     kernel_spectrum(jnp.array([[2.0, 1.0], [1.0, 2.0]])).values.round(6).tolist()
        [3.0, 1.0]
    """
    if jnp.result_type(float) != jnp.float64:
        raise InputError("jax_enable_x64 must be on for a spectrum in float64; it is off.")
    if not isinstance(kernel, Tracer):
        symmetric("kernel", np.asarray(kernel))
    values, vectors = _eigh(kernel.astype(jnp.float64))
    return KernelSpectrum(values, vectors)


@jax.jit
def _eigh(kernel: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(kernel)
    return values[::-1], vectors[:, ::-1]
