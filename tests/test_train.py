"""`train` against a Python loop; stops, divergence, refusals, the display. Checkpoints: test_resume.py."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import PROCESSES
from oracles import TRACES, Counted, Quadratic
from precipice import dynamics, measures
from precipice._checks import InputError
from precipice._types import Tracker
from precipice.dynamics import Descent, gradient_descent, quiet, train
from precipice.problems import AbstractProblem
from precipice.results import Status, StopReason
from test_processes import flat, problem_of, process_of, steps_of

KEY = jax.random.key(0)


def run(process, *, num_steps=12, every=4, **options):
    return train(process, key=KEY, num_steps=num_steps, every=every, **{"progress": quiet, **options})


def tracked(process):
    """Options of a run with probes and trackers."""
    problem = process.problem
    return {
        "probes": (measures.accuracy(problem), measures.gradient_norm(problem)),
        "trackers": (
            measures.track_hessian(problem, key=jax.random.key(1)),
            measures.track_ntk(problem, key=jax.random.key(2), chunk_size=3),
        ),
    }


def dynamics_tracker(update):
    """A tracker whose memory starts at 0."""
    return Tracker(lambda state: jnp.zeros(()), update)


def assert_same(one, other):
    """Bit by bit."""
    for name in ("probe_step", "loss"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.saved.keys() == other.saved.keys()
    for name in one.saved:
        np.testing.assert_array_equal(one.saved[name], other.saved[name], err_msg=name)
        assert one.saved[name].dtype == other.saved[name].dtype
    np.testing.assert_array_equal(flat(one.state.params), flat(other.state.params))
    assert (one.status, one.stop_reason, one.diverged_at) == (other.status, other.stop_reason, other.diverged_at)
    np.testing.assert_array_equal(jax.random.key_data(one.state.key), jax.random.key_data(other.state.key))


# Steps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROCESSES)
def test_train_equals_a_loop_bit_by_bit(name):
    process = process_of(name)
    states = steps_of(process, 12)
    result = run(process)
    np.testing.assert_array_equal(flat(result.state.params), flat(states[-1].params))
    np.testing.assert_array_equal(result.loss, [s.loss for s in states[1:]])
    np.testing.assert_array_equal(result.probe_step, [0, 4, 8, 12])
    assert (result.status, result.stop_reason, result.diverged_at) == (Status.DONE, StopReason.STEPS_SPENT, -1)


@pytest.mark.parametrize("every", [1, 3, 12])
def test_the_schedule_changes_no_bit(every):
    process = process_of("heavy ball")
    whole, cut = run(process, every=4), run(process, every=every)
    np.testing.assert_array_equal(whole.loss, cut.loss)
    np.testing.assert_array_equal(flat(whole.state.params), flat(cut.state.params))


def test_train_equals_simulate_bit_by_bit():
    process = process_of("adam")
    probe = measures.gradient_norm(process.problem)
    trained = run(process, probes=(probe,))
    simulated = dynamics.simulate(process, key=KEY, num_steps=12, every=4, probes=(probe,))
    np.testing.assert_array_equal(flat(trained.state.params), flat(simulated.state.params))
    np.testing.assert_allclose(trained.saved["gradient_norm"], simulated.saved["gradient_norm"], rtol=1e-14)


def test_five_learning_rates_compile_once():
    """Blocks of steps, the first state and the probes."""
    problem = Counted(problem_of())
    counts, ends = [TRACES["loss"]], set()
    for lr in (0.01, 0.02, 0.03, 0.04, 0.05):
        process = Descent(problem, gradient_descent(lr))
        ends.add(float(run(process, probes=(measures.gradient_norm(problem),)).loss[-1]))
        counts.append(TRACES["loss"])
    assert counts[1] > counts[0]
    assert counts[1:] == [counts[1]] * 5
    assert len(ends) == 5


# Ends ---------------------------------------------------------------------------------------------------------------


def quadratic(lr=0.05):
    return Descent(Quadratic(jnp.array([1.0, 10.0])), gradient_descent(lr))


def accuracy_of_step(state):
    return {"accuracy": state.step / 10, "sharpness": jnp.array([1.0, 0.0]) * state.step.astype(float)}


@pytest.mark.parametrize(
    ("stop", "reason", "last"),
    [
        (dynamics.accuracy_at_least(0.75), StopReason.ACCURACY_REACHED, 8),
        (dynamics.at_least("sharpness", 4.0), StopReason.VALUE_REACHED, 4),
        (dynamics.at_least("sharpness", 0.0), StopReason.VALUE_REACHED, 0),
        (dynamics.at_least("sharpness", 99.0), StopReason.STEPS_SPENT, 12),
        (dynamics.loss_at_most(0.25), StopReason.LOSS_REACHED, 8),
    ],
)
def test_stops(stop, reason, last):
    """The loss before step t is 0.5 (0.95^2t + 10 0.5^2t), so it is below 0.25 from t = 7 on."""
    result = run(quadratic(), probes=(accuracy_of_step,), stops=(stop,))
    assert (result.status, result.stop_reason, int(result.state.step)) == (Status.DONE, reason, last)
    assert len(result.loss) == last
    assert list(result.probe_step) == list(range(0, last + 1, 4))
    assert result.loss.dtype == jnp.float64


def test_a_diverging_run_ends_as_a_result():
    result = run(quadratic(1.0), num_steps=1000, every=50, probes=(accuracy_of_step,))
    assert (result.status, result.stop_reason) == (Status.DIVERGED, StopReason.DIVERGED)
    assert result.diverged_at == int(result.state.step) == 322  # test_processes.py derives it
    np.testing.assert_allclose(np.abs(result.state.params), [0, 9.0**322], rtol=1e-10)
    assert list(result.probe_step) == list(range(0, 301, 50))
    assert len(result.loss) == 323
    np.testing.assert_allclose(result.loss[10], 5 * 81.0**10)


class Quartic(AbstractProblem):
    """sum p^4: descent from 2 at lr 1 goes -30, 1e5, -6e15, 8e47, -2e144, and there 12 p^2 v overflows when squared."""

    def init(self, key):
        return 2 * jnp.ones(2)

    def loss(self, params, batch=None):
        return jnp.sum(params**4)


@pytest.mark.parametrize("every", [1, 5])
def test_curvature_that_overflows_at_finite_parameters_is_divergence(every, tmp_path):
    problem = Quartic()
    options = {"trackers": (measures.track_hessian(problem, key=KEY, num=1),), "checkpoint": tmp_path / "c.npz"}
    first, resumed = (
        run(Descent(problem, gradient_descent(1.0)), num_steps=20, every=every, **options) for _ in range(2)
    )
    assert (first.status, first.stop_reason) == (Status.DIVERGED, StopReason.DIVERGED)
    assert first.diverged_at == int(first.state.step) == 5
    assert np.isfinite(first.state.params).all()
    assert list(first.probe_step) == list(range(0, 5, every))
    assert np.isfinite(first.saved["hessian_eigenvalue"]).all()
    assert_same(first, resumed)


def test_curvature_that_is_not_finite_at_the_start_is_bad_input():
    problem = Quartic()
    process = Descent(problem, gradient_descent(1.0), start=jnp.full(2, 1e100))
    with pytest.raises(InputError, match=r"^products of an operator must be finite; got NaN or inf"):
        run(process, trackers=(measures.track_hessian(problem, key=KEY, num=1),))


def test_losses_before_each_step():
    result = run(quadratic())
    t = np.arange(12)
    np.testing.assert_allclose(result.loss, 0.5 * (0.95 ** (2 * t) + 10 * 0.5 ** (2 * t)), rtol=1e-12)


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_start_that_is_not_finite(bad):
    process = Descent(Quadratic(jnp.ones(2)), gradient_descent(0.1), start=jnp.array([1.0, bad]))
    with pytest.raises(InputError, match=r"^parameters must be finite at the start of a training; got NaN or inf\.$"):
        run(process)


def test_a_probe_and_a_tracker_of_one_name():
    tracker = dynamics_tracker(lambda state, memory: ({"accuracy": memory}, memory))
    with pytest.raises(
        InputError, match=r"^each name must come from one probe or tracker; 'accuracy' comes from two\.$"
    ):
        run(quadratic(), probes=(accuracy_of_step,), trackers=(tracker,))


def test_a_schedule_that_does_not_fit():
    with pytest.raises(InputError, match=r"^num_steps must be a multiple of every \(5\); got 12\.$"):
        run(quadratic(), every=5)


def test_a_stop_without_its_probe():
    with pytest.raises(InputError, match=r"^a stop needs a probe that returns 'accuracy'; the probes return \['loss'"):
        run(quadratic(), stops=(dynamics.accuracy_at_least(0.9),))


@pytest.mark.parametrize("value", [0.0, 1.1])
def test_an_accuracy_out_of_range(value):
    with pytest.raises(InputError, match=r"^accuracy to stop at must lie in \(0, 1\]; got "):
        dynamics.accuracy_at_least(value)


# Progress -----------------------------------------------------------------------------------------------------------


def test_progress_is_told_the_steps_and_the_live_sharpness():
    told = []

    @contextlib.contextmanager
    def progress(title, total):
        told.append((title, total))
        yield lambda done, text: told.append((done, text))

    process = process_of("gradient descent")
    result = run(process, **tracked(process), title="a run", progress=progress)
    assert told[0] == ("a run", 12)
    assert [done for done, _ in told[1:]] == [0, 4, 8, 12]
    assert f"sharpness {result.saved['hessian_eigenvalue'][-1, 0]:.4g}" in told[-1][1]
    assert f"NTK {result.saved['ntk_eigenvalue'][-1, 0]:.4g}" in told[-1][1]
    assert f"loss {result.loss[-1]:.3g}" in told[-1][1]


def test_a_bar_without_a_terminal_writes_nothing_for_a_short_run(capfd):
    run(quadratic(), progress=dynamics.bar)
    assert capfd.readouterr() == ("", "")
