"""A study run: to the end, again, extended, retried, by two processes, and beside another study's folder."""

import os
import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import results
from precipice._checks import InputError
from precipice.results import Status
from precipice.studies import Axis, Study, extend, open_study, retry_failed, run_local, with_values
from precipice.studies.stores import create, reopen
from studied import DONE, FAILED, LRS, plain, study, whole


def uniform(key, *, lr):
    return {"final_loss": lr + jax.random.uniform(key)}


def made(grid, path, *chunk):
    return create(grid, path, dict(zip([axis.name for axis in grid.axes], chunk, strict=True)))


def test_a_run_stores_what_its_blocks_give_and_a_second_does_nothing(tmp_path):
    grid, shown = study(), []
    store = made(grid, tmp_path / "s", 2, 3, 1)

    class Shown:
        def __init__(self, name, total):
            shown.append((name, total))

        def __enter__(self):
            return lambda done, text: shown.append((done, text))

        def __exit__(self, *error):
            return None

    first = run_local(grid, store, progress=Shown)
    assert (first.blocks, first.cells) == (6, {Status.DONE: 30})
    assert shown[:2] == [("demo", 30), (0, "")]
    assert [done for done, _ in shown[2:]] == [6, 12, 18, 24, 27, 30]
    values, status, _ = whole(grid, (2, 3, 1))
    dataset = results.open(tmp_path / "s")
    for name, array in values.items():
        assert dataset[name].values.tobytes() == array.tobytes()
    np.testing.assert_array_equal(dataset["status"].values, status)
    again = run_local(grid, open_study(grid, tmp_path / "s").store)
    assert (again.blocks, again.cells) == (0, {})


def test_a_cell_that_leaves_python_has_failed_and_the_rest_goes_on(tmp_path):
    def run(key, *, lr):
        if lr == LRS[1]:
            sys.exit(3)
        return {"final_loss": lr}

    grid = plain(run, traced=False)
    store = made(grid, tmp_path / "s", 1)
    run_local(grid, store)
    assert store.failures() == {(1,): "SystemExit: 3"}
    assert (store.statuses() == Status.DONE).sum() == len(LRS) - 1


def test_a_complete_store_is_left_alone_whatever_the_machine(tmp_path, monkeypatch):
    grid = plain(lambda key, *, lr: {"final_loss": lr})
    store = made(grid, tmp_path / "s", 1)
    run_local(grid, store)
    monkeypatch.setenv("NPROC", "7")
    assert run_local(grid, store).blocks == 0


def test_a_store_of_other_axes_or_fewer_values_is_refused_by_its_words(tmp_path):
    grid = plain(lambda key, *, lr: {"final_loss": lr})
    made(grid, tmp_path / "s", 1)
    other = Study("other", lambda key, *, width: {"final_loss": width}, [Axis("width", (1.0,))], ["final_loss"])
    words = r"it holds study 'demo' over \['lr'\], not 'other' over \['width'\]\.$"
    with pytest.raises(InputError, match=words):
        open_study(other, tmp_path / "s")
    with pytest.raises(
        InputError, match=r"or be extended \(--extend lr=\.\.\., studies\.extend\); 1 are new, 9\.0 among"
    ):
        open_study(with_values(grid, {"lr": [*LRS, 9.0]}), tmp_path / "s")


def test_an_interrupted_run_gives_its_claim_back_and_continues(tmp_path):
    runs = []

    def run(key, *, lr):
        runs.append(lr)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return {"final_loss": 2 * lr}

    grid = plain(run, traced=False)
    store = made(grid, tmp_path / "s", 1)
    with pytest.raises(KeyboardInterrupt):
        run_local(grid, store)
    assert (len(store.done()), store.claimed()) == (2, [])
    assert run_local(grid, store).blocks == 3
    assert runs == [*LRS[:3], *LRS[2:]]  # the cell in flight alone is computed again


