"""Learning rates of the stochastic edge of stability: where K or the second moment's radius is 1; the mean's limit."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from precipice._checks import InputError, positive, whole
from precipice.measures.kernel_modes import check_descent, check_eigenvalues, check_on_host, coupling, kernel_modes
from precipice.measures.labelled import MaybeLabelled, on_arrays
from precipice.measures.noise_kernel import coupled_norm
from precipice.measures.second_moment_radius import TINY, modes_for, response_norm


def first_moment_edge_lr(eigenvalues: MaybeLabelled, *, momentum: Any = 0.0, l2: Any = 0.0) -> Any:
    """2 (1 + mu)/(l_max + rho): beyond it the mean of the outputs grows, whatever the batch.

    Args:
        eigenvalues: of the kernel [r], or the largest alone as a row of one.
        momentum: mu of the heavy ball.
        l2: rho.

    Raises:
        InputError: no eigenvalue above 0, momentum outside [0, 1), l2 below 0.

    References: agarwala2024, eq. 6 (SEOS-3, SEOS-11).

    Example:
        >>> float(first_moment_edge_lr(jnp.array([1.0, 4.0]), momentum=0.5))
        0.75
    """
    return on_arrays(_first_moment, "first_moment_edge_lr", 1, eigenvalues, momentum=momentum, l2=l2)


def _first_moment(eigenvalues: Array, *, momentum, l2) -> Array:
    check_eigenvalues(np.asarray(eigenvalues))
    check_descent(None, 1, 1.0, momentum, l2)
    momentum, l2 = (jnp.asarray(v, eigenvalues.dtype) for v in (momentum, l2))
    return 2 * (1 + momentum) / (jnp.max(eigenvalues) + l2)


def stochastic_edge_lr(
    kernel: MaybeLabelled, *, batch_size: Any, momentum: Any = 0.0, l2: Any = 0.0, num_outputs: int = 1
) -> Any:
    """The learning rate at which K of `noise_kernel_norm` (`block_noise_kernel_norm`) is 1.

    Args:
        kernel: Th [n, n], the Gram matrix of the mean loss.
        batch_size: B.
        momentum: mu.
        l2: rho.
        num_outputs: C.

    Returns:
        The learning rate; NaN where K stays below 1 up to the mean's limit (large batches): no stochastic edge.

    Cost: one eigendecomposition and some ten eigenvalues of matrices of n rows. Runs from the host.

    Raises:
        InputError: as `noise_kernel_norm`.

    References: agarwala2024, section 2.3 (SEOS-9).

    Example:
        >>> round(float(stochastic_edge_lr(np.diag([1.0, 2.0]), batch_size=1)), 12)
        0.5
    """
    numbers = {"batch_size": batch_size, "momentum": momentum, "l2": l2, "num_outputs": num_outputs}
    return on_arrays(_edge, "stochastic_edge_lr", 2, kernel, **numbers)


def _edge(kernel: Array, *, batch_size, momentum, l2, num_outputs) -> float:
    check_on_host("stochastic_edge_lr", kernel, batch_size, momentum, l2)
    modes = kernel_modes(kernel, int(num_outputs))
    check_descent(modes.vectors.shape[0], batch_size, 1.0, momentum, l2)
    coupled = coupling(modes.vectors)
    batch, mu, rho = (jnp.asarray(v, kernel.dtype) for v in (batch_size, momentum, l2))

    def norm(lr: float) -> float:
        lr_array = jnp.asarray(lr, kernel.dtype)
        return float(coupled_norm(modes.eigenvalues, coupled, lr_array, batch, mu, rho, modes.vectors.shape[0]))

    if int(batch_size) == modes.vectors.shape[0]:
        return float("nan")  # the full batch has no noise
    limit = float(_first_moment(modes.eigenvalues, momentum=momentum, l2=l2))
    return edge_lr(norm, limit=limit, rounding=_rounding(kernel))


def second_moment_edge_lr(
    kernel: MaybeLabelled, *, batch_size: Any, momentum: Any = 0.0, l2: Any = 0.0, num_outputs: int = 1
) -> Any:
    """The learning rate at which the spectral radius of T is 1: the edge itself, at or below `stochastic_edge_lr`.

    By a root solve of `second_moment_norm`, which is 1 there.

    Args:
        kernel: Th [n, n].
        batch_size: B.
        momentum: mu.
        l2: rho.
        num_outputs: C.

    Returns:
        The learning rate; NaN where the radius stays below 1 up to the mean's limit.

    Raises:
        InputError: as `noise_kernel_norm`.

    References: agarwala2024, section 2.2 (SEOS-4).

    Example:
        >>> round(float(second_moment_edge_lr(np.diag([1.0, 2.0]), batch_size=1)), 12)
        0.5
    """
    numbers = {"batch_size": batch_size, "momentum": momentum, "l2": l2, "num_outputs": num_outputs}
    return on_arrays(_second_moment, "second_moment_edge_lr", 2, kernel, **numbers)


def _second_moment(kernel: Array, *, batch_size, momentum, l2, num_outputs) -> float:
    check_on_host("second_moment_edge_lr", kernel, batch_size, momentum, l2)
    modes = modes_for(kernel, 1.0, batch_size, momentum, l2, num_outputs)
    limit = float(_first_moment(modes.eigenvalues, momentum=momentum, l2=l2))
    if int(batch_size) == modes.vectors.shape[0]:
        return float("nan")  # the full batch has no noise
    norm = response_norm(modes, batch_size, momentum, l2)
    return edge_lr(lambda lr: norm(lr, 0.0)[0], limit=limit, rounding=_rounding(kernel))


def _rounding(kernel: Array) -> float:
    """How near the mean's limit a norm can be evaluated: it divides by the distance."""
    return max(1e-12, 1e3 * float(jnp.finfo(kernel.dtype).eps))


