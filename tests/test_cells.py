"""The store of cells: layout, commits, labels, claims, damage, clocks, full and read-only disks, others' folders."""

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from precipice import results
from precipice._checks import InputError
from precipice.results import atomic, cell_files, leases
from precipice.results.cells import CellStore, create_cells
from precipice.results.checksums import seal
from precipice.results.extend import extend_cells
from precipice.results.layout import CellVariable, Layout, cell_variable

DONE, DIVERGED, FAILED = (np.int8(code) for code in (2, 3, 4))
LOSS = CellVariable("loss", ("step",), "float64", "1", "Loss by step.", "definition")
COUNT = CellVariable("count", (), "int64", "1", "Steps taken.", "definition")
REASON = cell_variable(results.VARIABLES["stop_reason"], "int8")
KEY = {"study": "demo", "version": 1, "parameters": {"depth": 2}, "threads": 1}


def layout(**changes):
    """5 x 3 cells in blocks of 2 x 2: six blocks, four of them cut by an edge."""
    fields = {
        "axes": {"lr": [0.1, 0.2, 0.3, 0.4, 0.5], "seed": range(3)},
        "chunk": {"lr": 2, "seed": 2},
        "variables": (LOSS, COUNT, REASON),
        "own": {"step": [0, 10]},
        "key": KEY,
    }
    return Layout(**(fields | changes))


def whole():
    """Values of the whole grid that are easily lost: -0.0, NaN, inf, a subnormal number."""
    loss = np.arange(30.0).reshape(5, 3, 2)
    loss[0, 0], loss[1, 1], loss[4, 2] = (-0.0, 5e-324), (np.nan, np.inf), (1 / 3, -1e308)
    return {"loss": loss, "count": np.arange(15).reshape(5, 3), "stop_reason": np.ones((5, 3), np.int8)}


def part(store, block):
    cells = store.cells(block)
    return {name: values[cells] for name, values in whole().items()}


def done(store, block):
    return np.full(store.layout.block_shape(block), DONE)


def fill(store, blocks=None):
    for block in store.blocks() if blocks is None else blocks:
        assert store.commit(block, part(store, block), done(store, block))


@pytest.fixture
def store(tmp_path):
    return create_cells(tmp_path / "demo", layout(), {"created_by": "test"})


@pytest.fixture
def full(store):
    fill(store)
    return store


def folder(store):
    return Path(store._folder)


# --- layout


def test_blocks_tile_the_grid_once(store):
    assert store.blocks() == list(itertools.product(range(3), range(2)))
    seen = np.zeros((5, 3), int)
    for block in store.blocks():
        seen[store.cells(block)] += 1
    assert (seen == 1).all()
    assert store.layout.block_shape((2, 1)) == (1, 1)


def test_layout_survives_json_with_its_types(store):
    again = Layout.from_json(store.layout.to_json())
    assert again == store.layout == layout()
    assert again.axes["seed"] == (0, 1, 2)
    assert isinstance(again.axes["seed"][0], int)
    assert isinstance(layout(axes={"lr": [1.0], "seed": [0]}).axes["lr"][0], float)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": {"lr": [], "seed": [0]}}, r"Axis 'lr' must be finite numbers along one axis, at least 1; got shape"),
        ({"axes": {"lr": [0.1, np.nan], "seed": [0]}}, "Axis 'lr' must be finite"),
        ({"axes": {"lr": [0.1, 0.2, 0.1], "seed": [0]}}, "Axis 'lr' must not repeat a value; got 0.1 twice"),
        ({"axes": {"lr": [0.1], "status": [0]}}, "Names of axes and variables must differ.*'status'"),
        ({"axes": {"lr": ["a"], "seed": [0]}}, "Axis 'lr' must be finite numbers"),
        ({"chunk": {"lr": 2}}, r"chunk must have the axes \['lr', 'seed'\]; got \['lr'\]"),
        ({"chunk": {"lr": 2, "seed": 0}}, r"chunk\['seed'\] must be at least 1; got 0"),
        ({"own": {}}, "Variable 'loss' needs the values of its axis 'step'"),
        ({"variables": (COUNT, COUNT)}, "must differ.*'count'"),
        ({"variables": ()}, "at least 1 axis and 1 variable; got 2 and 0"),
        ({"key": {"version": 1}}, r"The key must hold the name of the study under 'study'; got \['version'\]"),
        ({"key": KEY | {"x": np.inf}}, "key.x must be made of"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        layout(**changes)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "f8", "bfloat16", "str"])
