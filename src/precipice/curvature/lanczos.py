"""Rayleigh-Ritz on a growing Krylov space, driven from the host.

Every new direction is orthogonalised against the whole basis (full reorthogonalisation), accepted residuals are the
true ones, and the small projected matrix lives in numpy float64. The long vectors may be numpy, JAX or PyTorch
arrays (`vectors.py`). Why this form: design/eigensolver.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from precipice.curvature.vectors import Vector, Vectors

NOISE = 32
"""Squared residuals by the small matrices are rounding below so many eps times the squared eigenvalue."""


class Space(NamedTuple):
    """An orthonormal basis Q, its images A Q, and the small matrices Q^T A Q and (A Q)^T (A Q)."""

    basis: Vectors
    images: Vectors
    projected: np.ndarray
    squared: np.ndarray


class Pairs(NamedTuple):
    """The top Ritz pairs, in descending order, with residual norms and error bounds."""

    values: np.ndarray
    vectors: list[Vector]
    residuals: np.ndarray
    bounds: np.ndarray
    num_products: int
    converged: bool


class Ritz(NamedTuple):
    """All Ritz values in descending order, and their weights in the basis as columns."""

    values: np.ndarray
    weights: np.ndarray


class Limits(NamedTuple):
    """When to stop: see `curvature.eigs` for the meaning of each.

    `basis` is how many vectors are held before the first restart (None: `max_basis`); each restart allows two more, up
    to `largest_basis` (None: no more), as a space that is cut back often converges slowly where values lie close.
    """

    num: int
    keep: int
    rtol: float
    max_products: int
    explore: int
    size: int
    eps: float
    basis: int | None = None
    largest_basis: int | None = None

    def allowed(self, values: np.ndarray) -> np.ndarray:
        """The error that each value may have; never 0, which a zero matrix would give."""
        tiny = np.finfo(np.float64).tiny
        return np.maximum(self.rtol * np.abs(values), max(100 * self.eps * np.abs(values).max(), tiny))

    @property
    def max_basis(self) -> int:
        """Basis vectors kept at most; a full basis is cut back to its best Ritz vectors (thick restart)."""
        usual = max(3 * self.keep + 10, 40 if self.size > 400 else 200)
        return min(self.size, usual if self.basis is None else max(self.basis, self.keep + 2))


def top_pairs(
    product: Callable[[Vector], Vector],
    starts: list[Vector],
    *,
    fresh: Callable[[], Vector],
    empty: Callable[[int], Vectors],
    limits: Limits,
) -> Pairs:
    """The `limits.num` largest algebraic eigenpairs of the symmetric `product`, and runners-up to `limits.keep`.

    Args:
        product: ``A v``.
        starts: first directions, taken in this order.
        fresh: a new random vector at each call, for when the residuals lead nowhere new.
        empty: makes a set of vectors with room for a number of them.
        limits: accuracy and budget.
    """
    room, most = limits.max_basis, min(limits.size, max(limits.max_basis, limits.largest_basis or 0))
    space, queue = Space(empty(most), empty(most), np.zeros((0, 0)), np.zeros((0, 0))), list(starts)
    products = explored = 0
    while True:
        direction = None
        while direction is None:
            direction = _orthonormal(queue.pop(0) if queue else fresh(), space, limits.eps)
        space, products = _extended(space, direction, product(direction)), products + 1
        ritz = _ritz(space.projected)
        spent, full = products >= limits.max_products, len(space.projected) == limits.size
        if queue and not (spent or full):
            continue
        worst = _least_settled(space, ritz, limits)
        if spent or full or (worst is None and explored >= limits.explore):
            errors = _errors(space, ritz, limits)
            if spent or full or errors.converged:
                return _pairs(space, ritz, errors, products)
        explored += worst is None
        index = min(limits.num, len(ritz.values) - 1) if worst is None else worst
        queue = [_residual(space, ritz, index)]
        if len(space.projected) >= room:
            space, room = _restarted(space, ritz, limits.keep + (room - limits.keep) // 3), min(room + 2, most)


def _orthonormal(w: Vector, space: Space, eps: float) -> Vector | None:
    """`w` made orthogonal to the basis and normalised; None where nothing but rounding is left of it.

    A pass is repeated where it took away half of the vector or more: twice is enough (Parlett 1998, section 6.9).
    """
    norm = float(w @ w) ** 0.5
    if not norm > 0:
        return None
    w, passes = w * (1 / norm), 2 if len(space.projected) else 0
    while passes:
        w = w - space.basis.combine(space.basis.dots(w))
        norm = float(w @ w) ** 0.5
        if norm < 100 * eps:
            return None
        w, passes = w * (1 / norm), passes - 1 if norm < 0.5 else 0
    return w


def _extended(space: Space, q: Vector, image: Vector) -> Space:
    space.basis.append(q)
    space.images.append(image)
    return space._replace(
        projected=_bordered(space.projected, space.basis.dots(image)),
        squared=_bordered(space.squared, space.images.dots(image)),
    )


def _bordered(matrix: np.ndarray, column: np.ndarray) -> np.ndarray:
    out = np.empty((len(column), len(column)))
    out[:-1, :-1] = matrix
    out[-1, :] = out[:, -1] = column
    return out


def _ritz(projected: np.ndarray) -> Ritz:
    values, weights = np.linalg.eigh(projected)
    return Ritz(values[::-1], weights[:, ::-1])


def _residual(space: Space, ritz: Ritz, index: int) -> Vector:
    """A x - theta x of Ritz pair `index`."""
    weights = ritz.weights[:, index]
    return space.images.combine(weights) - space.basis.combine(ritz.values[index] * weights)


def _least_settled(space: Space, ritz: Ritz, limits: Limits) -> int | None:
    """The wanted pair whose bound is furthest above its tolerance, or None; residuals from the small matrices.

    |A x - theta x|^2 = s^T (AQ)^T(AQ) s - theta^2 loses half the digits, which is enough to choose a direction:
    whether the pairs have converged is decided on true residuals, and asked of them where nothing but rounding is left.
    """
    num = min(limits.num, len(ritz.values))
    s = ritz.weights[:, :num]
    squares = np.einsum("ik,ij,jk->k", s, space.squared, s) - ritz.values[:num] ** 2
    if squares.max() <= NOISE * limits.eps * ritz.values[:num].max() ** 2 and _errors(space, ritz, limits).converged:
        return None if num == limits.num else num - 1
    bounds = _bounds(ritz.values, np.sqrt(np.maximum(squares, 0)), limits)
    with np.errstate(over="ignore"):
        excess = bounds / limits.allowed(ritz.values)[:num]
    worst = int(np.argmax(excess))
    return worst if excess[worst] > 1 else None if num == limits.num else num - 1


def _bounds(values: np.ndarray, norms: np.ndarray, limits: Limits) -> np.ndarray:
    """Error bounds of the top values from their residual norms, plus rounding.

    The least of |r_i|, |r_i|^2 over the gap to the other values, and |R|^2 over the gap between all the wanted values
    and the rest (Mathias 1998), which holds where the wanted ones lie close together too. Gaps are between Ritz values.
    """
    rounding = 8 * limits.eps * np.abs(values).max()
    if len(values) == 1:
        return norms + rounding
    distances = np.abs(values[: len(norms), None] - values[None, :])
    np.fill_diagonal(distances, np.inf)
    gaps, rest = distances.min(axis=1), values[len(norms) - 1] - values[len(norms)] if len(values) > len(norms) else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        bounds = np.fmin(norms, np.fmin(norms**2 / gaps, np.sum(norms**2) / rest))
    return bounds + rounding


class _Errors(NamedTuple):
    """Of the `keep` top pairs: the norms of their true residuals, and bounds."""

    residuals: np.ndarray
    bounds: np.ndarray
    converged: bool


def _errors(space: Space, ritz: Ritz, limits: Limits) -> _Errors:
    keep, num = min(limits.keep, len(ritz.values)), limits.num
    norms = np.array([_norm(_residual(space, ritz, i)) for i in range(keep)])  # one at a time, for memory
    bounds = np.concatenate([_bounds(ritz.values, norms[:num], limits), norms[num:]])
    return _Errors(norms, bounds, keep >= num and bool(np.all(bounds[:num] <= limits.allowed(ritz.values)[:num])))


def _norm(v: Vector) -> float:
    return float(v @ v) ** 0.5


def _pairs(space: Space, ritz: Ritz, errors: _Errors, products: int) -> Pairs:
    keep = len(errors.bounds)
    space.images.rotate(ritz.weights[:, :0])  # their memory may be given back before the vectors take theirs
    vectors = [space.basis.combine(ritz.weights[:, i]) for i in range(keep)]
    return Pairs(ritz.values[:keep], vectors, errors.residuals, errors.bounds, products, errors.converged)


def _restarted(space: Space, ritz: Ritz, num: int) -> Space:
    """The space spanned by the best Ritz vectors alone (thick restart)."""
    weights = ritz.weights[:, :num]
    space.basis.rotate(weights)
    space.images.rotate(weights)
    return space._replace(projected=np.diag(ritz.values[:num]), squared=weights.T @ space.squared @ weights)
