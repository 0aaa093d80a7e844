"""The plane (z, T(0)) of quadratic models with two eigenvalues 1 and w: cone, nullclines, expansions, predictions.

z and T(0) are rescaled by the learning rate, as in `dynamics.quadratic`; T(0) = 2 is the edge of stability. epsilon
stands for -w.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from precipice._checks import InputError, positive
from precipice._types import Number, Numbers
from precipice.problems.quadratic import two_eigenvalue_modes as two_eigenvalue_modes
from precipice.problems.quadratic import two_eigenvalue_step as two_eigenvalue_step


def two_eigenvalue_feasible(
    z: Numbers, t: Numbers, eigenvalue: Number, offset: Number = 0.0
) -> Bool[Array, "..."] | Bool[np.ndarray, "..."] | bool:
    """Whether (z, T) belongs to a model: both squared modes positive. A cone with its vertex at z = -E/2, T = 0.

    References: agarwala2022, eqs. 55 and 56 (QR-13).

    Example:
        >>> bool(two_eigenvalue_feasible(0.5, 1.2, -0.1)), bool(two_eigenvalue_feasible(0.5, 0.9, -0.1))
        (True, False)
    """
    first, second = two_eigenvalue_modes(z, t, eigenvalue, offset)
    return (first > 0) & (second > 0)


def one_step_nullclines(z: Numbers, eigenvalue: Number, offset: Number = 0.0) -> tuple[Numbers, Numbers]:
    """T at which z, and at which T, stands still over one step; z = 0 is a nullcline of both besides.

    References: agarwala2022, eqs. 57 and 58 (QR-14).

    Example:
        >>> one_step_nullclines(0.5, -1.0)
        (0.25, 4.0)
    """
    w, s = eigenvalue, 2 * z + offset
    of_z = -w * z * s / (2 - (1 + w) * z)
    of_t = w * s * (2 - (1 + w) * z) / (2 * (1 + w) - (1 + w + w**2) * z)
    return of_z, of_t


def two_step_nullcline_series(z: Numbers, epsilon: Number) -> tuple[Numbers, Numbers]:
    """The two-step nullclines through (0, 2) for E = 0, as series: of z to z^3, of T to z^2.

    References: agarwala2022, eqs. 68 and 69 (QR-17; the linear term of the second has a plus, ERR-Q5).

    Example:
        >>> two_step_nullcline_series(0.0, 0.1)
        (2.0, 2.0)
    """
    e, quadratic = epsilon, 1 - epsilon + epsilon**2
    of_z = 2 + 2 * (1 - e) * z + 2 * quadratic * z**2 + 2 * (1 - e) * quadratic * z**3
    of_t = 2 + (2 - 3 * e + 2 * e**2) / (1 - e) * z + (4 - e + 4 * e**2) / 2 * z**2
    return of_z, of_t


def two_step_nullclines(z: Float[Array, "..."], epsilon: Number) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The same nullclines exactly, by Newton's method on the two-step map from their series; NaN where it fails.

    The common factor z is divided out, so that z = 0 has its limit 2. Meant for |z| below about 0.3.

    References: agarwala2022, eq. 15 (QR-17).
    """
    z = jnp.asarray(z)
    starts = two_step_nullcline_series(z, epsilon)
    found = []
    for index, start in enumerate(starts):

        def change(t, index=index):
            after = two_eigenvalue_step(*two_eigenvalue_step(_off_zero(z), t, -epsilon), -epsilon)
            return (after[index] - (_off_zero(z), t)[index]) / _off_zero(z)

        def newton(_, t, change=change):
            value, slope = jax.jvp(change, (t,), (jnp.ones_like(t),))
            return t - value / slope

        t = jax.lax.fori_loop(0, 30, newton, jnp.broadcast_to(jnp.asarray(start, z.dtype), z.shape))
        close = (jnp.abs(change(t)) < 100 * jnp.finfo(z.dtype).eps ** 0.5) & (jnp.abs(t - jnp.asarray(start)) < 1)
        found.append(jnp.where(z == 0, 2, jnp.where(close, t, jnp.nan)))
    return found[0], found[1]