def test_types_without_a_missing_value_are_refused(dtype):
    with pytest.raises(InputError, match="'margin' must have a signed integer, float or complex type"):
        CellVariable("margin", (), dtype, "1", "Margin.", "definition")


def test_no_such_block(store):
    for block in ((3, 0), (0,), (-1, 0)):
        with pytest.raises(InputError, match=r"Block .* must be one of 3 x 2; it is not"):
            store.cells(block)


# --- commit and dataset


def test_what_is_committed_is_read_back_to_the_last_bit(full):
    ds = full.dataset()
    assert ds["loss"].dims == ("lr", "seed", "step")
    for name, values in whole().items():
        assert ds[name].dtype == values.dtype
        assert ds[name].values.tobytes() == values.tobytes(), name
    assert (full.statuses() == DONE).all()
    assert ds["lr"].values.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert (ds["seed"].dtype, ds["step"].values.tolist()) == (np.int64, [0, 10])
    assert ds["stop_reason"].attrs["flag_meanings"].split()[1] == "steps_spent"
    assert ds.attrs["created_by"] == "test"
    assert json.loads(ds.attrs["key"]) == KEY
    assert "precipice_checksums" not in ds.attrs


def test_zarr_and_xarray_read_it_without_precipice(full):
    ds = xarray.open_zarr(folder(full), consolidated=False, chunks=None, mask_and_scale=False)
    for name in ds.variables:
        assert ds[name].values.tobytes() == full.dataset()[name].values.tobytes(), name
    assert [name for name, _ in zarr.open_group(folder(full), mode="r").groups()] == ["blocks"]


def test_missing_cells_are_missing_whatever_lies_in_the_arrays(store):
    fill(store, [(0, 0), (2, 1)])
    fill(store, [(1, 0)])
    (folder(store) / "blocks/1.0.done").unlink()  # as if the writer had been killed just before the marker
    expected = np.zeros((5, 3), np.int8)
    expected[:2, :2] = expected[4, 2] = DONE
    np.testing.assert_array_equal(store.statuses(), expected)
    ds = store.dataset()
    gone = expected == 0
    assert np.isnan(ds["loss"].values[gone]).all()
    assert (ds["count"].values[gone] == -1).all()
    for name, values in whole().items():
        np.testing.assert_array_equal(ds[name].values[~gone], values[~gone])
    assert store.done() == {(0, 0), (2, 1)}


def test_dataset_is_lazy_and_any_part_of_it_can_be_read(full, monkeypatch):
    read = []

    def checked(folder, name, *args, good=cell_files.checked_chunk):
        read.append(name)
        return good(folder, name, *args)

    monkeypatch.setattr("precipice.results.masked.checked_chunk", checked)
    ds = full.dataset()
    assert read == []
    values = ds["loss"].sel(lr=0.5, seed=2).values
    np.testing.assert_array_equal(values, whole()["loss"][4, 2])
    assert read == ["loss/c.2.1.0"]
    picked = ds["count"].isel(lr=[0, 4], seed=slice(None, None, -1)).values
    np.testing.assert_array_equal(picked, whole()["count"][[0, 4]][:, ::-1])


def test_failures_by_cell(store):
    status = np.array([[DONE, FAILED], [DIVERGED, DONE]])
    values = part(store, (1, 0))
    values["loss"][0, 1] = np.nan
    assert store.commit((1, 0), values, status, {(2, 1): "ValueError: é\nsecond line"})
    assert store.failures() == {(2, 1): "ValueError: é second line"}
    np.testing.assert_array_equal(store.statuses()[2:4, :2], status)
    store.verify()


def test_a_committed_block_stays_until_it_is_forgotten(full):
    other = {name: values + values.dtype.type(0) for name, values in part(full, (0, 0)).items()}
    other["count"] = other["count"] + 100
    assert not full.commit((0, 0), other, done(full, (0, 0)))
    assert full.dataset()["count"].values[0, 0] == 0
    full.forget((0, 0))
    assert full.done() == set(full.blocks()) - {(0, 0)}
    assert full.claim((0, 0))
    assert full.commit((0, 0), other, done(full, (0, 0)))
    assert full.dataset()["count"].values[0, 0] == 100


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("loss", np.zeros((2, 2)), r"'loss' must be float64 of shape \(2, 2, 2\); got float64 of shape \(2, 2\)"),
        ("loss", np.zeros((2, 2, 2), np.float32), "'loss' must be float64 .* got float32"),
        ("stop_reason", np.full((2, 2), 9, np.int8), "'stop_reason' must hold the codes"),
        ("more", np.zeros((2, 2)), "values must have the names"),
        ("status", np.zeros((2, 2), np.int8), r"status must be DONE, DIVERGED or FAILED \(\[2, 3, 4\]\); got \[.*0"),
        ("status", np.full((2, 2), FAILED), r"exactly the failed cells of the block; cell \(0, 0\) has no message"),
        ("messages", {(0, 0): "?"}, r"cell \(0, 0\) has a message but did not fail"),
    ],
)
def test_values_that_do_not_fit_are_refused(store, name, value, words):
    given = {"status": done(store, (0, 0)), "messages": {}}
    values = part(store, (0, 0))
    (given if name in given else values)[name] = value
    with pytest.raises(InputError, match=words):
        store.commit((0, 0), values, given["status"], given["messages"])
    assert store.done() == set()


