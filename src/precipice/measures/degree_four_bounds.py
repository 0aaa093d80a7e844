"""What is proved of the degree-4 scalar network: where starts may lie, where they end, and the regions between.

The proofs hold for a large constant K, above 512, and learning rates below 1/(8e6 K^2) < 5e-13, which no run in double
precision reaches; their conclusions can be checked at learning rates from 0.01 to 0.2.
"""

from enum import IntEnum
from typing import NamedTuple

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from precipice._checks import positive
from precipice._types import Number, Scalar
from precipice.measures.degree_four import degree_four_edge_minimum
from precipice.measures.hyperbola import Point


class StartBox(NamedTuple):
    """A box of starts, open, without the line of the minima.

    Args:
        low: starts from this a (or x) ...
        high: ... to this; empty where it is not above `low`.
        height: with abs(b), that is abs(xy - 1), in (0, height).
    """

    low: Scalar
    high: Scalar
    height: Scalar


class AdaptiveBox(NamedTuple):
    """A box of starts (x, y) that serves an interval of learning rates.

    Args:
        starts: the box, in x.
        low_lr: from this learning rate ...
        high_lr: ... to this.
    """

    starts: StartBox
    low_lr: Scalar
    high_lr: Scalar


class DegreeFourRegion(IntEnum):
    """The parts of the (a, b) plane on the way to the end; borders in `degree_four_region`."""

    OUTSIDE = 0
    FAR = 1
    PARABOLA = 2
    NEAR_VALLEY = 3
    APPROACH = 4
    TUBE = 5
    END = 6


def degree_four_offset_bounds(lr: Number) -> Float[Array, "2"]:
    """Where the offset a ends: in (-5/3 kappa^3, -1/10 kappa^3), kappa = sqrt(lr).

    The law is -kappa^3/8. At lr 0.25 the end, -0.0941 kappa^3, is outside: the theorem is of small learning rates.

    References: zhu2022, theorem 3.1 (MIN-11).

    Example:
        >>> [round(float(a), 6) for a in degree_four_offset_bounds(0.01)]
        [-0.001667, -0.0001]
    """
    _check("lr", lr)
    scale = jnp.asarray(lr) ** 1.5
    return jnp.stack([-5 / 3 * scale, -scale / 10])


def degree_four_sharpness_bounds(lr: Number) -> Float[Array, "2"]:
    """Where the sharpness ends: in (2/lr - 20/3 lr, 2/lr).

    References: zhu2022, corollaries 3.1 and 3.2 (MIN-11).

    Example:
        >>> [round(float(value), 4) for value in degree_four_sharpness_bounds(0.1)]
        [19.3333, 20.0]
    """
    _check("lr", lr)
    top = 2 / jnp.asarray(lr)
    return jnp.stack([top - 20 / 3 * lr, top])


def degree_four_proof_lr(constant: Number) -> Scalar:
    """The learning rate 1/(8e6 K^2) below which theorem 3.1 is proved, kappa < 1/(2000 sqrt(2) K).

    References: zhu2022, theorem 3.1 (MIN-11).

    Example:
        >>> bool(degree_four_proof_lr(512) < 5e-13)
        True
    """
    _check("constant", constant)
    return 1 / (8e6 * jnp.asarray(constant) ** 2)


def degree_four_offset_starts(lr: Number, constant: Number) -> StartBox:
    """Starts of theorem 3.1: a in (12 kappa^{5/2}, 1/(4 K^2 kappa)) and abs(b) in (0, 1/K).

    References: zhu2022, theorem 3.1 (MIN-11).

    Example:
        >>> [round(float(value), 4) for value in degree_four_offset_starts(1e-4, 2.0)]
        [0.0001, 6.25, 0.5]
    """
    _check("lr", lr)
    _check("constant", constant)
    k, kappa = jnp.asarray(constant), jnp.sqrt(jnp.asarray(lr))
    return StartBox(12 * kappa**2.5, 1 / (4 * k**2 * kappa), 1 / k)


def degree_four_entry_starts(lr: Number, constant: Number) -> StartBox:
    """Starts of corollary 3.1: x in (x0 + 13 lr^{5/4}, x0 + 1/(5 K^2 sqrt(lr))) of the edge minimum (x0, y0).

    References: zhu2022, corollary 3.1 (MIN-11).

    Example:
        >>> [round(float(value), 4) for value in degree_four_entry_starts(1e-4, 2.0)]
        [100.0001, 105.0, 0.5]
    """
    _check("constant", constant)
    k, x = jnp.asarray(constant), degree_four_edge_minimum(lr)[0]
    return StartBox(x + 13 * jnp.asarray(lr) ** 1.25, x + 1 / (5 * k**2 * jnp.sqrt(jnp.asarray(lr))), 1 / k)


