"""The rank-one factorisation of the identity: alignment and its decay, excess loss, lengths, and what is proved."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import at_least, positive
from precipice._types import Number, Scalar
from precipice.measures.degree_four import degree_four_edge_minimum

Vectors = Float[Array, "2 d"]


class NormInterval(NamedTuple):
    """An open interval of lengths |x| at the start; empty where `high` is not above `low`."""

    low: Scalar
    high: Scalar


def rank_one_norms(params: Vectors) -> Float[Array, "2"]:
    """(|x|, |y|), which of parallel vectors are the entries of the degree-4 scalar network.

    References: zhu2022, section 3.3 (MIN-13).

    Example:
        >>> rank_one_norms(jnp.array([[3.0, 4.0], [0.0, 2.0]])).tolist()
        [5.0, 2.0]
    """
    return jnp.linalg.norm(params, axis=1)


def rank_one_alignment(params: Vectors) -> Scalar:
    """Xi = |x|^2 |y|^2 - (x . y)^2, the Gram determinant: 0 for parallel vectors.

    As |x|^2 times the square of what of y is orthogonal to x, so that it is accurate down to 1e-32 |x|^2 |y|^2, where
    the difference as written stops at 1e-16.

    References: zhu2022, appendix C (MIN-14).

    Example:
        >>> float(rank_one_alignment(jnp.array([[2.0, 0.0], [3.0, 4.0]])))
        64.0
    """
    x, y = params
    square = jnp.dot(x, x)
    rest = y - jnp.dot(x, y) / jnp.where(square > 0, square, 1) * x
    return square * jnp.dot(rest, rest)


def rank_one_alignment_factor(params: Vectors, lr: Number) -> Scalar:
    """The ratio of xi after a step of gradient descent to xi before it, exactly.

    A step maps (x, y) linearly by [[1 - lr s^2 |y|^2/2, r], [r, 1 - lr s^2 |x|^2/2]] with s = x . y and
    r = lr s (1 - |x|^2 |y|^2/2); the ratio is the square of its determinant. The proof has at most 0.7.

    References: zhu2022, appendix C, eq. 127 and lemma 20 (MIN-14).

    Example:
        >>> float(rank_one_alignment_factor(jnp.array([[1.0, 0.0], [0.0, 1.0]]), 0.1))
        1.0
    """
    x, y = params
    s, xx, yy = jnp.dot(x, y), jnp.dot(x, x), jnp.dot(y, y)
    r = lr * s * (1 - xx * yy / 2)
    return ((1 - lr * s**2 * yy / 2) * (1 - lr * s**2 * xx / 2) - r**2) ** 2


def rank_one_excess(params: Vectors) -> Scalar:
    """The loss above its minimum (d - 1)/4: [(1 - s^2)^2 + s^2 xi]/4, without cancellation.

    References: zhu2022, lemma 19 and theorem 3.2 (MIN-13; the theorem's "L < eps" is of this, ERR-M6).

    Example:
        >>> float(rank_one_excess(jnp.array([[2.0, 0.0], [0.5, 0.0]])))
        0.0
    """
    square = jnp.dot(params[0], params[1]) ** 2
    return ((1 - square) ** 2 + square * rank_one_alignment(params)) / 4


def rank_one_minimum_sharpness(params: Vectors) -> Scalar:
    """Sharpness 2 (|x|^2 + |y|^2) at a minimum; orthogonal to it the Hessian has (|x|^2 + |y|^2)/2 and 0.

    References: zhu2022, theorem 3.2 (MIN-13).

    Example:
        >>> float(rank_one_minimum_sharpness(jnp.array([[2.0, 0.0], [0.5, 0.0]])))
        8.5
    """
    return 2 * jnp.sum(params**2)


def rank_one_norm_bounds(lr: Number) -> Float[Array, "2"]:
    """Where |x|^2 + |y|^2 ends: in (1/lr - 10/3 lr, 1/lr).

    References: zhu2022, theorem 3.2 (MIN-14).

    Example:
        >>> [round(float(value), 4) for value in rank_one_norm_bounds(0.1)]
        [9.6667, 10.0]
    """
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    top = 1 / jnp.asarray(lr)
    return jnp.stack([top - 10 / 3 * lr, top])


def rank_one_starts(lr: Number, constant: Number) -> NormInterval:
    """Lengths |x| at the start, x0 + (1/80, 1/8)/(K^2 sqrt(lr)) of the edge minimum x0; |y| is 1/(2 |x|).

    References: zhu2022, theorem 3.2 (MIN-14).

    Example:
        >>> [round(float(value), 4) for value in rank_one_starts(1e-4, 1.0)]
        [101.25, 112.5]
    """
    if not isinstance(constant, Tracer):
        positive("constant", float(constant))
    x, width = degree_four_edge_minimum(lr)[0], 1 / (jnp.asarray(constant) ** 2 * jnp.sqrt(jnp.asarray(lr)))
    return NormInterval(x + width / 80, x + width / 8)


def rank_one_proof_lr(constant: Number, dimension: int, failure: Number) -> Scalar:
    """The learning rate min(K^-4/8e6, K^-2/(20000 + 2000 (log d - log delta))) below which theorem 3.2 is proved.

    Args:
        constant: K.
        dimension: d.
        failure: delta; the theorem holds with probability 1 - 2 delta - 2 exp(-Omega(d)).

    References: zhu2022, theorem 3.2 (MIN-14).

    Example:
        >>> round(1 / float(rank_one_proof_lr(1.0, 10, 0.1)))
        8000000
    """
    at_least("dimension", dimension, 1)
    for name, value in (("constant", constant), ("failure", failure)):
        if not isinstance(value, Tracer):
            positive(name, float(value))
    k = jnp.asarray(constant)
    logs = jnp.log(dimension / jnp.asarray(failure))
    return jnp.minimum(1 / (8e6 * k**4), 1 / (k**2 * (20_000 + 2000 * logs)))


def rank_one_kick(params: Vectors, constant: Number) -> Vectors:
    """The perturbation y' = (1 + 2/K) y that theorem 3.2 makes once, off a minimum that is too sharp.

    References: zhu2022, theorem 3.2 (MIN-14).

    Example:
        >>> rank_one_kick(jnp.array([[1.0], [1.0]]), 4.0).tolist()
        [[1.0], [1.5]]
    """
    if not isinstance(constant, Tracer):
        positive("constant", float(constant))
    return params.at[1].multiply(1 + 2 / jnp.asarray(constant, params.dtype))