def test_results_open_and_verify_know_a_store_of_cells(full):
    assert results.open(folder(full)).identical(full.dataset())
    results.verify(folder(full))
    (folder(full) / "loss/c.0.0.0").unlink()
    with pytest.raises(results.StoreError, match=r"block 0\.0:"):
        results.verify(folder(full))


# --- whose folder


def test_the_same_layout_continues_and_another_is_refused(full):
    assert create_cells(folder(full), layout()).done() == set(full.blocks())
    for changes, words in [
        ({"key": KEY | {"study": "other"}}, "must be empty or hold this study; it holds another study: 'demo', not"),
        ({"key": KEY | {"threads": 2}}, "another key of study 'demo': threads is 1, not 2"),
        ({"key": KEY | {"parameters": {"depth": 3}}}, "parameters.depth is 2, not 3"),
        ({"axes": {"lr": [0.1, 0.2], "seed": range(3)}}, "another axes of study 'demo'"),
        ({"chunk": {"lr": 1, "seed": 2}}, "another chunk of study 'demo': lr is 2, not 1"),
    ]:
        with pytest.raises(InputError, match=words):
            create_cells(folder(full), layout(**changes))
    assert len(full.done()) == 6


def test_folders_of_something_else_are_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    results.save(xarray.Dataset({"edge": 1.0}), tmp_path / "a.zarr")
    for path, words in [
        (tmp_path, "is no store of precipice or is damaged"),
        (tmp_path / "notes.txt", "must be a folder, but is a file"),
        (tmp_path / "a.zarr", "is no store of cells of precipice"),
    ]:
        with pytest.raises(results.StoreError, match=words):
            create_cells(path, layout())
    with pytest.raises(results.StoreError, match="does not exist"):
        CellStore(tmp_path / "absent")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    create_cells(tmp_path / "cells", layout())
    with pytest.raises(InputError, match="would replace the cells of a study"):
        results.save(xarray.Dataset({"edge": 1.0}), tmp_path / "cells")
    (tmp_path / "empty").mkdir()
    assert create_cells(tmp_path / "empty", layout()).done() == set()


@pytest.mark.parametrize(
    ("version", "words"),
    [(2, "a newer precipice .version 2 of the format.*update"), (0, "an older precipice .version 0")],
)
def test_other_formats_are_recognised(full, version, words):
    root = folder(full) / "zarr.json"
    content = json.loads(root.read_text())
    content["attributes"]["cells_version"] = version
    root.write_text(json.dumps(content))
    with pytest.raises(results.StoreError, match=words):
        CellStore(folder(full))


@pytest.mark.parametrize("name", ["zarr.json", "loss/zarr.json", "lr/c.0"])
def test_a_damaged_description_is_refused(full, name):
    path = folder(full) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(results.StoreError, match=f"'{name}'.*(does not match|is damaged)"):
        CellStore(folder(full))


def test_static_files_are_sealed_alike_by_every_precipice(store):
    files = cell_files.static_files(layout(), {})
    assert seal(files)["lr/c.0"] == files["lr/c.0"]
    assert set(files) >= {"zarr.json", "blocks/zarr.json", "status/zarr.json"}


# --- damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [cut, empty, flip, os.unlink])
@pytest.mark.parametrize("chunk", ["loss/c.1.0.0", "count/c.1.0", "status/c.1.0"])
def test_a_damaged_chunk_is_refused_by_name_and_can_be_computed_again(full, harm, chunk):
    harm(folder(full) / chunk)
    words = f"is damaged in block 1.0: its file '{chunk}' (is cut short or altered|is missing).*forget the block"
    with pytest.raises(results.StoreError, match=words):
        full.verify()
    with pytest.raises(results.StoreError, match=words):
        full.dataset().load()
    assert set(full.damaged()) == {(1, 0)}
    full.forget((1, 0))
    full.verify()
    fill(full, [(1, 0)])
    full.verify()
    assert full.dataset()["loss"].values.tobytes() == whole()["loss"].tobytes()


