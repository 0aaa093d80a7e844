"""Trackers: spectra measured along a training, each started from the vectors of the measurement before.

They keep one more vector than is asked for, so that a direction that grows is already followed when it overtakes
another. Measured savings: design/eigensolver.md and benchmarks/README.md.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from precipice._checks import InputError, at_least, at_most
from precipice._types import Params, PRNGKey, Tracker, Values
from precipice.curvature import AbstractOperator, Chunks, Eigs, Hessian, chunked, eigs, gram
from precipice.measures.top_mode import TopMode, top_mode
from precipice.problems import AbstractProblem, Supervised, TaylorModel
from precipice.problems.losses import check_mean

GUARD = 1
"""Vectors kept beyond those that are asked for."""

EXPLORE, EXPLORE_EVERY = 5, 10
"""The first measurement and every tenth after it begin with a random vector too and spend so many products on the
runner-up, to find what the kept vectors do not lead to. The others begin with the kept vectors alone."""


def track_hessian(
    problem: AbstractProblem,
    *,
    key: PRNGKey,
    num: int = 2,
    rtol: float = 1e-4,
    max_products: int = 200,
    chunk_size: int | None = None,
) -> Tracker:
    """Track the `num` largest algebraic Hessian eigenvalues of the training loss; the first is the sharpness.

    Values: ``hessian_eigenvalue`` [num], ``hessian_eigenvalue_bound`` [num], ``hessian_products`` and
    ``hessian_converged``.

    Args:
        problem: what is trained.
        key: for random vectors; each step uses its own fold of it.
        num: how many eigenvalues.
        rtol: asked relative error of each (see `curvature.eigs`).
        max_products: budget of one measurement, in Hessian-vector products (about 1.5 gradients each).
        chunk_size: examples held at a time, for a problem with `data` (`Supervised`); None for all at once.

    Raises:
        InputError: a chunk size for a problem without data.
    """
    data = chunks_of(problem, chunk_size)

    def update(state: Any, memory: Any) -> tuple[Values, Any]:
        found, memory = warm_eigs(
            Hessian(problem.loss, state.params, data), memory, key, state.step, num, rtol, max_products
        )
        return _values("hessian", found, num), memory

    return Tracker(lambda state: empty_memory(state.params, num), update)


def track_ntk(
    problem: Supervised | TaylorModel,
    *,
    key: PRNGKey,
    num: int = 2,
    rtol: float = 1e-4,
    max_products: int = 200,
    chunk_size: int | None = None,
) -> Tracker:
    """Track the top of the kernel's spectrum, in the units of the training loss, and the residual along its top vector.

    Values: ``ntk_eigenvalue`` [num] of the Gauss-Newton Gram matrix (its edge is 2/lr whatever the loss's reduction),
    ``ntk_eigenvalue_bound`` [num], ``ntk_products``, ``ntk_converged``, and ``residual_projection``: z1 = v1 . (f - y)
    with v1 the top eigenvector, its sign the one that has a positive product with the v1 of the measurement before.

    Args: as for `track_hessian`; a product costs about two gradients.

    References: agarwala2022, section 4 (there with the bare J J^T, whose eigenvectors are the same for squared losses).
    """
    check_mean(problem)
    data = problem.data if chunk_size is None else chunks_of(problem, chunk_size)

    def init(state: Any) -> Any:
        like = jax.eval_shape(problem.outputs, state.params)
        return empty_memory(jnp.zeros(like.shape, like.dtype), num)

    def update(state: Any, memory: Any) -> tuple[Values, Any]:
        op = _gram(problem.outputs, problem.loss_of_outputs, state.params, data)
        found, new = warm_eigs(op, memory, key, state.step, num, rtol, max_products)
        sign = jnp.where(jnp.sum(memory["vectors"][0] * new["vectors"][0]) < 0, -1, 1).astype(found.vectors.dtype)
        new["vectors"] = new["vectors"].at[0].multiply(sign)
        values = dict(_values("ntk", found, num))
        values["residual_projection"] = _projection(problem, state.params, new["vectors"][0])
        return values, new

    return Tracker(init, update)


def track_top_mode(
    problem: Supervised,
    *,
    key: PRNGKey,
    rtol: float = 1e-4,
    max_products: int = 200,
    chunk_size: int | None = None,
) -> Tracker:
    """Track the kernel's top mode: what `track_ntk` gives for one eigenvalue, and the curvature of the model along it.

    Values: those of `track_ntk` with ``num=1``, and ``top_mode_curvature``: Q1(J^T z1 v1, J^T z1 v1), Q1 = v1 . Q.

    Args: as for `track_ntk`; a measurement costs two more passes over the data (about 3 gradients).

    References: agarwala2022, section 4 and figure 6, right (QR-F6).
    """
    kernel = track_ntk(problem, key=key, num=1, rtol=rtol, max_products=max_products, chunk_size=chunk_size)
    data = problem.data if chunk_size is None else chunks_of(problem, chunk_size)

    def update(state: Any, memory: Any) -> tuple[Values, Any]:
        values, memory = kernel.update(state, memory)
        mode = _top_mode(problem, state.params, data, memory["vectors"][0])
        return {**values, "top_mode_curvature": mode.curvature}, memory

    return Tracker(kernel.init, update)


@eqx.filter_jit
def _top_mode(problem: Supervised, params: Params, data: Any, direction: Array) -> TopMode:
    residual = problem.outputs(params) - problem.data.y
    return top_mode(problem.outputs, params, data, residual=residual, direction=direction)


def chunks_of(problem: AbstractProblem, chunk_size: int | None) -> Chunks | None:
    """The problem's data in chunks of so many examples, or None.

    Raises:
        InputError: a chunk size for a problem without data.
    """
    if chunk_size is None:
        return None
    if not isinstance(problem, Supervised):
        raise InputError(f"chunk_size needs a problem with data (Supervised); got {type(problem).__name__}.")
    check_mean(problem)
    return chunked(problem.data, chunk_size)


def empty_memory(like: Any, num: int) -> dict[str, Any]:
    """What a tracker of `num` eigenpairs remembers before its first measurement.

    Raises:
        InputError: `num` below 1, or above the size of the operator.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(like))
    at_least("num", num, 1)
    at_most("num", num, size, "the size of the operator")
    kept = min(num + GUARD, size)
    vectors = jax.tree.map(lambda leaf: jnp.zeros((kept, *leaf.shape), leaf.dtype), like)
    return {"vectors": vectors, "measurements": jnp.zeros((), jnp.int32)}


