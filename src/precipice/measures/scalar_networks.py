"""Scalar networks in closed form: gradient, Hessian, sharpness at a minimum, and the edge minima of degree 3."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, positive
from precipice._types import Number, Scalar, Values
from precipice.problems import ScalarNetwork


def scalar_network_gradient(problem: ScalarNetwork, params: Float[Array, "n"]) -> Float[Array, "n"]:
    """Gradient of weight (1 - P)^2 with P = prod_i x_i^{p_i}: -2 weight (1 - P) P p_i / x_i.

    Args:
        problem: the network, with powers p_i.
        params: entries x [n], none of them 0 (where one may be, differentiate `problem.loss`).

    References: zhu2022, eq. 17 (MIN-4, MIN-17; the printed eq. 17 lacks the square, ERR-M8).

    Example:
        >>> scalar_network_gradient(ScalarNetwork((1, 1)), jnp.array([2.0, 1.0])).tolist()
        [1.0, 2.0]
    """
    output, slopes = problem.output(params), _slopes(problem, params)
    return -2 * _weight(problem, params) * (1 - output) * output * slopes


def scalar_network_hessian(problem: ScalarNetwork, params: Float[Array, "n"]) -> Float[Array, "n n"]:
    """Hessian of weight (1 - P)^2, 2 weight [(2 P^2 - P) q_i q_j + delta_ij (1 - P) P p_i / x_i^2], q_i = p_i / x_i.

    For free entries (all powers 1, weight 1/2) this is P^2 / x_i^2 on the diagonal and (2 P^2 - P) / (x_i x_j) off it.

    Args:
        problem: the network, with powers p_i.
        params: entries x [n], none of them 0.

    References: zhu2022, eq. 22 (MIN-4; the printed prefactor does not belong there, ERR-M2).

    Example:
        >>> scalar_network_hessian(ScalarNetwork((1, 1)), jnp.array([2.0, 1.0])).tolist()
        [[1.0, 3.0], [3.0, 4.0]]
    """
    output, slopes = problem.output(params), _slopes(problem, params)
    outer = (2 * output**2 - output) * slopes[:, None] * slopes[None, :]
    diagonal = jnp.diag((1 - output) * output * slopes / params)
    return 2 * _weight(problem, params) * (outer + diagonal)


def scalar_network_minimum_sharpness(problem: ScalarNetwork, params: Float[Array, "n"]) -> Scalar:
    """Sharpness of a scalar network at a minimum, 2 weight sum_i (p_i / x_i)^2; sum_i 1 / x_i^2 for free entries.

    The Hessian has rank one there. At a point that is no minimum the number is that of no Hessian.

    Args:
        problem: the network, with powers p_i.
        params: entries x [n] with prod_i x_i^{p_i} = 1.

    References: zhu2022, appendices A.4 and B.1 (MIN-3, MIN-15 to 17).

    Example:
        >>> float(scalar_network_minimum_sharpness(ScalarNetwork((2, 2), 0.25), jnp.array([2.0, 0.5])))
        8.5
    """
    return 2 * _weight(problem, params) * jnp.sum(_slopes(problem, params) ** 2)


class _Probe(eqx.Module):
    problem: ScalarNetwork

    def __call__(self, state: Any) -> Values:
        hessian = scalar_network_hessian(self.problem, state.params)
        return {
            "loss": self.problem.loss(state.params),
            "sharpness": jnp.linalg.eigvalsh(hessian)[-1],
            "entries": state.params,
        }


def scalar_network_probe(problem: ScalarNetwork) -> _Probe:
    """Probe ``loss``, ``sharpness`` (exact, by the closed-form Hessian) and ``entries`` [n] of a scalar network."""
    return _Probe(problem)


def degree_three_sharpness(x: Number) -> Number:
    """Sharpness 1/x^2 + 2/y^2 = 1/x^2 + 2x of (1 - x y y)^2 / 2 at the minimum with x y^2 = 1; at least 3, at x = 1.

    References: zhu2022, appendix A.2.3 (MIN-16).

    Example:
        >>> degree_three_sharpness(2.0)
        4.25
    """
    return 1 / x**2 + 2 * x


def degree_three_edge_minima(lr: Number) -> Float[Array, "2"]:
    """The x of the two minima of (1 - x y y)^2 / 2 whose sharpness is 2/lr: roots of 1/x^2 + 2x = 2/lr, ascending.

    At the smaller one the duplicated entries y = x^(-1/2) are the large ones and gradient descent does not concentrate;
    at the larger one they are small and it does.

    Args:
        lr: learning rate, in (0, 2/3): the flattest minimum has sharpness 3.

    Raises:
        InputError: the learning rate is outside its range.

    References: zhu2022, appendix A.2.3, figures 13 and 14 (MIN-16).

    Example:
        >>> [round(float(x), 4) for x in degree_three_edge_minima(0.2)]
        [0.3271, 4.9798]
    """
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
        if not float(lr) < 2 / 3:
            raise InputError(f"lr must be below 2/3 (no minimum of degree 3 has a sharpness below 3); got {lr}.")
    s = 1 / jnp.asarray(lr)
    angle = 2 * jnp.arcsin(jnp.sqrt(27 / (8 * s**3))) / 3  # trigonometric roots of x^3 - s x^2 + 1/2
    small = 2 * jnp.sin(angle / 2) ** 2 + 3**0.5 * jnp.sin(angle)  # 1 + 2 cos(angle + 4 pi / 3), without cancellation
    return s / 3 * jnp.stack([small, 1 + 2 * jnp.cos(angle)])


def _slopes(problem: ScalarNetwork, params: Float[Array, "n"]) -> Float[Array, "n"]:
    """Slopes of log P: d log P / d x_i = p_i / x_i."""
    return jnp.asarray(problem.powers, params.dtype) / params


def _weight(problem: ScalarNetwork, params: Float[Array, "n"]) -> Scalar:
    return problem.weight.astype(params.dtype)