def test_every_flipped_bit_of_a_chunk_is_noticed(full):
    path = folder(full) / "loss/c.0.0.0"
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        harmed = bytearray(data)
        harmed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(harmed)
        assert cell_files.damage(folder(full), full.layout, "a", (0, 0)), bit


def test_a_damaged_message_is_noticed(store):
    status = done(store, (0, 0))
    status[0, 0] = FAILED
    store.commit((0, 0), part(store, (0, 0)), status, {(0, 0): "it failed"})
    path = folder(store) / "blocks/0.0.done"
    path.write_bytes(path.read_bytes().replace(b"failed", b"worked"))
    with pytest.raises(results.StoreError, match=r"'blocks/0.0.done' does not match its checksum"):
        store.failures()
    assert set(store.damaged()) == {(0, 0)}


# --- disks


@pytest.mark.parametrize("nth", [0, 2, 4])
def test_a_full_disk_loses_nothing(store, monkeypatch, nth):
    fill(store, [(0, 0)])
    left = [nth]

    def write(path, data, good=atomic.write_synced):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        good(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_synced", write)
        with pytest.raises(results.WriteError, match="written: No space left on device; what was committed is kept"):
            fill(store, [(1, 0)])
    assert store.done() == {(0, 0)}
    assert list((folder(store) / "blocks/.asides").iterdir()) == []
    fill(store, [(1, 0)])
    store.verify()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX users")
def test_a_read_only_store_is_read_and_refuses_to_be_written():
    place = Path("/tmp") / f"precipice-cells-{os.getpid()}"  # tmp_path is closed to other users
    me = os.geteuid()
    try:
        store = create_cells(place / "demo", layout())
        fill(store, [(0, 0), (1, 0)])
        store.dataset().load()  # what is imported on the way may be closed to other users, too
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if me == 0:
            os.seteuid(65534)
        store = CellStore(place / "demo")
        assert (store.statuses() == DONE).sum() == 8
        store.verify()
        block = (2, 1)
        for write in (lambda: store.claim(block), lambda: fill(store, [block]), lambda: store.forget((0, 0))):
            with pytest.raises(results.WriteError, match="could not be written: Permission denied; what was committed"):
                write()
        with pytest.raises(results.WriteError, match="could not be created: Permission denied"):
            create_cells(place / "new", layout())
        assert store.done() == {(0, 0), (1, 0)}
        assert store.claimed() == []
    finally:
        os.seteuid(me)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(place)


# --- claims


def another(store):
    return CellStore(folder(store))


def claim_file(store, block):
    return folder(store) / f"blocks/{'.'.join(map(str, block))}.claim"


def held_by(store, block, **changes):
    """A claim of a process elsewhere, as it would have written it."""
    content = {"pid": 1, "machine": "elsewhere", "token": "t", "lease": 60.0, "time": 0.0} | changes
    claim_file(store, block).write_text(json.dumps(content))


def test_a_claim_is_held_by_one(store):
    a, b = store, another(store)
    assert a.claim((0, 0))
    assert a.claim((0, 0))
    assert not b.claim((0, 0))
    assert not b.renew((0, 0))
    b.release((0, 0))
    assert not b.claim((0, 0))
    assert a.renew((0, 0))
    assert b.claimed() == ["0.0"]
    a.release((0, 0))
    assert b.claimed() == []
    assert b.claim((0, 0))
    fill(b, [(0, 0)])
    assert not claim_file(store, (0, 0)).exists()
    assert not a.claim((0, 0))  # done
    with pytest.raises(InputError, match="lease must be positive and finite; got 0"):
        a.claim((1, 0), lease=0)


def test_a_claim_of_a_dead_process_here_is_free_at_once(store):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held_by(store, (0, 0), pid=dead.pid, machine=leases._machine())
    assert store.claim((0, 0), lease=1e6)


def test_a_claim_elsewhere_is_free_when_its_lease_has_run_out(store):
    held_by(store, (0, 0), lease=60.0)
    assert not store.claim((0, 0), lease=0.001)  # the holder's lease counts
    old = time.time() - 61
    os.utime(claim_file(store, (0, 0)), (old, old))
    assert store.claim((0, 0))


def test_a_claim_that_was_never_written_whole_is_free_when_our_lease_has_run_out(store):
    claim_file(store, (0, 0)).write_text("")
    assert not store.claim((0, 0))
    old = time.time() - 61
    os.utime(claim_file(store, (0, 0)), (old, old))
    assert store.claim((0, 0))


def test_claims_work_on_file_systems_without_links(store, monkeypatch):
    def link(a, b):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert store.claim((0, 0))
    assert not another(store).claim((0, 0))
    assert store.renew((0, 0))


def test_a_clock_that_jumps_back_neither_ends_a_claim_nor_makes_it_eternal(store, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock[0])
    held_by(store, (0, 0))
    future = time.time() + 1e7  # the clock was there when the claim was made
    os.utime(claim_file(store, (0, 0)), (future, future))
    assert not store.claim((0, 0))
    clock[0] += 59
    assert not store.claim((0, 0))
    os.utime(claim_file(store, (0, 0)), (future - 5e6, future - 5e6))  # renewed, by a clock that jumped back
    clock[0] += 2
    assert not store.claim((0, 0))
    clock[0] += 59
    assert not store.claim((0, 0))
    clock[0] += 2
    assert store.claim((0, 0))


def test_a_clock_that_jumps_forward_does_not_end_a_claim_of_this_machine(store):
    assert store.claim((0, 0))
    old = time.time() - 1e7
    os.utime(claim_file(store, (0, 0)), (old, old))
    assert not another(store).claim((0, 0))


def test_two_who_find_a_stale_claim_do_not_both_take_it(store):
    for _ in range(20):
        held_by(store, (0, 0))
        old = time.time() - 61
        os.utime(claim_file(store, (0, 0)), (old, old))
        others = [another(store) for _ in range(3)]
        assert sum(each.claim((0, 0)) for each in others) == 1
        claim_file(store, (0, 0)).unlink()


# --- replacing and extending


def test_a_retry_replaces_what_was_done(full):
    values = part(full, (0, 0))
    values["count"] = values["count"] + 100
    status = done(full, (0, 0))
    status[1, 1] = FAILED
    assert full.commit((0, 0), values, status, {(1, 1): "no"}, replace=True)
    assert full.failures() == {(1, 1): "no"}
    assert full.commit((0, 0), part(full, (0, 0)), done(full, (0, 0)), replace=True)
    assert full.failures() == {}
    assert full.dataset()["count"].values[0, 0] == 0
    full.verify()


LONGER = {"axes": {"lr": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "seed": range(5)}}


def test_an_extended_store_keeps_what_is_done(store):
    fill(store, [(0, 0), (0, 1), (2, 0)])
    status = np.array([[DONE, FAILED], [DIVERGED, DONE]])
    store.commit((1, 0), part(store, (1, 0)), status, {(2, 1): "why"})
    longer = extend_cells(folder(store), layout(**LONGER))
    assert longer.done() == {(0, 0), (1, 0)}  # the others gained cells
    after = longer.dataset()
    with pytest.raises(results.StoreError, match="was extended by another process; open it again"):
        store.claim((0, 1))
    for name, values in whole().items():
        np.testing.assert_array_equal(after[name].values[:4, :2], values[:4, :2])
    assert longer.failures() == {(2, 1): "why"}
    assert after.attrs["created_by"] == "test"
    assert [p.name for p in folder(store).parent.iterdir()] == ["demo"]


def test_values_added_in_front_move_what_is_done(full):
    axes = {"lr": [0.01, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5], "seed": range(3)}
    longer = extend_cells(folder(full), layout(axes=axes))
    assert longer.done() == set(longer.blocks()) - {(0, 0), (0, 1)}
    np.testing.assert_array_equal(longer.dataset()["count"].values[2:], whole()["count"])
    longer.verify()
    assert extend_cells(folder(full), layout(axes=axes)).done() == longer.done()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": KEY | {"threads": 2}}, "can only be extended by values of its axes; it holds another key"),
        ({"axes": {"lr": [0.1, 0.9], "seed": range(3)}}, "'lr' of store .* must keep its values when extended; 0.2"),
        ({"axes": {"seed": range(3), "lr": [0.1]}}, r"it holds axes \['lr', 'seed'\], not"),
    ],
)
def test_what_is_no_extension_is_refused(full, changes, words):
    with pytest.raises(InputError, match=words):
        extend_cells(folder(full), layout(**changes))
    assert len(full.done()) == 6
    full.verify()


def test_a_store_in_work_is_not_extended(store):
    fill(store, [(0, 0)])
    assert store.claim((1, 0))
    with pytest.raises(InputError, match="must not be extended while blocks are computed; 1 are claimed"):
        extend_cells(folder(store), layout(**LONGER))
    store.release((1, 0))
    assert extend_cells(folder(store), layout(**LONGER)).done() == {(0, 0)}
