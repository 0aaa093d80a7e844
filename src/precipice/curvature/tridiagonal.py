"""A fixed number of Lanczos steps inside a compiled program, and the top eigenvalue from them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import at_least
from precipice._types import PRNGKey, Scalar
from precipice.curvature.operator import AbstractOperator, dtype_of, flat_product


class Tridiagonal(NamedTuple):
    """The Lanczos matrix [depth, depth] of a random vector, and the off-diagonal that would come next."""

    matrix: Float[Array, "depth depth"]
    next_off_diagonal: Scalar


def tridiagonal(op: AbstractOperator, key: PRNGKey, depth: int) -> Tridiagonal:
    """Lanczos with full reorthogonalisation; after a breakdown the diagonal repeats its first entry, decoupled."""
    dtype = dtype_of(op)
    start = jax.random.normal(key, (op.size,), dtype)
    tolerance = 100 * jnp.finfo(dtype).eps

    def step(carry, index):
        basis, q, scale = carry
        basis = basis.at[index].set(q)
        w = flat_product(op, q)
        alpha, scale = q @ w, jnp.maximum(scale, jnp.linalg.norm(w))
        for _ in range(2):
            w = w - basis.T @ (basis @ w)
        norm = jnp.linalg.norm(w)
        alive = norm > tolerance * scale
        beta = jnp.where(alive, norm, 0)
        return (basis, jnp.where(alive, w / jnp.where(alive, norm, 1), 0), scale), (alpha, beta, jnp.any(q != 0))

    state = (jnp.zeros((depth, op.size), dtype), start / jnp.linalg.norm(start), jnp.zeros((), dtype))
    alphas, betas, used = jax.lax.scan(step, state, jnp.arange(depth))[1]
    alphas = jnp.where(used, alphas, alphas[0])  # inside the spectrum, which 0 need not be
    return Tridiagonal(jnp.diag(alphas) + jnp.diag(betas[:-1], 1) + jnp.diag(betas[:-1], -1), betas[-1])


class TopEigenvalue(NamedTuple):
    """The largest algebraic eigenvalue and the residual norm of its pair: an eigenvalue lies that near."""

    value: Scalar
    residual: Scalar


def top_eigenvalue(op: AbstractOperator, *, key: PRNGKey, depth: int = 30) -> TopEigenvalue:
    """The largest algebraic eigenvalue by `depth` Lanczos steps (fewer where the operator is smaller), traceable.

    For use inside compiled and vmapped programs, where `eigs` cannot stop by itself: exact for operators of at most
    `depth` rows, else read the residual. Costs `depth` products and the memory of `depth` vectors.

    Args:
        op: the operator.
        key: for the start vector.
        depth: Lanczos steps.

    Raises:
        InputError: `depth` below 1.
    """
    at_least("depth", depth, 1)
    matrix, beta = tridiagonal(op, key, min(depth, op.size))
    values, vectors = jnp.linalg.eigh(matrix)
    return TopEigenvalue(values[-1], jnp.abs(beta * vectors[-1, -1]))
