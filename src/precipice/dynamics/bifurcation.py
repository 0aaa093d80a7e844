"""What a process does in the long run, its period or none, at one value of a parameter or over many."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from precipice._checks import InputError, at_least
from precipice._types import PRNGKey
from precipice.dynamics.advance import advance, all_finite
from precipice.dynamics.process import AbstractProcess
from precipice.results import Status

DIVERGED_PERIOD = -1
"""The period of an orbit that diverged."""


class Attractor(NamedTuple):
    """The end of an orbit.

    Args:
        period: the smallest number of steps after which the orbit returns; 0 where there is none up to the greatest
            one asked for; -1 where the orbit diverged.
        tail: the parameters of the last 2 `max_period` states, a pytree with that leading axis; NaN after divergence.
        status: `results.Status.DONE` or `DIVERGED`.
    """

    period: Int[Array, "..."]
    tail: PyTree
    status: Int[Array, "..."]


def attractor(
    process: AbstractProcess, *, key: PRNGKey, num_steps: int, max_period: int = 64, tolerance: float = 1e-9
) -> Attractor:
    """Where an orbit of `process` is after `num_steps` steps, and with which period it returns.

    The period is the smallest p up to `max_period` with abs(x[n + p] - x[n]) at most `tolerance`, in every parameter
    and for `max_period` consecutive n. An orbit that has not come to rest yet has none: near a doubling the approach
    is slow, so take more steps there. Not for processes that draw. Cost: num_steps + 2 max_period steps, and
    max_period^2 comparisons. Pure, so that it may be mapped over parameters; `bifurcation` does.

    Args:
        process: any deterministic process.
        key: for its first state.
        num_steps: steps before the tail.
        max_period: the greatest period looked for.
        tolerance: in the units of the parameters; well above their rounding, or an orbit at rest seems to move.

    Raises:
        InputError: counts below 1, a tolerance that is negative.

    References: zhu2022, figure 6c (MIN-12); the definition is ours.

    Example:
        >>> from precipice.dynamics.cubic_map import CubicMap
        >>> found = attractor(CubicMap(0.14), key=jax.random.key(0), num_steps=2000, tolerance=1e-6)
        >>> int(found.period), found.tail.shape
        (2, (128,))
    """
    at_least("num_steps", num_steps, 1)
    at_least("max_period", max_period, 1)
    at_least("tolerance", tolerance, 0.0)
    return _attractor(process, key, num_steps, max_period, tolerance)


def bifurcation(
    make: Callable[[Float[Array, ""]], AbstractProcess],
    values: Float[Array, "n"],
    *,
    key: PRNGKey,
    num_steps: int,
    max_period: int = 64,
    tolerance: float = 1e-9,
) -> Attractor:
    """The `attractor` of a process at each value of a parameter: the points of a bifurcation diagram.

    One compiled map over all values, with which its memory grows: `2 max_period` states each.

    Args:
        make: the process at a value; a module-level function or a class, or each call compiles anew.
        values: of the parameter [n].
        key: for the first states.
        num_steps: steps before the tail.
        max_period: the greatest period looked for.
        tolerance: in the units of the process's parameters.

    Returns:
        `Attractor` with a leading axis [n].

    Raises:
        InputError: no values, a value that is not finite, numbers as for `attractor`.

    References: zhu2022, figure 6c (MIN-12).

    Example:
        >>> from precipice.dynamics.cubic_map import CubicMap
        >>> values, key = jnp.array([0.1, 0.14, 0.2, 0.3]), jax.random.key(0)
        >>> found = bifurcation(CubicMap, values, key=key, num_steps=2000, tolerance=1e-6)
        >>> found.period.tolist()
        [1, 2, 0, -1]
    """
    at_least("number of values", len(values), 1)
    if not bool(jnp.all(jnp.isfinite(values))):
        raise InputError("values must be finite; got NaN or inf.")
    at_least("num_steps", num_steps, 1)
    at_least("max_period", max_period, 1)
    at_least("tolerance", tolerance, 0.0)
    return _bifurcation(make, values, key, num_steps, max_period, tolerance)


@eqx.filter_jit
def _bifurcation(
    make: Callable, values: Array, key: PRNGKey, num_steps: int, max_period: int, tolerance: float
) -> Attractor:
    return jax.vmap(lambda value: _attractor(make(value), key, num_steps, max_period, tolerance))(values)


@eqx.filter_jit
def _attractor(process: AbstractProcess, key: PRNGKey, num_steps: int, max_period: int, tolerance: float) -> Attractor:
    state, alive, _ = advance(process, process.init(key), jnp.array(True), num_steps)

    def one(state, _):
        return process.step(state), state.params

    _, tail = jax.lax.scan(one, state, None, length=2 * max_period)
    alive = alive & all_finite(tail)
    period = jnp.where(alive, _period(tail, max_period, tolerance), DIVERGED_PERIOD)
    tail = jax.tree.map(lambda leaf: jnp.where(alive, leaf, jnp.nan), tail)
    return Attractor(period, tail, jnp.where(alive, int(Status.DONE), int(Status.DIVERGED)))


def _period(tail: PyTree, max_period: int, tolerance: float) -> Int[Array, ""]:
    """The smallest p for which the second half of the tail, moved back by p, is the first; 0 if there is none."""
    orbit = jax.vmap(lambda params: ravel_pytree(params)[0])(tail)  # [2 m, n]

    def returns(p):
        later = jax.lax.dynamic_slice_in_dim(orbit, p, max_period)
        return jnp.max(jnp.abs(later - orbit[:max_period])) <= tolerance

    found = jax.lax.map(returns, jnp.arange(1, max_period + 1))
    return jnp.where(jnp.any(found), jnp.argmax(found) + 1, 0)
