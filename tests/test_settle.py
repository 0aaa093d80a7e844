"""`settle` against a plain loop: the same ends, in the order of the starts, whatever the chunk."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from long_rows import some
from precipice._checks import InputError
from precipice.dynamics import Descent, GradientNoise, LossBelow, gradient_descent, settle, simulate
from precipice.problems import AbstractProblem, ScalarNetwork
from precipice.results import Status, StopReason

LR, EVERY, BUDGET, TOLERANCE = 0.2, 16, 480, 1e-12
PROBLEM = ScalarNetwork((2, 2), 0.25)
PROCESS = Descent(PROBLEM, gradient_descent(LR))


def grid(num):
    x, y = np.meshgrid(np.linspace(0.05, 4, num), np.linspace(0.05, 4, num))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def settled(starts, **options):
    options = {"num_steps": BUDGET, "check_every": EVERY, "converged": LossBelow(TOLERANCE)} | options
    return settle(options.pop("process", PROCESS), starts, key=jax.random.key(0), **options)


def plainly(x, y):
    """One trajectory in Python floats: (x, y, steps, reason), asked every EVERY steps."""
    for step in range(0, BUDGET, EVERY):
        before, loss = (x, y), 0.0
        for _ in range(EVERY):
            loss, r = (1 - x * x * y * y) ** 2 / 4, LR * (x * x * y * y - 1)
            x, y = x - r * x * y * y, y - r * x * x * y
        if not (np.isfinite(x) and np.isfinite(y)):
            return *before, step, StopReason.DIVERGED
        if loss <= TOLERANCE:
            return x, y, step + EVERY, StopReason.VALUE_REACHED
    return x, y, BUDGET, StopReason.STEPS_SPENT


@pytest.fixture(scope="module")
def expected():
    with np.errstate(all="ignore"):
        return [plainly(np.float64(x), np.float64(y)) for x, y in grid(30)]


@pytest.mark.parametrize("chunk", some([1, 64, 512, 4096], 64, 4096))
def test_ends_are_those_of_a_plain_loop(expected, chunk):
    starts = grid(30) if chunk > 1 else grid(30)[::60]
    wanted = expected if chunk > 1 else expected[::60]
    found = settled(starts, chunk=chunk)
    reasons = np.array([int(end[3]) for end in wanted])
    assert set(reasons) == {StopReason.VALUE_REACHED, StopReason.DIVERGED, StopReason.STEPS_SPENT} or chunk == 1
    np.testing.assert_array_equal(found.stop_reason, reasons)
    np.testing.assert_array_equal(found.step, [end[2] for end in wanted])
    diverged = reasons == StopReason.DIVERGED
    np.testing.assert_array_equal(found.status, np.where(diverged, Status.DIVERGED, Status.DONE))
    calm = np.array([end[:2] for end in wanted])[reasons == StopReason.VALUE_REACHED]
    np.testing.assert_allclose(found.params[reasons == StopReason.VALUE_REACHED], calm, rtol=1e-9)
    assert np.all(np.isfinite(found.params))


def test_elementwise_results_do_not_depend_on_order_or_company():
    starts, order = grid(12), np.random.default_rng(0).permutation(144)
    one, other = settled(starts, chunk=32), settled(starts[order], chunk=64)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a[order], b)


def test_a_converged_trajectory_is_that_of_simulate():
    start = np.array([[2.6, 0.3]])
    found = settled(start)
    process = Descent(PROBLEM, gradient_descent(LR), start=jnp.array(start[0]))
    run = simulate(process, key=jax.random.key(0), num_steps=int(found.step[0]), every=int(found.step[0]))
    np.testing.assert_allclose(found.params[0], run.state.params, rtol=1e-14)


def test_each_trajectory_draws_its_own_noise():
    found = settled(np.full((3, 2), 1.0), process=GradientNoise(PROBLEM, LR, 0.01), converged=LossBelow(0.0))
    assert len({tuple(params) for params in found.params}) == 3
    assert set(found.stop_reason) == {StopReason.STEPS_SPENT}


class Named(eqx.Module):
    """Settled when the first entry is at least a number."""

    height: jax.Array

    def __call__(self, state):
        return state.params[0] >= self.height


def test_a_criterion_of_ones_own():
    found = settled(grid(5), converged=Named(jnp.array(1.0)))
    reached = found.stop_reason == StopReason.VALUE_REACHED
    assert np.all(found.params[reached, 0] >= 1)
    assert np.all(found.params[~reached & (found.status == Status.DONE), 0] < 1)


def test_whole_numbers_as_starts():
    x = np.array([[1, 2], [2, 1], [3, 0]])
    for a, b in zip(settled(x), settled(x.astype(float)), strict=True):
        np.testing.assert_array_equal(a, b)


def entries(state):
    """A criterion that answers for each entry."""
    return state.params > 1


class NoisyMemory(eqx.Module):
    """An optax transformation with a key in its memory."""

    def init(self, params):
        return optax.add_noise(0.01, 0.5, jax.random.key(1)).init(params)

    def update(self, gradient, memory, params):
        update, memory = optax.add_noise(0.01, 0.5, jax.random.key(1)).update(gradient, memory, params)
        return jax.tree.map(lambda g: -LR * g, update), memory


@pytest.mark.parametrize("impl", some(["threefry2x32", "rbg"], "rbg"))
def test_keys_of_any_kind_anywhere_in_the_state(impl):
    key = jax.random.key(0, impl=impl)
    process = Descent(PROBLEM, NoisyMemory())
    options = {"num_steps": 64, "check_every": 16, "converged": LossBelow(0.0)}
    found = settle(process, np.ones((40, 2)), key=key, chunk=16, **options)
    assert set(found.stop_reason) == {StopReason.STEPS_SPENT}
    start = Descent(PROBLEM, NoisyMemory(), start=jnp.ones(2))
    run = simulate(start, key=key, num_steps=64, every=64)
    np.testing.assert_allclose(found.params, np.tile(run.state.params, (40, 1)), rtol=1e-12)


TRACES = []


class Counted(AbstractProblem):
    """The degree-4 network; how often its loss is traced is counted."""

    weight: jax.Array

    def init(self, key):
        return PROBLEM.init(key)

    def loss(self, params, batch=None):
        TRACES.append(1)
        return self.weight * (1 - (params[0] * params[1]) ** 2) ** 2


def test_new_starts_rates_and_budgets_do_not_recompile():
    counts = []
    for i in range(3):
        process = Descent(Counted(jnp.array(0.25)), gradient_descent(LR + 0.01 * i))
        settled(grid(4) + 0.01 * i, process=process, num_steps=BUDGET - EVERY * i, chunk=16)
        counts.append(len(TRACES))
    assert counts[0] == counts[2]


@pytest.mark.parametrize(
    ("starts", "options", "words"),
    [
        (np.zeros((0, 2)), {}, r"^starts must have one leading axis of at least one start; got lengths \[0\]\.$"),
        (np.array(1.0), {}, r"^starts must have one leading axis of at least one start; got lengths \[0\]\.$"),
        (np.array([[np.nan, 1.0]]), {}, r"^starts must be finite; got NaN or inf\.$"),
        (np.ones((4, 3)), {}, r"^each start must have the shape of the process's parameters, \(2,\); got \(3,\)\.$"),
        (np.ones((1, 2)), {"num_steps": 17}, r"^num_steps must be a multiple of check_every \(16\); got 17\.$"),
        (
            np.ones((1, 2)),
            {"num_steps": 16 * 2**31},
            r"^num_steps must be at most 2147483647 \(what 32 bits hold\); got",
        ),
        (np.ones((1, 2)), {"converged": entries}, r"^converged must return one bool for one state; got "),
        (np.ones((1, 2)), {"chunk": 3}, r"^chunk must be a power of two; got 3\.$"),
    ],
)
def test_bad_input(starts, options, words):
    with pytest.raises(InputError, match=words):
        settled(starts, **options)
