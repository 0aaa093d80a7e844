"""Writers killed with SIGKILL: after each kill the store opens whole, as the dataset before or the one after.

This file, run as a program, is a server that forks one writer for each line it reads and says how the writer
ended. It imports xarray and zarr once and never JAX, so that a fork costs milliseconds. Two ways to die: at
random moments, sent by the test; and just before the n-th change of a file, for every n, by an audit hook.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray

from precipice import results
from precipice.results import swap

CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir"}


def dataset(which):
    """Two datasets that share no number, no variable's shape and no attribute's value."""
    n = 3 + which
    return xarray.Dataset(
        {"loss": ("step", np.full(n, 1.0 + which)), "edge": 10.0 + which},
        coords={"step": np.arange(n) + 100 * which},
        attrs={"study": f"study {which}", "store_version": 1},
    )


def save(kind, which, path):
    if kind == "checkpoint":
        results.save_checkpoint(path, {"x": np.full(300_000 + which, which)}, {"which": which})
        return
    results.save(dataset(which), path)


def which_is_there(kind, path):
    """0 or 1; anything that is neither dataset to the last number fails."""
    if kind == "checkpoint":
        arrays, meta = results.load_checkpoint(path)
        np.testing.assert_array_equal(arrays["x"], np.full(300_000 + meta["which"], meta["which"]))
        return meta["which"]
    found = results.open(path)
    which = int(found.attrs["study"][-1])
    xarray.testing.assert_identical(found, dataset(which))
    return which


# --- the server


def die_before_change(nth, folder):
    """Kill this process just before its n-th change below `folder`."""
    left = [nth]

    def hook(event, args):
        is_open = event == "open" and str(args[0]).startswith(folder) and args[2] & (os.O_WRONLY | os.O_CREAT)
        if event in CHANGES or is_open:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def write(order):
    kind, path, which = order["kind"], order["path"], order["which"]
    if kind == "two renames":
        swap._exchange = lambda a, b: False
    if order["nth"]:
        die_before_change(order["nth"], str(Path(path).parent))
        save(kind, which, path)
        return
    while True:
        save(kind, which, path)
        which = 1 - which


def say(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def serve():
    for module in ("xarray.backends.zarr", "zarr.buffer.cpu", "zarr.codecs", "zarr.storage"):
        importlib.import_module(module)  # now, not in every writer
    assert "jax" not in sys.modules
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write(json.loads(line))
            os._exit(0)
        say(child)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


# --- the tests


@pytest.fixture(scope="module")
def server():
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # forking a process with threads is a risk
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | alone,
        start_new_session=True,
    )
    with process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)  # and the writer, if a test failed while it wrote


def start(server, kind, path, which, nth=0):
    server.stdin.write(json.dumps({"kind": kind, "path": str(path), "which": which, "nth": nth}) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def end(server):
    return int(server.stdout.readline())


def no_leftovers(kind, path):
    save(kind, 0, path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["exchange", "two renames", "checkpoint"])
def test_killed_at_random_moments(server, tmp_path, kind):
    path, rng = tmp_path / "a.zarr", np.random.default_rng(0)
    save(kind, 1, path)
    begun = time.monotonic()
    save(kind, 0, path)
    one_save = time.monotonic() - begun
    found, kills = [], 0
    while kills < 20 or (set(found) != {0, 1} and kills < 100):  # on a busy machine a save takes longer than the first
        child = start(server, kind, path, which=1 - which_is_there(kind, path))
        stop = time.monotonic() + one_save * rng.uniform(0.5, 5.0) * (1 + kills // 20)
        kills += 1
        while time.monotonic() < stop:
            found.append(which_is_there(kind, path))  # a reader never sees a store half written either
        os.kill(child, signal.SIGKILL)
        assert end(server) == -signal.SIGKILL
        found.append(which_is_there(kind, path))
    assert set(found) == {0, 1}
    assert len(found) >= 40
    no_leftovers(kind, path)


@pytest.mark.parametrize(
    ("kind", "fewest"),
    [("exchange", 30), ("two renames", 30), ("checkpoint", 2)],
)
def test_killed_before_every_change_of_a_file(server, tmp_path, kind, fewest):
    path = tmp_path / "a"
    save(kind, 0, path)
    before, code, changed, absent = 0, -signal.SIGKILL, [], 0
    while code:
        start(server, kind, path, which=1 - before, nth=len(changed) + 1)
        code = end(server)
        absent += not path.exists()
        after = which_is_there(kind, path)
        changed.append(after != before)
        before = after
        assert code in (0, -signal.SIGKILL)
    assert len(changed) > fewest
    assert changed[-1]  # the last writer was not killed
    assert not changed[0]
    assert absent == (1 if kind == "two renames" else 0)
    no_leftovers(kind, path)


if __name__ == "__main__":
    serve()
