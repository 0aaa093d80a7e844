"""The largest or smallest algebraic eigenpairs of an operator, with error bounds."""

import functools
import itertools
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from threadpoolctl import ThreadpoolController

from precipice._checks import InputError, NonFiniteError, at_least, at_most, positive
from precipice._types import PRNGKey
from precipice.curvature.lanczos import Limits, Pairs, top_pairs
from precipice.curvature.operator import AbstractOperator, dtype_of, linear_product, linearised, unflatten
from precipice.curvature.precision import check_tolerance
from precipice.curvature.vectors import DeviceVectors, HostVectors


class Eigs(NamedTuple):
    """Eigenpairs and what is known of their errors.

    Args:
        values: [keep], descending for the largest, ascending for the smallest.
        vectors: a pytree like the operator's vectors with a leading axis [keep]; orthonormal.
        residuals: [keep], |A v - value v|.
        bounds: [keep], of the error: the least of |r|, |r|^2/gap and the same with all wanted values against the rest,
            plus rounding. Some eigenvalue lies within |r| of the value for certain, and within the bound if the gap to
            the other eigenvalues, estimated by Ritz values, is right. Runners-up have |r|.
        num_products: products with the operator that were spent.
        converged: whether the bound of each of the `num` wanted values met the asked tolerance; if not, the budget was
            spent first.
    """

    values: np.ndarray
    vectors: PyTree
    residuals: np.ndarray
    bounds: np.ndarray
    num_products: int
    converged: bool


def eigs(
    op: AbstractOperator,
    *,
    key: PRNGKey,
    num: int = 1,
    keep: int | None = None,
    rtol: float = 1e-4,
    max_products: int = 200,
    end: Literal["largest", "smallest"] = "largest",
    start: PyTree | None = None,
    starts: int | None = None,
    explore: int = 3,
) -> Eigs:
    """The `num` largest (or smallest) *algebraic* eigenpairs of a symmetric operator, to a relative tolerance.

    Rayleigh-Ritz on the Krylov space of random vectors (or of `start` and one fresh random vector), with full
    reorthogonalisation. The first random vector of a Hessian leans on the gradient, which comes for free and mostly
    lies among the top eigenvectors. It goes on until the error bound of every value is at most `rtol` times its size,
    or `max_products` products are spent, and says which in `converged`. "Largest" is the right end of the spectrum,
    not the largest in size: with eigenvalues -5 and 3, the largest is 3.

    A bound says how far the nearest eigenvalue is. That no larger one was missed is not proved, only made unlikely by
    the random vectors and `explore`. Where the wanted values end inside a cluster (num=1, and the second within a few
    percent of the first), a solve can return the second with a small bound; ask for the whole cluster, or for a smaller
    `rtol`. An eigenvalue that is repeated to within the tolerance counts `starts` times at most.

    Args:
        op: the operator.
        key: for the random vectors.
        num: how many pairs are to converge.
        keep: how many are returned, by default `num`: the others are the runners-up, as far as they got, to start from
            at the next point.
        rtol: asked relative error of each value; not below 100 times the rounding of the operator's precision
            relative to the largest value in size.
        max_products: the budget.
        end: which end of the spectrum.
        start: vectors from an earlier point, as `Eigs.vectors` holds them: saves products where the operator has moved
            little. Directions that are new are found by a random vector and `explore`.
        starts: random vectors to begin with (beside `start`): by default `num` for a cold start where the dimension is
            1,000 or less, and else 1: each costs a product, and exact repetition is rare in large spaces
            (design/eigensolver.md has counts). With `start` it may be 0: cheapest, and blind to what is new.
        explore: products spent beyond the wanted pairs once these have converged, on the runner-up. Without them a
            solve can settle on the second eigenvalue while the first, close above it, is not yet visible, the more
            so where the gradient leads to the second.

    Cost: products, and 6 to 8 vector operations for each basis vector a product. Memory: the activations of all
    examples (of one chunk where the operator has chunks), and 2 x 40 vectors at most (2 x 200 where the dimension is
    400 or less).

    Raises:
        InputError: num, rtol or max_products out of range, or rtol below the rounding of the precision in which
            products are computed (see `problems.Lowered`).
        NonFiniteError: the operator's products are not finite: the point or the data hold NaN, or they overflow.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from precipice.curvature import Hessian
        >>> op = Hessian(lambda p: 0.5 * jnp.sum(jnp.array([-5.0, 1.0, 3.0]) * p**2), jnp.ones(3))
        >>> [round(float(v), 6) for v in eigs(op, key=jax.random.key(0), num=2).values]
        [3.0, 1.0]
    """
    _check(op, num, keep, rtol, max_products, end)
    if starts is not None:
        at_least("starts", starts, 0 if start is not None else 1)
    sign = 1.0 if end == "largest" else -1.0
    like, size, dtype, on_host = op.like, op.size, dtype_of(op), _on_host(op)
    linear, draws = linearised(op), itertools.count()

    def fresh():
        vector = jax.random.normal(jax.random.fold_in(key, next(draws)), (size,), dtype)
        return np.asarray(vector) if on_host else vector

    def product(v):
        image = linear_product(linear, like, jnp.asarray(v))
        image = np.asarray(image) if on_host else image
        with np.errstate(over="ignore", invalid="ignore"):
            squared = float(image @ image)
        if not np.isfinite(squared):
            raise NonFiniteError("products of an operator must be finite; got NaN or inf (check parameters and data).")
        return sign * image

    def empty(capacity):
        return HostVectors(capacity, size, dtype) if on_host else DeviceVectors()

    if starts is None:
        starts = num if start is None and size <= 1000 else 1
    queue = [fresh() for _ in range(starts)]
    queue[:1] = [_towards(vector, linear.direction, on_host) for vector in queue[:1]]
    if start is not None:
        queue = [*_flat(start, on_host), *queue]
    limits = Limits(num, num if keep is None else keep, rtol, max_products, explore, size, float(jnp.finfo(dtype).eps))
    with _blas().limit(limits=1, user_api="blas"):  # XLA has threads of its own; two pools on the same cores stall
        pairs = top_pairs(product, queue, fresh=fresh, empty=empty, limits=limits)
    return _eigs(like, pairs, sign)


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _check(op: AbstractOperator, num: int, keep: int | None, rtol: float, max_products: int, end: str) -> None:
    at_least("num", num, 1)
    at_most("num", num, op.size, "the size of the operator")
    positive("rtol", rtol)
    check_tolerance(op, dtype_of(op), rtol)
    at_least("max_products", max_products, num if keep is None else keep)
    if end not in ("largest", "smallest"):
        raise InputError(f"end must be 'largest' or 'smallest'; got {end!r}.")
    if keep is not None:
        at_least("keep", keep, num)
        at_most("keep", keep, op.size, "the size of the operator")


