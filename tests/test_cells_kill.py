"""Many processes on one store of cells, and SIGKILL: nothing finished is lost, nothing else is computed twice.

This file, run as a program, is a server that forks one worker for each line it reads. It imports zarr once and
never JAX, so that a fork costs milliseconds.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray

from precipice.results import leases
from precipice.results.cells import CellStore, create_cells
from precipice.results.layout import CellVariable, Layout

CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir"}


def layout():
    """40 x 3 cells in 80 blocks."""
    loss = CellVariable("loss", ("step",), "float64", "1", "Loss by step.", "definition")
    count = CellVariable("count", (), "int64", "1", "Steps taken.", "definition")
    axes = {"lr": list(np.arange(40) / 40), "seed": range(3)}
    return Layout(axes, {"lr": 1, "seed": 2}, (loss, count), {"step": [0, 10]}, {"study": "demo"})


def commit(store, block, **how):
    shape, number = store.layout.block_shape(block), 10 * block[0] + block[1]
    loss = np.random.default_rng(number).normal(size=(*shape, 2))
    return store.commit(block, {"loss": loss, "count": np.full(shape, number)}, np.full(shape, np.int8(2)), **how)


def undisturbed(path):
    store = create_cells(path, layout())
    for block in store.blocks():
        assert commit(store, block)
    return store.dataset().load()


# --- the server


def work(path, log):
    """Fill the store; before each block say "begin" and after its commit "done" and whether it was ours."""
    store, said = CellStore(path), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for block in store.blocks():
        if store.claim(block):
            os.write(said, f"begin {block}\n".encode())
            fresh = commit(store, block)
            os.write(said, f"done {block} {fresh}\n".encode())


def die(path, nth):
    """Commit one block, but be killed just before the n-th change of a file below `path`."""
    store, left = CellStore(path), [nth]
    sys.addaudithook(hook(path, left))
    commit(store, (0, 0))


def hook(path, left):
    def count(event, args):
        is_open = event == "open" and str(args[0]).startswith(path) and args[2] & (os.O_WRONLY | os.O_CREAT)
        if event in CHANGES or is_open:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return count


def replace(path, nth):
    """Replace the first block, which failed, but be killed just before the n-th change of a file below `path`."""
    store, left = CellStore(path), [nth]
    sys.addaudithook(hook(path, left))
    commit(store, (0, 0), replace=True)


def say(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def serve():
    for module in ("zarr.buffer.cpu", "zarr.codecs", "zarr.storage", "precipice.results.masked", "google_crc32c"):
        importlib.import_module(module)  # now, not in every worker
    assert "jax" not in sys.modules
    for line in sys.stdin:
        name, *args = json.loads(line)
        if name == "wait":
            say(os.waitstatus_to_exitcode(os.waitpid(args[0], 0)[1]))
            continue
        child = os.fork()
        if child == 0:
            {"work": work, "die": die, "replace": replace}[name](*args)
            os._exit(0)
        say(child)


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
        os.killpg(process.pid, signal.SIGKILL)  # and the workers, if a test failed while they ran


def order(server, name, *args):
    server.stdin.write(json.dumps([name, *args]) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


def finished(log):
    return [line for line in lines(log) if line.startswith("done")]


@pytest.mark.parametrize("stale", [False, True])
def test_two_processes_share_a_store(server, tmp_path, stale):
    store = create_cells(tmp_path / "a", layout())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    holder = {"pid": dead.pid, "machine": leases._machine(), "token": "t", "lease": 60.0, "time": 0.0}
    for block in store.blocks() if stale else ():  # each is taken over, by one of the two
        (tmp_path / f"a/blocks/{block[0]}.{block[1]}.claim").write_text(json.dumps(holder))
    logs = [tmp_path / "0", tmp_path / "1"]
    workers = [order(server, "work", str(tmp_path / "a"), str(log)) for log in logs]
    assert [order(server, "wait", w) for w in workers] == [0, 0]
    said = [line for log in logs for line in finished(log)]
    assert sorted(said) == sorted(f"done {block} True" for block in store.blocks())
    assert sum(line.startswith("begin") for log in logs for line in lines(log)) == len(said)  # each once
    assert min(len(finished(log)) for log in logs) >= 5
    store.verify()
    xarray.testing.assert_identical(store.dataset().load(), undisturbed(tmp_path / "b"))


def test_killed_at_random_moments(server, tmp_path):
    store, log = create_cells(tmp_path / "a", layout()), tmp_path / "log"
    rng, after_commit = np.random.default_rng(0), 0
    for _ in range(10):
        before = len(lines(log))
        child = order(server, "work", str(tmp_path / "a"), str(log))
        wanted, deadline = before + rng.integers(1, 10), time.monotonic() + 20
        while len(lines(log)) < wanted and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
        assert order(server, "wait", child) == -signal.SIGKILL
        after_commit += any(line.startswith("done") for line in lines(log)[before:])
        assert {line[5:-5] for line in finished(log)} <= {str(block) for block in store.done()}
        store.verify()
    assert after_commit >= 5
    assert order(server, "wait", order(server, "work", str(tmp_path / "a"), str(log))) == 0
    assert store.done() == set(store.blocks())
    begun = [line for line in lines(log) if line.startswith("begin")]
    assert len(begun) <= len(store.blocks()) + 10  # only the block in flight at each kill was computed twice
    xarray.testing.assert_identical(store.dataset().load(), undisturbed(tmp_path / "b"))
    assert list((tmp_path / "a/blocks/.asides").iterdir()) == []


def test_killed_before_every_change_of_a_file(server, tmp_path):
    store, found, code = create_cells(tmp_path / "a", layout()), [], -signal.SIGKILL
    while code:
        code = order(server, "wait", order(server, "die", str(tmp_path / "a"), len(found) + 1))
        assert code in (0, -signal.SIGKILL)
        found.append(len(store.done()))
        assert store.done() <= {(0, 0)}
        store.verify()
        assert (store.statuses() == 2).sum() == 2 * found[-1]
        store.forget((0, 0))
    assert len(found) >= 12
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 1)


def test_killed_before_every_change_of_a_file_while_a_block_is_replaced(server, tmp_path):
    found, statuses, code = [], set(), -signal.SIGKILL
    while code:
        path = tmp_path / str(len(found))
        store = create_cells(path, layout())
        failed = {"loss": np.full((1, 2, 2), np.nan), "count": np.full((1, 2), -1)}
        store.commit((0, 0), failed, np.full((1, 2), np.int8(4)), {(0, 0): "no", (0, 1): "no"})
        code = order(server, "wait", order(server, "replace", str(path), len(found) + 1))
        assert code in (0, -signal.SIGKILL)
        found.append(len(store.done()))
        assert not store.claim((0, 0))  # the old or the new, never nothing, and whole
        store.verify()
        assert store.done() == {(0, 0)}
        statuses = set(store.statuses()[0, :2].tolist())
        assert statuses in ({2}, {4})
        assert (store.failures() == {}) == (statuses == {2}) == np.isfinite(store.dataset()["loss"].values[0, :2]).all()
        assert [p for p in (path / "blocks/.asides").iterdir() if "replacement" in p.name] == []
    assert 0 in found  # some are killed while the block is in neither state
    assert statuses == {2}


if __name__ == "__main__":
    serve()
