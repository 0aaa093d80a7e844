"""The spectral radius of the second moment's operator T, and the noise kernel norm that is exact for it.

T = L + N: L acts on each pair of modes alone, and N, the noise that sampling adds, sees of a second moment only the
blocks of the examples. So T has the eigenvalue r where the matrix M(r) of N (r - L)^-1 on those blocks has the
eigenvalue 1: M is symmetric, D x D for one output an example, and known by products of n x n matrices.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from precipice.curvature import AbstractOperator, eigs
from precipice.curvature.operator import Linearised
from precipice.measures.kernel_modes import (
    Modes,
    check_descent,
    check_mean,
    check_on_host,
    kernel_modes,
    resistance,
    row_products,
    sampling_noise,
)
from precipice.measures.labelled import MaybeLabelled, on_arrays

TINY = float(np.finfo(float).tiny)
"""Absolute errors of roots are not asked for: a root may have any size."""

MOST = 2000
"""Products at most for one eigenvalue of M."""

SMALL = 64
"""Up to this size M is made dense, which takes as many products as it has rows."""


class NoiseResponse(AbstractOperator):
    """M: noise put into the examples' blocks, seen in the blocks after it was passed on by all modes.

    x -> block-diag(V (W o V^T block-diag(x) V) V^T), with V the kernel's eigenvectors and W = s D l l'/(1/w + s l l')
    for pairs of modes.

    Args:
        vectors: V [D, C, r].
        weights: W [r, r].

    Cost: two products of matrices of n rows.
    """

    vectors: Float[Array, "d c r"]
    weights: Float[Array, "r r"]

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        """A C x C block for each example."""
        d, c, _ = self.vectors.shape
        return jax.ShapeDtypeStruct((d, c, c), self.vectors.dtype)

    def linearise(self) -> Linearised:
        """The product as it is: it is linear, and nothing in it is worth computing once (JAX's own form is slower)."""
        return Linearised(self.mv, None)

    def mv(self, v: Float[Array, "d c c"]) -> Float[Array, "d c c"]:
        """The image of the symmetric part of each block."""
        flat = self.vectors.reshape(-1, self.vectors.shape[2])
        kept = (flat @ (self.weights * self.between_modes(v))).reshape(self.vectors.shape)
        return row_products(kept, self.vectors)

    def between_modes(self, v: Float[Array, "d c c"]) -> Float[Array, "r r"]:
        """V^T block-diag(v) V of the symmetric part of each block."""
        even, size = (v + jnp.swapaxes(v, 1, 2)) / 2, self.vectors.shape[2]
        spread = jnp.einsum("dij,djr->dir", even, self.vectors)
        return self.vectors.reshape(-1, size).T @ spread.reshape(-1, size)


def second_moment_norm(
    kernel: MaybeLabelled, *, lr: Any, batch_size: Any, momentum: Any = 0.0, l2: Any = 0.0, num_outputs: int = 1
) -> Any:
    """The noise kernel norm of the whole second moment: 1 exactly where the spectral radius of T is 1.

    The largest eigenvalue of sum over pairs of modes of W_mn (v_m o v_n)(v_m o v_n)^T for one output an example. Its
    terms with m = n alone give K of `noise_kernel_norm`, which is therefore never larger.

    Args:
        kernel: Th [n, n], the Gram matrix of the mean loss.
        lr: learning rate.
        batch_size: B.
        momentum: mu of the heavy ball.
        l2: rho.
        num_outputs: C.

    Cost: an eigendecomposition, and some ten times two products of matrices of n rows (up to size 64 as many as M has
    rows). Runs from the host: not under jit.

    Raises:
        InputError: as `noise_kernel_norm`.

    References: derived here from agarwala2024, eqs. 28 to 30 (SEOS-4, SEOS-5).

    Example:
        >>> import numpy as np
        >>> round(float(second_moment_norm(np.diag([1.0, 2.0]), lr=0.5, batch_size=1)), 12)
        1.0
    """
    numbers = {"lr": lr, "batch_size": batch_size, "momentum": momentum, "l2": l2, "num_outputs": num_outputs}
    return on_arrays(_norm, "second_moment_norm", 2, kernel, **numbers)


def _norm(kernel: Array, *, lr, batch_size, momentum, l2, num_outputs) -> float:
    check_on_host("second_moment_norm", kernel, lr, batch_size, momentum, l2)
    modes = modes_for(kernel, lr, batch_size, momentum, l2, num_outputs)
    check_mean(float(modes.eigenvalues[-1]), lr, momentum, l2)
    return response_norm(modes, batch_size, momentum, l2)(lr, 0.0)[0]


def second_moment_radius(
    kernel: MaybeLabelled, *, lr: Any, batch_size: Any, momentum: Any = 0.0, l2: Any = 0.0, num_outputs: int = 1
) -> Any:
    """The spectral radius of T: below 1 if and only if the second moment of the outputs goes to 0.

    The r at which M(r) has the largest eigenvalue 1, or the square of the mean's own factor if that is larger; found by
    a root solve in r of `NoiseResponse`, so that values near 1, where those of T crowd, cost no more than others.
    `curvature.eigs` of `SecondMoment` is the other way.

    Args:
        kernel: Th [n, n].
        lr: learning rate; the mean may be unstable.
        batch_size: B.
        momentum: mu of the heavy ball: T then acts on the moments of outputs and velocity.
        l2: rho.
        num_outputs: C.

    Cost: one to six times `second_moment_norm`. Memory n^2: nothing of size n^4 is formed.

    Raises:
        InputError: bad kernels and numbers, as `noise_kernel_norm`.

    References: agarwala2024, section 2.2 (SEOS-4, SEOS-11).

    Example:
        >>> import numpy as np
        >>> round(float(second_moment_radius(np.diag([1.0, 2.0]), lr=0.5, batch_size=1)), 12)
        1.0
    """
    numbers = {"lr": lr, "batch_size": batch_size, "momentum": momentum, "l2": l2, "num_outputs": num_outputs}
    return on_arrays(_radius, "second_moment_radius", 2, kernel, **numbers)


def _radius(kernel: Array, *, lr, batch_size, momentum, l2, num_outputs) -> float:
    check_on_host("second_moment_radius", kernel, lr, batch_size, momentum, l2)
    modes = modes_for(kernel, lr, batch_size, momentum, l2, num_outputs)
    slowest = mean_factor(modes.eigenvalues, lr, momentum, l2) ** 2
    if batch_size == modes.vectors.shape[0]:
        return slowest
    norm = response_norm(modes, batch_size, momentum, l2)

    def gap(r: float, fresh: bool) -> tuple[float, float]:
        """1 - 1/norm, which falls as r grows, and its slope: the vector's change does not count to first order."""
        found, vector = norm(lr, r - 1, fresh=fresh)
        given = (jnp.asarray(v, kernel.dtype) for v in (lr, batch_size, momentum, l2, r - 1))
        return 1 - 1 / found, float(_slope(modes, vector, *given)) / found**2

    return _root_above(gap, slowest, _rtol(kernel.dtype))


SMALLEST = 1e-9
"""Where the root is looked for from, if the mean's factor is smaller: 1/r must be finite."""

NEAR = 1e-3
"""How near 0 a root's value is: a step can be small for a steep slope alone, beside slow modes."""


def _root_above(gap: Callable[[float, bool], tuple[float, float]], lowest: float, rtol: float) -> float:
    """Where a falling function of r is 0, or `lowest` if it is not above 0 there.

    By Newton from `lowest`: without momentum 1 - 1/norm is convex, so that no step goes too far. On the way each value
    is found from the vector before it, which may belong to another eigenvalue than the largest: what it leads to is
    too small, and is believed only if a fresh look finds nothing larger; else it goes on from there. Where Newton
    fails, between brackets.
    """
    from scipy.optimize import brentq

    low = max(lowest, SMALLEST)
    r, fresh = low, True
    for _ in range(50):
        value, slope = gap(r, fresh)
        if r == low and value <= 0:
            return lowest
        ahead = r - value / slope
        settled = abs(ahead - r) <= rtol * r and abs(value) < NEAR
        if settled and fresh:
            return max(ahead, lowest)
        if not (settled or r < ahead < 4 * r or low < ahead < r):
            break
        r, fresh = max(ahead, low), settled
    high = 1.0 if low < 1 else 2 * low
    while gap(high, True)[0] > 0:
        low, high = high, 2 * high
    return float(brentq(lambda r: gap(r, True)[0], low, high, xtol=TINY, rtol=rtol))  # pyright: ignore[reportArgumentType]


def mean_factor(eigenvalues: Float[Array, "r"], lr: Any, momentum: Any, l2: Any) -> float:
    """The largest factor in size by which the mean of a mode goes on: abs(1 - h), or of z^2 - (1 + mu - h) z + mu."""
    trace = 1 + momentum - lr * (eigenvalues + l2)
    square = trace**2 - 4 * momentum
    real = (jnp.abs(trace) + jnp.sqrt(jnp.maximum(square, 0))) / 2
    return float(jnp.max(jnp.where(square >= 0, real, momentum**0.5)))


def modes_for(kernel: Array, lr: Any, batch_size: Any, momentum: Any, l2: Any, num_outputs: Any) -> Modes:
    """The modes that move: those of eigenvalue 0 are left out."""
    modes = kernel_modes(kernel, int(num_outputs))
    check_descent(modes.vectors.shape[0], batch_size, lr, momentum, l2)
    moves = modes.eigenvalues > 0
    return Modes(modes.eigenvalues[moves], modes.vectors[:, :, moves])


def response_norm(
    modes: Modes, batch_size: Any, momentum: Any, l2: Any
) -> Callable[..., tuple[float, Float[Array, "d c c"]]]:
    """(lr, excess, fresh=True) -> the largest eigenvalue of M(1 + excess) and its eigenvector.

    M takes positive semi-definite blocks to such, and so is its wanted eigenvector: the solve begins with identities,
    which no such vector is orthogonal to. With ``fresh=False`` it begins with the eigenvector found before, in fewer
    products; where examples move in groups of their own, that can be another group's than the one that leads by now.
    """
    d, c, _ = modes.vectors.shape
    even = jnp.broadcast_to(jnp.eye(c, dtype=modes.vectors.dtype), (d, c, c))[None]
    last = even

    def norm(lr: Any, excess: float, *, fresh: bool = True) -> tuple[float, Float[Array, "d c c"]]:
        nonlocal last
        op = _response(modes, *(jnp.asarray(v, even.dtype) for v in (lr, batch_size, momentum, l2, excess)))
        if op.size <= SMALL:
            value, vector = _largest(op)
            return float(value), vector
        given = {"start": even if fresh else last, "starts": 0, "explore": 3 if fresh else 0}
        found = eigs(op, key=jax.random.key(0), rtol=_rtol(even.dtype), max_products=MOST, **given)
        last = jnp.asarray(found.vectors)
        return float(found.values[0]), last[0]

    return norm


def _rtol(dtype: Any) -> float:
    """Relative error of roots and eigenvalues."""
    return max(1e-12, 100 * float(jnp.finfo(dtype).eps))


@jax.jit
def _slope(modes: Modes, vector: Float[Array, "d c c"], lr, batch_size, momentum, l2, excess) -> Float[Array, ""]:
    """The slope in r of an eigenvalue of M, given its unit eigenvector v: sum of dW/dr (V^T block-diag(v) V)^2."""

    def response(excess):
        return _response(modes, lr, batch_size, momentum, l2, excess)

    op, slopes = jax.jvp(response, (excess,), (jnp.ones_like(excess),))
    between = op.between_modes(vector)
    return jnp.sum((slopes.weights * between**2) @ jnp.ones(between.shape[1], between.dtype))  # see row_products


@jax.jit
def _response(modes: Modes, lr, batch_size, momentum, l2, excess) -> NoiseResponse:
    values, num_examples = modes.eigenvalues, modes.vectors.shape[0]
    sampling, pairs = sampling_noise(num_examples, batch_size), jnp.outer(values, values)
    passed = resistance(values[:, None], values[None, :], lr, momentum, l2, excess) + sampling * pairs
    return NoiseResponse(modes.vectors, sampling * num_examples * pairs / passed)


@jax.jit
def _largest(op: NoiseResponse) -> tuple[Float[Array, ""], Float[Array, "d c c"]]:
    """The largest eigenpair of the matrix, whose rows take one product each because their kicks have rank 1."""
    d, c, size = op.vectors.shape
    flat = op.vectors.reshape(-1, size)

    def row(pair):
        kick = jnp.outer(pair[0], pair[1])
        half = flat @ (op.weights * (kick + kick.T) / 2)
        return jnp.einsum("dir,djr->dij", half.reshape(d, c, size), op.vectors).ravel()

    first, second = (jnp.broadcast_to(v, (d, c, c, size)) for v in (op.vectors[:, :, None], op.vectors[:, None]))
    matrix = jax.lax.map(row, (first.reshape(-1, size), second.reshape(-1, size)))
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    return values[-1], vectors[:, -1].reshape(op.like.shape)
