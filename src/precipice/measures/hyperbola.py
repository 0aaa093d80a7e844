"""Coordinates of the scalar networks of degrees 2 and 4, whose gradient step is x' = x + r y, y' = y + r x.

With c = sqrt(x^2 - y^2) and d = xy (x > y > 0), (a, b) is the offset of (c, d) from an edge minimum (c0, 1). The
degrees differ in c0 and in r alone (`degree_two.py`, `degree_four.py`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._types import Scalar

Point = Float[Array, "2"]


def offset_of(params: Point, edge_c: Scalar) -> Point:
    """(sqrt(x^2 - y^2) - c0, xy - 1)."""
    x, y = params
    return jnp.stack([jnp.sqrt(x**2 - y**2) - edge_c, x * y - 1])


def entries_of(offset: Point, edge_c: Scalar) -> Point:
    """The inverse of `offset_of` (zhu2022, eq. 29; MIN-6, ERR-M3)."""
    c, d = offset[0] + edge_c, offset[1] + 1
    x = jnp.sqrt((c**2 + jnp.sqrt(c**4 + 4 * d**2)) / 2)
    return jnp.stack([x, d / x])


def stepped(offset: Point, edge_c: Scalar, r: Scalar) -> Point:
    """The step in (a, b): c' = c sqrt(1 - r^2) and d' = d (1 + r^2) + r sqrt(c^4 + 4 d^2), for abs(r) < 1."""
    c, d = offset[0] + edge_c, offset[1] + 1
    change = -c * r**2 / (1 + jnp.sqrt(1 - r**2))  # c' - c, without cancellation
    return offset + jnp.stack([change, d * r**2 + r * jnp.sqrt(c**4 + 4 * d**2)])
