"""The map b' = b (1 + 8A - 16 b^2) in closed form: fixed point, multipliers, and the cycle beyond which orbits escape.

It doubles its period first at A = 1/8. At A = 1/4 it is 2b -> -T_3(2b) with the Chebyshev polynomial T_3, chaotic on
the whole of [-1/2, 1/2]; beyond, almost all orbits escape.
"""

import jax.numpy as jnp

from precipice._types import Number, Scalar


def cubic_map_fixed_point(offset: Number) -> Scalar:
    """B = sqrt(A/2), a fixed point as its mirror image and 0 are; NaN for A below 0, where only 0 is one.

    References: zhu2022, section 5 (MIN-12).

    Example:
        >>> float(cubic_map_fixed_point(0.125))
        0.25
    """
    return jnp.sqrt(jnp.asarray(offset) / 2)


def cubic_map_slope(b: Number, offset: Number) -> Scalar:
    """The slope 1 + 8A - 48 b^2 of the map at b; that of a cycle is the product over its points.

    References: zhu2022, section 5 (MIN-12).

    Example:
        >>> float(cubic_map_slope(0.25, 0.125))
        -1.0
    """
    return 1 + 8 * jnp.asarray(offset) - 48 * jnp.asarray(b) ** 2


def cubic_map_multiplier(offset: Number) -> Scalar:
    """The slope 1 - 16A at the fixed point: stable for A in (0, 1/8), where the first doubling comes.

    References: zhu2022, section 5 (MIN-12).

    Example:
        >>> float(cubic_map_multiplier(0.125))
        -1.0
    """
    return 1 - 16 * jnp.asarray(offset)


def cubic_map_border(offset: Number) -> Scalar:
    """B = sqrt((1 + 4A)/8), which the map sends to -b; orbits beyond it escape.

    The cycle b, -b is unstable wherever A is above -1/4, with multiplier (5 + 16A)^2.

    References: zhu2022, section 5 (MIN-12).

    Example:
        >>> float(cubic_map_border(0.25))
        0.5
    """
    return jnp.sqrt((1 + 4 * jnp.asarray(offset)) / 8)