def _on_host(op: AbstractOperator) -> bool:
    """Whether the basis lives in numpy: on the CPU, whose memory numpy shares and where it dispatches 20 times faster.

    And where the operator's point is cut over devices (`mesh.split`), of which none need hold a basis of whole vectors.
    """
    if any(not leaf.sharding.is_fully_replicated for leaf in _arrays(op.like)):
        return True
    return all(device.platform == "cpu" for leaf in _arrays(op) for device in leaf.devices())


def _arrays(tree: PyTree) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


@eqx.filter_jit
def _stacked(like: PyTree, flat: Any) -> PyTree:
    return jax.vmap(lambda row: unflatten(like, row))(flat)


def _flat(vectors: PyTree, on_host: bool) -> list[Any]:
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(vectors)]
    flat = jnp.concatenate(leaves, axis=1)
    return list(np.asarray(flat)) if on_host else list(flat)


def _towards(random: Any, direction: PyTree | None, on_host: bool) -> Any:
    """`random` plus `direction`, in equal parts; `random` alone where there is no direction or it has no length."""
    if direction is None:
        return random
    flat = _flat(jax.tree.map(lambda leaf: leaf[None], direction), on_host)[0]
    largest = float(abs(flat).max())
    if not 0 < largest < np.inf:
        return random
    flat = flat / largest
    return random + flat * (float(random @ random) / float(flat @ flat)) ** 0.5


def _eigs(like: PyTree, pairs: Pairs, sign: float) -> Eigs:
    vectors = _stacked(like, jnp.stack(pairs.vectors))
    return Eigs(sign * pairs.values, vectors, pairs.residuals, pairs.bounds, pairs.num_products, pairs.converged)