def warm_eigs(
    op: AbstractOperator, memory: Any, key: PRNGKey, step: Array, num: int, rtol: float, max_products: int
) -> tuple[Eigs, Any]:
    """Eigenpairs from the vectors of the last measurement, and the memory after it; see `EXPLORE_EVERY`."""
    before = int(memory["measurements"])
    exploring = before % EXPLORE_EVERY == 0
    found = eigs(
        op,
        key=jax.random.fold_in(key, step),
        num=num,
        keep=min(num + GUARD, op.size),
        rtol=rtol,
        max_products=max_products,
        start=memory["vectors"] if before else None,
        starts=None if exploring else 0,
        explore=EXPLORE if exploring else 0,
    )
    return found, {"vectors": found.vectors, "measurements": memory["measurements"] + 1}


def _values(kind: str, found: Eigs, num: int) -> Values:
    return {
        f"{kind}_eigenvalue": found.values[:num],
        f"{kind}_eigenvalue_bound": found.bounds[:num],
        f"{kind}_products": found.num_products,
        f"{kind}_converged": found.converged,
    }


_gram = eqx.filter_jit(gram)


@eqx.filter_jit
def _projection(problem: Supervised | TaylorModel, params: Params, vector: Array) -> Array:
    return jnp.sum((problem.outputs(params) - problem.data.y) * vector)
