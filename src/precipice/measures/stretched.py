"""The spectrum of a preconditioned Hessian, in the coordinates in which an optimiser's edge is 1."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from precipice._types import Params, PRNGKey, Tracker, Values
from precipice.curvature import Hessian
from precipice.measures.optax_threshold import optax_threshold
from precipice.measures.thresholds import step_scale
from precipice.measures.trackers import chunks_of, empty_memory, warm_eigs
from precipice.problems import AbstractProblem

_NAMES = (
    "normalised_sharpness",
    "normalised_sharpness_bound",
    "preconditioned_sharpness",
    "preconditioned_sharpness_bound",
)


class Stretched(eqx.Module):
    """``t -> function(centre + root t, *args)``: at t = 0 its Hessian is root H root, its gradient root g."""

    function: Callable[..., Any]
    centre: Params
    root: Params

    def __call__(self, t: Params, *args: Any) -> Any:
        """The function at `t`, in stretched coordinates."""
        moved = jax.tree.map(lambda c, r, x: c + r * x, self.centre, self.root, t)
        return self.function(moved, *args)


def track_normalised_sharpness(
    problem: AbstractProblem,
    optimiser: Any,
    *,
    key: PRNGKey,
    rtol: float = 1e-4,
    max_products: int = 200,
    chunk_size: int | None = None,
) -> Tracker:
    """Track how far an optimiser is from its edge: the largest eigenvalue of S^1/2 H S^1/2, S = 1/(edge P).

    Values: ``normalised_sharpness`` (1 at the edge), ``preconditioned_sharpness`` (of P^-1/2 H P^-1/2, the edge times
    it) and their bounds. NaN at step 0, where an adaptive optimiser has no preconditioner yet; soon after it P is small
    wherever the first gradients were, and the numbers are large and mean little.

    Args:
        problem: what is trained.
        optimiser: a `dynamics.Optimiser` that `optax_threshold` knows; its state is read from ``state.memory``.
        key: for random vectors; each step uses its own fold of it.
        rtol: asked relative error (see `curvature.eigs`).
        max_products: budget of one measurement, in Hessian-vector products (about 1.5 gradients each).
        chunk_size: as for `track_hessian`.

    Raises:
        InputError: at a measurement: as `optax_threshold`.

    References: Cohen et al. 2022, section 3.
    """
    data = chunks_of(problem, chunk_size)

    def update(state: Any, memory: Any) -> tuple[Values, Any]:
        if not int(state.step):
            return dict.fromkeys(_NAMES, jnp.nan), memory
        root, edge = _root(optimiser, state.memory, state.params)
        origin = jax.tree.map(jnp.zeros_like, state.params)
        op = Hessian(Stretched(problem.loss, state.params, root), origin, data)
        found, memory = warm_eigs(op, memory, key, state.step, 1, rtol, max_products)
        value, bound = found.values[0], found.bounds[0]
        return dict(zip(_NAMES, (value, bound, edge * value, edge * bound), strict=True)), memory

    return Tracker(lambda state: empty_memory(state.params, 1), update)


@eqx.filter_jit
def _root(optimiser: Any, memory: Any, params: Params) -> tuple[Params, Any]:
    """The square root of S, shaped like the parameters, and the edge."""
    threshold = optax_threshold(optimiser, memory)
    scale = step_scale(threshold)
    if threshold.preconditioner is None:
        scale = jax.tree.map(lambda p: jnp.full_like(p, scale), params)
    return jax.tree.map(jnp.sqrt, scale), threshold.edge
