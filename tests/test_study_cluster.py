"""Studies on a Ray cluster: the bits of a local run, whatever dies on the way."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import cluster_studies
from cluster_studies import CHUNK, RATES, of_edge
from precipice._checks import InputError
from precipice.results import CellStore, Status, create_cells
from precipice.studies import Axis, Study, cluster, nodes
from precipice.studies.stores import create

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def ray():
    with nodes.connected(2, None, threads=1) as ray:
        yield ray


def on_ray(study, path, **options):
    """The lines that were said, the store, what was done."""
    said = []
    store = create(study, path, CHUNK, threads=1)
    found = cluster.run_ray(study, store, num_workers=2, say=said.append, **options)
    return said, store, found


def driver(mode, path, folder):
    here = str(Path(cluster_studies.__file__).parent)
    environment = os.environ | {"NPROC": "1", "PYTHONPATH": here, "JAX_PLATFORMS": "cpu"}
    # What runs behind nohup ignores SIGINT, and its children with it.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; import cluster_studies; cluster_studies.drive({mode!r}, {str(path)!r}, {str(folder)!r})"
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Losses by rate and seed from `run_local` in a process of one thread, and its store."""
    path = tmp_path_factory.mktemp("local") / "edge"
    _, errors = driver("local", path, "-").communicate()
    assert not errors
    store = CellStore(path)
    return store.dataset()["final_loss"].load(), store


def lines_of(folder):
    """How often a run began, by its rate: once for all seeds, which do not change it before its first step."""
    return Counter(float(line.split()[1]) for line in (folder / "log").read_text().splitlines())


def test_same_bits_as_a_local_run_under_the_same_key(tmp_path, undisturbed):
    losses, local = undisturbed
    said, store, found = on_ray(of_edge(), tmp_path / "edge")
    np.testing.assert_array_equal(store.dataset()["final_loss"], losses, strict=True)
    assert store.layout.to_json() == local.layout.to_json()
    assert (found.blocks, found.cells, said) == (6, {Status.DONE: 24}, [])
    assert cluster.run_ray(of_edge(), store).blocks == 0


def test_workers_that_die_and_cells_that_raise(tmp_path, undisturbed, capfd):
    """One block's worker is killed once, another's always, a third block raises: all else is as ever."""
    whole, poison, wrong = RATES[1], RATES[0], RATES[2]
    study = of_edge(folder=str(tmp_path), kill_at=whole, poison_at=poison, raise_at=wrong)
    said, store, found = on_ray(study, tmp_path / "edge", attempts=2)
    losses, bad = store.dataset()["final_loss"], [0, 2]
    np.testing.assert_array_equal(np.delete(losses, bad, 0), np.delete(undisturbed[0], bad, 0))
    assert np.isnan(losses[bad]).all()
    assert (found.blocks, found.cells) == (6, {Status.DONE: 16, Status.FAILED: 8})
    assert sorted(said) == [
        "a worker died over block 0.0 (1 of 2)",
        "a worker died over block 0.0 (2 of 2)",
        "a worker died over block 1.0 (1 of 2)",
    ]
    messages = ["WorkerDied: 2 workers died over this block, killed or out of memory", "ValueError: no such rate"]
    assert store.failures() == {(i, seed): messages[i // 2] for i in bad for seed in range(4)}
    counts = lines_of(tmp_path)
    assert {lr: n for lr, n in counts.items() if lr != wrong} == {poison: 2, whole: 2} | dict.fromkeys(RATES[3:], 1)
    assert store.claimed() == []
    assert "".join(capfd.readouterr()) == ""


def test_ctrl_c_leaves_a_store_that_goes_on(tmp_path, undisturbed):
    process = driver("ray", tmp_path / "edge", tmp_path)  # a cluster of its own
    while not list(tmp_path.glob("edge/blocks/*.done")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "", "")
    store = CellStore(tmp_path / "edge")
    before = store.done()
    assert 0 < len(before) < 6
    assert not list(tmp_path.glob("edge/blocks/*.claim"))
    study = of_edge(folder=str(tmp_path), seconds=0.1)
    assert cluster.run_ray(study, store, num_workers=2).blocks == 6 - len(before)
    np.testing.assert_array_equal(store.dataset()["final_loss"], undisturbed[0])
    counts = lines_of(tmp_path)
    assert all(counts[RATES[i]] == 1 for i, _ in before)
    assert sum(counts.values()) <= 6 + 2  # blocks in flight


def test_a_block_that_another_process_holds_is_waited_for(tmp_path, undisturbed):
    study = of_edge()
    store = create(study, tmp_path / "edge", CHUNK, threads=1)
    assert store.claim((3, 0), 2.0)  # and is never heard of again
    said, _, found = on_ray(study, tmp_path / "edge")
    assert (said, found.blocks) == (["waiting for 1 blocks that other processes compute"], 6)
    np.testing.assert_array_equal(store.dataset()["final_loss"], undisturbed[0])


def test_a_local_driver_and_a_cluster_share_a_store(tmp_path, undisturbed):
    process = driver("slow", tmp_path / "edge", tmp_path)
    while not list(tmp_path.glob("edge/blocks/*.claim")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    _, store, found = on_ray(of_edge(folder=str(tmp_path), seconds=2.0), tmp_path / "edge")
    assert (process.wait(60), *process.communicate()) == (0, "", "")
    np.testing.assert_array_equal(store.dataset()["final_loss"], undisturbed[0])
    assert lines_of(tmp_path) == dict.fromkeys(RATES, 1)
    assert found.blocks < 6


def test_functions_of_a_script_are_sent_along(tmp_path):
    study = Study("sent", _local_function(), (Axis("lr", RATES), Axis("seed", range(4))), ("final_loss",))
    store = on_ray(study, tmp_path / "edge")[1]
    np.testing.assert_array_equal(store.dataset()["final_loss"][:, 0], np.square(RATES))


def _local_function():
    def squared(key, *, lr):
        return {"final_loss": lr**2}

    return squared


def test_what_a_worker_refuses_is_said_in_one_sentence(tmp_path):
    layout = create(of_edge(), tmp_path / "edge", CHUNK, threads=1).layout
    key = dict(layout.key) | {"jax": "0.1"}
    other = create_cells(tmp_path / "other", dataclasses.replace(layout, key=key))
    with pytest.raises(InputError, match=r"'edge' must be computed with jax 0.1, .* key says; on .* it is 0\."):
        cluster.run_ray(of_edge(), other)
    study = of_edge()
    many = create(study, tmp_path / "many", CHUNK, threads=9)
    with pytest.raises(InputError, match="must have a node with 9 CPU for a worker; it has none"):
        cluster.run_ray(study, many)
    with pytest.raises(InputError, match="address must be None where Ray is connected already"):
        cluster.run_ray(study, other, address="auto")


def test_a_run_without_ray_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"must have Ray; install precipice\[cluster\]"):
        nodes.imported()


def test_an_address_without_a_cluster_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(nodes.imported(), "is_initialized", lambda: False)
    monkeypatch.setattr(nodes.imported(), "shutdown", lambda: None)
    with (
        pytest.raises(InputError, match=r"must be that of a Ray cluster; '127.0.0.1:1': .*refused"),
        nodes.connected(2, "127.0.0.1:1", threads=1),
    ):
        pass
