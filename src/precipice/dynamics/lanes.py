"""Trajectories side by side in batches of a few compiled widths: those that end leave, those that live are pooled."""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from precipice._types import PRNGKey
from precipice.dynamics.advance import all_finite
from precipice.dynamics.process import AbstractProcess, State
from precipice.results import StopReason

SMALLEST = 8
"""Lanes that a batch is not cut below."""

CUT = 4
"""Each compiled width is so many times the next."""

STEPS = 1024
"""Steps after which a compiled call comes back at the next check, so that a display moves and an interrupt is heard."""


class Lanes(NamedTuple):
    """Trajectories side by side: which start each belongs to (-1: none), states, and why those that ended did."""

    start: Any
    state: State
    reason: Any


class Ended(NamedTuple):
    """Ends of trajectories: the starts they belong to, last parameters, steps and reasons (0: it still lives)."""

    start: np.ndarray | slice
    params: PyTree
    step: np.ndarray
    reason: np.ndarray


class Work:
    """What is to be run, and the starts that nobody has taken yet; workers on several threads may share it."""

    def __init__(
        self,
        process: AbstractProcess,
        converged: Callable[[State], Bool[Array, ""]],
        starts: PyTree,
        key: PRNGKey,
        num: int,
        width: int,
        num_steps: int,
        check_every: int,
    ):
        self.width = width
        self._what = (process, converged)
        self._starts, self._key, self._num = jax.tree.map(np.asarray, starts), key, num
        self._budget, self._check_every = jnp.asarray(num_steps), check_every
        self._next, self._lock = itertools.count(0, width), threading.Lock()

    def begin(self) -> Lanes | None:
        """The next `width` starts after one check; None if there are none."""
        with self._lock:
            first = next(self._next)
        if first >= self._num:
            return None
        starts = jax.tree.map(lambda leaf: self._filled(leaf[first : first + self.width]), self._starts)
        numbers = jnp.asarray(first), jnp.asarray(self._num)
        return _first_check(*self._what, self._key, starts, *numbers, self._budget, self._check_every)

    def _filled(self, leaf: np.ndarray) -> np.ndarray:
        """One compiled width: what is beyond the last start repeats it, and is idle."""
        missing = self.width - len(leaf)
        return np.concatenate([leaf, np.repeat(leaf[-1:], missing, axis=0)]) if missing else leaf

    def go_on(self, lanes: Lanes, until_live: int) -> Lanes:
        """`lanes` after about `STEPS` more steps, fewer once no more than `until_live` live."""
        return _checks(*self._what, self._key, lanes, self._budget, jnp.asarray(until_live), self._check_every)


