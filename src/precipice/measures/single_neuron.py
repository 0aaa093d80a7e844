"""What gradient descent does on the single neuron l(xy): conserved quantity, envelope, predictions of the end."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from precipice._checks import InputError, positive
from precipice._types import Number, Numbers
from precipice.problems import AbstractEvenLoss


def single_neuron_hessian(loss: AbstractEvenLoss, x: Number, y: Number) -> Float[Array, "2 2"]:
    """l''(s) [y, x][y, x]^T + l'(s) [[0, 1], [1, 0]] at s = x y; at (0, y) its top eigenvalue is y^2.

    References: ahn2022, section 2.1 (TN-3).

    Example:
        >>> from precipice.problems import HuberLoss
        >>> single_neuron_hessian(HuberLoss(), 0.0, 3.0).tolist()
        [[9.0, 0.0], [0.0, 0.0]]
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    s = jnp.asarray(x * y)
    slope, curvature = loss.ratio(s) * s, jax.grad(jax.grad(loss))(s)
    point = jnp.stack([y, x])
    return curvature * jnp.outer(point, point) + slope * jnp.array([[0, 1], [1, 0]], s.dtype)


def single_neuron_invariant(x: Numbers, y: Numbers) -> Numbers:
    """D = y^2 - x^2: constant under gradient flow, and multiplied by 1 - lr^2 l'(xy)^2 in each step of descent.

    References: ahn2022, lemma 6 (TN-4).

    Example:
        >>> single_neuron_invariant(3.0, 5.0)
        16.0
    """
    return y**2 - x**2


def single_neuron_decay(loss: AbstractEvenLoss, x: Numbers, y: Numbers, lr: Number) -> Numbers:
    """1 - lr^2 l'(xy)^2, the exact factor of y^2 - x^2 in one step of gradient descent.

    References: ahn2022, lemma 6 (TN-4).
    """
    s = jnp.asarray(x * y)
    return 1 - (lr * loss.ratio(s) * s) ** 2


def single_neuron_final_sharpness(x: Numbers, y: Numbers, lr: Number) -> Numbers:
    """min(|y^2 - x^2|, 2/lr), the leading order of the sharpness that gradient descent from (x, y) ends with.

    Below 2/lr descent follows the flow (the gradient-flow regime); above, it ends just below the edge.

    Raises:
        InputError: |y| equals |x|: the flow then ends at (0, 0), where the leading order is 0 and says nothing.

    References: ahn2022, theorems 1 and 2 (TN-5 to TN-7; the limit of the second is (0, sqrt(2/lr)), ERR-T1).

    Example:
        >>> float(single_neuron_final_sharpness(3.0, 4.0, 0.25)), float(single_neuron_final_sharpness(3.0, 6.0, 0.25))
        (7.0, 8.0)
    """
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    flow = jnp.abs(jnp.asarray(single_neuron_invariant(x, y)))
    if not isinstance(flow, Tracer) and bool(jnp.any(flow == 0)):
        raise InputError(f"y^2 - x^2 must not be 0; got x = {x}, y = {y}.")
    return jnp.minimum(flow, 2 / lr)


def gap_exponent(beta: float) -> float:
    """1/(beta - 1): in the edge-of-stability regime the final gap 2/lr - y^2 is of this order in lr; 0 for beta inf.

    Raises:
        InputError: beta not above 1.

    References: ahn2022, theorem 2 (TN-7).

    Example:
        >>> gap_exponent(1.5), gap_exponent(3.0), gap_exponent(np.inf)
        (2.0, 0.5, 0.0)
    """
    _above_one(beta)
    return 1 / (beta - 1)


def gap_law(loss: AbstractEvenLoss, lr: Number) -> Number:
    """lr/(2 c), the final gap 2/lr - y^2 to leading order for losses with l'(s)/s = 1 - c s^2 + ...

    Raises:
        InputError: a loss whose beta is not 2.

    References: derived from u' = (2 c u - d)/lr^2 (TN-9b); measured 1.00005 lr for the square root at lr 0.01.

    Example:
        >>> from precipice.problems import SquareRootLoss
        >>> gap_law(SquareRootLoss(), 0.01)
        0.01
    """
    if loss.beta != 2:
        raise InputError(f"beta of the loss must be 2; got {loss.beta}.")
    return lr / (2 * loss.coefficient)


def bouncing_attractor(loss: AbstractEvenLoss, distance: Numbers, lr: Number) -> Numbers:
    """s^2 = d/(2c) + lr^2/(4 c^2) at y^2 = (2 + d)/lr, the orbit that bouncing approaches, for losses with beta 2.

    References: TN-9b; its end at s = 0 gives `gap_law`.

    Raises:
        InputError: a loss whose beta is not 2.
    """
    if loss.beta != 2:
        raise InputError(f"beta of the loss must be 2; got {loss.beta}.")
    return distance / (2 * loss.coefficient) + lr**2 / (4 * loss.coefficient**2)


