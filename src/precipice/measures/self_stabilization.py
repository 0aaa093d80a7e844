"""The cycle of self-stabilization in the limit of small steps: its invariant, turning point, peak and period.

One step is lr units of time; x is taken without its alternating sign: dx/dt = y x, dy/dt = alpha - beta x^2/2.
"""

import numpy as np

from precipice._checks import positive
from precipice._types import Numbers


def turning_displacement(alpha: float, beta: float) -> float:
    """sqrt(2 alpha/beta), the size of x at which the excess sharpness y turns.

    References: shapira2023, section 4 (REV-5).

    Example:
        >>> turning_displacement(2.0, 1.0)
        2.0
    """
    positive("alpha", alpha)
    positive("beta", beta)
    return float(np.sqrt(2 * alpha / beta))


def stabilization_invariant(x: Numbers, y: Numbers, alpha: float, beta: float) -> Numbers:
    """y^2/2 - alpha ln|x| + beta x^2/4, constant along a cycle; the map itself spirals slowly outwards.

    References: derived in the formula sheet (REV-7).

    Example:
        >>> float(stabilization_invariant(1.0, 2.0, 1.0, 4.0))
        3.0
    """
    return y**2 / 2 - alpha * np.log(np.abs(x)) + beta * x**2 / 4


def peak_excess(x: float, alpha: float, beta: float) -> float:
    """The largest excess sharpness of the cycle that starts at (x, y = 0): where |x| is at its turning point.

    Raises:
        InputError: alpha or beta not positive, x zero or not finite.

    References: REV-7.

    Example:
        >>> peak_excess(turning_displacement(1.0, 1.0), 1.0, 1.0)
        0.0
    """
    turning = turning_displacement(alpha, beta)
    positive("size of x", abs(x))
    drop = stabilization_invariant(x, 0.0, alpha, beta) - stabilization_invariant(turning, 0.0, alpha, beta)
    return float(np.sqrt(2 * max(float(drop), 0.0)))


def cycle_steps(x: float, lr: float, alpha: float, beta: float) -> float:
    """The steps of one cycle through (x, y = 0) in the limit of small steps; 2 pi/(lr sqrt(2 alpha)) for small ones.

    By integrating dt = d ln|x| / y between the two displacements at which y = 0.

    Raises:
        InputError: lr, alpha or beta not positive, x zero or not finite.

    References: REV-7.

    Example:
        >>> bool(abs(cycle_steps(1.4, 0.01, 1.0, 1.0) / (2 * np.pi / (0.01 * 2**0.5)) - 1) < 1e-3)
        True
    """
    from scipy.integrate import quad
    from scipy.optimize import brentq

    positive("lr", lr)
    excess = peak_excess(x, alpha, beta) ** 2 / (2 * alpha)

    def rest(u: float) -> float:  # y^2/(2 alpha) at ln|x| = u + ln(turning)
        return excess + u - np.expm1(2 * u) / 2

    def end(far: float) -> float:
        return float(brentq(rest, far, 0.0, xtol=1e-14))  # pyright: ignore[reportArgumentType]

    if excess < 1e-12:
        return float(2 * np.pi / (lr * np.sqrt(2 * alpha)))
    low, high = end(-excess - 1), end(np.sqrt(excess) + 1)
    middle, half = (high + low) / 2, (high - low) / 2

    def speed(angle: float) -> float:  # u = middle + half sin(angle): the roots at the ends cancel
        return half * np.cos(angle) / np.sqrt(max(2 * alpha * rest(middle + half * np.sin(angle)), 1e-300))

    time = 2 * quad(speed, -np.pi / 2 + 1e-7, np.pi / 2 - 1e-7, limit=200)[0]
    return float(time / lr)
