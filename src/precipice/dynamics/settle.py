"""Many short trajectories of one process, each run until it has converged, diverged or spent its budget."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from precipice._checks import InputError, at_least
from precipice._types import PRNGKey
from precipice.dynamics.advance import all_finite
from precipice.dynamics.process import AbstractProcess, State
from precipice.dynamics.progress import Progress, quiet
from precipice.dynamics.simulate import check_schedule
from precipice.results import Status, StopReason

SMALLEST = 256
"""Lanes that a batch is not cut below."""

CUT = 8
"""A batch is refilled or cut when one lane in so many has finished."""


class Settled(NamedTuple):
    """Where trajectories ended, in the order of their starts.

    Args:
        params: the last states' parameters, a pytree with a leading axis [n]; of a trajectory that diverged, the last
            finite ones seen at a check.
        step: [n], steps taken.
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


class _Lanes(NamedTuple):
    """Trajectories side by side: which start each belongs to, states, and why those that ended did (0: live)."""

    start: Any
    state: State
    reason: Any


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

    Up to `chunk` trajectories move together. Every `check_every` steps each is asked whether it has converged; those
    that have ended make room for the next starts, and when none are left the batch is cut by halves, so that little
    work is spent on them. Cost: the steps of all trajectories, each rounded up to a check. Memory: the results, and
    `chunk` states. A trajectory's result does not depend on the others.

    Args:
        process: what moves; the parameters of ``process.init(key)`` are replaced by each start.
        starts: a pytree of parameters with a leading axis [n].
        key: each trajectory gets its own fold of it.
        converged: ``converged(state) -> bool`` for one trajectory, such as `LossBelow`; a module-level function or an
            equinox Module, so that later calls do not recompile.
        num_steps: the budget of each; a multiple of `check_every`.
        check_every: steps between checks.
        chunk: trajectories at a time, a power of two.
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
    like = _first(process, key)
    num = _check(starts, like, num_steps, check_every, chunk)
    queue, results = _Queue(process, starts, key, num, min(chunk, _power(num))), _results(like, num)
    lanes, budget, ended = queue.fill(None), jnp.asarray(num_steps), 0
    with progress(title, num) as report:
        while lanes is not None:
            lanes, num_live = _block(process, converged, lanes, budget, check_every)
            if _worth_it(int(num_live), len(lanes.start), queue.empty):
                live, found = _parted(lanes)
                ended += _record(results, found)
                report(ended, "")
                lanes = queue.fill(live)
    return results


