"""`train` against a Python loop; stops, divergence, checkpoints, and runs that were interrupted and resumed."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import PROCESSES
from oracles import TRACES, Counted, Quadratic
from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.dynamics import Descent, gradient_descent, quiet, train
from precipice.results import Status, StopReason, StoreError, load_checkpoint, save_checkpoint
from test_processes import flat, process_of, steps_of

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
    problem = Counted(process_of("gradient descent").problem)
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


def test_losses_before_each_step():
    result = run(quadratic())
    t = np.arange(12)
    np.testing.assert_allclose(result.loss, 0.5 * (0.95 ** (2 * t) + 10 * 0.5 ** (2 * t)), rtol=1e-12)


# Interruptions ------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def stopped_at(step):
    """A progress display that raises once `step` steps are done."""

    @contextlib.contextmanager
    def progress(title, total):
        def report(done, text):
            if done >= step:
                raise Interrupted

        yield report

    return progress


@pytest.mark.parametrize("name", ["heavy ball", "adam"])
def test_a_resumed_run_has_the_numbers_of_an_uninterrupted_one(name, tmp_path):
    process = process_of(name)
    options = {"num_steps": 24, **tracked(process)}
    whole = run(process, **options)
    kept = {**options, "checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0, "fingerprint": "f"}
    for step in (8, 16, 16):
        with pytest.raises(Interrupted):
            run(process, **kept, progress=stopped_at(step))
    resumed = run(process, **kept)
    assert_same(whole, resumed)
    assert_same(whole, run(process, **kept))  # a complete one is read, not run


def test_an_interruption_within_a_probe(tmp_path):
    process, left = process_of("heavy ball"), [3]

    def failing(state, memory):
        left[0] -= 1
        if left[0] == 0:
            raise Interrupted
        return {"sharpness": state.loss}, memory

    whole = run(process, **tracked(process))
    path = tmp_path / "run.npz"
    options = tracked(process)
    flaky = {**options, "trackers": (*options["trackers"], dynamics_tracker(failing))}
    with pytest.raises(Interrupted):
        run(process, **flaky, checkpoint=path, checkpoint_seconds=0.0)
    resumed = run(process, **flaky, checkpoint=path, checkpoint_seconds=0.0)
    resumed.saved.pop("sharpness")
    assert_same(whole, resumed)


def dynamics_tracker(update):
    from precipice._types import Tracker

    return Tracker(lambda state: jnp.zeros(()), update)


def test_the_memory_of_trackers_is_in_the_checkpoint(tmp_path):
    """A tracker that counts its own calls goes on counting."""

    def count(state, memory):
        return {"sharpness": memory}, memory + 1

    options = {"trackers": (dynamics_tracker(count),), "checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    with pytest.raises(Interrupted):
        run(quadratic(), **options, progress=stopped_at(8))
    np.testing.assert_array_equal(run(quadratic(), **options).saved["sharpness"], [0, 1, 2, 3])


def test_a_diverged_run_is_resumed_as_it_ended(tmp_path):
    options = {"num_steps": 1000, "every": 50, "probes": (accuracy_of_step,), "checkpoint": tmp_path / "run.npz"}
    assert_same(run(quadratic(1.0), **options), run(quadratic(1.0), **options))


def test_a_checkpoint_is_written_when_it_is_due(tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(Interrupted):
        run(quadratic(), checkpoint=path, checkpoint_seconds=1e6, progress=stopped_at(8))
    assert not path.exists()
    run(quadratic(), checkpoint=path, checkpoint_seconds=1e6)
    assert load_checkpoint(path)[0]["record_probe_step"].tolist() == [0, 4, 8, 12]


@pytest.mark.parametrize("other", ["fingerprint", "network", "precision"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other):
    path = tmp_path / "run.npz"
    run(process_of("heavy ball"), checkpoint=path, fingerprint="a")
    process = process_of("heavy ball", dtype=np.float32 if other == "precision" else np.float64)
    process = process_of("adam") if other == "network" else process
    with pytest.raises(InputError, match=r"^a checkpoint must belong to the same run to be resumed; .* holds another"):
        run(process, checkpoint=path, fingerprint="b" if other == "fingerprint" else "a")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "run.npz"
    run(quadratic(), checkpoint=path)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[: {"cut": len(data) // 2, "flipped": None, "empty": 0}[damage]])
    with pytest.raises(StoreError, match=r"is cut, altered or no checkpoint; remove it and start again\.$"):
        run(quadratic(), checkpoint=path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    save_checkpoint(path, {"x": np.ones(3)}, {"fingerprint": ""})
    with pytest.raises(InputError, match=r"holds another\.$"):
        run(quadratic(), checkpoint=path)


# A real kill --------------------------------------------------------------------------------------------------------


def digits_run(path, num_steps=200):
    """A real network on digits with both spectra, a checkpoint at every measurement."""
    data = problems.digits(100, preprocess=problems.standardise_pixels, dtype=np.float64)
    problem = problems.Supervised(problems.FullyConnected((64, 8, 10)), data, problems.mean_half_squared_error)
    process = Descent(problem, gradient_descent(0.2))
    return run(process, num_steps=num_steps, every=5, checkpoint=path, checkpoint_seconds=0.0, **tracked(process))


def test_a_run_killed_by_the_system_is_resumed_with_the_same_numbers(tmp_path):
    path = tmp_path / "run.npz"
    code = f"import conftest, test_train; test_train.digits_run(__import__('pathlib').Path({str(path)!r}))"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, env=os.environ | {"PYTHONPATH": "."}
    )
    while not path.exists() or len(load_checkpoint(path)[0]["record_probe_step"]) < 3:
        assert child.poll() is None, "the writer ended by itself"
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -9, "the writer was done before it was killed"
    assert 3 <= len(load_checkpoint(path)[0]["record_probe_step"]) < 41
    assert_same(digits_run(tmp_path / "whole.npz"), digits_run(path))


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