def drained(work: Work) -> Iterator[Ended]:
    """Run starts of `work` until none are left and yield those that have ended, some at a time.

    New starts run for one check. Those that outlive it are pooled until they fill a batch, which goes on until half of
    its lanes have ended; when no starts are left the pool goes on in ever smaller batches.
    """
    pool: list[Lanes] = []
    while True:
        lanes = work.begin()
        if lanes is not None:
            yield _begun(lanes, pool)
        live = sum(len(part.start) for part in pool)
        if lanes is None and not live:
            return
        if lanes is None or live >= work.width:
            width = width_above(live, work.width)
            taken, pool = _taken(pool, width)
            narrower = width // CUT if width // CUT >= SMALLEST else 0
            yield _part(work.go_on(taken, width // 2 if live >= work.width else narrower), pool)


def width_above(num: int, chunk: int) -> int:
    """The smallest of the compiled widths chunk, chunk/`CUT`, ... that holds `num` lanes; `chunk` if none does."""
    width = chunk
    while width // CUT >= max(num, SMALLEST):
        width //= CUT
    return width


def _begun(lanes: Lanes, pool: list[Lanes]) -> Ended:
    """Put the live lanes into `pool`; returns all, neighbours in one piece: those that live will be written again."""
    host = _pooled(lanes, pool)
    num, first = np.count_nonzero(host.start >= 0), int(host.start[0])
    found = jax.tree.map(lambda a: a[:num], (host.state.params, host.state.step, host.reason))
    return Ended(slice(first, first + num), *found)


def _part(lanes: Lanes, pool: list[Lanes]) -> Ended:
    """Put the live lanes into `pool`; returns those that have ended."""
    host = _pooled(lanes, pool)
    ended = np.flatnonzero((host.reason != int(StopReason.NONE)) & (host.start >= 0))
    found = (host.start, host.state.params, host.state.step, host.reason)
    return Ended(*jax.tree.map(lambda a: a[ended], found))


def _pooled(lanes: Lanes, pool: list[Lanes]) -> Lanes:
    """`lanes` on the host; those that live are in `pool` too."""
    host = jax.tree.map(np.asarray, lanes)
    live = np.flatnonzero(host.reason == int(StopReason.NONE))
    if len(live):
        pool.append(jax.tree.map(lambda a: a[live], host))
    return host


def _taken(pool: list[Lanes], width: int) -> tuple[Lanes, list[Lanes]]:
    """(`width` lanes of the pool, padded with idle copies of the first; the rest of the pool)."""
    lanes = jax.tree.map(lambda *a: np.concatenate(a), *pool) if len(pool) > 1 else pool[0]
    rest = [jax.tree.map(lambda a: a[width:], lanes)] if len(lanes.start) > width else []
    lanes = jax.tree.map(lambda a: a[:width], lanes)
    if missing := width - len(lanes.start):
        idle = jax.tree.map(lambda a: np.repeat(a[:1], missing, axis=0), lanes)
        reason = np.full_like(idle.reason, int(StopReason.STEPS_SPENT))
        idle = idle._replace(start=np.full_like(idle.start, -1), reason=reason)
        lanes = jax.tree.map(lambda *a: np.concatenate(a), lanes, idle)
    return lanes, rest


@eqx.filter_jit
def _first_check(
    process: AbstractProcess,
    converged: Callable,
    key: PRNGKey,
    starts: PyTree,
    first: Array,
    num: Array,
    num_steps: Array,
    check_every: int,
) -> Lanes:
    def one(start, i):
        state = process.init(jax.random.fold_in(key, i))
        return state._replace(params=jax.tree.map(lambda new, old: new.astype(old.dtype), start, state.params))

    index = first + jnp.arange(jax.tree.leaves(starts)[0].shape[0])
    index = jnp.where(index < num, index, -1)
    reason = jnp.where(index < 0, int(StopReason.STEPS_SPENT), int(StopReason.NONE)).astype(jnp.int8)
    lanes = Lanes(index, jax.vmap(one, out_axes=-1)(starts, index), reason)
    return _out(_checked(process, converged, lanes, num_steps, check_every))


@eqx.filter_jit
def _checks(
    process: AbstractProcess,
    converged: Callable,
    key: PRNGKey,
    lanes: Lanes,
    num_steps: Array,
    until_live: Array,
    check_every: int,
) -> Lanes:
    most = max(STEPS // check_every, 1)

    def going(carry):
        checks, lanes = carry
        return (checks < most) & (jnp.sum(lanes.reason == int(StopReason.NONE)) > until_live)

    def once(carry):
        checks, lanes = carry
        return checks + 1, _checked(process, converged, lanes, num_steps, check_every)

    return _out(jax.lax.while_loop(going, once, (jnp.zeros((), int), _in(lanes, process.init(key))))[1])


def _checked(process: AbstractProcess, converged: Callable, lanes: Lanes, num_steps: Array, check_every: int) -> Lanes:
    """`check_every` steps of every lane, then the question who has ended; lanes that had ended stay as they were."""
    step = jax.vmap(process.step, in_axes=-1, out_axes=-1)  # lanes last: entries of neighbours lie side by side
    last = jax.lax.fori_loop(0, check_every, lambda _, state: step(state), lanes.state)
    finite = jax.vmap(all_finite, in_axes=-1)(last.params)
    ended = jnp.where(jax.vmap(converged, in_axes=-1)(last), int(StopReason.VALUE_REACHED), int(StopReason.NONE))
    ended = jnp.where((ended == 0) & (last.step >= num_steps), int(StopReason.STEPS_SPENT), ended)
    ended = jnp.where(finite, ended, int(StopReason.DIVERGED)).astype(jnp.int8)
    live = lanes.reason == int(StopReason.NONE)
    kept = jax.tree.map(lambda new, old: _where(live & finite, new, old), last, lanes.state)
    return Lanes(lanes.start, kept, jnp.where(live, ended, lanes.reason))


def _where(mask: Array, new: Array, old: Array) -> Array:
    return jnp.where(mask.reshape(*(1,) * (new.ndim - 1), -1), new, old)


def _in(lanes: Lanes, like: State) -> Lanes:
    """From the host: keys as the keys that `like` has, lanes last."""

    def one(leaf, pattern):
        leaf = jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(pattern)) if _is_key(pattern) else leaf
        return jnp.moveaxis(leaf, 0, -1)

    return lanes._replace(state=jax.tree.map(one, lanes.state, like))


def _out(lanes: Lanes) -> Lanes:
    """For the host: lanes first, keys as plain numbers."""

    def one(leaf):
        leaf = jnp.moveaxis(leaf, -1, 0)
        return jax.random.key_data(leaf) if _is_key(leaf) else leaf

    return lanes._replace(state=jax.tree.map(one, lanes.state))


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
