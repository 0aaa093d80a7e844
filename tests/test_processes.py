"""Processes against descent by hand in numpy, `simulate` against a Python loop, and runs that diverge."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.typing import DTypeLike

from cases import PROBLEMS, PROCESSES
from oracles import TRACES, Counted, Quadratic, point
from precipice import dynamics, problems
from precipice._checks import InputError
from precipice.dynamics import Descent, Optimiser, gradient_descent, simulate
from precipice.results import Status

each_process = pytest.mark.parametrize("name", PROCESSES)
LR = 0.1


def problem_of(dtype: DTypeLike = np.float64) -> problems.Supervised:
    return PROBLEMS["half squared"](dtype=dtype)


def process_of(name, lr=LR, dtype: DTypeLike = np.float64):
    problem = problem_of(dtype)
    return Descent(problem, PROCESSES[name].optimiser(lr), start=point(problem))


def numpy_gradient(theta, x, y):
    """Loss and gradient of the tanh network 3-4-2 under half squared error, by backpropagation on paper."""
    b1, w1, b2, w2 = np.split(theta, [4, 16, 18])
    w1, w2 = w1.reshape(3, 4), w2.reshape(4, 2)
    h = np.tanh(x @ w1 + b1)
    residual = h @ w2 + b2 - y
    back = residual @ w2.T * (1 - h**2)
    parts = (back.sum(0), x.T @ back, residual.sum(0), h.T @ residual)
    return 0.5 * np.sum(residual**2) / len(x), np.concatenate([p.ravel() for p in parts]) / len(x)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def numpy_run(name, num_steps, lr=LR):
    """(parameters, losses before each step)."""
    problem = problem_of()
    x, y = np.asarray(problem.data.x), np.asarray(problem.data.y)
    theta, losses = flat(point(problem)), []
    memory = np.zeros((2, theta.size))
    for step in range(1, num_steps + 1):
        loss, gradient = numpy_gradient(theta, x, y)
        theta, memory = PROCESSES[name].step(theta, gradient, memory, lr, step)
        losses.append(loss)
    return theta, np.array(losses)


def steps_of(process, num_steps):
    """The states of a Python loop of compiled steps."""
    states = [process.init(jax.random.key(0))]
    step = eqx.filter_jit(lambda p, s: p.step(s))
    for _ in range(num_steps):
        states.append(step(process, states[-1]))
    return states


# The battery --------------------------------------------------------------------------------------------------------


@each_process
def test_twenty_steps_equal_numpy(name):
    states = steps_of(process_of(name), 20)
    theta, losses = numpy_run(name, 20)
    np.testing.assert_allclose(flat(states[-1].params), theta, rtol=1e-11)
    np.testing.assert_allclose([s.loss for s in states[1:]], losses, rtol=1e-11)
    assert np.isnan(states[0].loss)
    assert [int(s.step) for s in states] == list(range(21))


@each_process
def test_simulate_equals_a_loop_bit_by_bit(name):
    process = process_of(name)
    run = simulate(process, key=jax.random.key(0), num_steps=12, every=4, probes=(lambda s: {"loss": s.loss},))
    states = steps_of(process, 12)
    np.testing.assert_array_equal(flat(run.state.params), flat(states[-1].params))
    np.testing.assert_array_equal(run.saved["loss"], [states[i].loss for i in (0, 4, 8, 12)])
    np.testing.assert_array_equal(run.step, [0, 4, 8, 12])
    assert (int(run.status), int(run.diverged_at)) == (Status.DONE, -1)


@each_process
def test_float32_stays_float32(name):
    process = process_of(name, dtype=np.float32)
    before, after = steps_of(process, 2)[::2]
    dtypes = [[leaf.dtype for leaf in jax.tree.leaves((s.params, s.memory, s.loss))] for s in (before, after)]
    assert dtypes[0] == dtypes[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(flat(after.params), numpy_run(name, 2)[0], atol=1e-5)


@each_process
def test_vmap_over_learning_rates_in_jit(name):
    """Each lane equals its own numpy run; a learning rate that is traced is no constant."""
    rates = jnp.array([0.01, 0.1, 0.3])

    @jax.jit
    def final(rates):
        def one(lr):
            return simulate(process_of(name, lr), key=jax.random.key(0), num_steps=6, every=3).state.params

        return jax.vmap(one)(rates)

    lanes = final(rates)
    for i, lr in enumerate(rates):
        lane = jax.tree.map(lambda a, i=i: a[i], lanes)
        np.testing.assert_allclose(flat(lane), numpy_run(name, 6, float(lr))[0], rtol=1e-10)


@each_process
def test_grad_in_the_learning_rate(name):
    """The loss after six steps has the derivative in lr that central differences see."""

    @jax.jit
    def final_loss(lr):
        process = process_of(name, lr)
        run = simulate(process, key=jax.random.key(0), num_steps=6, every=6)
        return process.problem.loss(run.state.params)

    wanted = (final_loss(LR + 1e-6) - final_loss(LR - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.jit(jax.grad(final_loss))(LR), wanted, rtol=1e-6)


@each_process
def test_a_process_is_a_pytree(name):
    process = process_of(name)
    leaves, structure = jax.tree.flatten(process)
    state = process.init(jax.random.key(0))
    got = jax.tree.unflatten(structure, leaves).step(state)
    np.testing.assert_array_equal(flat(got.params), flat(process.step(state).params))


# Starts, keys and probes --------------------------------------------------------------------------------------------


def test_the_start_is_drawn_with_the_key():
    process = Descent(problem_of(), gradient_descent(LR))
    one, same, other = (process.init(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(flat(one.params), flat(same.params))
    assert not np.allclose(flat(one.params), flat(other.params))
    assert not np.array_equal(jax.random.key_data(one.key), jax.random.key_data(jax.random.key(1)))


def test_probes_see_the_state_of_their_step():
    process = process_of("gradient descent")
    probes = (lambda s: {"count": s.step, "first": flat_jax(s.params)[0]}, lambda s: {"two": jnp.full(2, s.step)})
    run = simulate(process, key=jax.random.key(0), num_steps=6, every=2, probes=probes)
    states = steps_of(process, 6)
    np.testing.assert_array_equal(run.saved["count"], [0, 2, 4, 6])
    np.testing.assert_array_equal(run.saved["first"], [flat(states[i].params)[0] for i in (0, 2, 4, 6)])
    assert run.saved["two"].shape == (4, 2)


def flat_jax(params):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])


def test_five_learning_rates_compile_once():
    problem = Counted(problem_of())
    counts, ends = [TRACES["loss"]], set()
    for lr in (0.01, 0.02, 0.03, 0.04, 0.05):
        process = Descent(problem, gradient_descent(lr))
        ends.add(flat(simulate(process, key=jax.random.key(0), num_steps=4, every=2).state.params)[0])
        counts.append(TRACES["loss"])
    assert counts[1] > counts[0]
    assert counts[1:] == [counts[1]] * 5
    assert len(ends) == 5


# The edge -----------------------------------------------------------------------------------------------------------


def quadratic_run(lr, num_steps=400, every=40):
    process = Descent(Quadratic(jnp.array([1.0, 10.0])), gradient_descent(lr))
    return simulate(process, key=jax.random.key(0), num_steps=num_steps, every=every, probes=(loss_probe(process),))


def loss_probe(process):
    return lambda state: {"loss": process.problem.loss(state.params)}


def test_below_the_edge_the_loss_falls_and_above_it_grows():
    below, above = quadratic_run(0.98 * 2 / 10), quadratic_run(1.02 * 2 / 10)
    assert np.all(np.diff(below.saved["loss"]) < 0)
    assert np.all(np.diff(above.saved["loss"]) > 0)
    assert int(below.status) == int(above.status) == Status.DONE
    factor = (1 - 0.98 * 2) ** 40
    np.testing.assert_allclose(below.saved["loss"][-1] / below.saved["loss"][-2], factor**2, rtol=1e-10)


def test_a_run_that_diverges_is_a_result():
    """p' = (1 - lr h) p with 1 - lr h = -9: the step at which the gradient 10 |p| passes the largest float is known."""
    run = quadratic_run(1.0)
    last = int(np.ceil(np.log(np.finfo(float).max / 10) / np.log(9)))
    assert int(run.status) == Status.DIVERGED
    assert int(run.diverged_at) == last == int(run.state.step)
    np.testing.assert_allclose(np.abs(run.state.params), [0, 9.0**last], rtol=1e-10)
    taken = np.asarray(run.step) <= last
    assert np.all(np.isnan(run.saved["loss"][~taken]))
    assert not np.any(np.isnan(run.saved["loss"][taken]))