def bouncing_exponents(beta: float) -> tuple[float, bool]:
    """(power of lr, whether a logarithm multiplies it) of the number of bouncing steps with y^2 in [2/lr, 3/lr].

    lr^-2 for beta above 2, lr^-2 log(1/lr) for 2, lr^(-beta/(beta - 1)) below.

    Raises:
        InputError: beta not above 1.

    References: ahn2022, remark 3 (TN-10).

    Example:
        >>> bouncing_exponents(1.5), bouncing_exponents(2.0), bouncing_exponents(4.0)
        ((-3.0, False), (-2.0, True), (-2.0, False))
    """
    _above_one(beta)
    return (-beta / (beta - 1) if beta < 2 else -2.0, beta == 2)


def crossing_bound(s: Numbers, lr: Number) -> Numbers:
    """2/lr - 2 lr s^2, below which y^2 does not fall in the step from s = x y that takes it past 2/lr.

    References: ahn2022, lemma 8 (TN-11).

    Example:
        >>> crossing_bound(0.5, 0.25)
        7.875
    """
    return 2 / lr - 2 * lr * s**2


class Envelope(NamedTuple):
    """The quasi-static envelope.

    Args:
        x: displacement at which a step of descent takes x to -x; NaN where y^2 is below 2/lr.
        s: x y.
    """

    x: Numbers
    s: Numbers


def quasi_static_envelope(loss: AbstractEvenLoss, y: Numbers, lr: Number) -> Envelope:
    """The x >= 0 with lr l'(x y) y = 2 x, where gradient descent bounces between x and -x while y falls.

    By 80 halvings of the bracket: l'(s)/s = 2/(lr y^2) has one solution s, at most lr y^2/2.

    Raises:
        InputError: lr not positive.

    References: ahn2022, eq. 13 (TN-8); for the square root x = sqrt(lr^2 y^4/4 - 1)/y, for l_beta
        |s|^beta = d/((2 + d) c) with y^2 = (2 + d)/lr.

    Example:
        >>> from precipice.problems import SquareRootLoss
        >>> round(float(quasi_static_envelope(SquareRootLoss(), jnp.array(4.0), 0.25).x), 6)
        0.433013
    """
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    y = jnp.asarray(y)
    wanted = 2 / (lr * y**2)

    def halved(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        above = loss.ratio(middle) > wanted
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    low, high = jax.lax.fori_loop(0, 80, halved, (jnp.zeros_like(y), 1 / wanted))
    s = jnp.where(wanted <= 1, (low + high) / 2, jnp.nan)
    return Envelope(s / jnp.abs(y), s)


class Bouncing(NamedTuple):
    """Bouncing steps of one trajectory.

    Args:
        steps: steps on which y^2 lies in [2/lr, upper/lr].
        finished: whether y^2 fell below 2/lr within the budget.
    """

    steps: Int[Array, ""]
    finished: Array


def bouncing_steps(
    loss: AbstractEvenLoss,
    start: Float[Array, "2"],
    lr: Number,
    *,
    upper: float = 3.0,
    max_steps: int = 10_000_000,
) -> Bouncing:
    """How many steps of gradient descent from `start` have y^2 in [2/lr, upper/lr]; counted without storing them.

    Cost: one compiled loop until y^2 is below 2/lr; vmap it over learning rates and starts.

    Raises:
        InputError: lr not positive, or a start that is not finite.

    References: ahn2022, figure 11 (TN-10).
    """
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    if not isinstance(start, Tracer) and not bool(jnp.all(jnp.isfinite(start))):
        raise InputError(f"start must be finite; got {np.asarray(start).tolist()}.")
    return _bouncing(loss, start, jnp.asarray(lr, start.dtype), jnp.asarray(upper, start.dtype), max_steps)


@eqx.filter_jit
def _bouncing(loss: AbstractEvenLoss, start: Float[Array, "2"], lr: Array, upper: Array, max_steps: int) -> Bouncing:
    def going(carry):
        point, step, _ = carry
        return (point[1] ** 2 >= 2 / lr) & (step < max_steps)

    def one(carry):
        (x, y), step, inside = carry
        inside = inside + (y**2 <= upper / lr).astype(int)
        s = x * y
        slope = loss.ratio(s) * s
        return jnp.stack([x - lr * slope * y, y - lr * slope * x]), step + 1, inside

    point, _, inside = jax.lax.while_loop(going, one, (start, 0, 0))
    return Bouncing(jnp.asarray(inside), point[1] ** 2 < 2 / lr)


def _above_one(beta: float) -> None:
    if not beta > 1:
        raise InputError(f"beta must be above 1; got {beta}.")


def single_neuron_start(distance: float, tilt: float, lr: float) -> Float[np.ndarray, "2"]:
    """sqrt((2 + d)/lr) (t, sqrt(1 + t^2)): a start with y^2 - x^2 = (2 + d)/lr, above the edge for d > 0.

    Args:
        distance: d, above -2.
        tilt: t.
        lr: learning rate.

    Raises:
        InputError: lr not positive, or d not above -2.

    References: ahn2022, theorems 1 and 2 (TN-6, TN-7).

    Example:
        >>> (single_neuron_start(0.5, 0.75, 0.1) ** 2).round(4).tolist()
        [14.0625, 39.0625]
    """
    positive("lr", lr)
    positive("2 + distance", 2 + distance)
    if not np.isfinite(tilt):
        raise InputError(f"tilt must be finite; got {tilt}.")
    return np.sqrt((2 + distance) / lr) * np.array([tilt, np.sqrt(1 + tilt**2)])
