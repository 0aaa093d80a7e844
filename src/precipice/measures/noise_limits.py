"""The noise kernel norm from eigenvalues or a trace alone, where the kernel's eigenvectors favour no example.

Those from eigenvalues are for one output an example: for C outputs they are too large by about C, and the block form
(`block_noise_kernel_norm`) or the trace form with ``num_outputs`` is right.
All are for C_mn = 1/D, every mode spread evenly over the examples; `noise_kernel_norm` needs no such thing. Each sums
q = (lr l)^2/... over modes, and differs in what it keeps of the sampling without replacement.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from precipice._checks import InputError, positive, whole
from precipice._types import Scalar
from precipice.measures.kernel_modes import (
    check_descent,
    check_eigenvalues,
    check_mean,
    mode_noise,
    sampling_noise,
    stable_or_nan,
)
from precipice.measures.labelled import MaybeLabelled, on_arrays


def noise_kernel_norm_high_dimensional(eigenvalues: MaybeLabelled, *, lr: Any, batch_size: Any) -> Any:
    """K_HD = (lr/B) sum_a l_a/(2 - lr l_a): many examples, B a small part of them.

    Not 0 for the full batch, and no bound of K from below as the paper says (ERR-S6), which
    `noise_kernel_norm_finite_size` is.

    Args:
        eigenvalues: of the kernel [r] (its edge is 2/lr); zeros add nothing. The last axis of an xarray array.
        lr: learning rate.
        batch_size: B.

    Raises:
        InputError: no eigenvalue above 0, a negative one, a batch below 1, or an unstable mean (with the limit).

    References: agarwala2024, eqs. 10 and 51 (SEOS-8).

    Example:
        >>> float(noise_kernel_norm_high_dimensional(jnp.array([1.0, 1.0]), lr=1.0, batch_size=2))
        1.0
    """
    numbers = {"lr": lr, "batch_size": batch_size}
    return on_arrays(_high_dimensional, "noise_kernel_norm_high_dimensional", 1, eigenvalues, **numbers)


def _high_dimensional(eigenvalues: Array, *, lr, batch_size) -> Scalar:
    given = _checked(eigenvalues, lr, batch_size)
    return _stable(jnp.sum(mode_noise(given.values, given.lr, 0.0, 0.0, 0.0)) / given.batch, given)


def noise_kernel_norm_finite_size(eigenvalues: MaybeLabelled, *, lr: Any, batch_size: Any, num_examples: int) -> Any:
    """S sum_a lr l_a/(2 - (1 - s) lr l_a) with s = (D - B)/(B (D - 1)): exact for C_mn = 1/D, at most K else.

    Args:
        eigenvalues: of the kernel [r].
        lr: learning rate.
        batch_size: B.
        num_examples: D.

    Raises:
        InputError: as `noise_kernel_norm_high_dimensional`, and a batch larger than D.

    References: SEOS-8 (refined), ERR-S6; agarwala2024, eq. 51 for D without bound.

    Example:
        >>> float(noise_kernel_norm_finite_size(jnp.array([1.0, 0.5]), lr=1.0, batch_size=2, num_examples=2))
        0.0
    """
    numbers = {"lr": lr, "batch_size": batch_size, "num_examples": num_examples}
    return on_arrays(_finite_size, "noise_kernel_norm_finite_size", 1, eigenvalues, **numbers)


def _finite_size(eigenvalues: Array, *, lr, batch_size, num_examples) -> Scalar:
    given = _checked(eigenvalues, lr, batch_size, num_examples=_whole_examples(num_examples))
    sampling = sampling_noise(int(num_examples), given.batch)
    return _stable(sampling * jnp.sum(mode_noise(given.values, given.lr, 0.0, 0.0, sampling)), given)


def noise_kernel_norm_trace(
    trace: MaybeLabelled, *, lr: Any, batch_size: Any, num_outputs: int = 1, momentum: Any = 0.0
) -> Any:
    """K_tr = lr tr(Th)/(2 (1 - mu) B C): small learning rates; below K where eigenvalues are near the edge.

    Args:
        trace: of the Gram matrix of the mean loss (the trace of the Gauss-Newton matrix is the same number).
        lr: learning rate.
        batch_size: B examples.
        num_outputs: C outputs an example: with even eigenvectors the noise of a mode is shared by D C of them.
        momentum: mu of the heavy ball.

    Raises:
        InputError: a batch below 1, momentum outside [0, 1), lr not positive, a trace that is not positive.

    References: agarwala2024, eqs. 11, 18, 52 and 130 (SEOS-9, SEOS-25, SEOS-26; ERR-S5).

    Example:
        >>> float(noise_kernel_norm_trace(4.0, lr=0.5, batch_size=2, momentum=0.5))
        1.0
    """
    numbers = {"lr": lr, "batch_size": batch_size, "num_outputs": num_outputs, "momentum": momentum}
    return on_arrays(_trace, "noise_kernel_norm_trace", 0, trace, **numbers)


def _trace(trace: Array, *, lr, batch_size, num_outputs, momentum) -> Scalar:
    whole("num_outputs", num_outputs, 1)
    if not isinstance(trace, Tracer):
        positive("trace", float(trace))
    given = _checked(trace[None], lr, batch_size, momentum=momentum)
    return given.lr * given.values[0] / (2 * (1 - given.mu) * given.batch * int(num_outputs))


def momentum_noise_kernel_norm(
    eigenvalues: MaybeLabelled, *, lr: Any, batch_size: Any, num_examples: int, momentum: Any
) -> Any:
    """(1/B - 1/D) sum_a lr l (1 + mu)/((1 - mu)(2 (1 + mu) - lr l)) under the heavy ball.

    Momentum raises K nearly as lr/(1 - mu) would: there is no extra stabilisation.

    Args:
        eigenvalues: of the kernel [r].
        lr: learning rate.
        batch_size: B.
        num_examples: D.
        momentum: mu, in [0, 1).

    Raises:
        InputError: as `noise_kernel_norm_finite_size`, momentum outside [0, 1).

    References: agarwala2024, eqs. 53 to 71 (SEOS-11; ERR-S8, ERR-S9).

    Example:
        >>> float(momentum_noise_kernel_norm(jnp.array([2.0]), lr=0.5, batch_size=1, num_examples=2, momentum=0.5))
        0.75
    """
    return _with_inertia("momentum_noise_kernel_norm", eigenvalues, lr, batch_size, num_examples, momentum, 0.0)


def l2_noise_kernel_norm(eigenvalues: MaybeLabelled, *, lr: Any, batch_size: Any, num_examples: int, l2: Any) -> Any:
    """(1/B - 1/D) sum_a (lr l)^2/(2 h - h^2) with h = lr (l + rho), for (rho/2)|theta|^2 beside the mean loss.

    It lowers what modes with l below rho add; near the edge, where h passes 1, it can raise K.

    Args:
        eigenvalues: of the kernel [r], without the l2 term.
        lr: learning rate.
        batch_size: B.
        num_examples: D.
        l2: rho. In the paper's units, a summed loss, it is B times this.

    Raises:
        InputError: as `noise_kernel_norm_finite_size`, l2 below 0.

    References: agarwala2024, eqs. 77 to 86 (SEOS-13; ERR-S11, ERR-S12).

    Example:
        >>> float(l2_noise_kernel_norm(jnp.array([1.0]), lr=0.5, batch_size=1, num_examples=2, l2=1.0))
        0.125
    """
    return _with_inertia("l2_noise_kernel_norm", eigenvalues, lr, batch_size, num_examples, 0.0, l2)


def _with_inertia(name, eigenvalues, lr, batch_size, num_examples, momentum, l2):
    numbers = {"lr": lr, "batch_size": batch_size, "num_examples": num_examples, "momentum": momentum, "l2": l2}
    return on_arrays(_inertia, name, 1, eigenvalues, **numbers)


def _inertia(eigenvalues: Array, *, lr, batch_size, num_examples, momentum, l2) -> Scalar:
    given = _checked(eigenvalues, lr, batch_size, momentum=momentum, l2=l2, num_examples=_whole_examples(num_examples))
    noise = mode_noise(given.values, given.lr, given.mu, given.rho, 0.0)
    return _stable((1 / given.batch - 1 / int(num_examples)) * jnp.sum(noise), given)


def momentum_noise_kernel_norm_series(
    eigenvalues: MaybeLabelled, *, lr: Any, batch_size: Any, num_examples: int, momentum: Any
) -> Any:
    """(1/B - 1/D) [lr sum l/(2 a) + lr^2 sum l^2/(4 a (2 - a))], a = 1 - mu: `momentum_noise_kernel_norm` for small lr.

    The paper's second term is -2 lr^2 sum l^2/a^3, of the wrong sign and size.

    Args:
        eigenvalues: of the kernel [r].
        lr: learning rate.
        batch_size: B.
        num_examples: D.
        momentum: mu.

    Raises:
        InputError: as `momentum_noise_kernel_norm`.

    References: agarwala2024, eqs. 72 to 76 (SEOS-12; ERR-S10).

    Example:
        >>> float(momentum_noise_kernel_norm_series(jnp.array([2.0]), lr=0.5, batch_size=1, num_examples=2, momentum=0))
        0.375
    """
    numbers = {"lr": lr, "batch_size": batch_size, "num_examples": num_examples, "momentum": momentum}
    return on_arrays(_expansion, "momentum_noise_kernel_norm", 1, eigenvalues, **numbers)


def _expansion(eigenvalues: Array, *, lr, batch_size, num_examples, momentum) -> Scalar:
    given = _checked(eigenvalues, lr, batch_size, momentum=momentum, num_examples=_whole_examples(num_examples))
    steps, rest = given.lr * given.values, 1 - given.mu
    series = jnp.sum(steps) / (2 * rest) + jnp.sum(steps**2) / (4 * rest * (2 - rest))
    return _stable((1 / given.batch - 1 / int(num_examples)) * series, given)


def nesterov_noise_kernel_norm(
    eigenvalues: MaybeLabelled, *, lr: Any, batch_size: Any, num_examples: int, momentum: Any
) -> Any:
    """K under Nesterov's momentum, v' = mu v + g and theta' = theta + lr (g + mu v'), for C_mn = 1/D.

    (1/B - 1/D) sum_a x^2 G with x = lr l and G the summed squares of a mode's response to a unit kick:
    z_(t+1) = a z_t - b z_(t-1) + lr ((1 + mu) k_t - mu k_(t-1)), a = (1 + mu)(1 - x), b = mu (1 - x), so that
    G = [((1 + mu)^2 + mu^2)(1 + b) - 2 mu (1 + mu) a]/((1 - b)((1 + b)^2 - a^2)). The mean is stable for
    x < 2 (1 + mu)/(1 + 2 mu).

    Args:
        eigenvalues: of the kernel [r].
        lr: learning rate.
        batch_size: B.
        num_examples: D.
        momentum: mu, in [0, 1).

    Raises:
        InputError: as `momentum_noise_kernel_norm`.

    References: derived here as SEOS-11 is; agarwala2024 treats the heavy ball alone.

    Example:
        >>> float(nesterov_noise_kernel_norm(jnp.array([2.0]), lr=0.5, batch_size=1, num_examples=2, momentum=0.0))
        0.5
    """
    numbers = {"lr": lr, "batch_size": batch_size, "num_examples": num_examples, "momentum": momentum}
    return on_arrays(_nesterov, "nesterov_noise_kernel_norm", 1, eigenvalues, **numbers)


def _nesterov(eigenvalues: Array, *, lr, batch_size, num_examples, momentum) -> Scalar:
    given = _checked(eigenvalues, lr, batch_size, momentum=momentum, num_examples=_whole_examples(num_examples))
    mu, x = given.mu, given.lr * given.values
    a, b = (1 + mu) * (1 - x), mu * (1 - x)
    energy = ((1 + mu) ** 2 + mu**2) * (1 + b) - 2 * mu * (1 + mu) * a
    # x^2 over (1 + b)^2 - a^2 = x (1 + b + a): one x cancels
    norm = (1 / given.batch - 1 / int(num_examples)) * jnp.sum(x * energy / ((1 - b) * (1 + b + a)))
    return _stable(norm, given, 1 + 2 * mu)


class _Given(NamedTuple):
    """Eigenvalues and numbers, checked and in one precision."""

    values: Array
    lr: Array
    batch: Array
    mu: Array
    rho: Array


def _checked(eigenvalues: Array, lr, batch_size, *, momentum=0.0, l2=0.0, num_examples=None) -> _Given:
    check_descent(num_examples, batch_size, lr, momentum, l2)
    if not isinstance(eigenvalues, Tracer):
        values = np.asarray(eigenvalues)
        check_eigenvalues(values)
        num = int(np.sum(values > values.size * np.finfo(np.float32).eps * values.max()))
        if num_examples is not None and num > num_examples:
            raise InputError(
                f"num_examples must be at least the number of eigenvalues above 0, {num}, as an example has one output "
                f"here; got {num_examples}. For more outputs use block_noise_kernel_norm."
            )
    numbers = (jnp.asarray(value, eigenvalues.dtype) for value in (lr, batch_size, momentum, l2))
    return _Given(eigenvalues, *numbers)


def _whole_examples(num_examples: Any) -> int:
    whole("num_examples", num_examples, 1)
    return int(num_examples)


def _stable(norm: Scalar, given: _Given, scale: Any = 1.0) -> Scalar:
    """`norm`, refused or NaN where the mean is unstable; `scale` is how much sooner than under the heavy ball."""
    top = jnp.max(given.values)
    check_mean(top, given.lr, given.mu, given.rho, scale)
    return stable_or_nan(norm, top, given.lr * scale, given.mu, given.rho)
