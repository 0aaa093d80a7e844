"""The command line, in process where it can be: exit statuses, sentences, files, tables."""

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import xarray
from typer.testing import CliRunner

import precipice
from precipice import problems, results
from precipice._checks import InputError
from precipice.cli import app
from precipice.cli.status import Exit
from precipice.figures import report
from precipice.figures.claims import FAILS, HOLDS, NOT_EVALUATED, Claim, Verdict
from precipice.papers import networks, registry, runner
from precipice.papers.request import choose
from precipice.papers.shapira2023 import fig1
from precipice.papers.shapira2023.fig1.settings import digits_settings
from precipice.problems.data.releases import CIFAR10

TINY = {
    "dataset": "digits",
    "num_examples": 60,
    "width": 8,
    "num_steps": 20,
    "num_steps_other": 20,
    "every": 5,
    "seeds": 1,
    "seeds_other": 1,
}
"""Settings with which shapira2023/fig1 takes half a second once compiled."""

COMMANDS = ("demo", "list", "run", "check", "study", "status", "stable-lr", "plot", "gallery", "info", "fetch")


def setting(**changes):
    return [word for name, value in (TINY | changes).items() for word in ("--set", f"{name}={value}")]


def invoke(*args):
    """The result of a command; the terminal is wide, so that no sentence is wrapped."""
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, [str(arg) for arg in args])