def degree_four_adaptive_starts(alpha: Number, constant: Number) -> AdaptiveBox:
    """Starts and learning rates of corollary 3.2: each start ends close to 2/lr at each of the learning rates.

    x in (1 + 1/(15 K^2), 1 + 1/(6 K^2))/alpha, and lr in (alpha^2 (1 - 1/(10 K^2)), alpha^2).

    References: zhu2022, corollary 3.2 (MIN-11).

    Example:
        >>> box = degree_four_adaptive_starts(0.1, 1.0)
        >>> [round(float(value), 4) for value in (*box.starts, box.low_lr, box.high_lr)]
        [10.6667, 11.6667, 1.0, 0.009, 0.01]
    """
    _check("alpha", alpha)
    _check("constant", constant)
    k, scale = jnp.asarray(constant), jnp.asarray(alpha)
    box = StartBox((1 + 1 / (15 * k**2)) / scale, (1 + 1 / (6 * k**2)) / scale, 1 / k)
    return AdaptiveBox(box, scale**2 * (1 - 1 / (10 * k**2)), scale**2)


def degree_four_parabola(a: float | Float[Array, "..."], lr: Number) -> Float[Array, "..."]:
    """b^2 = a kappa/2 + kappa^4/16 on the parabola that attracts; negative left of its tip a = -kappa^3/8.

    References: zhu2022, eq. 9 with C = 0 (MIN-9).

    Example:
        >>> float(degree_four_parabola(-0.125, 1.0))
        0.0
    """
    _check("lr", lr)
    kappa = jnp.sqrt(jnp.asarray(lr))
    return jnp.asarray(a) * kappa / 2 + kappa**4 / 16


def degree_four_region(offset: Point, lr: Number) -> Int[Array, ""]:
    """The code of `DegreeFourRegion` at an offset (a, b), with kappa = sqrt(lr) and e = b^2 - a kappa/2 - kappa^4/16.

    - far (I), around the parabola (II), near the valley (III): a >= 2 kappa^{5/2}, and b^2 above 2 a kappa, from
      a kappa/4 to 2 a kappa, below a kappa/4;
    - approach (IV): a in [kappa^{5/2}, 2 kappa^{5/2}) and b^2 from a kappa/4 to 2 a kappa;
    - tube (V): a in [-17/200 kappa^3, kappa^{5/2}) and abs(e) < kappa^4/200;
    - end (VI): a below -17/200 kappa^3 and abs(e) < kappa^4/200, or b^2 < -a kappa/8, where abs(b) falls to 0 while a
      hardly moves (lemma 15).

    Borders are those of figure 4; the lemmas of the appendix have others (errata, 002). abs(b) differs by 3 b^2 from
    step to step, which is wider than the tube unless lr is below about 1e-4: there, give the mean of two steps.

    References: zhu2022, figures 4 and 30, section 3.2 (MIN-F4).

    Example:
        >>> DegreeFourRegion(int(degree_four_region(jnp.array([0.5, 0.1]), 0.01))).name
        'NEAR_VALLEY'
    """
    a, b = offset
    kappa = jnp.sqrt(jnp.asarray(lr))
    square, scale, low = b**2, a * kappa, -17 / 200 * kappa**3
    tube = jnp.abs(square - degree_four_parabola(a, lr)) < kappa**4 / 200
    middle = (square >= scale / 4) & (square <= 2 * scale)
    wide, narrow = a >= 2 * kappa**2.5, a >= kappa**2.5
    borders = {
        DegreeFourRegion.PARABOLA: wide & middle,
        DegreeFourRegion.FAR: wide & (square > 2 * scale),
        DegreeFourRegion.NEAR_VALLEY: wide,
        DegreeFourRegion.APPROACH: narrow & middle,
        DegreeFourRegion.TUBE: ~narrow & (a >= low) & tube,
        DegreeFourRegion.END: (a < low) & (tube | (square < -scale / 8)),
    }
    outside = jnp.full((), int(DegreeFourRegion.OUTSIDE))
    return jnp.select(list(borders.values()), [jnp.full((), int(region)) for region in borders], outside)


def _check(name: str, value: Number) -> None:
    if not isinstance(value, Tracer):
        positive(name, float(value))
