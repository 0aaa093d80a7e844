"""``precipice study`` and ``precipice status``: plan, run, continue, extend, retry, look, refuse."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from precipice import results
from precipice.cli import app
from precipice.cli.planned import bytes_of
from precipice.figures import grid_status

MODULE = """
import pathlib
import jax.numpy as jnp

def halving(key, *, lr, num_steps):
    return {"final_loss": jnp.abs(1 - lr) ** num_steps}

def stumbling(key, *, lr):
    if lr > 0.5 and not pathlib.Path(__file__).with_name("mended").exists():
        raise RuntimeError("lr is too large today")
    return {"final_loss": lr}
"""

HALVING = """
name = "halving"
run = "MODULE:halving"
results = ["final_loss"]

[axes]
lr = { linear = [0.1, 3.0], num = 30 }
seed = { count = 4 }

[settings]
num_steps = 4000
"""

STUMBLING = """
name = "stumbling"
run = "MODULE:stumbling"
results = ["final_loss"]
traced = false

[axes]
lr = [0.25, 0.5, 0.75]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with two study files and their module, whose name is its own."""
    module = "user_" + re.sub(r"\W", "_", tmp_path.name)
    (tmp_path / f"{module}.py").write_text(MODULE)
    for name, text in (("halving", HALVING), ("stumbling", STUMBLING)):
        (tmp_path / f"{name}.toml").write_text(text.replace("MODULE", module))
    return tmp_path


def invoke(*args):
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, [str(arg) for arg in args])


def done(*args):
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*args):
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


def row(output, name):
    """The value of a row that begins with `name`."""
    return next(line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith(name + " "))


def test_a_study_is_run_continued_and_extended(folder):
    file, store = folder / "halving.toml", folder / "h.zarr"
    first = done("study", file, "--trust", "--out", store)
    assert row(first, "cells") == "120 (30 lr x 4 seed)"
    assert row(first, "computed").startswith("120 cells")
    assert (row(first, "done"), row(first, "diverged")) == ("84", "36")  # 1.2^4000 is not finite, 1.1^4000 is
    again = done("study", file, "--trust", "--out", store)
    assert "continuing" in again
    assert row(again, "computed").startswith("0 cells")
    longer = done("study", file, "--trust", "--out", store, "--extend", "lr=3.5,4")
    assert row(longer, "computed").startswith("8 cells")
    assert row(done("study", file, "--trust", "--out", store), "computed").startswith("0 cells")
    dataset = results.open(store)
    assert dict(dataset.sizes) == {"lr": 32, "seed": 4}
    lrs = dataset["lr"].values
    with np.errstate(over="ignore"):
        expected = np.abs(1 - lrs) ** 4000
    np.testing.assert_allclose(dataset["final_loss"].values[:, 0], expected, rtol=1e-9)


def test_dry_run_states_the_plan_and_writes_nothing(folder):
    store = folder / "h.zarr"
    output = done("study", folder / "halving.toml", "--trust", "--out", store, "--dry-run", "--limit-memory", "1MiB")
    assert row(output, "programs").startswith("1 to compile")
    assert row(output, "memory").endswith("limit 1 MiB")
    assert not store.exists()
    done("study", folder / "halving.toml", "--trust", "--out", store)
    assert (
        row(done("study", folder / "halving.toml", "--trust", "--out", store, "--dry-run"), "blocks") == "1 of 1 done"
    )


def test_failed_cells_are_labelled_shown_and_retried(folder):
    file, store, picture = folder / "stumbling.toml", folder / "s.zarr", folder / "s.png"
    output = done("study", file, "--trust", "--out", store)
    assert (row(output, "done"), row(output, "failed")) == ("2", "1")
    shown = done("status", store, "--picture", picture, "--verify")
    assert "##X" in shown.splitlines()
    assert "failed: 1 of 1 cells, first at lr=0.75: RuntimeError: lr is too large today" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert row(done("study", file, "--trust", "--out", store), "failed") == "1"  # not retried unasked
    (folder / "mended").touch()
    assert row(done("study", file, "--trust", "--out", store, "--retry-failed"), "done") == "3"
    assert results.open(store)["final_loss"].values.tolist() == [0.25, 0.5, 0.75]


def test_damaged_blocks_are_repaired(folder):
    file, store = folder / "halving.toml", folder / "h.zarr"
    done("study", file, "--trust", "--out", store)
    before = results.open(store)["final_loss"].load()
    chunk = next((store / "final_loss").glob("c.*"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert "is damaged in block 0.0" in refused("status", store, "--verify")
    output = done("study", file, "--trust", "--out", store, "--repair")
    assert "it is computed again" in output
    assert row(output, "computed").startswith("120 cells")
    np.testing.assert_array_equal(results.open(store)["final_loss"].values, before.values)
    done("status", store, "--verify")


def test_settings_are_changed_and_belong_to_the_key(folder):
    file, store = folder / "halving.toml", folder / "h.zarr"
    done("study", file, "--trust", "--out", store, "--set", "num_steps=2")
    assert results.open(store)["final_loss"].values[0, 0] == pytest.approx(0.81)
    words = refused("study", file, "--trust", "--out", store)
    assert words.endswith("it holds another key of study 'halving': settings.num_steps is 2, not 4000.")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--trust", "--set", "num_step=2"], "setting 'num_step' is unknown; did you mean num_steps?"),
        (["--trust", "--set", "num_steps=two"], "setting num_steps must be of the kind int; got 'two'."),
        ([], "must lie in precipice unless the file is trusted"),
        (["--trust", "--limit-memory", "many"], "--limit-memory must be a size such as 512MiB or 2GiB; got 'many'."),
        (["--trust", "--limit-memory", "1"], "limit_memory must be at least"),
        (["--trust", "--block-seconds", "0"], "block_seconds must be positive and finite; got 0.0."),
        (["--trust", "--extend", "lr=a"], "--extend must be AXIS=VALUE,VALUE with numbers; got 'lr=a'."),
        (["--trust", "--extend", "lr=9"], "--extend must name a store that is there"),
        (["--trust", "--on", "rai"], "--on 'rai' is unknown; did you mean ray?"),
        (["--trust", "--workers", "2"], "--workers and --address must come with --on ray"),
    ],
)
def test_bad_input_is_refused_before_any_work(folder, args, words):
    store = folder / "h.zarr"
    assert words in refused("study", folder / "halving.toml", "--out", store, *args)
    assert not store.exists()


def test_absurd_grids_ask_for_yes(folder):
    file = folder / "halving.toml"
    file.write_text(file.read_text().replace("count = 4", "count = 400000"))
    words = "A study of more than 10,000,000 cells must be confirmed by --yes; got 12,000,000 cells."
    assert words in refused("study", file, "--trust", "--out", folder / "h.zarr")


def test_folders_of_something_else_are_left_alone(folder):
    assert "must be empty, new, or hold this study" in refused(
        "study", folder / "halving.toml", "--trust", "--out", folder
    )
    assert "does not exist" in refused("status", folder / "absent.zarr")


@pytest.mark.parametrize(("words", "size"), [("1k", 1024), ("2GiB", 2**31), ("1.5 MB", 1572864), ("7", 7)])
def test_sizes_in_words(words, size):
    assert bytes_of(words) == size


def test_the_map_shows_the_worst_of_joined_cells():
    import xarray

    codes = np.full((4, 10), 2)
    codes[0, 3], codes[2, 7], codes[3, 0] = 4, 3, 0
    cells = xarray.DataArray(codes, dims=("a", "b"))
    assert grid_status.lines(cells) == ["###X######", "##########", "#######v##", ".#########"]
    assert grid_status.lines(cells, (2, 5)) == ["#X###", ".##v#"]
    assert grid_status.shown_axes(xarray.DataArray(np.zeros((5, 2, 9)), dims=("a", "b", "c"))) == ("a", "c")
