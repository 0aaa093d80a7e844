"""The coupled degree-4 scalar network (1 - x^2 y^2)^2/4 near its edge minimum: coordinates, maps, attractor, its end.

With c = sqrt(x^2 - y^2) and d = xy (x > y > 0), (a, b) is the offset of (c, d) from the minimum of sharpness 2/lr, and
kappa = sqrt(lr). Minima have b = 0 and sharpness 2 (x^2 + y^2) = 2 sqrt(c^4 + 4).
"""

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, positive
from precipice._types import Number, Scalar
from precipice.measures.hyperbola import Point, entries_of, offset_of, stepped


def degree_four_edge_minimum(lr: Number) -> Point:
    """The minimum (x, y), x > y > 0, of (1 - x^2 y^2)^2/4 with sharpness 2/lr: xy = 1 and x^2 + y^2 = 1/lr.

    Args:
        lr: learning rate, below 1/2: the flattest minimum has sharpness 4.

    Raises:
        InputError: no minimum has that sharpness.

    References: zhu2022, definition 1 (MIN-5).

    Example:
        >>> x, y = degree_four_edge_minimum(0.2)
        >>> round(float(x * y), 5), round(float(x**2 + y**2), 5)
        (1.0, 5.0)
    """
    return degree_four_entries(jnp.zeros(2, jnp.result_type(float)), lr)


def degree_four_offset(params: Point, lr: Number) -> Point:
    """The offset (a, b) = (sqrt(x^2 - y^2) - c0, xy - 1) from the edge minimum; needs x > y > 0.

    References: zhu2022, definition 2 (MIN-6).

    Example:
        >>> bool(jnp.all(jnp.abs(degree_four_offset(degree_four_edge_minimum(0.2), 0.2)) < 1e-5))
        True
    """
    return offset_of(params, _edge_c(lr))


def degree_four_entries(offset: Point, lr: Number) -> Point:
    """The entries (x, y) at an offset (a, b): the inverse of `degree_four_offset`.

    References: zhu2022, eq. 29 (MIN-6, ERR-M3).

    Example:
        >>> x, y = degree_four_entries(jnp.array([0.1, -0.2]), 0.2)
        >>> round(float(x * y), 5)
        0.8
    """
    return entries_of(offset, _edge_c(lr))


def degree_four_step(offset: Point, lr: Number) -> Point:
    """One step of gradient descent in (a, b), exactly.

    With r = lr d (1 - d^2): c' = c sqrt(1 - r^2) and d' = d (1 + r^2) + r sqrt(c^4 + 4 d^2), as x' = x + r y and
    y' = y + r x. It holds while x > y, that is for abs(r) < 1.

    References: zhu2022, eqs. 6 and 32 (MIN-7, ERR-M4).

    Example:
        >>> degree_four_step(jnp.array([0.25, 0.0]), 0.2).tolist()
        [0.25, 0.0]
    """
    b = offset[1]
    return stepped(offset, _edge_c(lr), -lr * (b + 1) * b * (b + 2))


def degree_four_two_step(offset: Point, lr: Number) -> Point:
    """Two steps in (a, b), leading order in kappa: a'' = a - 4 b^2 kappa^3, b'' = b + 8 a b kappa - 16 b^3.

    References: zhu2022, eq. 7 (MIN-8).

    Example:
        >>> degree_four_two_step(jnp.array([0.0, 0.5]), 0.25).tolist()
        [-0.125, -1.5]
    """
    a, b = offset
    kappa = jnp.sqrt(jnp.asarray(lr))
    return jnp.stack([a - 4 * b**2 * kappa**3, b + 8 * a * b * kappa - 16 * b**3])


def degree_four_orbit(offset: Point, lr: Number) -> Scalar:
    """C = (b^2 - a kappa/2 - kappa^4/16) exp(-8 a/kappa^3), constant along the limit of the two-step map.

    The limit is db/da = (4 b^2 - 2 a kappa)/(b kappa^3). C = 0 is the parabola that attracts all orbits as a falls.

    References: zhu2022, eqs. 8 and 9 (MIN-9).

    Example:
        >>> float(degree_four_orbit(jnp.array([0.0, 0.25]), 1.0))
        0.0
    """
    a, b = offset
    kappa = jnp.sqrt(jnp.asarray(lr))
    return (b**2 - a * kappa / 2 - kappa**4 / 16) * jnp.exp(-8 * a / kappa**3)


def degree_four_sharpness(a: Number, lr: Number) -> Scalar:
    """The sharpness 2 sqrt((c0 + a)^4 + 4) of the minimum at offset a; about 2/lr + 4 a/kappa.

    References: zhu2022, corollary 3.1 (MIN-10).

    Example:
        >>> round(float(degree_four_sharpness(0.0, 0.2)), 5)
        10.0
    """
    return 2 * jnp.sqrt((_edge_c(lr) + a) ** 4 + 4)


def degree_four_eigenvalues(params: Point) -> Float[Array, "4"]:
    """Hessian eigenvalues of (1 - xyzw)^2/2 at (x, y, x, y), in descending order; at a minimum 2 (x^2 + y^2), 0, 0, 0.

    With p = x^2 y^2 and t = (x^2 + y^2) (3p - 1): x^2 (1 - p), y^2 (1 - p) and
    [t +- sqrt(t^2 + 4 p (3 - 10 p + 7 p^2))]/2. The last two are those of the coupled network (1 - x^2 y^2)^2/4. Each
    is accurate to rounding, however small.

    References: zhu2022, eqs. 3 and 25 (MIN-3; the first two are printed with xy in place of p, ERR-M1).

    Example:
        >>> [round(float(value), 5) for value in degree_four_eigenvalues(jnp.array([1.0, 1.0]))]
        [4.0, 0.0, 0.0, 0.0]
    """
    x, y = params
    p = (x * y) ** 2
    left = (1 - x * y) * (1 + x * y)  # 1 - p, without cancellation at a minimum
    trace, product = (x**2 + y**2) * (3 * p - 1), -p * left * (3 - 7 * p)
    discriminant = ((x - y) * (x + y) * (1 - 3 * p)) ** 2 + 16 * p * (1 - 2 * p) ** 2
    large = (trace + jnp.where(trace < 0, -1, 1) * jnp.sqrt(discriminant)) / 2
    small = product / jnp.where(large == 0, 1, large)
    return jnp.sort(jnp.stack([large, small, x**2 * left, y**2 * left]))[::-1]


def degree_four_final_sharpness(lr: Number) -> Scalar:
    """The sharpness at the tip a = -kappa^3/8 of the attractor, where sharper starts end: about 2/lr - lr/2.

    Leading order in kappa: descent itself ends at 2/lr - 0.4996 lr for lr 0.01 and 2/lr - 0.30 lr for lr 0.25.

    References: zhu2022, theorem 3.1; derived in MIN-10.

    Example:
        >>> gap = 2 / 0.01 - degree_four_final_sharpness(jnp.asarray(0.01))
        >>> bool(abs(gap / 0.01 - 0.5) < 0.02)
        True
    """
    return degree_four_sharpness(-(jnp.asarray(lr) ** 1.5) / 8, lr)


def _edge_c(lr: Number) -> Scalar:
    """c0 = (lr^{-2} - 4)^{1/4}."""
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
        if not float(lr) < 0.5:
            raise InputError(f"lr must be below 0.5 (no minimum of degree 4 has a sharpness below 4); got {float(lr)}.")
    return (1 / jnp.asarray(lr) ** 2 - 4) ** 0.25
