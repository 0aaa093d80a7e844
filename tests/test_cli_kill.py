"""`precipice run` killed with SIGKILL: it leaves the old store or a resumable run, and the same bits in the end."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray

from precipice import results

SETTINGS = {
    "dataset": "digits",
    "num_examples": 100,
    "width": 8,
    "num_steps": 200,
    "num_steps_other": 200,
    "every": 5,
    "seeds": 1,
    "seeds_other": 1,
}
RUN = ("run", "shapira2023/fig1", *(word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")))
STORE = "shapira2023-fig1.zarr"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One thread, and compiled code kept from run to run: a start then takes three seconds, not ten."""
    return os.environ | {
        "NPROC": "1",
        "JAX_PLATFORMS": "cpu",
        "PRECIPICE_DATA": str(tmp_path_factory.mktemp("data")),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def start(environment, out):
    """The run as a process of its own, with a checkpoint at every measurement."""
    command = [sys.executable, "-m", "precipice", *RUN, "--out", str(out), "--checkpoint-seconds", "0"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(environment, out):
    """Run to the end; returns what was said."""
    process = start(environment, out)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert sorted(path.name for path in out.iterdir()) == ["shapira2023-fig1.png", STORE]
    return said


@pytest.fixture(scope="module")
def undisturbed(environment, tmp_path_factory):
    """The dataset of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    finish(environment, out)
    return results.open(out / STORE)


def kill(process, ready, seconds):
    """Kill the run `seconds` after `ready()` was first true; it must not have ended before."""
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -9, said


def checkpoints(out):
    return sum(path.stat().st_size for path in out.glob(".*.partial/*.npz"))


def steps_kept(out):
    """How many steps the checkpoints of a killed run hold; each is read and checked."""
    (partial,) = out.glob(".shapira2023-fig1-*.partial")
    kept = [results.load_checkpoint(path)[0] for path in partial.glob("*.npz")]
    return sum(len(arrays.get("losses", ())) for arrays in kept)


def same_bits(dataset, undisturbed):
    for name in undisturbed.data_vars:
        np.testing.assert_array_equal(dataset[name].values, undisturbed[name].values, err_msg=str(name))
        assert dataset[name].dtype == undisturbed[name].dtype


@pytest.mark.long
def test_killed_before_and_while_it_trains(environment, undisturbed, tmp_path):
    rng = random.Random(0)
    kill(start(environment, tmp_path), lambda: True, rng.uniform(0.0, 1.5))  # it is still importing
    assert not (tmp_path / STORE).exists()
    kept = [0]
    for _ in range(2):
        before = checkpoints(tmp_path)
        process = start(environment, tmp_path)
        kill(process, lambda before=before: checkpoints(tmp_path) > before, rng.uniform(0.0, 0.3))
        assert not (tmp_path / STORE).exists()
        kept.append(steps_kept(tmp_path))
    assert 0 <= kept[0] <= kept[1] < kept[2]
    assert "continuing the interrupted run in" in finish(environment, tmp_path)
    same_bits(results.open(tmp_path / STORE), undisturbed)


@pytest.mark.long
def test_killed_while_it_trains_and_while_it_saves_over_an_old_store(environment, undisturbed, tmp_path):
    old = xarray.Dataset({"edge": 8.0}, attrs={"study": "old"})
    results.save(old, tmp_path / STORE)
    inode = (tmp_path / STORE).stat().st_ino
    kill(start(environment, tmp_path), lambda: checkpoints(tmp_path) > 0, random.Random(1).uniform(0.0, 0.3))
    xarray.testing.assert_identical(results.open(tmp_path / STORE).drop_attrs(), old.drop_attrs())
    being_saved = f".{STORE}.tmp-*/**/*"
    saving = lambda: any(tmp_path.glob(being_saved)) or (tmp_path / STORE).stat().st_ino != inode  # noqa: E731
    kill(start(environment, tmp_path), saving, 0.0)
    found = results.open(tmp_path / STORE)
    if found.attrs["study"] == "old":
        xarray.testing.assert_identical(found.drop_attrs(), old.drop_attrs())
    else:
        same_bits(found, undisturbed)
    assert steps_kept(tmp_path) == 400
    assert "continuing the interrupted run in" in finish(environment, tmp_path)
    same_bits(results.open(tmp_path / STORE), undisturbed)
