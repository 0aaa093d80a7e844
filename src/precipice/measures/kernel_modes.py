"""Eigenvalues and eigenvectors of a kernel, how sampling couples them, and how long a kick to one of them lasts.

Throughout, the kernel Th is the Gram matrix of the mean training loss, so that its edge is 2/lr: J J^T/D for the mean
half squared error of D examples. An example may have C outputs side by side; a batch is B whole examples. With
s = (D - B)/(B (D - 1)), the sampling noise of one step has the covariance s (D Th diag(S) Th - Th S Th) for outputs of
second moment S: for C > 1 diag keeps the C x C blocks of the examples (agarwala2024, eq. 7; ERR-S13).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least, at_most, positive, symmetric, whole
from precipice._types import Number, Scalar


class Modes(NamedTuple):
    """A kernel's eigendecomposition.

    Args:
        eigenvalues: l [r], ascending; those that are 0 to rounding are exactly 0.
        vectors: V [D, C, r]: example, output, mode.
    """

    eigenvalues: Float[Array, "r"]
    vectors: Float[Array, "d c r"]


def kernel_modes(kernel: Array, num_outputs: int = 1) -> Modes:
    """The eigendecomposition; an eigenvalue within n roundings of the largest counts as 0.

    Raises:
        InputError: a kernel that is not symmetric, has a negative eigenvalue or none above 0, or does not split into
            examples of `num_outputs` (values are looked at only outside of a transformation).
    """
    check_kernel(kernel, num_outputs)
    values, vectors = jnp.linalg.eigh(kernel)
    rounding = kernel.shape[0] * float(jnp.finfo(kernel.dtype).eps) * jnp.max(jnp.abs(values))
    if not isinstance(values, Tracer):
        _check_spectrum(np.asarray(values), float(rounding), "kernel")
    kept = jnp.where(values > rounding, values, 0)
    return Modes(kept, vectors.reshape(-1, num_outputs, kernel.shape[0]))


def check_kernel(kernel: Any, num_outputs: int) -> None:
    """Refuse what is no kernel of examples with `num_outputs` outputs."""
    whole("num_outputs", num_outputs, 1)
    if isinstance(kernel, Tracer):
        return
    if np.iscomplexobj(kernel):
        raise InputError(f"kernel must be real; got entries of type {np.asarray(kernel).dtype}.")
    symmetric("kernel", np.asarray(kernel))
    if kernel.shape[0] % num_outputs:
        raise InputError(f"num_outputs must divide the size of the kernel ({kernel.shape[0]}); got {num_outputs}.")


def _check_spectrum(values: np.ndarray, rounding: float, name: str) -> None:
    if not values[-1] > 0:
        raise InputError(f"{name} must have an eigenvalue above 0; got {values[-1]:.3g} as the largest.")
    single = len(values) * float(np.finfo(np.float32).eps) * float(values[-1])  # a kernel computed in float32
    if values[0] < -max(100 * rounding, single):
        raise InputError(
            f"{name} must have no negative eigenvalue beyond rounding; got {values[0]:.3g} beside {values[-1]:.3g}."
        )


def check_on_host(name: str, *values: Any) -> None:
    """Refuse traced values for what looks at numbers to go on.

    Raises:
        InputError: with the name of the function.
    """
    if any(isinstance(value, Tracer) for value in values):
        raise InputError(f"{name} must be called outside of jit, vmap and grad: it runs from the host; got a tracer.")


def check_eigenvalues(values: np.ndarray) -> None:
    """Refuse what are no eigenvalues of a kernel: below 0 by more than their number of roundings, or none above."""
    if values.ndim != 1 or not values.size:
        raise InputError(f"eigenvalues must be a row of numbers; got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError("eigenvalues must be finite; got NaN or inf.")
    rounding = values.size * float(np.finfo(values.dtype).eps) * float(np.abs(values).max())
    _check_spectrum(np.sort(values), rounding, "the row of eigenvalues")


def check_descent(num_examples: int | None, batch_size: Any, lr: Any, momentum: Any = 0.0, l2: Any = 0.0) -> None:
    """Refuse numbers that no SGD has; those that are traced are not looked at. None is any number of examples."""
    for name, value in (("lr", lr), ("batch_size", batch_size), ("momentum", momentum), ("l2", l2)):
        if isinstance(value, str):
            raise InputError(f"{name} must be a number; got {value!r}.")
        if np.ndim(value):
            raise InputError(f"{name} must be one number (map over several, or label them with xarray); got {value}.")
    if num_examples is not None:
        at_least("num_examples", num_examples, 1)
    if not isinstance(batch_size, Tracer):
        at_least("batch_size", batch_size, 1)
        if float(batch_size) != int(batch_size):
            raise InputError(f"batch_size must be a whole number; got {batch_size}.")
        if num_examples is not None:
            at_most("batch_size", batch_size, num_examples, "the number of examples")
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    if not isinstance(momentum, Tracer) and not 0 <= float(momentum) < 1:
        raise InputError(f"momentum must lie in [0, 1); got {float(momentum)}.")
    if not isinstance(l2, Tracer) and not 0 <= float(l2) < np.inf:
        raise InputError(f"l2 must be at least 0 and finite; got {float(l2)}.")


def check_mean(top: Number, lr: Number, momentum: Number, l2: Number, sooner: Number = 1.0) -> None:
    """Refuse a learning rate beyond the limit of the mean, if no number is traced.

    `sooner` is by how much the limit lies below that of the heavy ball.

    Raises:
        InputError: with the limit.
    """
    if any(isinstance(value, Tracer) for value in (top, lr, momentum, l2, sooner)):
        return
    limit = 2 * (1 + float(momentum)) / ((float(top) + float(l2)) * float(sooner))
    if not float(lr) < limit:
        raise InputError(
            f"lr must be below {limit:.6g}, beyond which the mean of the outputs is unstable and the noise kernel norm "
            f"undefined; got {float(lr):.6g}."
        )


def sampling_noise(num_examples: int, batch_size: Any) -> Any:
    """S = (D - B)/(B (D - 1)): 0 for the full batch, 1 for a batch of one.

    In the paper's letters s = 1 - bt/beta = (1 - bt)/(beta D).
    """
    return (num_examples - batch_size) / (batch_size * max(num_examples - 1, 1))


@jax.jit
def coupling(vectors: Float[Array, "d c r"]) -> Float[Array, "r r"]:
    """C_mn = sum over examples d of [(V^T P_d V)_mn]^2, P_d keeping the outputs of d; for C = 1 sum_a V_am^2 V_an^2.

    References: agarwala2024, eqs. 8 and 101 (SEOS-6, SEOS-14; ERR-S13).
    """
    if vectors.shape[1] == 1:
        squares = vectors[:, 0] ** 2
        return squares.T @ squares

    def add(total, block):  # [c, r]
        return total + (block.T @ block) ** 2, None

    zeros = jnp.zeros((vectors.shape[2],) * 2, vectors.dtype)
    return jax.lax.scan(add, zeros, vectors)[0]


def row_products(first: Float[Array, "d c r"], second: Float[Array, "d c r"]) -> Float[Array, "d c c"]:
    """first_d second_d^T for each example d.

    For one output an example this is a sum of products, which is asked for as a product with ones: XLA on the CPU takes
    a product of matrices whose entries are multiplied and summed as one loop, five to ten times as long as the product.
    """
    if first.shape[1] > 1:
        return jnp.einsum("dir,djr->dij", first, second)
    return ((first * second)[:, 0] @ jnp.ones(first.shape[2], first.dtype))[:, None, None]


def resistance(
    first: Array, second: Array, lr: Number, momentum: Number, l2: Number, excess: Number = 0.0
) -> Float[Array, "..."]:
    """1/w, with w = sum_t r^(-t-1) z_t z'_t over the responses of two modes to a unit kick of both velocities at once.

    z_0 = lr, then the heavy ball z_(t+1) = (1 + mu - h) z_t - mu z_(t-1) with h = lr (l + rho); r = 1 + excess. By the
    product of two geometric responses, written so that nothing cancels at r = 1: with x = 1/r,
    1/w = r {(1 - mu x)^2 [(1 - x)(1 - mu^2 x) + x ((1 + mu)(h + h') - h h')] + mu x^2 (h - h')^2} over
    lr^2 (1 - mu^2 x^2). It is positive while both decay faster than r^(t/2).

    References: derived; the sums of agarwala2024, eqs. 59 to 70, at r = 1 and h = h' (SEOS-11).
    """
    h, g, mu = lr * (first + l2), lr * (second + l2), momentum
    r = 1 + excess
    x = 1 / r
    inner = excess * x * (1 - mu**2 * x) + x * ((1 + mu) * (h + g) - h * g)
    return r * ((1 - mu * x) ** 2 * inner + mu * x**2 * (h - g) ** 2) / (lr**2 * (1 - mu**2 * x**2))


def mode_noise(eigenvalues: Array, lr: Number, momentum: Number, l2: Number, sampling: Number) -> Array:
    """Q = l^2/(1/w + s l^2) of each mode at r = 1: noise that it passes on, per noise put in; 0 where l is 0.

    Without momentum and l2 it is lr l/(2 - (1 - s) lr l).
    """
    safe = jnp.where(eigenvalues > 0, eigenvalues, 1)
    found = safe**2 / (resistance(safe, safe, lr, momentum, l2) + sampling * safe**2)
    return jnp.where(eigenvalues > 0, found, 0)


def stable_or_nan(norm: Scalar, top: Scalar, lr: Number, momentum: Number, l2: Number) -> Scalar:
    """`norm`, or NaN where the mean is unstable."""
    return jnp.where(lr * (top + l2) < 2 * (1 + momentum), norm, jnp.nan)
