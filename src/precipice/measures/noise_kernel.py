"""The noise kernel norm K of a kernel: how far the noise of SGD is from making a linear model unstable.

K is 0 for the full batch and 1 at the stochastic edge of stability. Forms that need eigenvalues or a trace alone are
in `noise_limits.py`; the second moment that K approximates is in `second_moment.py`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import whole
from precipice._types import Number, Scalar
from precipice.measures.kernel_modes import (
    check_descent,
    check_kernel,
    check_mean,
    coupling,
    kernel_modes,
    mode_noise,
    sampling_noise,
    stable_or_nan,
)
from precipice.measures.labelled import MaybeLabelled, as_matrix, on_arrays

PRODUCTS = 300
"""Of a power iteration, at most."""


def noise_kernel_norm(kernel: MaybeLabelled, *, lr: Any, batch_size: Any, momentum: Any = 0.0, l2: Any = 0.0) -> Any:
    """K: the largest eigenvalue of (I - A)^-1 B, from the eigenvalues and eigenvectors of the kernel.

    A is what a step does to the squared amplitude of each mode alone and B what sampling spreads from mode to mode
    (`diagonal_second_moment` is A + B). As a symmetric matrix: s D Q^(1/2) C Q^(1/2) with q = lr l/(2 - (1 - s) lr l),
    C_mn = sum_a V_am^2 V_an^2 and s = (D - B)/(B (D - 1)). With momentum and l2 the same from the modes' responses.
    It leaves out how two modes move together, which only adds noise: K is at most `second_moment_norm`, and the true
    edge lies at or below K = 1. Among equal eigenvalues the eigenvectors, and with them K, are a matter of rounding
    (1 % in an example of two fourfold ones); `second_moment_norm` does not depend on them.

    Args:
        kernel: Th [D, D], the Gram matrix of the mean loss (edge 2/lr): J J^T/D for the mean half squared error. NumPy,
            JAX, or an xarray array whose last two axes are its own.
        lr: learning rate.
        batch_size: B examples drawn without replacement.
        momentum: mu of the heavy ball, in [0, 1).
        l2: rho, for (rho/2)|theta|^2 beside the loss.

    Returns:
        K, of the same kind of array; for traced numbers NaN where the mean is unstable.

    Cost: two symmetric eigenproblems of size D. Differentiable in its numbers, and in the kernel if no two eigenvalues
    are equal.

    Raises:
        InputError: a kernel that is not square, symmetric and positive semi-definite, or is 0; a batch below 1 or
            larger than D; momentum outside [0, 1); a learning rate at which the mean is unstable, with the limit.

    References: agarwala2024, eqs. 8, 9 and 33 (SEOS-6, SEOS-7; ERR-S2, ERR-S3); with momentum and l2 by the responses
    of SEOS-11 and SEOS-13.

    Example:
        >>> import numpy as np
        >>> kernel = np.diag([1.0, 2.0])
        >>> round(float(noise_kernel_norm(kernel, lr=0.5, batch_size=1)), 12)  # of 2 examples: s D = 2, q = lr l/2
        1.0
    """
    numbers = {"lr": lr, "batch_size": batch_size, "momentum": momentum, "l2": l2, "num_outputs": 1}
    return on_arrays(_norm, "noise_kernel_norm", 2, kernel, **numbers)


def block_noise_kernel_norm(
    kernel: MaybeLabelled, *, num_outputs: int, lr: Any, batch_size: Any, momentum: Any = 0.0, l2: Any = 0.0
) -> Any:
    """K for examples with C outputs, and for any convex loss near a minimum: sampling takes or leaves whole examples.

    As `noise_kernel_norm`, with C_mn = sum over examples of [(V^T P_d V)_mn]^2, P_d keeping the outputs of example d.
    For a loss other than the squares the kernel is H^(1/2) J J^T H^(1/2)/D, H the Hessian of the loss in the outputs,
    whose blocks P_d commutes with.

    Args:
        kernel: Gram matrix of the mean loss [D C, D C], the C outputs of an example side by side.
        num_outputs: C.
        lr: learning rate.
        batch_size: B, in examples.
        momentum: mu.
        l2: rho.

    Raises:
        InputError: as `noise_kernel_norm`, and a size that C does not divide.

    References: agarwala2024, appendix A.7, in the form of ERR-S13 (SEOS-14, SEOS-26).

    Example:
        >>> jacobian = jnp.arange(12.0).reshape(4, 3) - 5
        >>> norm = block_noise_kernel_norm(jacobian @ jacobian.T / 2, num_outputs=2, lr=0.01, batch_size=2)
        >>> float(norm)  # 2 examples, both in the batch
        0.0
    """
    numbers = {"lr": lr, "batch_size": batch_size, "momentum": momentum, "l2": l2, "num_outputs": num_outputs}
    return on_arrays(_norm, "noise_kernel_norm", 2, kernel, **numbers)


def _norm(kernel: Array, *, lr, batch_size, momentum, l2, num_outputs) -> Scalar:
    check_kernel(kernel, int(num_outputs))
    whole("num_outputs", num_outputs, 1)
    num_examples = kernel.shape[0] // int(num_outputs)
    check_descent(num_examples, batch_size, lr, momentum, l2)
    modes = kernel_modes(kernel, int(num_outputs))
    top = modes.eigenvalues[-1]
    check_mean(top, lr, momentum, l2)
    lr, momentum, l2, batch = (jnp.asarray(v, kernel.dtype) for v in (lr, momentum, l2, batch_size))
    norm = coupled_norm(modes.eigenvalues, coupling(modes.vectors), lr, batch, momentum, l2, num_examples)
    return stable_or_nan(norm, top, lr, momentum, l2)


@partial(jax.jit, static_argnames="num_examples")
def coupled_norm(
    eigenvalues: Float[Array, "r"],
    coupled: Float[Array, "r r"],
    lr: Number,
    batch_size: Number,
    momentum: Number,
    l2: Number,
    num_examples: int,
) -> Scalar:
    """K from eigenvalues and the coupling of modes: the largest eigenvalue of a matrix without negative entry."""
    sampling = sampling_noise(num_examples, batch_size)
    noise = mode_noise(eigenvalues, lr, momentum, l2, sampling)
    root = jnp.where(noise > 0, jnp.sqrt(jnp.where(noise > 0, noise, 1)), 0)
    symmetric = root[:, None] * coupled * root[None, :]
    return sampling * num_examples * largest_of_nonnegative(symmetric)


@jax.jit
def largest_of_nonnegative(matrix: Float[Array, "n n"]) -> Scalar:
    """The largest eigenvalue of a symmetric matrix without negative entry, differentiable in its entries.

    Power iteration from the vector of ones, which no eigenvector of the largest eigenvalue is orthogonal to, until the
    residual is `sqrt(eps)` of the eigenvalue (the error is of the square); a full eigendecomposition where 300 products
    do not suffice, as for two blocks of nearly equal ones.
    """
    fixed = jax.lax.stop_gradient(matrix)
    tolerance = jnp.asarray(jnp.finfo(matrix.dtype).eps ** 0.5 / 4, matrix.dtype)

    def going(carry):
        step, _, _, residual = carry
        return (step < PRODUCTS) & (residual > tolerance)

    def once(carry):
        step, _, image, _ = carry
        vector = image / jnp.linalg.norm(image)
        image = fixed @ vector
        value = vector @ image
        return step + 1, vector, image, jnp.linalg.norm(image - value * vector) / value

    ones = jnp.full(matrix.shape[0], 1, matrix.dtype)
    empty = jnp.sum(fixed) <= 0  # the full batch: K is 0
    first = (
        jnp.zeros((), int),
        ones,
        jnp.where(empty, ones, fixed @ ones),
        jnp.where(empty, 0, jnp.ones_like(tolerance)),
    )
    _, vector, _, residual = jax.lax.while_loop(going, once, first)
    vector = jax.lax.cond(
        residual <= tolerance, lambda: vector, lambda: jnp.linalg.eigh(fixed)[1][:, -1] + jnp.zeros_like(vector)
    )
    return vector @ matrix @ vector / (vector @ vector)


def diagonal_second_moment(
    kernel: MaybeLabelled, *, lr: Number, batch_size: Number, num_outputs: int = 1
) -> Float[Array, "n n"]:
    """A + B: one step of p = Th^+ diag(V^T S V), the squared amplitudes of modes over their eigenvalues.

    A = diag((1 - lr l)^2 - s lr^2 l^2) and B = s D lr^2 diag(l) C diag(l). Both together have no negative entry, so
    that the largest eigenvalue is the spectral radius; it is below 1 exactly where K is (A itself need not be positive,
    ERR-S4). Modes of eigenvalue 0 have a row and a column of 0: they never move.

    Args:
        kernel: Th [n, n], the Gram matrix of the mean loss.
        lr: learning rate.
        batch_size: B.
        num_outputs: C outputs an example.

    Raises:
        InputError: bad kernels and batches, as `noise_kernel_norm`.

    References: agarwala2024, eqs. 8, 32 and 33 (SEOS-6; ERR-S2, ERR-S3).

    Example:
        >>> diagonal_second_moment(jnp.diag(jnp.array([1.0, 2.0])), lr=0.5, batch_size=2).tolist()
        [[0.25, 0.0], [0.0, 0.0]]
    """
    kernel = as_matrix(kernel)
    check_kernel(kernel, num_outputs)
    num_examples = kernel.shape[0] // num_outputs
    check_descent(num_examples, batch_size, lr)
    modes = kernel_modes(kernel, num_outputs)
    lr, sampling = jnp.asarray(lr, kernel.dtype), sampling_noise(num_examples, jnp.asarray(batch_size, kernel.dtype))
    steps = lr * modes.eigenvalues
    alone = jnp.where(steps > 0, (1 - steps) ** 2 - sampling * steps**2, 0)
    return jnp.diag(alone) + sampling * num_examples * steps[:, None] * coupling(modes.vectors) * steps[None, :]