def test_an_extended_study_computes_what_is_new_and_equals_one_declared_so(tmp_path):
    runs = []

    def run(key, *, lr, width):
        runs.append((lr, width))
        return {"final_loss": float(lr * width + jax.random.uniform(key))}

    grid = plain(run, (Axis("lr", (0.1, 0.2, 0.3, 0.4)), Axis("width", (1, 2))), traced=False)
    run_local(grid, made(grid, tmp_path / "s", 2, 1))
    runs.clear()
    longer, store = extend(grid, tmp_path / "s", {"lr": [0.5, 0.2, 0.6], "width": [7.0]})
    assert longer.axes[0].values == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert longer.axes[1].values == (1, 2, 7)
    assert isinstance(longer.axes[1].values[2], int)
    assert run_local(longer, store).cells == {Status.DONE: 10}
    assert len(runs) == len(set(runs)) == 10
    declared = made(longer, tmp_path / "d", 2, 1)
    run_local(longer, declared)
    assert store.dataset()["final_loss"].values.tobytes() == declared.dataset()["final_loss"].values.tobytes()
    grown, same = reopen(grid, tmp_path / "s")  # the first declaration finds the longer axes
    assert grown.axes == longer.axes
    assert run_local(grown, same).blocks == 0


def test_an_extended_block_keeps_its_cells_and_an_interruption_the_store(tmp_path):
    runs = []

    def run(key, *, lr, width):
        runs.append((lr, width))
        if len(runs) == 6:
            raise KeyboardInterrupt
        if lr == 0.4 and width == 1:
            raise ValueError("unlucky")
        return {"final_loss": float(lr * width + jax.random.uniform(key))}

    grid = plain(run, (Axis("lr", (0.1, 0.4)), Axis("width", (1, 2))), traced=False)
    store = made(grid, tmp_path / "s", 3, 2)
    run_local(grid, store)  # four runs
    before, said = store.dataset().load(), store.failures()
    with pytest.raises(KeyboardInterrupt):
        extend(grid, tmp_path / "s", {"lr": [0.5, 0.6], "width": [7]})
    again = open_study(grid, tmp_path / "s").store
    assert again.failures() == said == {(1, 0): "ValueError: unlucky"}
    assert before.identical(again.dataset().load())
    longer, store = extend(grid, tmp_path / "s", {"lr": [0.5, 0.6], "width": [7]})
    assert runs[6:] == [(0.5, 1), (0.5, 2)]  # the block of six that had four
    assert store.failures() == said
    assert before["final_loss"].identical(store.dataset()["final_loss"].isel(lr=[0, 1], width=[0, 1]).load())
    run_local(longer, store)
    assert len(runs) == 8 + 6
    declared = made(longer, tmp_path / "d", 3, 2)
    run_local(longer, declared)
    assert store.dataset()["final_loss"].values.tobytes() == declared.dataset()["final_loss"].values.tobytes()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lrr": [0.3]}, "axis 'lrr' is unknown; did you mean lr"),
        ({"width": [2.5]}, "Axis 'width' must be extended by whole numbers, as its values are; got 2.5"),
        ({"width": ["wide"]}, "Axis 'width' must be extended by whole numbers, as its values are; got 'wide'"),
        ({"lr": [np.nan]}, "Axis 'lr' must be extended by numbers, as its values are; got nan"),
        ({"lr": [np.inf]}, "Axis 'lr' must have finite values; got inf"),
    ],
)
def test_what_is_no_extension_is_refused(tmp_path, values, words):
    grid = plain(lambda key, *, lr, width: {"final_loss": lr}, (Axis("lr", (0.1, 0.2)), Axis("width", (1, 2))))
    made(grid, tmp_path / "s", 1, 1)
    with pytest.raises(InputError, match=words):
        extend(grid, tmp_path / "s", values)
    assert reopen(grid, tmp_path / "s")[0].shape == (2, 2)


@pytest.mark.parametrize("traced", [True, False])
def test_a_retry_replaces_failed_cells_alone(tmp_path, traced):
    broken, runs = [True], []

    def check(lr):
        runs.append(float(lr))
        if broken[0] and lr > 0.5:
            raise RuntimeError("the disk of the cluster is away")
        return np.asarray(lr)

    def run(key, *, lr):
        if not traced:
            return {"final_loss": check(lr)}
        shape = jax.ShapeDtypeStruct((), jnp.float64)
        return {"final_loss": jax.pure_callback(check, shape, lr, vmap_method="sequential")}

    grid = plain(run, traced=traced)
    store = made(grid, tmp_path / "s", 4)
    assert run_local(grid, store).cells == {Status.DONE: 2, Status.FAILED: 3}
    assert store.failures()[3,] == "RuntimeError: the disk of the cluster is away"
    assert retry_failed(grid, store).cells == {Status.FAILED: 3}
    broken[0] = False
    runs.clear()
    again = retry_failed(grid, store)
    assert (again.blocks, again.cells) == (2, {Status.DONE: 3})
    assert sorted(set(runs)) == sorted(LRS if traced else LRS[2:])
    assert (store.failures(), (store.statuses() == DONE).all()) == ({}, True)
    np.testing.assert_array_equal(store.dataset()["final_loss"].values, LRS)
    assert retry_failed(grid, store).blocks == 0