def trace_edge_lr(trace: MaybeLabelled, *, batch_size: Any, num_outputs: int = 1, momentum: Any = 0.0) -> Any:
    """2 (1 - mu) B C/tr(Th): where `noise_kernel_norm_trace` is 1.

    References: agarwala2024, eq. 11 (SEOS-9, SEOS-25).

    Example:
        >>> float(trace_edge_lr(4.0, batch_size=2))
        1.0
    """
    numbers = {"batch_size": batch_size, "num_outputs": num_outputs, "momentum": momentum}
    return on_arrays(_trace, "trace_edge_lr", 0, trace, **numbers)


def _trace(trace: Array, *, batch_size, num_outputs, momentum) -> Array:
    positive("trace", float(trace))
    whole("num_outputs", num_outputs, 1)
    check_descent(None, batch_size, 1.0, momentum)
    batch, mu = (jnp.asarray(v, trace.dtype) for v in (batch_size, momentum))
    return 2 * (1 - mu) * batch * int(num_outputs) / trace


def edge_lr(norm: Callable[[float], Any], *, limit: float, rounding: float = 1e-12) -> float:
    """The learning rate in (0, limit) at which a norm that grows with it is 1, or NaN where it stays below.

    Args:
        norm: of a learning rate; not called at the limit itself.
        limit: such as `first_moment_edge_lr`.
        rounding: how near the limit the norm can be evaluated, relatively.

    Raises:
        InputError: a limit that is not positive, a norm that is not finite just below it.

    References: agarwala2024, section 2.3 (SEOS-9).

    Example:
        >>> round(edge_lr(lambda lr: lr**2 / 4, limit=10.0), 12)
        2.0
    """
    from scipy.optimize import brentq

    positive("limit", limit)
    high = limit * (1 - rounding)
    top = float(norm(high))
    if np.isnan(top):
        raise InputError(f"norm must be a number below the limit {limit}; got NaN.")
    if top <= 1:
        return float("nan")
    low = high
    while float(norm(low)) > 1:
        low /= 4
    high = min(4 * low, high)
    return float(brentq(lambda lr: 1 - 1 / float(norm(lr)), low, high, xtol=TINY, rtol=1e-14))  # pyright: ignore[reportArgumentType]
