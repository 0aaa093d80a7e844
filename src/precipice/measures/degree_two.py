"""The degree-2 scalar network weight (1 - xy)^2 near its edge minimum: coordinates, two-step map, ellipses.

With c = sqrt(x^2 - y^2) and d = xy (x > y > 0), (a, b) is the offset of (c, d) from the minimum of sharpness 2/lr.
The paper prints the coefficients of weight 1/2 beside the loss of weight 1 (ERR-M7); here the weight is an argument.
"""

import jax.numpy as jnp
from jax.core import Tracer

from precipice._checks import InputError, positive
from precipice._types import Number, Scalar
from precipice.measures.hyperbola import Point, entries_of, offset_of, stepped


def degree_two_edge_minimum(lr: Number, *, weight: Number = 0.5) -> Point:
    """The minimum (x, y), x > y > 0, of weight (1 - xy)^2 with sharpness 2 weight (x^2 + y^2) = 2/lr.

    Args:
        lr: learning rate, with weight lr < 1/2: the flattest minimum has sharpness 4 weight.
        weight: 1/2 or 1 in the paper.

    Raises:
        InputError: no minimum has that sharpness.

    References: zhu2022, section 4 (MIN-15).

    Example:
        >>> x, y = degree_two_edge_minimum(0.2)
        >>> round(float(x * y), 5), round(float(x**2 + y**2), 5)
        (1.0, 10.0)
    """
    return degree_two_entries(jnp.zeros(2, jnp.result_type(float)), lr, weight=weight)


def degree_two_offset(params: Point, lr: Number, *, weight: Number = 0.5) -> Point:
    """The offset (a, b) = (sqrt(x^2 - y^2) - c0, xy - 1) from the edge minimum; needs x > y > 0.

    References: zhu2022, definition 2 and section 4 (MIN-6, MIN-15).

    Example:
        >>> bool(jnp.all(jnp.abs(degree_two_offset(degree_two_edge_minimum(0.2), 0.2)) < 1e-5))
        True
    """
    return offset_of(params, _edge_c(lr, weight))


def degree_two_entries(offset: Point, lr: Number, *, weight: Number = 0.5) -> Point:
    """The entries (x, y) at an offset (a, b): the inverse of `degree_two_offset`.

    References: zhu2022, eq. 29 (MIN-6, ERR-M3).

    Example:
        >>> x, y = degree_two_entries(jnp.array([0.1, -0.2]), 0.2)
        >>> round(float(x * y), 5)
        0.8
    """
    return entries_of(offset, _edge_c(lr, weight))


def degree_two_step(offset: Point, lr: Number, *, weight: Number = 0.5) -> Point:
    """One step of gradient descent in (a, b), exactly.

    With r = 2 weight lr (1 - d): c' = c sqrt(1 - r^2) and d' = d (1 + r^2) + r sqrt(c^4 + 4 d^2), as x' = x + r y and
    y' = y + r x. It holds while x > y, that is for abs(r) < 1.

    References: zhu2022, section 4; the degree-2 form of eq. 6 (MIN-7, MIN-15).

    Example:
        >>> degree_two_step(jnp.array([0.25, 0.0]), 0.2).tolist()
        [0.25, 0.0]
    """
    return stepped(offset, _edge_c(lr, weight), -2 * weight * lr * offset[1])


def degree_two_two_step(offset: Point, lr: Number, *, weight: Number = 0.5) -> Point:
    """Two steps in (a, b), leading order in kappa = sqrt(lr): no cubic term pulls b back, unlike at degree 4.

    a'' = a - 4 weight^{3/2} kappa^3 b^2 and b'' = b + 8 weight^{1/2} kappa a b: for weight 1/2
    a - sqrt(2) b^2 kappa^3 and b + 4 sqrt(2) a b kappa, for weight 1 a - 4 b^2 kappa^3 and b + 8 a b kappa.

    References: zhu2022, eq. 12 (MIN-15, ERR-M7).

    Example:
        >>> degree_two_two_step(jnp.array([0.0, 0.5]), 0.25, weight=1.0).tolist()
        [-0.125, 0.5]
    """
    a, b = offset
    kappa, root = jnp.sqrt(jnp.asarray(lr)), jnp.sqrt(jnp.asarray(weight))
    return jnp.stack([a - 4 * root**3 * kappa**3 * b**2, b + 8 * root * kappa * a * b])


def degree_two_ellipse(offset: Point, lr: Number, *, weight: Number = 0.5) -> Scalar:
    """C = a^2 + weight lr b^2 / 2, constant along the limit db/da = -2a / (weight b lr) of the two-step map.

    Its orbits are the ellipses b^2 = 2 (C - a^2) / (weight lr): 4 (C - a^2) / lr for weight 1/2, 2 (C - a^2) / lr for
    weight 1. A half turn leads from a to -a: starts that are sharper end flatter.

    References: zhu2022, section 4 (MIN-15, ERR-M7).

    Example:
        >>> float(degree_two_ellipse(jnp.array([0.0, 2.0]), 0.25, weight=1.0))
        0.5
    """
    a, b = offset
    return a**2 + weight * lr * b**2 / 2


def degree_two_final_sharpness(offset: Point, lr: Number, *, weight: Number = 0.5) -> Scalar:
    """The sharpness at which the ellipse through (a, b) ends, at a = -sqrt(C), b = 0; below 2/lr by about a constant.

    References: zhu2022, section 4 and figure 5 (MIN-15).

    Example:
        >>> float(degree_two_final_sharpness(jnp.array([0.0, 0.0]), 0.2))
        10.0
    """
    c = _edge_c(lr, weight) - jnp.sqrt(degree_two_ellipse(offset, lr, weight=weight))
    return 2 * weight * jnp.sqrt(c**4 + 4)


def _edge_c(lr: Number, weight: Number) -> Scalar:
    """c0 = ((weight lr)^{-2} - 4)^{1/4}."""
    if not isinstance(lr, Tracer) and not isinstance(weight, Tracer):
        positive("lr", float(lr))
        positive("weight", float(weight))
        if not float(weight * lr) < 0.5:
            raise InputError(
                f"lr must be below {0.5 / float(weight):g} (no minimum of degree 2 with weight {float(weight):g} has a "
                f"sharpness below {4 * float(weight):g}); got {float(lr)}."
            )
    return (1 / jnp.asarray(weight * lr) ** 2 - 4) ** 0.25