def test_folders_of_others_are_refused_and_kept(tmp_path):
    grid = plain(uniform)
    run_local(grid, made(grid, tmp_path / "s", 5))
    before = results.open(tmp_path / "s").load()
    for changed, words in [
        (plain(uniform, name="other"), "must be empty or hold this study; it holds another study: 'demo', not 'other'"),
        (plain(uniform, version=2), "another key of study 'demo': version is 1, not 2"),
        (plain(uniform, seed=4), "another key of study 'demo': seed is 3, not 4"),
        (plain(uniform, precision="float32"), 'another key of study \'demo\': precision is "float64", not "float32"'),
        (plain(uniform, key_axes=[]), "another key of study 'demo': key_axes is"),
        (plain(uniform, (Axis("lr", LRS[1:]),)), "another axes of study 'demo': lr is|another axes of study 'demo'"),
        (plain(lambda key, *, lr: {"final_loss": lr}), "another key of study 'demo': run is"),
    ]:
        with pytest.raises(InputError, match=words):
            open_study(changed, tmp_path / "s")
    assert reopen(plain(uniform, (Axis("lr", LRS[:2]),)), tmp_path / "s")[0].axes == grid.axes  # as if it were extended
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="must be empty, new, or hold this study; it holds something else"):
        open_study(grid, tmp_path / "notes")
    assert results.open(tmp_path / "s").identical(before)
    assert (tmp_path / "notes/mine.txt").read_text() == "mine"


def test_missing_cells_are_missing_in_the_dataset(tmp_path):
    grid = plain(uniform)
    store = made(grid, tmp_path / "s", 2)
    dataset = results.open(tmp_path / "s")
    assert (dataset["status"].values == Status.MISSING).all()
    assert np.isnan(dataset["final_loss"].values).all()
    assert dataset.attrs["study"] == "demo"
    run_local(grid, store)
    assert (results.open(tmp_path / "s")["status"].values == DONE).all()


def test_probes_give_the_results(tmp_path):
    grid = Study(
        "probed",
        lambda key, *, lr: (lr, lr**2),
        (Axis("lr", LRS),),
        ("final_loss", "sharpness"),
        probes=(lambda pair: {"final_loss": pair[0]}, lambda pair: {"sharpness": pair[1]}),
        own={"probe_step": [0]},
    )
    with pytest.raises(InputError, match=r"Result 'sharpness' .* must have shape \(1,\)"):
        made(grid, tmp_path / "s", 5)
    assert FAILED not in whole(plain(lambda key, *, lr: lr, probes=(lambda x: {"final_loss": x},)), (5,))[1]


TWO = """
    import sys, time
    from precipice import studies
    from precipice.studies.stores import create

    def run(key, *, lr):
        time.sleep(0.02)
        print(lr, flush=True)
        return {"final_loss": lr}

    grid = studies.Study("two", run, (studies.linear("lr", 0.1, 1.0, 40),), ("final_loss",), traced=False)
    store = create(grid, sys.argv[1], {"lr": 2})
    print("ready")
    sys.stdin.readline()
    studies.run_local(grid, store)
    assert (store.statuses() == 2).all()
"""


def test_two_processes_share_a_study(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(TWO))
    command = [sys.executable, str(script), str(tmp_path / "s")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both: list[Any] = [subprocess.Popen(command, **pipes, env=os.environ | {"PYTHONUNBUFFERED": "1"}) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert min(map(len, said)) >= 4
    assert sorted(map(float, said[0] + said[1])) == np.linspace(0.1, 1.0, 40).tolist()  # each cell once
    dataset = results.open(tmp_path / "s")
    np.testing.assert_array_equal(dataset["final_loss"].values, dataset["lr"].values)
