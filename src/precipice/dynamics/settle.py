"""Many short trajectories of one process, each run until it has converged, diverged or spent its budget."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from precipice._checks import InputError, whole
from precipice._types import PRNGKey
from precipice.dynamics.lanes import Ended, Work, drained, width_above
from precipice.dynamics.process import AbstractProcess, State
from precipice.dynamics.progress import Progress, quiet
from precipice.dynamics.side_by_side import num_workers, side_by_side
from precipice.results import Status, StopReason


class Settled(NamedTuple):
    """Where trajectories ended, in the order of their starts.

    Args:
        params: the last states' parameters, a pytree with a leading axis [n]; of a trajectory that diverged, the last
            finite ones seen at a check.
        step: [n], steps taken; of a trajectory that diverged, up to the last check at which it was finite.
        status: [n], `results.Status.DONE` or `DIVERGED`.
        stop_reason: [n], `results.StopReason.VALUE_REACHED` (converged), `STEPS_SPENT` or `DIVERGED`.
    """

    params: PyTree
    step: np.ndarray
    status: np.ndarray
    stop_reason: np.ndarray


class LossBelow(eqx.Module):
    """Converged when the loss before the last step is at most `tolerance`; for processes that have a loss."""

    tolerance: Array = eqx.field(converter=jnp.asarray)

    def __call__(self, state: State) -> Bool[Array, ""]:
        """Whether `state` is settled."""
        return state.loss <= self.tolerance.astype(state.loss.dtype)


class EntryBelow(eqx.Module):
    """Converged when one entry of the parameters, an array, is at most `tolerance` in size."""

    tolerance: Array = eqx.field(converter=jnp.asarray)
    index: int = 0

    def __call__(self, state: State) -> Bool[Array, ""]:
        """Whether `state` is settled."""
        return jnp.abs(state.params[self.index]) <= self.tolerance.astype(state.params.dtype)


def settle(
    process: AbstractProcess,
    starts: PyTree,
    *,
    key: PRNGKey,
    converged: Callable[[State], Bool[Array, ""]],
    num_steps: int,
    check_every: int = 64,
    chunk: int = 16384,
    progress: Progress = quiet,
    title: str = "settle",
) -> Settled:
    """Run `process` from every start until each trajectory has converged, diverged or taken `num_steps` steps.

    Up to `chunk` trajectories move together, on each core of a CPU. Every `check_every` steps each is asked whether it
    has converged; those that have ended leave, those that live are pooled until they fill a batch, and when no starts
    are left the pool goes on in batches a quarter as wide each time, so that little work is spent on what has ended.
    Cost: the steps of all trajectories, each rounded up to a check. Memory: the results, and twice `chunk` states a
    core. A trajectory's result depends neither on order nor on company where a step is made of elementwise operations,
    as in the scalar models; matrix products are rounded differently in batches of different width, and where ends
    depend on roundings (the attractors near divergence) such a trajectory may end elsewhere in other company.

    Args:
        process: what moves; the parameters of ``process.init(key)`` are replaced by each start.
        starts: a pytree of parameters with a leading axis [n].
        key: each trajectory gets its own fold of it.
        converged: ``converged(state) -> bool`` for one trajectory, such as `LossBelow`; a module-level function or an
            equinox Module, so that later calls do not recompile.
        num_steps: the budget of each; a multiple of `check_every`.
        check_every: steps between checks.
        chunk: trajectories at a time on each core, a power of two.
        progress: a display of trajectories that have ended.
        title: of the display.

    Raises:
        InputError: no starts, starts of unequal number, of another shape or not finite, step counts that do not fit, a
            chunk that is no power of two.

    References: zhu2022, figures 2b and 6a; design/settle.md has what was measured.

    Example:
        >>> from precipice import dynamics, problems
        >>> descent = dynamics.Descent(problems.ScalarNetwork((1, 1)), dynamics.gradient_descent(0.2))
        >>> starts = jnp.array([[1.5, 0.5], [9.0, 9.0]])
        >>> found = settle(descent, starts, key=jax.random.key(0), converged=LossBelow(1e-10), num_steps=640)
        >>> [StopReason(reason).name for reason in found.stop_reason]
        ['VALUE_REACHED', 'DIVERGED']
    """
    if not callable(converged):
        raise InputError(f"converged must be a function of a state, such as LossBelow; got {converged!r}.")
    like, answer = _first(process, converged, key)
    if jnp.shape(answer) != () or answer.dtype != bool:
        raise InputError(f"converged must return one bool for one state; got {answer!r}.")
    num = _check(starts, like, num_steps, check_every, chunk)
    workers = min(num_workers(), -(-num // chunk))
    work = Work(process, converged, starts, key, num, width_above(num, chunk), num_steps, check_every)
    results, ended = _results(like, num), 0
    with progress(title, num) as report:
        for lanes in side_by_side([drained(work) for _ in range(workers)]):
            ended += _record(results, lanes)
            report(ended, "")
    diverged = results.stop_reason == int(StopReason.DIVERGED)
    return results._replace(status=np.where(diverged, int(Status.DIVERGED), int(Status.DONE)).astype(np.int8))


def _check(starts: PyTree, like: PyTree, num_steps: int, check_every: int, chunk: int) -> int:
    whole("check_every", check_every, 1)
    whole("num_steps", num_steps, 1)
    whole("chunk", chunk, 1)
    if num_steps % check_every:
        raise InputError(f"num_steps must be a multiple of check_every ({check_every}); got {num_steps}.")
    if chunk & (chunk - 1):
        raise InputError(f"chunk must be a power of two; got {chunk}.")
    leaves = jax.tree.leaves(starts)
    sizes = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in leaves}
    if len(sizes) != 1 or 0 in sizes:
        raise InputError(f"starts must have one leading axis of at least one start; got lengths {sorted(sizes)}.")
    got = jax.tree.map(lambda leaf: np.shape(leaf)[1:], starts)
    if (wanted := jax.tree.map(lambda leaf: leaf.shape, like)) != got:
        raise InputError(f"each start must have the shape of the process's parameters, {wanted}; got {got}.")
    for leaf in leaves:
        if not np.all(np.isfinite(leaf)):
            raise InputError("starts must be finite; got NaN or inf.")
    return sizes.pop()


@eqx.filter_jit
def _first(process: AbstractProcess, converged: Callable, key: PRNGKey) -> tuple[PyTree, PyTree]:
    """(a first state's parameters, the criterion's answer to it)."""
    state = process.init(key)
    return state.params, converged(state)


def _results(like: PyTree, num: int) -> Settled:
    params = jax.tree.map(lambda leaf: np.zeros((num, *leaf.shape), leaf.dtype), like)
    return Settled(params, np.zeros(num, int), np.zeros(num, np.int8), np.zeros(num, np.int8))


def _record(results: Settled, found: Ended) -> int:
    """Write trajectories that have ended to their places; returns how many."""
    for target, source in zip(jax.tree.leaves(results.params), jax.tree.leaves(found.params), strict=True):
        target[found.start] = source
    results.step[found.start] = found.step
    results.stop_reason[found.start] = found.reason
    return int(np.count_nonzero(found.reason))
