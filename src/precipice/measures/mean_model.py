"""The mean model in formulas: flow invariant, sharpness, threshold of the learning rate, bounds on the final bias.

A = d (a- + a+) and b are those of `dynamics.MeanModelMap`; g is `problems.smoothed_relu`, Phi its derivative.
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.scipy.special import erf, erfcx, log_ndtr
from jax.scipy.stats import norm

from precipice._checks import InputError, at_most, positive
from precipice._types import Number, Scalar, floating
from precipice.problems.mean_model import smoothed_relu

NEWTON_STEPS = 60
"""More than Newton's method needs anywhere below; it converges monotonically, and extra steps stay at the root."""


def smoothed_relu_inverse(value: Number) -> Scalar:
    """The b with g(b) = value, for a value above 0.

    By Newton's method on log g, which is concave: from the left end of a bracket it climbs to the root without
    overshooting, and it is kept inside the bracket. Differentiable.

    Args:
        value: positive.

    Raises:
        InputError: a value that is not positive and finite.

    References: ahn2022, theorem 4 (TN-24).

    Example:
        >>> round(float(smoothed_relu_inverse(smoothed_relu(jnp.array(-1.5)))), 5)
        -1.5
    """
    _check_positive("value", value)
    return _inverse(floating(value))


@jax.custom_jvp
@jax.jit
def _inverse(value: Scalar) -> Scalar:
    log_value, at_zero = jnp.log(value), norm.pdf(jnp.zeros_like(value))
    small = value < at_zero  # there b < 0 and g(b) < phi(b); else b >= 0 and b <= g(b) <= b + g(0)
    low = jnp.where(small, -jnp.sqrt(jnp.maximum(2 * (jnp.log(at_zero) - log_value), 0)), value - at_zero)
    high = jnp.where(small, 0, value)

    def newton(_, b):
        g = smoothed_relu(b)
        return jnp.clip(b - (jnp.log(g) - log_value) * g / norm.cdf(b), low, high)

    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, low)


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
    b = _inverse(*primals)
    return b, tangents[0] / norm.cdf(b)


def mean_model_kappa(bias: Number) -> Scalar:
    """The integral kappa(b) = int_0^b g/Phi, which is b^2/2 + log(2 Phi(b)).

    (g/Phi = b + phi/Phi, and phi/Phi is the derivative of log Phi.) Increasing and convex; accurate to rounding. Below
    -1 it is log erfcx(-b/sqrt(2)), in which the two large terms have cancelled.

    References: ahn2022, lemma 3 (TN-21); closed form derived.

    Example:
        >>> float(mean_model_kappa(0.0))
        0.0
    """
    b = floating(bias)
    near, far = jnp.maximum(b, -1.0), jnp.minimum(b, -1.0)
    root = jnp.sqrt(2.0).astype(b.dtype)
    return jnp.where(b > -1.0, near**2 / 2 + jnp.log1p(erf(near / root)), jnp.log(erfcx(-far / root)))


def mean_model_invariant(weight_sum: Number, bias: Number, dimension: Number) -> Scalar:
    """A^2/2 - 2 d^2 kappa(b), which gradient flow of the mean model conserves.

    References: ahn2022, lemma 3 (TN-21).

    Example:
        >>> float(mean_model_invariant(2.0, 0.0, 200))
        2.0
    """
    a = floating(weight_sum)
    return a**2 / 2 - 2 * jnp.asarray(dimension, a.dtype) ** 2 * mean_model_kappa(bias)


def mean_model_flow_bias(weight_sum: Number, dimension: Number) -> Scalar:
    """The bias b_GF where gradient flow from (A, 0) ends: kappa(b_GF) = -A^2/(4 d^2), of order -(A/d)^2.

    By Newton's method from 0, which descends to the root of a convex function without overshooting.

    Args:
        weight_sum: A at the start, at most 4 d in size (there b_GF is -43; the theory is for A much below d).
        dimension: d.

    Raises:
        InputError: a weight sum beyond that.

    References: ahn2022, section 3.2 (TN-21).

    Example:
        >>> round(float(mean_model_flow_bias(1.0, 200)) * 1e6, 3)
        -7.833
    """
    if not isinstance(weight_sum, Tracer) and not isinstance(dimension, Tracer):
        at_most("size of weight_sum", abs(float(weight_sum)), 4 * float(dimension), "4 d")
    a = floating(weight_sum)
    target = -((a / (2 * jnp.asarray(dimension, a.dtype))) ** 2)

    return _kappa_inverse(target)


