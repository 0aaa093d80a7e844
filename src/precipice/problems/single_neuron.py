"""The single neuron l(xy): one example, two layers of width one without activation, and an even convex loss.

To add a loss:
1. Write a final `AbstractEvenLoss` here: its value, the ratio l'(s)/s, and how that leaves 1 near 0.
2. Export it in `problems/__init__.py` and add it to ``LOSSES`` in `tests/test_single_neuron.py`.
"""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import Number, PRNGKey, Scalar
from precipice.problems.problem import AbstractProblem

Values = Float[Array, "..."]


class AbstractEvenLoss(eqx.Module):
    """A convex, even, 1-Lipschitz l(s) with l''(0) = 1 and l'(s)/s = 1 - c |s|^beta + ... near 0.

    Args:
        beta: the exponent with which l'(s)/s leaves 1; inf where it stays at 1 near 0.
        coefficient: c of l'(s)/s = 1 - c |s|^beta + ...; 0 where beta is inf.

    References: ahn2022, assumptions A1 to A3 and example 1 (TN-1, TN-2).
    """

    beta: eqx.AbstractVar[float]
    coefficient: eqx.AbstractVar[float]

    def __call__(self, s: Values) -> Values:
        """l(s); its derivative is s `ratio`, to rounding."""
        return _valued(s, loss=self)

    @abc.abstractmethod
    def value(self, s: Values) -> Values:
        """l(s)."""

    @abc.abstractmethod
    def ratio(self, s: Values) -> Values:
        """l'(s)/s, 1 at 0 and falling with |s|; without cancellation or overflow."""


@eqx.filter_custom_jvp
def _valued(s: Values, *, loss: AbstractEvenLoss) -> Values:
    return loss.value(s)


@_valued.def_jvp
def _valued_jvp(primals, tangents, *, loss: AbstractEvenLoss):
    (s,), (tangent,) = primals, tangents
    return loss.value(s), loss.ratio(s) * s * tangent


class SquareRootLoss(AbstractEvenLoss):
    """l(s) = sqrt(1 + s^2): beta 2, c 1/2.

    Example:
        >>> round(float(jax.grad(SquareRootLoss())(jnp.array(0.75))), 12)
        0.6
    """

    beta: float = eqx.field(default=2.0, static=True)
    coefficient: float = eqx.field(default=0.5, static=True)

    def value(self, s: Values) -> Values:
        """l(s)."""
        return jnp.sqrt(1 + s**2)

    def ratio(self, s: Values) -> Values:
        """1/sqrt(1 + s^2)."""
        return 1 / jnp.sqrt(1 + s**2)


def _tanh_series(dtype) -> Array:
    """Coefficients of tanh(s)/s in s^2, highest first: derivatives of the quotient itself lose their digits near 0."""
    terms = (-929569 / 638512875, 21844 / 6081075, -1382 / 155925, 62 / 2835, -17 / 315, 2 / 15, -1 / 3, 1)
    return jnp.array(terms, dtype)


class LogCoshLoss(AbstractEvenLoss):
    """l(s) = log cosh s, the symmetric logistic loss rescaled so that l''(0) = 1; l' = tanh: beta 2, c 1/3.

    The plain (log(1 + e^-s) + log(1 + e^s))/2 has l''(0) = 1/4 (ERR-T4); this is l_sym(2 s) - log 2.

    Example:
        >>> round(float(jax.grad(LogCoshLoss())(jnp.array(2.0)) - jnp.tanh(2.0)), 15)
        0.0
    """

    beta: float = eqx.field(default=2.0, static=True)
    coefficient: float = eqx.field(default=1 / 3, static=True)

    def value(self, s: Values) -> Values:
        """l(s)."""
        return jnp.abs(s) + jnp.log1p(jnp.exp(-2 * jnp.abs(s))) - math.log(2)

    def ratio(self, s: Values) -> Values:
        """tanh(s)/s."""
        near = jnp.abs(s) < 0.1
        square, far = jnp.where(near, s, 0) ** 2, jnp.where(near, 1, s)
        return jnp.where(near, jnp.polyval(_tanh_series(s.dtype), square), jnp.tanh(far) / far)