def refused(*args):
    """The sentence with which a command refuses: one line, status 2, nothing on standard output."""
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith((".", "?"))
    assert "Traceback" not in result.output
    return last


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch):
    """A data directory with nothing in it, whatever the machine has."""
    monkeypatch.setenv("PRECIPICE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


# --- a world of stores, good and bad


def holding(like):
    """A dataset of fig1 of which every claim is true: sharpness grows to 2/lr and stays, the loss falls in steps."""
    probe_step = np.arange(0, 1001, 10)
    edge = 2 / like["lr"].values
    sharpness = np.minimum(probe_step / 500, 1.05)[None, None, :, None] * edge[:, None, None, None]
    loss = np.exp(-np.arange(1000) / 500) * (1 + 0.05 * (-1.0) ** np.arange(1000))
    spectrum = ("lr", "seed", "probe_step", "eigenvalue")
    return xarray.Dataset(
        {
            "loss": (("lr", "seed", "step"), np.broadcast_to(loss, (2, 1, 1000)).copy()),
            "hessian_eigenvalue": (spectrum, sharpness),
            "ntk_eigenvalue": (spectrum, sharpness),
            "edge": ("lr", edge),
        },
        coords={"lr": like["lr"].values, "seed": [0], "step": np.arange(1000), "probe_step": probe_step},
        attrs=like.attrs,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """``out``: a real run and a copy of it for which all claims hold; ``bad``: what must be refused."""
    world = tmp_path_factory.mktemp("world")
    result = invoke("run", "shapira2023/fig1", *setting(), "--out", world / "out")
    assert result.exit_code == 0, result.output
    store = world / "out" / "shapira2023-fig1.zarr"
    results.save(holding(results.open(store)), world / "true" / "shapira2023-fig1.zarr")
    results.save(xarray.Dataset({"edge": 8.0}, attrs={"study": "demo"}), world / "bad" / "foreign.zarr")
    for name, file in (("flipped", "loss/c/0/0/0"), ("half", "edge/zarr.json")):
        shutil.copytree(store, world / "bad" / f"{name}.zarr")
        path = world / "bad" / f"{name}.zarr" / file
        path.write_bytes(path.read_bytes()[:-1] + b"\x00") if name == "flipped" else path.unlink()
    (world / "bad" / "empty.zarr").mkdir()
    (world / "none").mkdir()
    (world / "file").write_text("a regular file")
    return world


STORE = "{w}/out/shapira2023-fig1.zarr"
RUN = ("run", "shapira2023/fig1", *setting())

PAPERS = sorted({figure.paper for figure in registry.FIGURES.values()})

STATUSES = [
    # everything that completes
    (("--version",), 0, "precipice "),
    (("--help",), 0, "precipice demo"),
    (("list",), 0, "shapira2023/fig1"),
    (("list", "--json"), 0, '"id": "shapira2023/fig1"'),
    (("info",), 0, "threads"),
    ((*RUN, "--out", "{w}/again"), 0, "1 fails: hovering"),  # reported, but the run completed
    (("plot", STORE, "--panel", "loss"), 0, "shapira2023-fig1-loss.png"),
    (("plot", "shapira2023/fig1", "--out", "{w}/out"), 0, "shapira2023-fig1.png"),
    (("gallery", "{w}/out"), 0, "gallery.png"),
    # claims
    (("check", "{w}/true/shapira2023-fig1.zarr"), 0, "6 of 6 claims hold"),
    (("check", "shapira2023/fig1", "--out", "{w}/true"), 0, "6 of 6 claims hold"),
    (("check", "shapira2023/fig1", "--out", "{w}/true", "--panel", "sharpness"), 0, "4 of 4 claims hold"),
    (("check", STORE), 1, "fails: "),
    (("check", STORE, "--panel", "loss"), 3, "2 not evaluated: loss-is-not-monotone, loss-still-falls"),
    (("check", STORE, "{w}/true/shapira2023-fig1.zarr"), 1, "6 of 6 claims hold"),
    (("check", "{w}/true/shapira2023-fig1.zarr", STORE, "--panel", "loss"), 3, "2 of 2 claims hold"),
    (("check", STORE, "--control"), 0, "control passed"),
    # names
    (("run", "shapira2023/fgi1"), 2, "figure 'shapira2023/fgi1' is unknown; did you mean shapira2023/fig1 or"),
    (("run", "nothing"), 2, f"figure 'nothing' is unknown; known: {', '.join(sorted(registry.FIGURES))}."),
    (("run", "--paper", "cohen2021"), 2, f"paper must be one of {', '.join(PAPERS)}; got 'cohen2021'."),
    (("run",), 2, "run needs either figure ids or --paper; got neither."),
    (("run", "shapira2023/fig1", "--paper", "shapira2023"), 2, "run needs either figure ids or --paper; got both."),
    ((*RUN, "--scale", "huge"), 2, "scale 'huge' is unknown; known: paper, quick."),
    ((*RUN, "--panel", "los"), 2, "panel of shapira2023/fig1 'los' is unknown; did you mean loss?"),
    (("check", STORE, "--panel", "los"), 2, "panel of shapira2023/fig1 'los' is unknown; did you mean loss?"),
    (("check", STORE, "--panel", "loss", "--control"), 2, "--panel must not be given with --control"),
    (("plot", STORE, "--panel", "los"), 2, "panel of shapira2023/fig1 'los' is unknown; did you mean loss?"),
    (("fetch", "cifar"), 2, "data set 'cifar' is unknown; did you mean cifar10?"),
    # settings
    ((*RUN, "--set", "widht=3"), 2, "setting 'widht' is unknown; did you mean width?"),
    ((*RUN, "--set", "width"), 2, "a setting must be given as name=value; got 'width'."),
    ((*RUN, "--set", "width=wide"), 2, "setting width must be an int; got 'wide'."),
    ((*RUN, "--set", "lr=fast"), 2, "setting lr must be a float; got 'fast'."),
    ((*RUN, "--set", "lr=0"), 2, "lr must be positive and finite; got 0.0."),
    ((*RUN, "--set", "lr=-1"), 2, "lr must be positive and finite; got -1.0."),
    ((*RUN, "--set", "lr=nan"), 2, "lr must be positive and finite; got nan."),
    ((*RUN, "--set", "num_steps=0"), 2, "num_steps must be at least 1; got 0."),
    ((*RUN, "--set", "num_steps=21"), 2, "num_steps must be a multiple of every (5); got 21."),
    ((*RUN, "--set", "dataset=imagenet"), 2, "dataset 'imagenet' is unknown; known: cifar10, digits, mnist."),
    ((*RUN, "--set", "num_examples=1798"), 2, "num_examples must be at most 1797 (images of digits); got 1798."),
    ((*RUN, "--set", "width=1000000000"), 2, "width, depth, num_examples and num_eigenvalues must fit into"),
    ((*RUN, "--set", "num_eigenvalues=100000000"), 2, "num_eigenvalues must fit into this machine's"),
    ((*RUN, "--checkpoint-seconds", "-1"), 2, "checkpoint_seconds must be at least 0; got -1.0."),
    # folders
    ((*RUN, "--out", "{w}/file/out"), 2, "Output folder '{w}/file/out' must be writable; got: Not a directory."),
    ((*RUN, "--out", "{w}/file"), 2, "Output folder '{w}/file' must be writable; got: File exists."),
    (("demo", "--out", "{w}/file/out"), 2, "Output folder '{w}/file/out' must be writable"),
    (("plot", STORE, "--out", "{w}/file/out"), 2, "Output folder '{w}/file/out' must be writable"),
    # stores
    (("check", "shapira2023/fig1", "--out", "{w}/none"), 2, "Store '{w}/none/shapira2023-fig1.zarr' does not exist"),
    (("check", "{w}/file"), 2, "Store '{w}/file' must be a folder, but is a file"),
    (("gallery", "{w}/file"), 2, "gallery needs a folder of results; '{w}/file' is none."),
    (("gallery", "{w}/none"), 2, "a gallery needs at least one complete run; got none in {w}/none."),
    (("gallery", "{w}/bad"), 2, "Store '{w}/bad/empty.zarr' is an empty folder"),
    *(
        ((*command, "{w}/bad/" + name), 2, sentence)
        for command in (("check",), ("check", "--control"), ("plot",))
        for name, sentence in (
            ("flipped.zarr", "'{w}/bad/flipped.zarr' is damaged: its file 'loss/c/0/0/0' does not match its checksum;"),
            ("half.zarr", "Store '{w}/bad/half.zarr' is damaged: its file 'edge/zarr.json' is missing;"),
            ("empty.zarr", "Store '{w}/bad/empty.zarr' is an empty folder;"),
            ("absent.zarr", "Store '{w}/bad/absent.zarr' does not exist;"),
            ("foreign.zarr", "must hold a figure that this version knows; it holds 'demo'."),
        )
    ),
]


def name_of(value):
    return " ".join(word for word in value if word not in (*RUN[2:],))[:60] if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("args", "status", "words"), STATUSES, ids=name_of)
def test_exit_statuses(world, tmp_path, args, status, words):
    args = [arg.format(w=world) for arg in args]
    if args[0] == "run" and "--out" not in args:
        args += ["--out", str(tmp_path / "out")]
    result = invoke(*args)
    assert result.exit_code == status, result.output
    assert words.format(w=world) in result.output
    if status == 2:
        assert refused(*args).startswith("error: ")
        assert not list(tmp_path.glob("out/*.zarr")), "work was done before the refusal"
        assert not list(tmp_path.glob("out/.*.partial"))


@pytest.mark.parametrize("args", [("chek",), ("run", "--nonsense"), ("check",), ("fetch",), ()])
def test_usage_errors_have_status_2(args):
    assert invoke(*args).exit_code == 2


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_shows_an_example(command):
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    example = re.search(r"Example: precipice (.+)", result.output)
    assert example is not None
    assert example.group(1).split()[0] == (command[0] if command else "demo")


def test_the_entry_point_and_the_module():
    (script,) = entry_points(group="console_scripts", name="precipice")
    assert script.value == "precipice.cli:main"
    done = subprocess.run([sys.executable, "-m", "precipice", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"precipice {precipice.__version__}\n"


# --- start-up

HEAVY = ("jax", "equinox", "optax", "xarray", "zarr", "matplotlib.pyplot", "sklearn", "scipy", "pandas", "numpy")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    """What keeps it under half a second."""
    code = (
        "import atexit, sys; from precipice.cli import app; "
        f"atexit.register(lambda: print('loaded', [m for m in {HEAVY} if m in sys.modules])); app({arguments})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


# --- run


def attributes(folder):
    return results.open(folder / "shapira2023-fig1.zarr").attrs


def test_run_stores_draws_and_judges(world):
    attrs = attributes(world / "out")
    assert (attrs["scale"], attrs["study"], attrs["control"]) == ("reduced", "shapira2023/fig1", 0)
    assert attrs["reduced"] == (
        "num_examples=60 (quick 1000), width=8 (quick 64), num_steps=20 (quick 800), num_steps_other=20 (quick 2000), "
        "every=5 (quick 20), seeds=1 (quick 3)"
    )
    assert json.loads(attrs["parameters"]) == dataclasses.asdict(dataclasses.replace(digits_settings(), **TINY))
    assert (world / "out" / "shapira2023-fig1.png").read_bytes().startswith(b"\x89PNG")
    assert not list((world / "out").glob(".*"))


def test_values_equal_to_the_scales_own_reduce_nothing():
    same = choose(registry.figure("shapira2023/fig1"), "quick", ["width=64", "dataset=digits"])
    assert same[1:] == ("quick", "", "")
    paper = choose(registry.figure("shapira2023/fig1"), "paper", ["num_examples=500"])
    assert paper[1:] == ("reduced", "num_examples=500 (paper 5000)", "")


def test_run_draws_one_panel_of_the_same_dataset(world, tmp_path):
    result = invoke(*RUN, "--panel", "loss", "--out", tmp_path)
    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shapira2023-fig1-loss.png", "shapira2023-fig1.zarr"]
    xarray.testing.assert_equal(
        results.open(tmp_path / "shapira2023-fig1.zarr"), results.open(world / "out" / "shapira2023-fig1.zarr")
    )


def test_resume_keeps_a_complete_run_and_only_that(world, tmp_path):
    shutil.copytree(world / "out", tmp_path / "out")
    before = attributes(tmp_path / "out")["created_at"], (tmp_path / "out/shapira2023-fig1.zarr").stat().st_ino
    result = invoke(*RUN, "--resume", "--out", tmp_path / "out")
    assert "is complete with these settings: kept." in result.stderr
    assert before == (
        attributes(tmp_path / "out")["created_at"],
        (tmp_path / "out/shapira2023-fig1.zarr").stat().st_ino,
    )
    other = invoke(*RUN, "--set", "lr=0.3", "--resume", "--out", tmp_path / "out")
    assert "holds a run with other settings (scale reduced), which this one will replace." in other.stderr
    assert json.loads(attributes(tmp_path / "out")["parameters"])["lr"] == 0.3


def test_a_damaged_store_is_replaced_by_a_run(world, tmp_path):
    shutil.copytree(world / "bad" / "half.zarr", tmp_path / "shapira2023-fig1.zarr")
    result = invoke(*RUN, "--resume", "--out", tmp_path)
    assert result.exit_code == 0
    assert "is damaged" in result.stderr
    results.verify(tmp_path / "shapira2023-fig1.zarr")


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "shapira2023-fig1.zarr").write_text("mine")
    assert "must be a folder, but there is a file of that name" in refused(*RUN, "--out", tmp_path)


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    mine = tmp_path / "shapira2023-fig1.zarr" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    assert "must not be a folder of something else; there is one, move it away." in refused(*RUN, "--out", tmp_path)
    assert mine.read_text() == "precious"


def test_a_folder_in_the_place_of_the_picture_is_refused(tmp_path):
    (tmp_path / "shapira2023-fig1.png").mkdir()
    assert "must be a file, but there is a folder of that name" in refused(*RUN, "--out", tmp_path)


def test_a_disk_that_refuses_is_no_bad_input(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("precipice.results.atomic.write_synced", full)
    result = invoke(*RUN, "--out", tmp_path)
    assert result.exit_code == Exit.FAILED
    assert re.match(r"error: File '.*' could not be written: No space left on device;", result.stderr.splitlines()[-1])


def test_an_empty_folder_is_no_interrupted_run(tmp_path):
    (tmp_path / ".shapira2023-fig1-0123456789ab.partial").mkdir()
    assert "interrupted" not in invoke(*RUN, "--out", tmp_path).stderr


def test_a_diverging_run_is_a_labelled_result(tmp_path):
    result = invoke("run", "shapira2023/fig1", *setting(activation="identity", lr=80), "--out", tmp_path)
    assert result.exit_code == 0, result.output
    dataset = results.open(tmp_path / "shapira2023-fig1.zarr")
    step = int(dataset["diverged_at"][0, 0])
    assert step > 0
    assert dataset["status"].values[:, 0].tolist() == [results.Status.DIVERGED, results.Status.DONE]
    assert f"lr 80, seed 0: diverged at step {step}\n" in result.stdout
    assert invoke("check", "shapira2023/fig1", "--out", tmp_path).exit_code == 1


def broken(settings, context):
    raise RuntimeError("out of luck")


def unable(settings, context):
    raise InputError("luck must be at least 1; got 0.")


def test_a_paper_is_run_to_its_end_although_figures_fail(tmp_path, monkeypatch):
    figure = registry.figure("shapira2023/fig1")
    for name, run in (("fig1", figure.run), ("fig0", broken), ("fig2", unable), ("fig3", figure.run)):
        other = dataclasses.replace(figure, id=f"trial/{name}", run=run)
        monkeypatch.setitem(registry.FIGURES, other.id, other)
    result = invoke("run", "--paper", "trial", *setting(), "--out", tmp_path)
    assert result.exit_code == 2
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if "trial/fig" in line}
    assert list(rows) == ["trial/fig1", "trial/fig0", "trial/fig2", "trial/fig3"]
    assert "RuntimeError: out of luck" in rows["trial/fig0"]
    assert "luck must be at least 1; got 0." in rows["trial/fig2"]
    assert "0 of 6 claims hold; 1 fails: hovering" in rows["trial/fig1"]
    assert sorted(p.name for p in tmp_path.glob("*.zarr")) == ["trial-fig1.zarr", "trial-fig3.zarr"]
    only = ("trial/fig1", "trial/fig3")
    assert invoke("run", *only, *setting(), "--resume", "--out", tmp_path).exit_code == 0
    assert invoke("run", only[0], "trial/fig0", *setting(), "--resume", "--out", tmp_path).exit_code == 1


def test_a_setting_that_one_figure_lacks_is_refused_before_any_runs(tmp_path):
    ids = ("shapira2023/fig1", "agarwala2022/fig5")
    assert "setting 'window' is unknown" in refused("run", *ids, "--set", "window=20", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interruption_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    result = invoke(*RUN, "--out", tmp_path)
    assert result.exit_code == 130
    assert result.stderr.endswith("interrupted; run the same command to continue\n")


def test_an_interrupted_run_is_continued_and_survives_others(world, tmp_path, monkeypatch):
    from precipice.dynamics import train

    stop = {"at": "lr 0.2, seed 0"}

    def not_always(*args, **kwargs):
        if kwargs["title"] == stop["at"]:
            raise KeyboardInterrupt
        return train(*args, **kwargs)

    monkeypatch.setattr("precipice.dynamics.train", not_always)
    assert invoke(*RUN, "--out", tmp_path).exit_code == 130
    (partial,) = tmp_path.glob(".shapira2023-fig1-*.partial")
    assert sorted(path.name for path in partial.iterdir()) == ["lr-0.4-seed-0.npz", "run.json"]
    marker = partial / "run.json"
    marker.write_text(json.dumps({"started": (partial / "lr-0.4-seed-0.npz").stat().st_mtime - 1000}))
    stop["at"] = "none"
    other = invoke(*RUN, "--set", "lr=0.3", "--out", tmp_path)
    assert f"an interrupted run with other settings, versions or threads is left alone: {partial}" in other.stderr
    assert partial.exists()
    done = invoke(*RUN, "--resume", "--out", tmp_path)
    assert f"continuing the interrupted run in {partial}" in done.stderr
    assert not partial.exists()
    xarray.testing.assert_equal(
        results.open(tmp_path / "shapira2023-fig1.zarr"), results.open(world / "out" / "shapira2023-fig1.zarr")
    )
    assert 1000 < attributes(tmp_path)["wall_time_seconds"] < 1100


def test_fresh_discards_an_interrupted_run(tmp_path, monkeypatch):
    request = runner.Request(registry.figure("shapira2023/fig1"), digits_settings(), "quick", tmp_path)
    partial = runner._partial(request, runner._fingerprint(request))
    partial.mkdir()
    (partial / "run.json").write_text("{}")
    (partial / "lr-0.4-seed-0.npz").write_text("no checkpoint")
    said = []
    runner._open_partial(dataclasses.replace(request, resume=False), partial, said.append)
    assert [path.name for path in partial.iterdir()] == ["run.json"]
    assert said == ["discarding an interrupted run, as asked"]


def test_precision_is_of_the_run_not_of_the_process(tmp_path):
    import jax

    result = invoke("run", "shapira2023/fig1", *setting(precision="float32"), "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert results.open(tmp_path / "shapira2023-fig1.zarr")["loss"].dtype == np.float32
    assert jax.numpy.zeros(()).dtype == np.float64  # as conftest.py has it


# --- data


def write_batches(folder, monkeypatch, *names, images=3):
    """CIFAR-10 batch files of a few images that pass for the official ones."""
    folder = folder / CIFAR10.folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        data = rng.integers(0, 10, (images, 3073), np.uint8).tobytes()
        (folder / name).write_bytes(data)
        monkeypatch.setitem(CIFAR10.checksums, name, hashlib.md5(data).hexdigest())


WITHOUT_DATASET = ("run", "shapira2023/fig1", *setting()[2:])
MISSING = "CIFAR-10 needs the file cifar-10-batches-bin/data_batch_1.bin, which is not in the data directory {}; "


def test_quick_runs_on_digits_where_cifar_is_not_found_and_says_so(no_data, tmp_path):
    result = invoke(*WITHOUT_DATASET, "--out", tmp_path / "out")
    assert result.exit_code == 0
    folder = no_data / "cifar-10-batches-bin"
    assert result.stderr.splitlines()[0] == (
        f"note: cifar10 is not in {folder}: running on digits instead (`precipice fetch cifar10` downloads it)."
    )
    assert "shapira2023/fig1 on digits" in result.stdout


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_absent_data_that_were_asked_for_are_an_error(no_data, tmp_path, scale):
    arguments = ("run", "shapira2023/fig1", "--scale", scale, "--out", tmp_path / "out")
    said = refused(*arguments, "--data", tmp_path)
    assert MISSING.format(tmp_path) + f"`precipice fetch cifar10 --data-dir {tmp_path}` downloads it there." in said
    said = refused(*arguments, "--set", "dataset=cifar10")
    assert MISSING.format(no_data) + "`precipice fetch cifar10` downloads it there." in said
    assert "MNIST needs the file" in refused(*arguments, "--set", "dataset=mnist")
    assert not list(tmp_path.glob("out/.*"))


def test_a_mistyped_setting_is_refused_before_data_are_looked_for(tmp_path):
    sentence = "setting 'widht' is unknown; did you mean width?"
    assert sentence in refused("run", "shapira2023/fig1", "--set", "dataset=cifar10", "--set", "widht=3")


def test_the_files_that_n_needs_must_be_there_and_whole(no_data, tmp_path, monkeypatch):
    write_batches(no_data, monkeypatch, "data_batch_1.bin")
    arguments = (*WITHOUT_DATASET, "--out", tmp_path / "out")
    said = refused(*arguments, "--set", "num_examples=5")
    assert "CIFAR-10 needs the file cifar-10-batches-bin/data_batch_2.bin" in said
    assert "num_examples must be at most 50000" in refused(*arguments, "--set", "num_examples=50001")
    batch = no_data / CIFAR10.folder / "data_batch_1.bin"
    batch.write_bytes(batch.read_bytes()[:-1] + b"\x00\x00")
    said = refused(*arguments, "--set", "num_examples=3")
    assert f"{batch} must have the official md5 " in said
    assert not list(tmp_path.glob("out/.*"))


def test_quick_runs_on_cifar_where_it_is_found(no_data, monkeypatch):
    write_batches(no_data, monkeypatch, "data_batch_1.bin", images=60)
    on_images = [figure for figure in registry.FIGURES.values() if figure.scales["quick"].preferred == "cifar10"]
    assert len(on_images) >= 2
    for figure in on_images:
        chosen = choose(figure, "quick", [])
        assert chosen.settings.dataset == "cifar10"
        assert chosen.note == ""
        choose(figure, "quick", ["dataset=digits", "num_examples=100"])  # not refused
    for name in ("shapira2023/fig1", "agarwala2022/fig5"):
        chosen = choose(registry.FIGURES[name], "quick", ["num_examples=60"])
        assert (chosen.settings.dataset, chosen.note) == ("cifar10", "")
        on_digits = choose(registry.FIGURES[name], "quick", ["dataset=digits"])
        assert on_digits.settings.preprocess == "standardise_pixels"
        assert networks.problem_for(chosen.settings, None).data.x.shape == (60, 3072)


def test_data_that_are_not_finite_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"^x must be finite in float64; got 1 values that are NaN or infinite\.$"):
        problems.from_arrays(np.array([[np.nan]]), np.ones((1, 1)))

    def poisoned(images):
        return images * np.where(np.arange(len(images)) == 3, np.nan, 1.0)[:, None, None, None]

    monkeypatch.setitem(networks.PREPROCESSING, "scale_only", poisoned)
    arguments = ("run", "shapira2023/fig1", *setting(preprocess="scale_only"), "--out", tmp_path / "out")
    assert "x must be finite in float64; got 64 values that are NaN or infinite." in refused(*arguments)
    assert not list(tmp_path.glob("out/.*"))


def test_fetch_hands_on_name_and_folder(tmp_path, monkeypatch):
    asked = []

    def fetch(name, data_dir, *, progress):
        asked.append((name, data_dir, progress))
        return Path(data_dir or "cache")

    monkeypatch.setattr(problems, "fetch", fetch)
    assert invoke("fetch", "cifar10", "--data-dir", tmp_path).stdout == f"{tmp_path}\n"
    assert invoke("fetch", "mnist").stdout == "cache\n"
    assert asked == [("cifar10", tmp_path, False), ("mnist", None, False)]


def test_list_says_whether_data_are_found(no_data, monkeypatch):
    def scales():
        figures = json.loads(invoke("list", "--json").stdout)
        assert [figure["id"] for figure in figures] == list(registry.FIGURES)
        assert all(figure["title"] and figure["panels"] and figure["claims"] for figure in figures)
        return next(figure["scales"] for figure in figures if figure["id"] == "shapira2023/fig1")

    def words(scale):
        return scale["data"], scale["found"], scale["uses"], scale["runs"]

    before = scales()
    assert words(before["quick"]) == ("cifar10 (else digits)", False, "digits", True)
    assert words(before["paper"]) == ("cifar10", False, "cifar10", False)
    assert "not found, `precipice fetch cifar10` downloads it" in invoke("list").stdout
    write_batches(no_data, monkeypatch, "data_batch_1.bin")
    assert words(scales()["quick"]) == ("cifar10 (else digits)", True, "cifar10", True)
    assert "`precipice fetch cifar10`" not in invoke("list").stdout
    assert "not found, `precipice fetch mnist` downloads it" in invoke("list").stdout
    assert f"1 of 6 files in {no_data / CIFAR10.folder}\n" in invoke("info").stdout
    (no_data / CIFAR10.folder / "data_batch_1.bin").write_bytes(b"another")
    assert "; wrong md5: data_batch_1.bin (`precipice fetch cifar10` replaces it)\n" in invoke("info").stdout
    assert f"not found in {no_data / 'mnist'}" in invoke("info").stdout


def test_info_says_what_it_runs_on(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    shown = dict(line.split("  ", 1) for line in invoke("info").stdout.splitlines())
    shown = {name: value.strip() for name, value in shown.items()}
    assert shown["precipice"] == precipice.__version__
    assert shown["threads"] == "3 (from NPROC)"
    assert shown["devices"] == "cpu: cpu"
    assert shown["data digits"] == "comes with scikit-learn"


# --- check, gallery, demo


def test_check_shows_claim_source_measured_band_and_verdict(world):
    result = invoke("check", world / "true" / "shapira2023-fig1.zarr")
    table = [row for line in result.stdout.splitlines() if len(row := re.split(" {2,}", line.strip())) == 5]
    assert table[0] == ["claim", "source", "measured", "band", "verdict"]
    assert [row[0] for row in table[1:]] == [claim.name for claim in fig1.CLAIMS]
    source = "shapira2023 figure 1b; Cohen et al. 2021, section 3.2"
    assert table[3] == ["hovering", source, "1.05", "1 to 1.2", "holds 1/1"]


def test_a_control_under_which_the_claim_holds_is_a_failure(world, tmp_path, monkeypatch):
    shutil.copytree(world / "out", tmp_path / "out")
    figure = registry.figure("shapira2023/fig1")
    main = next(claim for claim in figure.claims if claim.name == figure.main_claim)
    lax = dataclasses.replace(figure, claims=(dataclasses.replace(main, band=(0.0, np.inf)),))
    monkeypatch.setitem(registry.FIGURES, figure.id, lax)
    result = invoke("check", "shapira2023/fig1", "--control", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "control failed: the claim holds under it" in result.stdout
    control = tmp_path / "out" / "shapira2023-fig1-control.zarr"
    lr = json.loads(results.open(control).attrs["parameters"])["lr"]
    assert lr == pytest.approx(digits_settings().lr / 10)
    assert results.open(tmp_path / "out" / "shapira2023-fig1.zarr").attrs["control"] == 0
    again = invoke("check", "shapira2023/fig1", "--control", "--out", tmp_path / "out")
    assert "kept." in again.stderr
    assert "must be a figure's own run to have a control" in refused("check", control, "--control")


def test_gallery_puts_all_pictures_on_a_page(world, tmp_path):
    from matplotlib.image import imread

    shutil.copytree(world / "true", tmp_path / "g")
    control = results.open(world / "out" / "shapira2023-fig1.zarr")
    control.attrs["control"] = 1
    results.save(control, tmp_path / "g" / "shapira2023-fig1-control.zarr")
    result = invoke("gallery", tmp_path / "g")
    assert result.exit_code == 0, result.output
    pictures = [tmp_path / "g" / f"shapira2023-fig1{end}.png" for end in ("", "-control")]
    assert all(path.exists() for path in pictures)  # drawn, as they were not there
    height, width, _ = imread(tmp_path / "g" / "gallery.png").shape
    assert width > 3 * height  # two wide pictures side by side
    text = (tmp_path / "g" / "gallery.md").read_text()
    assert text.index("## shapira2023/fig1: A tanh network") < text.index("## shapira2023/fig1 (control): A tanh")
    for words in (
        "![shapira2023/fig1](shapira2023-fig1.png)",
        "- Scale reduced: num_examples=60 (quick 1000),",
        "first 60 training images of digits",
        "6 of 6 claims hold.",
        "- hovering is broken, as it must be.",
        "| hovering | shapira2023 figure 1b; Cohen et al. 2021, section 3.2 | 1.05 | 1 to 1.2 | holds 1/1 |",
    ):
        assert words in text
    page = tmp_path / "docs" / "page.md"
    assert invoke("gallery", tmp_path / "g", "--page", page).exit_code == 0
    assert "![shapira2023/fig1](page/shapira2023-fig1.png)" in page.read_text()
    assert "gallery.png" not in page.read_text()
    assert "(control)" not in page.read_text()
    (row,) = re.findall(r"^\| shapira2023/fig1 \| hovering \|.*$", page.read_text(), flags=re.MULTILINE)
    assert re.search(r"\| 1 to 1\.2 \| 1\.05 \| holds 1/1 \| \S.*: fails \d/\d \|$", row)
    copy = page.parent / "page" / "shapira2023-fig1.png"
    assert imread(copy).shape[:2] == imread(pictures[0]).shape[:2]
    assert copy.stat().st_size < pictures[0].stat().st_size
    shutil.copytree(world / "bad" / "half.zarr", tmp_path / "g" / "half.zarr")
    (tmp_path / "g" / "gallery.md").unlink()
    result = invoke("gallery", tmp_path / "g")
    assert result.exit_code == Exit.BAD_INPUT
    assert re.search(r"half\.zarr' is damaged.* The gallery was made without it\.\n$", result.stderr)
    assert (tmp_path / "g" / "gallery.md").read_text() == text
    shutil.rmtree(tmp_path / "g" / "half.zarr")
    pictures[0].write_text("no picture")
    assert f"Picture '{pictures[0]}' cannot be read; delete it and it is drawn again." in refused(
        "gallery", tmp_path / "g"
    )


def test_plot_goes_beside_the_dataset_unless_a_folder_is_named(world, tmp_path):
    shutil.copytree(world / "true", tmp_path / "here")
    store = tmp_path / "here" / "shapira2023-fig1.zarr"
    assert invoke("plot", store).stdout == f"{tmp_path}/here/shapira2023-fig1.png\n"
    named = invoke("plot", store, "--panel", "loss", "--out", tmp_path / "there")
    assert named.stdout == f"{tmp_path}/there/shapira2023-fig1-loss.png\n"
    assert (tmp_path / "there" / "shapira2023-fig1-loss.png").read_bytes().startswith(b"\x89PNG")


def test_demo_prints_the_road_and_judges_by_the_claims(tmp_path, monkeypatch):
    tiny = dataclasses.replace(digits_settings(), **TINY)
    monkeypatch.setattr("precipice.papers.shapira2023.fig1.settings.digits_settings", lambda: tiny)
    result = invoke("demo", "--out", tmp_path)
    assert result.exit_code == 1
    road = ("problem", "training", "spectra", "dataset", "claims", "picture")
    assert [line for line in result.stdout.splitlines() if line in road] == list(road)
    assert "2 hidden layers of 8 tanh units" in result.stdout
    assert re.search(r"^lr 0.4: \S+ at the start, \S+ \+- \S+ at the end, edge 5;", result.stdout, re.MULTILINE)
    for file in ("shapira2023-fig1.zarr", "shapira2023-fig1.png"):
        assert f"{tmp_path / file}" in result.stdout
        assert (tmp_path / file).exists()


# --- report


def claim(name, band=(0.0, 1.0)):
    return Claim(name, f"{name} is so.", "figure 1", band, "because", lambda dataset: None)


def test_rows_and_tally():
    verdicts = (
        Verdict(claim("a"), (0.25, 0.5, 2.0), 2, HOLDS),
        Verdict(claim("b", (2.0, np.inf)), (1.0,), 0, FAILS),
        Verdict(claim("c", (-np.inf, 2.0)), (), 0, NOT_EVALUATED),
        Verdict(claim("d", (100.0, np.inf)), (12345.678,), 1, HOLDS),
    )
    rows = report.rows(verdicts)
    assert [(row.measured, row.band, row.verdict) for row in rows] == [
        ("0.5 (0.25 to 2)", "0 to 1", "holds 2/3"),
        ("1", "at least 2", "fails 0/1"),
        ("-", "at most 2", "not evaluated"),
        ("12346", "at least 100", "holds 1/1"),
    ]
    assert rows[0].says == "a is so."
    assert report.tally(verdicts) == "2 of 4 claims hold; 1 fails: b; 1 not evaluated: c"
    assert report.tally(verdicts[:1]) == "1 of 1 claims hold"


def test_divergences_name_the_run():
    done, diverged = int(results.Status.DONE), int(results.Status.DIVERGED)
    dataset = xarray.Dataset(
        {
            "status": (("lr", "seed"), np.array([[done, diverged], [diverged, done]], np.int8)),
            "diverged_at": (("lr", "seed"), np.array([[-1, 7], [3, -1]])),
        },
        coords={"lr": [0.1, 2.0], "seed": [0, 1]},
    )
    assert report.divergences(dataset) == (
        "lr 0.1, seed 1: diverged at step 7",
        "lr 2, seed 0: diverged at step 3",
    )
    assert report.divergences(dataset.drop_vars("status")) == ()
    assert report.divergences(dataset.drop_vars("diverged_at")) == ("2 of 4 runs diverged",)


def test_many_divergences_are_counted():
    status = np.full(2000, int(results.Status.DONE), np.int8)
    status[: report.MOST_LINES + 1] = int(results.Status.DIVERGED)
    dataset = xarray.Dataset(
        {"status": ("seed", status), "diverged_at": ("seed", np.full(2000, 3))}, {"seed": range(2000)}
    )
    assert report.divergences(dataset) == ("7 of 2,000 runs diverged",)


def test_figures_room_needs_no_jax():
    code = "import sys, precipice.figures.report, precipice.figures.gallery; print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "False\n"