@jax.jit
def _kappa_inverse(target: Scalar) -> Scalar:
    def newton(_, b):
        return b - (mean_model_kappa(b) - target) / (b + jnp.exp(norm.logpdf(b) - log_ndtr(b)))

    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, jnp.zeros_like(target))


def mean_model_sharpness(bias: Number, dimension: Number) -> Scalar:
    """d^2 g(b)^2/2: the largest Hessian eigenvalue of `problems.MeanModel` at its minima A = 0.

    References: ahn2022, section 3.2 (TN-22).

    Example:
        >>> round(float(mean_model_sharpness(0.0, 200)) * mean_model_threshold(200), 5)
        2.0
    """
    b = floating(bias)
    return (jnp.asarray(dimension, b.dtype) * smoothed_relu(b)) ** 2 / 2


def mean_model_threshold(dimension: float) -> float:
    """8 pi/d^2: the learning rate beyond which the mean model learns a negative bias; there 2/lr is the sharpness at 0.

    It is that of the **mean** (or population) logistic loss; for the sum over n examples, as the paper prints it in its
    introduction, it would be 8 pi/(n d^2) (ERR-T2).

    Args:
        dimension: d.

    Raises:
        InputError: it is not positive.

    References: ahn2022, section 3.2 (TN-22).

    Example:
        >>> round(mean_model_threshold(200), 7)
        0.0006283
    """
    positive("dimension", dimension)
    return 8 * jnp.pi / dimension**2


def mean_model_edge_bias(lr: Number, dimension: Number) -> Scalar:
    """The bias g^{-1}(2/(d sqrt(lr))) at which the sharpness on A = 0 is 2/lr.

    With lr beyond 8 pi/d^2 it is negative, and the mean model ends at or below it unless A hits 0 exactly before.

    References: ahn2022, theorem 4 (TN-24).

    Example:
        >>> round(float(mean_model_edge_bias(10 * jnp.pi / 200**2, 200)), 5)
        -0.08727
    """
    _check_positive("lr", lr)
    lr = floating(lr)
    return smoothed_relu_inverse(2 / (jnp.asarray(dimension, lr.dtype) * jnp.sqrt(lr)))


def mean_model_rate(lr: float, weight_sum: float, dimension: float) -> float:
    """The rate gamma = min(delta, 8 - delta, (8 - delta)/abs(A))/200 with lr = (8 - delta) pi/d^2.

    Then abs(A_t) <= abs(A_0) exp(-gamma t).

    Raises:
        InputError: the theorem does not cover these numbers: lr not below 8 pi/d^2, or above gamma/abs(A).

    References: ahn2022, theorem 3 (TN-23). At d = 200 and A = 1 it leaves out 7.9 pi/d^2.

    Example:
        >>> round(mean_model_rate(4 * 3.141592653589793 / 200**2, 1.0, 200), 5)
        0.02
    """
    positive("lr", lr)
    scaled = lr * dimension**2 / float(jnp.pi)  # 8 - delta
    if not scaled < 8:
        raise InputError(f"lr must be below 8 pi/d^2 = {mean_model_threshold(dimension):.6g}; got {lr}.")
    size = abs(weight_sum)
    rate = min(8 - scaled, scaled, scaled / size if size else scaled) / 200
    if lr * size > rate:
        raise InputError(f"lr must be at most gamma/abs(A) = {rate / size:.6g} for theorem 3; got {lr}.")
    return rate


def mean_model_flow_bound(lr: float, weight_sum: float, dimension: float) -> float:
    """-(lr/gamma) abs(A): below the threshold the final bias lies between it and 0, of order 1/d^2.

    Raises:
        InputError: as `mean_model_rate`.

    References: ahn2022, theorem 3 (TN-23).

    Example:
        >>> round(mean_model_flow_bound(4 * 3.141592653589793 / 200**2, 1.0, 200), 5)
        -0.01571
    """
    return -(lr / mean_model_rate(lr, weight_sum, dimension)) * abs(weight_sum)


def _check_positive(name: str, value: Number) -> None:
    if not isinstance(value, Tracer):
        positive(name, float(value))