def _off_zero(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(z == 0, 1e-3, z)


def two_step_expansion(z: Numbers, t: Numbers, epsilon: Number) -> tuple[Numbers, Numbers]:
    """The changes of z and T over two steps for E = 0, to the third order in z.

    References: agarwala2022, eqs. 61 and 62 (QR-16).

    Example:
        >>> two_step_expansion(0.0, 1.5, 0.1)
        (0.0, 0.0)
    """
    e = epsilon
    of_z = (
        6 * z**3 * e
        + t * (-2 * z - 3 * z**2 * (e - 1) - z**3 * (e + 2) * (2 * e + 1))
        + t**2 * (z + 7 / 2 * z**2 * (e - 1) + z**3 * (9 * e**2 - 10 * e + 9) / 2)
        - t**3 * (z**2 * (e - 1) / 2 + z**3 * (3 * e**2 - 4 * e + 3) / 2)
    )
    of_t = (
        -8 * z**2 * e
        - 12 * z**3 * (e - 1) * e
        + t * (4 * z * (e - 1) + 2 * z**2 * (3 * e**2 - e + 3) + 4 * z**3 * (e - 1) * (e**2 + 4 * e + 1))
        - t**2 * (2 * z * (e - 1) + z**2 * (7 * e**2 - 8 * e + 7) + z**3 * (e - 1) * (9 * e**2 - e + 9))
        + t**3 * (z**2 * (e**2 - e + 1) + z**3 * (e - 1) * (3 * e**2 - e + 3))
    )
    return of_z, of_t


def edge_expansion(z: Numbers, y: Numbers, epsilon: Number) -> tuple[Numbers, Numbers]:
    """The changes over two steps of z and of y = T - f_z(z), the distance from the nullcline of z, for E = 0.

    To the second order in z for z, and to z^2 and z^3, second and first order in y, for y.

    References: agarwala2022, eqs. 74 to 88 (QR-19; the term y z^3 is missing from the printed remainder, ERR-Q7). The
        term of second order in z of the first has a minus, derived by inserting T = f_z + y into eq. 61; with the
        formula sheet's plus the remainder is of its own order (`tests/test_quadratic.py`).

    Example:
        >>> edge_expansion(0.1, 0.0, 0.01)[0]
        0.0
    """
    e = epsilon
    of_z = y * (y + 2) * z - (1 - e) * y * (2 - y) * (1 + y) * z**2 / 2
    of_y = z**2 * (-4 * e - 2 * (4 - 3 * e + 4 * e**2) * y - 12 * (1 - e + e**2) * y**2) + z**3 * (
        -4 * e * (1 - e) - 2 * (1 - e) * (4 - e + 4 * e**2) * y
    )
    return of_z, of_y


def edge_offset_fixed_ratio(epsilon: Number) -> Number:
    """y* = -2 eps/(4 - 3 eps + 4 eps^2), at which y stands still in the low-order map; about -eps/2.

    References: agarwala2022, appendix B.4 (QR-21).

    Example:
        >>> round(edge_offset_fixed_ratio(0.1), 6)
        -0.053476
    """
    return -2 * epsilon / (4 - 3 * epsilon + 4 * epsilon**2)


def edge_final_curvature(epsilon: Number) -> Number:
    """2 - eps/2, the final T(0) = lr NTK to leading order, of starts that go through the edge-of-stability phase.

    Raises:
        InputError: epsilon not positive.

    References: agarwala2022, theorems 2.1 and B.3 (QR-22, QR-23). Measured: 2 - 0.5 eps - 0.84 eps^2.

    Example:
        >>> edge_final_curvature(0.01)
        1.995
    """
    if not isinstance(epsilon, Tracer):
        positive("epsilon", float(epsilon))
    return 2 - epsilon / 2


def edge_separation(z: Numbers, epsilon: Number) -> Numbers:
    """4 z^2/(-eps ln eps): how far the slow phase of z is from the fast one of y; the prediction needs it well above 1.

    Raises:
        InputError: epsilon not in (0, 1).

    References: agarwala2022, theorem B.3 (QR-22; 4 where 16 is printed, ERR-Q8).
    """
    if not isinstance(epsilon, Tracer) and not 0 < float(epsilon) < 1:
        raise InputError(f"epsilon must lie in (0, 1); got {float(epsilon)}.")
    return 4 * z**2 / (-epsilon * jnp.log(epsilon))


def conserved_offset(eigenvalues: Float[Array, "p"], z: Numbers, jacobian: Float[Array, "p"]) -> Float[Array, ""]:
    """E = sum_i J_i^2/w_i - 2 z, a constant of the model and so of every trajectory, of flow and of descent.

    Modes of eigenvalue 0 (to 1e-12 of the largest) do not count.

    References: agarwala2022, section 2.1 (QR-4).

    Example:
        >>> float(conserved_offset(jnp.array([1.0, -0.5]), 0.5, jnp.array([1.0, 1.0])))
        -2.0
    """
    none = jnp.abs(eigenvalues) <= 1e-12 * jnp.max(jnp.abs(eigenvalues))
    inverse = jnp.where(none, 0, 1 / jnp.where(none, 1, eigenvalues))
    return jnp.sum(inverse * jacobian**2) - 2 * z