class HuberLoss(AbstractEvenLoss):
    """l(s) = s^2/2 for |s| < 1, else |s| - 1/2; l' = clip(s, -1, 1): beta inf.

    Example:
        >>> float(HuberLoss()(jnp.array(3.0)))
        2.5
    """

    beta: float = eqx.field(default=math.inf, static=True)
    coefficient: float = eqx.field(default=0.0, static=True)

    def value(self, s: Values) -> Values:
        """l(s)."""
        inside = jnp.clip(s, -1, 1)
        return inside * (s - inside / 2)

    def ratio(self, s: Values) -> Values:
        """min(1, 1/|s|)."""
        return 1 / jnp.maximum(1, jnp.abs(s))


class PowerLoss(AbstractEvenLoss):
    """l_beta: l'(s) = s (1 - c |s|^beta) for |s| < r, else the sign of s; c and r make l' once differentiable.

    c = (beta/(beta + 1))^beta / (beta + 1) and r = (beta + 1)/beta.

    Derivatives of l beyond the second are NaN at s = 0 for beta below 2, where they are not finite beside it.

    Args:
        power: beta, above 1.

    Raises:
        InputError: beta not above 1, or not finite.

    References: ahn2022, example 1 (TN-2).

    Example:
        >>> loss = PowerLoss(2.0)
        >>> round(loss.coefficient, 6), loss.join
        (0.148148, 1.5)
    """

    beta: float = eqx.field(static=True)
    coefficient: float = eqx.field(static=True)

    def __init__(self, power: float):
        if isinstance(power, Tracer) or not (math.isfinite(power) and power > 1):
            raise InputError(f"beta must be above 1 and finite; got {power}.")
        self.beta = float(power)
        self.coefficient = (self.beta / (self.beta + 1)) ** self.beta / (self.beta + 1)

    @property
    def join(self) -> float:
        """The r from which on l' is the sign."""
        return (self.beta + 1) / self.beta

    def value(self, s: Values) -> Values:
        """l(s), 0 at 0."""
        size = jnp.abs(s)
        inside = jnp.minimum(size, self.join)
        curved = inside**2 / 2 - self.coefficient * inside ** (self.beta + 2) / (self.beta + 2)
        return curved + (size - inside)

    def ratio(self, s: Values) -> Values:
        """1 - c |s|^beta up to r, then 1/|s|."""
        size = jnp.abs(s)
        inside = jnp.minimum(size, self.join)
        return jnp.where(size < self.join, 1 - self.coefficient * inside**self.beta, 1 / jnp.maximum(size, 1))


class SingleNeuron(AbstractProblem):
    """L(x, y) = l(x y) at parameters [x, y]; every point with x = 0 or y = 0 is a minimum, of sharpness x^2 + y^2.

    Args:
        output_loss: an `AbstractEvenLoss`, or any even convex function of a scalar.

    References: ahn2022, eq. 3 (TN-1).

    Example:
        >>> problem = SingleNeuron(SquareRootLoss())
        >>> jax.grad(problem.loss)(jnp.array([0.25, 3.0])).round(3).tolist()
        [1.8, 0.15]
    """

    output_loss: AbstractEvenLoss

    def init(self, key: PRNGKey) -> Float[Array, "2"]:
        """Both uniform in [0.5, 1.5]."""
        return jax.random.uniform(key, (2,), minval=0.5, maxval=1.5)

    def loss(self, params: Float[Array, "2"], batch: Number | None = None) -> Scalar:
        """l(x y); `batch` is the input of the one example, by default 1 (the loss is even in its label)."""
        product = params[0] * params[1]
        return self.output_loss(product if batch is None else product * jnp.asarray(batch, params.dtype))