def test_masks_of_whole_numbers_and_flags():
    process = Descent(Quadratic(jnp.array([10.0])), gradient_descent(1.0))
    probes = (lambda s: {"step_seen": s.step, "is_late": s.step > 100},)
    run = simulate(process, key=jax.random.key(0), num_steps=400, every=200, probes=probes)
    np.testing.assert_array_equal(run.saved["step_seen"], [0, 200, -1])
    np.testing.assert_array_equal(run.saved["is_late"], [0, 1, -1])


def test_a_sweep_does_not_end_with_one_of_its_runs():
    rates = jnp.array([0.1, 1.0])
    curvatures = jnp.array([1.0, 10.0])

    def one(lr):
        return simulate(
            Descent(Quadratic(curvatures), gradient_descent(lr)), key=jax.random.key(0), num_steps=400, every=40
        )

    run = jax.jit(jax.vmap(one))(rates)
    np.testing.assert_array_equal(run.status, [Status.DONE, Status.DIVERGED])
    np.testing.assert_array_equal(run.state.step, [400, 322])
    np.testing.assert_allclose(run.state.params[0], [0.9**400, 0], atol=1e-25)


def test_a_nan_start_is_labelled():
    process = Descent(Quadratic(jnp.array([1.0])), gradient_descent(0.1), start=jnp.array([np.nan]))
    run = simulate(process, key=jax.random.key(0), num_steps=4, every=2)
    assert (int(run.status), int(run.diverged_at)) == (Status.DIVERGED, 0)


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_steps", "every", "words"),
    [
        (0, 1, r"^num_steps must be at least 1; got 0\.$"),
        (4, 0, r"^every must be at least 1; got 0\.$"),
        (5, 2, r"^num_steps must be a multiple of every \(2\); got 5\.$"),
    ],
)
def test_schedules_that_do_not_fit(num_steps, every, words):
    with pytest.raises(InputError, match=words):
        simulate(process_of("gradient descent"), key=jax.random.key(0), num_steps=num_steps, every=every)


def test_two_probes_of_one_name():
    probes = (lambda s: {"loss": s.loss}, lambda s: {"loss": s.loss})
    with pytest.raises(InputError, match=r"^each name must come from one probe; 'loss' comes from two\."):
        simulate(process_of("gradient descent"), key=jax.random.key(0), num_steps=2, every=1, probes=probes)


@pytest.mark.parametrize("lr", [0.0, -0.1, np.nan, np.inf])
def test_learning_rates_out_of_range(lr):
    with pytest.raises(InputError, match=r"^learning_rate must be positive and finite; got "):
        gradient_descent(lr)


def test_an_optimiser_without_update_is_refused():
    with pytest.raises(InputError, match=r"^optimiser must have init and update, as optax has; got str\.$"):
        Descent(problem_of(), "sgd")


def test_numbers_of_an_optimiser():
    made = Optimiser(optax.sgd, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True})
    assert made.numbers["nesterov"] is True
    assert isinstance(made.numbers["learning_rate"], jax.Array)
    dynamics.Descent(problem_of(), Optimiser(optax.sgd, {"learning_rate": optax.constant_schedule(0.1)}))
