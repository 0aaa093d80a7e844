"""The battery of noisy descent and the reduced maps: each against a step by hand, alone and in the loops."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import DTypeLike

from cases import MAPS
from precipice import dynamics
from precipice.dynamics import AbstractProcess, simulate
from precipice.results import Status
from test_processes import flat, steps_of

each_map = pytest.mark.parametrize("name", MAPS)
some_maps = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if i % 3 else name for i, name in enumerate(MAPS)]
)
"""What all maps have by their common form: a third of them each time, all with LONG=1."""
NUMBER, NUMBERS = 0.1, (0.03, 0.06, 0.1, 0.15, 0.2)
TRACES = {"step": 0}


class CountedSteps(AbstractProcess):
    """A process that counts how often Python runs its step: once for each trace."""

    process: AbstractProcess

    def init(self, key):
        return self.process.init(key)

    def step(self, state):
        TRACES["step"] += 1
        return self.process.step(state)


def map_of(name, number: Any = NUMBER, dtype: DTypeLike = np.float64) -> Any:
    row = MAPS[name]
    return row.make(number, np.array(row.start), dtype)


def by_hand(name, num_steps, number=NUMBER, dtype: DTypeLike = np.float64):
    """(points after 0 to num_steps steps, losses before each step)."""
    row = MAPS[name]
    draws = row.noise(num_steps, dtype=dtype) if row.noise else [None] * num_steps
    points, losses = [np.array(row.start)], []
    for draw in draws:
        theta, loss = row.step(points[-1], number, draw)
        points.append(theta)
        losses.append(loss)
    return np.array(points), np.array(losses)


def loss_probe(state):
    return {"loss": state.loss}


def ran(process, num_steps=6, every=1):
    return simulate(process, key=jax.random.key(0), num_steps=num_steps, every=every, probes=(loss_probe,))


@each_map
def test_twenty_steps_by_hand(name):
    states = steps_of(map_of(name), 20)
    points, losses = by_hand(name, 20)
    np.testing.assert_allclose([flat(s.params) for s in states], points, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose([s.loss for s in states[1:]], losses, rtol=1e-10, atol=1e-14)
    assert np.isnan(states[0].loss)
    assert [int(s.step) for s in states] == list(range(21))
    assert np.abs(np.diff(points, axis=0)).max(axis=1).min() > 1e-6  # it moves at every step


@each_map
def test_simulate_equals_a_loop_bit_by_bit(name):
    process = map_of(name)
    run, states = ran(process, 12, every=4), steps_of(process, 12)
    np.testing.assert_array_equal(flat(run.state.params), flat(states[-1].params))
    np.testing.assert_array_equal(run.saved["loss"], [states[i].loss for i in (0, 4, 8, 12)])
    assert (int(run.status), int(run.diverged_at)) == (Status.DONE, -1)


@some_maps
def test_float32_stays_float32(name):
    before, after = steps_of(map_of(name, dtype=np.float32), 3)[::3]
    for state in (before, after):
        assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.loss))} == {jnp.dtype(jnp.float32)}
    assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)
    np.testing.assert_allclose(flat(after.params), by_hand(name, 3, dtype=np.float32)[0][-1], rtol=1e-4, atol=1e-5)


@some_maps
def test_a_number_in_float64_follows_a_start_in_float32(name):
    process = map_of(name, jnp.array([NUMBER])[0], np.float32)
    state = steps_of(process, 1)[-1]
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.loss))} == {jnp.dtype(jnp.float32)}


@some_maps
def test_vmap_over_numbers_in_jit(name):
    """Each lane equals its own run by hand: a process may be made of traced numbers."""
    lanes = jax.jit(jax.vmap(lambda number: ran(map_of(name, number)).state.params))(jnp.array(NUMBERS))
    for i, number in enumerate(NUMBERS):
        lane = jax.tree.map(lambda a, i=i: a[i], lanes)
        np.testing.assert_allclose(flat(lane), by_hand(name, 6, number)[0][-1], rtol=1e-10, atol=1e-12)


@some_maps
def test_grad_in_the_number(name):
    """The squared length after six steps has the derivative that central differences by hand see."""

    def length(number):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(ran(map_of(name, number)).state.params))

    high, low = (np.sum(by_hand(name, 6, NUMBER + h)[0][-1] ** 2) for h in (1e-5, -1e-5))
    np.testing.assert_allclose(jax.jit(jax.grad(length))(NUMBER), (high - low) / 2e-5, rtol=1e-6)


@some_maps
def test_a_map_is_a_pytree(name):
    process = map_of(name)
    leaves, structure = jax.tree.flatten(process)
    again = jax.tree.unflatten(structure, leaves)
    assert bool(eqx.tree_equal(again, process))
    state = process.init(jax.random.key(0))
    np.testing.assert_array_equal(flat(again.step(state).params), flat(process.step(state).params))


@some_maps
def test_five_numbers_compile_once(name):
    counts, ends = [TRACES["step"]], []
    for number in NUMBERS:
        ends.append(flat(ran(CountedSteps(map_of(name, number))).state.params))
        counts.append(TRACES["step"])
    assert counts[1] > counts[0]
    assert counts[1:] == [counts[1]] * 5
    np.testing.assert_allclose(ends, [by_hand(name, 6, n)[0][-1] for n in NUMBERS], rtol=1e-10, atol=1e-12)


@some_maps
def test_a_start_that_is_not_finite_is_labelled(name):
    """Nothing moves, and the run says so."""
    process = map_of(name)
    start = jax.tree.map(lambda a: jnp.full_like(a, np.nan), process.start)
    run = ran(eqx.tree_at(lambda p: p.start, process, start))
    assert (int(run.status), int(run.diverged_at)) == (Status.DIVERGED, 0)
    assert np.all(np.isnan(run.saved["loss"]))


def test_every_process_has_a_row():
    kinds = {kind for kind in AbstractProcess.__subclasses__() if kind.__module__.startswith("precipice.dynamics")}
    with_tests_of_their_own = {dynamics.Descent, dynamics.EpochDescent}  # test_processes.py, test_epochs.py
    assert kinds - with_tests_of_their_own == {row.kind for row in MAPS.values()}