def _worth_it(num_live: int, width: int, no_more: bool) -> bool:
    """Whether to take lanes that have ended out of the batch now."""
    if not no_more:
        return width - num_live >= max(width // CUT, 1)
    return num_live == 0 or (width > SMALLEST and num_live <= width // 2)


def _check(starts: PyTree, like: PyTree, num_steps: int, check_every: int, chunk: int) -> int:
    check_schedule(num_steps, check_every)
    at_least("chunk", chunk, 1)
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


def _power(num: int) -> int:
    """The smallest power of two that is at least `num`."""
    return 1 << max(num - 1, 0).bit_length()


class _Queue:
    """Starts that wait, made into lanes `width` at a time."""

    def __init__(self, process: AbstractProcess, starts: PyTree, key: PRNGKey, num: int, width: int):
        self._process, self._starts, self._key = process, jax.tree.map(np.asarray, starts), key
        self._num, self._width, self._next = num, width, 0
        self._ready: _Lanes | None = None

    @property
    def empty(self) -> bool:
        """Whether no start waits."""
        return self._next >= self._num and self._ready is None

    def fill(self, live: _Lanes | None) -> _Lanes | None:
        """`live` lanes with as many new ones as fit beside them, padded to a power of two; None if there are none."""
        parts = [] if live is None or not len(live.start) else [live]
        while not self.empty and (missing := self._width - sum(len(part.start) for part in parts)) > 0:
            parts.append(self._take(missing))
        return _padded(_joined(*parts), self._width) if parts else None

    def _take(self, count: int) -> _Lanes:
        ready = self._begun() if self._ready is None else self._ready
        taken, rest = (jax.tree.map(lambda a, s=part: a[s], ready) for part in (slice(count), slice(count, None)))
        self._ready = rest if len(rest.start) else None
        return taken

    def _begun(self) -> _Lanes:
        start = np.arange(self._next, self._next + self._width)
        self._next += self._width
        start = np.minimum(start, self._num - 1)  # one compiled size; what is beyond the last start is cut off again
        begun = _begin(self._process, self._key, jax.tree.map(lambda leaf: leaf[start], self._starts), start)
        return jax.tree.map(lambda a: np.asarray(a)[: self._num - int(start[0])], begun)


def _joined(*parts: _Lanes) -> _Lanes:
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)


def _padded(lanes: _Lanes, width: int) -> _Lanes:
    """`lanes` and copies of the first that are marked as ended and belong to no start, up to a power of two."""
    num = len(lanes.start)
    missing = min(max(_power(num), SMALLEST), width) - num
    idle = jax.tree.map(lambda a: np.repeat(a[:1], missing, axis=0), lanes)
    idle = idle._replace(start=np.full_like(idle.start, -1), reason=np.full_like(idle.reason, StopReason.STEPS_SPENT))
    return _joined(lanes, idle)


@eqx.filter_jit
def _first(process: AbstractProcess, key: PRNGKey) -> PyTree:
    return process.init(key).params


@eqx.filter_jit
def _begin(process: AbstractProcess, key: PRNGKey, starts: PyTree, index: Any) -> _Lanes:
    def one(start, i):
        state = process.init(jax.random.fold_in(key, i))
        params = jax.tree.map(lambda new, old: new.astype(old.dtype), start, state.params)
        return _bare(state._replace(params=params))

    reason = jnp.full(index.shape, int(StopReason.NONE), jnp.int8)
    return _Lanes(index, jax.vmap(one)(starts, index), reason)


def _bare(state: State) -> State:
    """Keys as plain numbers, which may live on the host."""
    return state._replace(key=jax.random.key_data(state.key))


def _keyed(state: State) -> State:
    return state._replace(key=jax.random.wrap_key_data(state.key))


@eqx.filter_jit
def _block(
    process: AbstractProcess, converged: Callable, lanes: _Lanes, num_steps: Array, check_every: int
) -> tuple[_Lanes, Array]:
    """`check_every` steps of every lane that is live, then the question who has ended; and how many are live."""
    step = jax.vmap(process.step, in_axes=-1, out_axes=-1)  # lanes last: entries of neighbours lie side by side
    first = _moved(_keyed(lanes.state), 0, -1)
    last = jax.lax.fori_loop(0, check_every, lambda _, state: step(state), first)
    last = _moved(last, -1, 0)
    finite = jax.vmap(all_finite)(last.params)
    ended = jnp.where(jax.vmap(converged)(last), int(StopReason.VALUE_REACHED), int(StopReason.NONE))
    ended = jnp.where((ended == 0) & (last.step >= num_steps), int(StopReason.STEPS_SPENT), ended)
    ended = jnp.where(finite, ended, int(StopReason.DIVERGED)).astype(jnp.int8)
    live = lanes.reason == int(StopReason.NONE)
    kept = jax.tree.map(lambda new, old: _where(live & finite, new, old), _bare(last), lanes.state)
    reason = jnp.where(live, ended, lanes.reason)
    return _Lanes(lanes.start, kept, reason), jnp.sum(reason == int(StopReason.NONE))


def _moved(tree: PyTree, source: int, target: int) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, source, target), tree)


def _where(mask: Array, new: Array, old: Array) -> Array:
    return jnp.where(mask.reshape(-1, *(1,) * (new.ndim - 1)), new, old)


def _parted(lanes: _Lanes) -> tuple[_Lanes, _Lanes]:
    """(the lanes that are live, those that have ended), on the host."""
    host = jax.tree.map(np.asarray, lanes)
    live = host.reason == int(StopReason.NONE)
    kept, found = (jax.tree.map(lambda a, m=mask: a[m], host) for mask in (live, ~live & (host.start >= 0)))
    return kept, found


def _results(like: PyTree, num: int) -> Settled:
    params = jax.tree.map(lambda leaf: np.zeros((num, *leaf.shape), leaf.dtype), like)
    return Settled(params, np.zeros(num, int), np.zeros(num, np.int8), np.zeros(num, np.int8))


def _record(results: Settled, found: _Lanes) -> int:
    """Write lanes that have ended to their places; returns how many."""
    for target, source in zip(jax.tree.leaves(results.params), jax.tree.leaves(found.state.params), strict=True):
        target[found.start] = source
    results.step[found.start] = found.state.step
    results.stop_reason[found.start] = found.reason
    diverged = found.reason == int(StopReason.DIVERGED)
    results.status[found.start] = np.where(diverged, int(Status.DIVERGED), int(Status.DONE))
    return len(found.start)
