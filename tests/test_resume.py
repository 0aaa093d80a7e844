"""Runs that were interrupted, by an exception or by SIGKILL, and resumed: the numbers of an uninterrupted one."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from precipice import problems
from precipice._checks import InputError
from precipice.dynamics import CheckpointFile, CheckpointFolder, Descent, gradient_descent
from precipice.results import StoreError, load_checkpoint, save_checkpoint
from test_processes import process_of
from test_train import accuracy_of_step, assert_same, dynamics_tracker, quadratic, run, tracked

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


def folder(path):
    """An Orbax checkpoint; its package is an extra."""
    pytest.importorskip("orbax.checkpoint")
    return CheckpointFolder(path)


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


@pytest.mark.parametrize("place", [CheckpointFile, folder])
def test_a_file_and_a_folder_keep_the_same(place, tmp_path):
    options = {"probes": (accuracy_of_step,), "checkpoint_seconds": 0.0, "checkpoint": place(tmp_path / "run")}
    with pytest.raises(Interrupted):
        run(quadratic(), **options, progress=stopped_at(8))
    assert options["checkpoint"].exists()
    assert_same(run(quadratic(), probes=(accuracy_of_step,)), run(quadratic(), **options))


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


def test_a_folder_of_another_run_is_refused(tmp_path):
    kept = folder(tmp_path / "run")
    run(quadratic(), checkpoint=kept, fingerprint="a")
    with pytest.raises(InputError, match=r"^a checkpoint must belong to the same run to be resumed; .* holds another"):
        run(quadratic(), checkpoint=kept, fingerprint="b")
    with pytest.raises(InputError, match=r"^a checkpoint must belong to the same run to be resumed"):
        run(process_of("heavy ball"), checkpoint=kept, fingerprint="a")
    with pytest.raises(InputError, match=r"^keep must be at least 1; got 0\.$"):
        CheckpointFolder(tmp_path, keep=0)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "run.npz"
    run(quadratic(), checkpoint=path)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[: {"cut": len(data) // 2, "flipped": None, "empty": 0}[damage]])
    with pytest.raises(StoreError, match=r"remove it and start again \(precipice run --fresh does\)\.$"):
        run(quadratic(), checkpoint=path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    save_checkpoint(path, {"x": np.ones(3)}, {"fingerprint": ""})
    with pytest.raises(InputError, match=r"holds another: 0 arrays, where this run's .* have \d+\.$"):
        run(quadratic(), checkpoint=path)


# A real kill --------------------------------------------------------------------------------------------------------


def digits_run(path, num_steps=120):
    """A real network on digits with both spectra, a checkpoint at every measurement."""
    data = problems.digits(100, preprocess=problems.standardise_pixels, dtype=np.float64)
    problem = problems.Supervised(problems.FullyConnected((64, 8, 10)), data, problems.mean_half_squared_error)
    process = Descent(problem, gradient_descent(0.2))
    return run(process, num_steps=num_steps, every=5, checkpoint=path, checkpoint_seconds=0.0, **tracked(process))


def test_a_run_killed_by_the_system_is_resumed_with_the_same_numbers(tmp_path):
    path = tmp_path / "run.npz"
    code = f"import conftest, test_resume; test_resume.digits_run(__import__('pathlib').Path({str(path)!r}))"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, env=os.environ | {"PYTHONPATH": "."}
    )
    while not path.exists() or len(load_checkpoint(path)[0]["record_probe_step"]) < 3:
        assert child.poll() is None, "the writer ended by itself"
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -9, "the writer was done before it was killed"
    assert 3 <= len(load_checkpoint(path)[0]["record_probe_step"]) < 25
    assert_same(digits_run(tmp_path / "whole.npz"), digits_run(path))
