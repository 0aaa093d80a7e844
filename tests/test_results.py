"""The results room: names, labels, provenance, the store and checkpoints, and what they refuse."""

import errno
import hashlib
import json
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from precipice import results
from precipice._checks import InputError
from precipice.results import (
    atomic,
    checksums,
    monitor_vocabulary,
    near_edge_vocabulary,
    stochastic_vocabulary,
    store,
    swap,
    theory_vocabulary,
    vocabulary,
)
from precipice.results.provenance import _checkout, _version, _without_paths

RNG = np.random.default_rng(0)
ZEROS = results.Variable("zeros", ("step",), "1", "Nothing but zeros.", "definition")
FLAG = results.Variable("flag", ("probe_step",), "1", "Whether it held.", "definition")


def small():
    """A dataset with values that are easily lost: -0.0, NaN, inf, a subnormal number, all zeros, codes."""
    saved = {
        "loss": np.array([[1.0, np.nan, -0.0], [np.inf, 0.0, 1e-45]], np.float32),
        "zeros": np.zeros((2, 3)),
        "hessian_eigenvalue": np.random.default_rng(1).normal(size=(2, 2, 2)),
        "status": np.array([2, 3]),
        "diverged_at": np.array([-1, 1]),
    }
    coords = {"lr": [0.1, 0.3], "step": [0, 5, 9], "probe_step": [0, 9]}
    attrs = {"study": "é", "shape": (2, 3), "wall": 0.25}
    return results.to_dataset(saved, coords=coords, attrs=attrs, extra=(ZEROS,))


def same(a, b):
    """Equal to the last bit: names, axes, types, bytes and attributes."""
    xarray.testing.assert_identical(a, b)
    for name in a.variables:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].values.tobytes() == b[name].values.tobytes(), name


# --- vocabulary


def test_every_variable_has_known_axes_and_one_sentence():
    assert {"loss", "sharpness", "ntk_eigenvalue_raw", "last_finite_step"} <= set(results.VARIABLES)
    for name, v in results.VARIABLES.items():
        assert v.name == name
        assert set(v.dims) <= set(results.DIMENSIONS)
        assert v.meaning.endswith(".")
        assert v.meaning.count(". ") == 0


def test_no_name_of_the_vocabulary_means_two_things():
    parts = (vocabulary, monitor_vocabulary, near_edge_vocabulary, stochastic_vocabulary, theory_vocabulary)
    names = [v.name for part in parts[1:] for v in (*part.VARIABLES, *part.DIMENSIONS)]
    names += [v.name for v in (*vocabulary._VARIABLES, *vocabulary._DIMENSIONS)]
    assert {name for name in names if names.count(name) > 1} == set()


def test_codes_keep_their_numbers_and_are_described_in_the_file():
    status = ["missing", "running", "done", "diverged", "failed"]
    reasons = ["none", "steps_spent", "accuracy_reached", "loss_reached", "diverged"]
    assert [results.Status(i).name.lower() for i in range(5)] == status
    assert [results.StopReason(i).name.lower() for i in range(5)] == reasons
    assert small()["status"].dtype == np.int8
    attrs = small()["status"].attrs
    assert attrs["flag_values"] == [int(s) for s in results.Status]
    assert attrs["flag_meanings"].split()[:5] == status


def test_a_variable_is_checked_when_made():
    with pytest.raises(InputError, match=r"must be identifiers; got 'a b'\."):
        results.Variable("a b", (), "1", "One.", "definition")
    with pytest.raises(InputError, match="dimensions of variable 'a' must differ"):
        results.Variable("a", ("step", "step"), "1", "One.", "definition")
    with pytest.raises(InputError, match="'a' must state its units, meaning and reference"):
        results.Variable("a", ("step",), "1", "", "definition")


def test_an_extra_variable_must_not_take_a_known_name():
    with pytest.raises(InputError, match="'loss' must not redefine"):
        results.variable("loss", extra=(results.Variable("loss", (), "1", "Other.", "definition"),))


# --- to_dataset


def test_axes_of_a_sweep_come_first_in_the_order_of_the_coordinates():
    saved = {
        "loss": RNG.normal(size=(2, 3, 4)),
        "hessian_eigenvalue": RNG.normal(size=(2, 3, 2, 5)),
        "edge": np.array([20.0, 10.0]),
    }
    coords = {"probe_step": [0, 3], "lr": [0.1, 0.2], "seed": range(3), "step": range(4)}
    ds = results.to_dataset(saved, coords=coords)
    assert ds["loss"].dims == ("lr", "seed", "step")
    assert ds["hessian_eigenvalue"].dims == ("lr", "seed", "probe_step", "eigenvalue")
    assert ds["edge"].dims == ("lr",)
    np.testing.assert_array_equal(ds["eigenvalue"], np.arange(5))
    np.testing.assert_array_equal(ds["loss"].sel(lr=0.2, seed=1), saved["loss"][1, 1])
    assert ds["loss"].attrs["units"] == "1"
    assert ds["loss"].attrs["meaning"] == results.variable("loss").meaning
    assert ds["lr"].attrs["meaning"] == "Learning rate of the optimiser."


def test_arrays_of_a_nested_vmap_fit_as_they_come():
    def run(lr, seed):
        loss = lr * jnp.arange(4.0) + seed
        return {"loss": loss, "sharpness": jnp.ones(4, jnp.float32), "flag": loss > 0}

    lrs, seeds = jnp.array([0.1, 0.2]), jnp.arange(3.0)
    saved = jax.vmap(jax.vmap(run, (None, 0)), (0, None))(lrs, seeds)
    coords = {"lr": lrs, "seed": seeds, "step": jnp.arange(4)}
    ds = results.to_dataset(saved, coords=coords, extra=(FLAG,))
    assert ds["sharpness"].dims == ("lr", "seed", "step")  # the probes ran at every step
    assert ds["sharpness"].dtype == np.float32
    assert ds["flag"].dtype == np.int8
    np.testing.assert_allclose(ds["loss"].sel(lr=0.2, seed=2), 0.2 * np.arange(4) + 2, rtol=0, atol=1e-14)


def test_an_extra_variable_and_a_sweep_of_any_name():
    margin = results.Variable("margin", ("layer",), "1", "Margin of a layer.", "definition")
    ds = results.to_dataset({"margin": np.ones((2, 3))}, coords={"layer": [0, 1, 2], "width": [8, 16]}, extra=(margin,))
    assert ds["margin"].dims == ("width", "layer")


def test_one_number_labels_the_dataset():
    ds = results.to_dataset({"loss": np.ones(2)}, coords={"lr": 0.1, "step": [0, 1]})
    assert ds["loss"].dims == ("step",)
    assert float(ds["lr"]) == 0.1


BAD_DATASETS = [
    ({"los": [1.0]}, {"step": [0]}, r"Variable 'los' is unknown; did you mean .*loss"),
    ({"loss": np.ones((3, 4))}, {"step": range(5)}, r"'loss' must have axes \(step: 5\); got shape \(3, 4\)"),
    ({"loss": np.ones(4)}, {"step": range(5)}, r"'loss' must have axes \(step: 5\); got shape \(4,\)"),
    (
        {"loss": np.ones((3, 5))},
        {"lr": [0.1, 0.2], "step": range(5)},
        r"'loss' must have axes \(lr: 2, step: 5\); got shape \(3, 5\)",
    ),
    ({"loss": np.float64(1)}, {"step": [0]}, r"'loss' must have axes \(step: 1\); got shape \(\)"),
    (
        {"hessian_eigenvalue": np.ones((1, 2)), "ntk_eigenvalue": np.ones((1, 3))},
        {"step": [0]},
        r"'ntk_eigenvalue' must have axes \(step: 1, eigenvalue: 2\); got shape \(1, 3\)",
    ),
    ({"loss": [1.0]}, {"lr": [0.1]}, "'loss' needs the coordinate 'step'; got lr"),
    ({"loss": ["a"]}, {"step": [0]}, "'loss' must be numeric"),
    ({"loss": [[1.0], [1.0, 2.0]]}, {"step": [0]}, "'loss' must be an array of numbers; got list"),
    ({"loss": [1.0]}, {"step": [np.nan]}, "'step' must be finite numbers along one axis"),
    ({"loss": [1.0]}, {"step": [[0]]}, "'step' must be finite numbers along one axis"),
    ({"loss": [1.0]}, {"step": [0], "data set": [1]}, "coordinates must be identifiers; got 'data set'"),
    ({"loss": [1.0]}, {"step": [0], "data": ["mnist"]}, "'data' must be numeric"),
    ({"status": [5]}, {"run": [0]}, "'status' must hold codes from 0 to 4"),
    ({"edge": [1.0]}, {"edge": [1.0]}, "'edge' must not have the name of a coordinate"),
]


@pytest.mark.parametrize(("saved", "coords", "words"), BAD_DATASETS)
def test_what_does_not_fit_is_refused(saved, coords, words):
    with pytest.raises(InputError, match=words) as caught:
        results.to_dataset(saved, coords=coords)
    assert str(caught.value).count("\n") == 0


def test_typed_keys_are_refused(key):
    with pytest.raises(InputError, match="'loss' must be an array of numbers"):
        results.to_dataset({"loss": jax.random.split(key, 2)}, coords={"step": [0, 1]})


@pytest.mark.parametrize("value", [None, {"a": 1}, [[1]], np.nan, object()])
def test_attributes_that_files_cannot_hold_are_refused(value):
    with pytest.raises(InputError, match="Attribute 'bad' must be text, a finite number or a flat list"):
        results.to_dataset({}, coords={}, attrs={"bad": value})


# --- pad_runs


def test_runs_of_different_lengths():
    runs = [
        {"loss": np.array([3.0, 2.0], np.float32), "step": [0, 1], "edge": 8.0, "flag": [True, False]},
        {"loss": np.array([3.0], np.float32), "step": [0], "edge": 4.0, "flag": [True]},
    ]
    longest = results.pad_runs(runs, "step", "probe_step", extra=(FLAG,))
    np.testing.assert_array_equal(longest["loss"], np.array([[3, 2], [3, np.nan]], np.float32))
    assert longest["loss"].dtype == np.float32
    np.testing.assert_array_equal(longest["step"], [[0, 1], [0, -1]])
    np.testing.assert_array_equal(longest["edge"], [8.0, 4.0])
    np.testing.assert_array_equal(longest["flag"], [[1, 0], [1, -1]])
    assert longest["flag"].dtype == np.int8
    with pytest.raises(InputError, match=r"'flag' must have axes .* differ in length along \('step',\) only"):
        results.pad_runs(runs, "step", extra=(FLAG,))  # its axis is probe_step
    ds = results.to_dataset({"loss": longest["loss"]}, coords={"run": [0, 1], "step": [0, 1]})
    assert ds["loss"].dims == ("run", "step")


def test_runs_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="at least 1 run"):
        results.pad_runs([], "step")
    with pytest.raises(InputError, match=r"run 1 differs in \['edge'\]"):
        results.pad_runs([{"loss": [1.0]}, {"loss": [1.0], "edge": 1.0}], "step")
    with pytest.raises(InputError, match="one signed or floating type in all runs; got float64, int64"):
        results.pad_runs([{"loss": [1.0]}, {"loss": [1]}], "step")
    with pytest.raises(InputError, match="one signed or floating type"):
        results.pad_runs([{"loss": np.ones(1, np.uint8)}], "step")
    with pytest.raises(InputError, match=r"only; got shapes \(1, 2\), \(1, 3\)"):
        results.pad_runs([{"hessian_eigenvalue": np.ones((1, n))} for n in (2, 3)], "probe_step")


# --- provenance


def test_parameters_key_is_the_hash_of_canonical_json():
    text = '{"depth":[1,2],"lr":0.1,"name":"\\u00e9","on":true,"width":8,"x":null}'
    parameters = {"x": None, "width": np.int64(8), "name": "é", "on": True, "lr": 0.1, "depth": (1, 2)}
    assert results.parameters_key(parameters) == hashlib.sha256(text.encode()).hexdigest()
    assert results.parameters_key(dict(reversed(parameters.items()))) == results.parameters_key(parameters)
    assert results.parameters_key(parameters | {"lr": 0.2}) != results.parameters_key(parameters)
    known = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of "{}"; files rely on it
    assert results.parameters_key({}) == known


def test_parameters_that_json_cannot_hold_are_refused():
    with pytest.raises(InputError, match=r"parameters\.a\[1\] must be made of .*; got nan"):
        results.parameters_key({"a": [1.0, np.nan]})
    with pytest.raises(InputError, match=r"Keys in parameters\.a must be text; got 1"):
        results.parameters_key({"a": {1: 2}})


def asked(device=None, extra=None):
    parameters = {"b": 1, "a": {"c": (1, 2)}}
    return results.provenance(
        study="demo",
        parameters=parameters,
        seed=3,
        precision="float64",
        wall_time=1.5,
        device=device,
        extra=extra,
    )


def test_provenance(monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/someone/x --xla_cpu_use_onednn=true")
    attrs = asked(device="cpu:0", extra={"figure": "1a"})
    assert json.loads(attrs["parameters"]) == {"a": {"c": [1, 2]}, "b": 1}
    assert attrs["parameters_key"] == results.parameters_key({"b": 1, "a": {"c": (1, 2)}})
    assert attrs["xla_flags"] == "--xla_dump_to=<path> --xla_cpu_use_onednn=true"
    assert (attrs["num_threads"], attrs["device"], attrs["figure"]) == (1, "cpu:0", "1a")
    assert (attrs["seed"], attrs["precision"], attrs["wall_time_seconds"]) == (3, "float64", 1.5)
    assert attrs["jax_version"] == jax.__version__
    assert attrs["xarray_version"] == xarray.__version__
    assert attrs["created_at"].endswith("+00:00")
    assert all(isinstance(v, (str, int, float)) and not isinstance(v, bool) for v in attrs.values())


def test_provenance_refuses_a_name_taken_twice():
    with pytest.raises(InputError, match="must not take the names of others; got seed"):
        asked(extra={"seed": 4})


def test_provenance_knows_commit_and_dirtiness(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, check=True)
        return done.stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "__init__.py").write_text("")
    assert _checkout(tmp_path) == ("none", "none")
    git("add", ".")
    git("commit", "-q", "-m", "one", "--no-verify")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a git hook
    commit, dirty = _checkout(tmp_path)
    monkeypatch.delenv("GIT_DIR")
    assert (commit, dirty) == (git("rev-parse", "HEAD"), "no")
    (tmp_path / "new.py").write_text("")
    assert _checkout(tmp_path) == (commit, "yes")
    (tmp_path / "site-packages").mkdir()  # installed somewhere below a repository: not its source
    (tmp_path / "site-packages" / "__init__.py").write_text("")
    assert _checkout(tmp_path / "site-packages") == ("none", "none")


def test_provenance_never_fails_for_want_of_git_or_of_a_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert asked()["git_commit"] == "none"
    assert _version("no_such_package") == "none"


def test_paths_are_left_out():
    assert _without_paths("--a=1 --b=C:\\x --c=/y") == "--a=1 --b=<path> --c=<path>"


# --- store: round trips


def test_round_trip(tmp_path):
    ds = small()
    results.save(ds, tmp_path / "a.zarr")
    same(results.open(tmp_path / "a.zarr"), ds.assign_attrs(store_version=1))
    results.verify(tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_round_trip_of_types_and_of_provenance(tmp_path):
    variables = {
        "f2": ("a", np.array([1.5, np.nan], np.float16)),
        "c8": ("a", np.array([1j, 2], np.complex64)),
        "u1": ("a", np.array([0, 255], np.uint8)),
        "b": ("a", np.array([True, False])),
        "seconds": ("a", np.array([1.0, 2.0]), {"units": "seconds"}),
        "days": ("a", np.array([1, 2]), {"units": "days since 2000-01-01"}),
        "nothing": (("a", "z"), np.zeros((2, 0))),
        "big_endian": ("a", np.array([1.0, 2.0], ">f8").astype("<f8")),
    }
    ds = xarray.Dataset(variables, coords={"a": [3, 4], "label": ("a", [0.5, 0.25]), "alone": 7}, attrs=asked())
    results.save(ds, tmp_path / "a.zarr")
    same(results.open(tmp_path / "a.zarr"), ds)
    results.save(results.open(tmp_path / "a.zarr"), tmp_path / "a.zarr")  # over itself
    same(results.open(tmp_path / "a.zarr"), ds)


def test_every_number_is_in_a_file(tmp_path):
    ds = xarray.Dataset({n: ("a", np.full(2, v)) for n, v in {"nan": -np.nan, "minus": -0.0, "zero": 0}.items()})
    results.save(ds, tmp_path / "a")
    assert all((tmp_path / "a" / name / "c" / "0").is_file() for name in ds)
    same(results.open(tmp_path / "a"), ds.assign_attrs(store_version=1))


def test_round_trip_of_several_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_ONE_CHUNK", 1000)
    ds = xarray.Dataset({"x": (("a", "b"), RNG.normal(size=(300, 300)))})
    results.save(ds, tmp_path / "a")
    assert len([p for p in (tmp_path / "a" / "x" / "c").rglob("*") if p.is_file()]) > 1
    same(results.open(tmp_path / "a"), ds.assign_attrs(store_version=1))


def test_plain_xarray_reads_the_same(tmp_path):
    ds = small()
    results.save(ds, tmp_path / "a.zarr")
    with xarray.open_zarr(tmp_path / "a.zarr", consolidated=False) as plain:
        for name in ds.variables:
            assert plain[name].values.tobytes() == ds[name].values.tobytes()
            assert plain[name].attrs == ds[name].attrs
        assert plain.attrs["study"] == "é"


def test_a_dataset_from_plain_xarray_can_be_saved_over_its_own_store(tmp_path):
    results.save(small(), tmp_path / "a.zarr")
    with xarray.open_zarr(tmp_path / "a.zarr", consolidated=False, chunks=None) as lazy:
        results.save(lazy, tmp_path / "a.zarr")
    same(results.open(tmp_path / "a.zarr"), small().assign_attrs(store_version=1))


def test_save_through_a_link_and_from_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results.save(small(), "real.zarr")
    (tmp_path / "link.zarr").symlink_to("real.zarr")
    results.save(small().assign_attrs(study="second"), "link.zarr")
    assert (tmp_path / "link.zarr").is_symlink()
    assert results.open("real.zarr").attrs["study"] == "second"


@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_save_replaces_the_whole_store(tmp_path, monkeypatch, way):
    if way == "two renames":
        monkeypatch.setattr(swap, "_exchange", lambda a, b: False)
    results.save(small(), tmp_path / "a.zarr")
    other = xarray.Dataset({"edge": 1.0})
    results.save(other, tmp_path / "a.zarr")
    same(results.open(tmp_path / "a.zarr"), other.assign_attrs(store_version=1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    with pytest.raises(InputError, match="must not exist when overwrite is off"):
        results.save(small(), tmp_path / "a.zarr", overwrite=False)
    results.save(small(), tmp_path / "b.zarr", overwrite=False)


def test_the_exchange_is_one_system_call_on_linux(tmp_path):
    for name in "ab":
        (tmp_path / name / name).mkdir(parents=True)
    if not swap._exchange(tmp_path / "a", tmp_path / "b"):
        assert sys.platform != "linux"
        return
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "b" / "a").is_dir()
    assert not swap._exchange(tmp_path / "a", tmp_path / "absent")


# --- store: damage


@pytest.fixture
def stored(tmp_path):
    results.save(xarray.Dataset({"x": ("a", np.arange(3.0)), "n": 1}, {"a": [1, 2, 3]}), tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def refused(path, words):
    with pytest.raises(results.StoreError, match=words) as caught:
        results.open(path)
    message = str(caught.value)
    assert message.startswith(f"Store '{path}' ")
    assert message.endswith(".")
    assert "\n" not in message
    with pytest.raises(results.StoreError, match=words):
        results.verify(path)


def test_one_bit_flipped_in_any_byte_of_any_file_is_noticed(stored):
    num_flips = 0
    for path in files_of(stored):
        good = path.read_bytes()
        for i in range(len(good)):
            bad = bytearray(good)
            bad[i] ^= 1 << (i % 8)
            path.write_bytes(bad)
            with pytest.raises(results.StoreError, match=r"damaged|store version"):
                results.open(stored)
            num_flips += 1
        path.write_bytes(good)
    assert num_flips > 2000
    results.open(stored)


def test_every_bit_of_the_checksums_and_of_the_version_counts(stored):
    path = stored / "zarr.json"
    good = path.read_bytes()
    start = good.index(b'"store_version"')
    for i in [*range(start, start + 60), *range(good.index(b'"precipice_attributes'), len(good))]:
        for bit in range(8):
            bad = bytearray(good)
            bad[i] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(results.StoreError, match=r"damaged|store version"):
                results.verify(stored)


def test_every_file_cut_or_lost_or_swapped_is_noticed(stored):
    for path in files_of(stored):
        good = path.read_bytes()
        for size in {0, 1, len(good) // 2, len(good) - 1}:
            path.write_bytes(good[:size])
            refused(stored, "damaged")
        path.write_bytes(good + b" ")
        refused(stored, "damaged")
        path.unlink()
        refused(stored, "is missing; rerun" if path.parent != stored else "has no file 'zarr.json'")
        path.mkdir()
        refused(stored, "cannot be read|is missing")
        path.rmdir()
        path.write_bytes(good)
    a, b = stored / "x" / "c" / "0", stored / "a" / "c" / "0"
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)
    refused(stored, "file '(x|a)/c/0' does not match its checksum; rerun the command that writes it")


def test_a_whole_array_lost_or_added_is_noticed(stored):
    shutil.copytree(stored / "x", stored / "y")
    refused(stored, "its file 'y/c/0' is not part of it")
    shutil.rmtree(stored / "y")
    (stored / ".DS_Store").write_bytes(b"what file managers leave")
    results.open(stored)
    shutil.rmtree(stored / "x")
    refused(stored, "its file 'x/.*' is missing")


@pytest.mark.parametrize("indent", [2, 4])
def test_an_edited_attribute_is_noticed(stored, indent):
    root = json.loads((stored / "zarr.json").read_text())
    root["attributes"]["study"] = "another"
    (stored / "zarr.json").write_text(json.dumps(root, indent=indent))
    refused(stored, "its file 'zarr.json' does not match its checksum")


def test_zarr_itself_notices_a_flipped_bit(stored):
    """The codec, not only our checksums: without it zarr reads a wrong number."""
    for name in ("x", "a", "n"):
        codecs = json.loads((stored / name / "zarr.json").read_text())["codecs"]
        assert [c["name"] for c in codecs][-2:] == ["zstd", "crc32c"]
    path = stored / "x" / "c" / "0"
    bad = bytearray(path.read_bytes())
    bad[-6] ^= 1
    path.write_bytes(bad)
    with (
        xarray.open_zarr(stored, consolidated=False, chunks=None) as plain,
        pytest.raises(ValueError, match="checksum"),
    ):
        plain["x"].load()


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (2, r"written by a newer precipice \(store version 2; this one reads 1\); update precipice"),
        (0, r"written by an older precipice \(store version 0; this one reads 1\); rerun"),
    ],
)
def test_another_version_is_refused(stored, monkeypatch, version, words):
    with monkeypatch.context() as patch:
        patch.setattr(checksums, "STORE_VERSION", version)
        results.save(small(), stored)
    refused(stored, words)
    results.save(small(), stored)
    assert results.open(stored).attrs["store_version"] == 1


def test_what_is_no_store_is_refused_in_one_sentence(tmp_path):
    refused(tmp_path / "absent.zarr", "does not exist; rerun the command that writes it")
    (tmp_path / "file.zarr").write_text("x")
    refused(tmp_path / "file.zarr", "must be a folder, but is a file")
    refused(tmp_path / "file.zarr" / "below", "does not exist")
    (tmp_path / "empty.zarr").mkdir()
    refused(tmp_path / "empty.zarr", "is an empty folder")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    refused(tmp_path / "other", "is no store of precipice or is damaged: it has no file 'zarr.json'")
    xarray.Dataset({"x": 1}, attrs={"a": 1}).to_zarr(tmp_path / "zarr", consolidated=False, zarr_format=3)
    refused(tmp_path / "zarr", "is no store of precipice, or its file 'zarr.json' is damaged")


# --- store: what save refuses, and what it leaves


def test_save_does_not_replace_what_is_no_store(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="would replace a folder that is no store"):
        results.save(small(), tmp_path / "mine")
    with pytest.raises(InputError, match="there is a file of that name"):
        results.save(small(), tmp_path / "mine" / "thesis.tex")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"
    with pytest.raises(results.WriteError, match=r"could not be written: (Not a directory|File exists)"):
        results.save(small(), tmp_path / "mine" / "thesis.tex" / "a.zarr")


def test_save_repairs_a_damaged_store(stored):
    (stored / "zarr.json").unlink()
    results.save(small(), stored)
    assert results.open(stored).attrs["study"] == "é"


@pytest.mark.parametrize(
    ("ds", "words"),
    [
        (xarray.Dataset({"x": ("a", ["text"])}), "'x' must be numeric"),
        (xarray.Dataset({"x/y": 1}), "variables must be identifiers; got 'x/y'"),
        (xarray.Dataset(attrs={"a": None}), "Attribute 'a' must be text"),
        (xarray.Dataset({"x": ((), 1, {"a": {}})}), "Attribute 'a' must be text"),
    ],
)
def test_what_the_store_cannot_hold_is_refused(tmp_path, ds, words):
    with pytest.raises(InputError, match=words):
        results.save(ds, tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("nth", [0, 1, 5])
def test_a_full_disk_leaves_the_old_store(stored, monkeypatch, nth):
    left = [nth]

    def write(path, data, good=atomic.write_synced):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        good(path, data)

    before = results.open(stored)
    monkeypatch.setattr(atomic, "write_synced", write)
    with pytest.raises(results.WriteError, match="written: No space left on device; what was there is kept"):
        results.save(small(), stored)
    same(results.open(stored), before)
    assert [p.name for p in stored.parent.iterdir()] == [stored.name]


def test_leftovers_of_dead_writers_are_removed_and_others_kept(stored):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = atomic.aside_name(stored, "tmp")
    host = mine.name.split("-")[-2]
    names = {
        f".a.zarr.tmp-{dead.pid}-{host}-00000000": False,  # of a dead process
        f".a.zarr.old-{dead.pid}-{host}-00000000": False,
        f".a.zarr.tmp-{dead.pid}-00000000-00000000": True,  # of another host, still fresh
        mine.name: True,  # of a living process
        f".b.zarr.tmp-{dead.pid}-{host}-00000000": True,  # of another store
        ".a.zarr.tmp-mine": True,
    }
    for name in names:
        (stored.parent / name / "x").mkdir(parents=True)
    results.save(small(), stored)
    assert {name: (stored.parent / name).exists() for name in names} == names


def test_a_store_left_between_two_renames_is_put_back(stored):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    before = results.open(stored)
    living = atomic.aside_name(stored, "old")
    stored.rename(living)
    same(results.open(stored), before)  # the writer lives: read where it is
    assert not stored.exists()
    abandoned = living.with_name(living.name.replace(f"old-{living.name.split('-')[1]}", f"old-{dead.pid}"))
    living.rename(abandoned)
    same(results.open(stored), before)
    assert [p.name for p in stored.parent.iterdir()] == [stored.name]


def test_a_store_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    path, other = tmp_path / "a.zarr", xarray.Dataset({"edge": 1.0}, attrs={"store_version": 1})
    results.save(small(), path)
    replaced = []

    def checked(*args, good=checksums._checked):
        if not replaced:
            replaced.append(True)
            results.save(other, path)  # between reading the checksums and the first file
        return good(*args)

    monkeypatch.setattr(checksums, "_checked", checked)
    same(results.open(path), other)
    assert replaced


def test_check_writable(tmp_path):
    results.check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Output folder '.*below' must be writable; got: (Not a dir|File exists)"):
        results.check_writable(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="must be writable"):
        results.check_writable("/proc/precipice")


# --- checkpoints and bytes


ARRAYS = {
    "params/0": np.array([[1.0, -0.0], [np.nan, 1e-300]]),
    "momentum": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "step": np.array(7),
    "none": np.zeros((0, 3), np.int8),
    "key": np.array([1, 2**32 - 1], np.uint32),
    "meta": np.array([True]),
}


def test_checkpoint_round_trip(tmp_path):
    meta = {"step": 7, "losses": [1.5, None], "nested": {"é": True}}
    results.save_checkpoint(tmp_path / "deep" / "c.npz", ARRAYS, meta)
    arrays, again = results.load_checkpoint(tmp_path / "deep" / "c.npz")
    assert again == meta
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()
    with np.load(tmp_path / "deep" / "c.npz") as plain:
        np.testing.assert_array_equal(plain["momentum"], ARRAYS["momentum"])
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["c.npz"]


def test_damage_to_any_byte_of_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "c.npz"
    results.save_checkpoint(path, {"a": np.arange(3.0), "b": np.ones(2)}, {"step": 1})
    good = path.read_bytes()
    damaged = [good[:i] + bytes([good[i] ^ (1 << i % 8)]) + good[i + 1 :] for i in range(len(good))]
    damaged += [good[:size] for size in range(0, len(good), 7)] + [
        good[:-1],
        good[1:],
        good + b"0",
        good + good,
    ]
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(results.StoreError, match=r"Checkpoint '.*c.npz' is cut, altered or no checkpoint"):
            results.load_checkpoint(path)
    np.savez(path, a=np.ones(2))
    with pytest.raises(results.StoreError, match="is cut, altered or no checkpoint"):
        results.load_checkpoint(path)
    with pytest.raises(results.StoreError, match="cannot be read: No such file"):
        results.load_checkpoint(tmp_path / "absent.npz")


def test_what_a_checkpoint_cannot_hold_is_refused(tmp_path):
    for arrays, meta, words in [
        ({"a": np.array([object()])}, {}, "'a' of a checkpoint must be numeric; got object"),
        ({"a": np.asarray(jnp.ones(2, jnp.bfloat16))}, {}, "must be numeric; got bfloat16"),
        ({"": np.ones(1)}, {}, "must be text; got ''"),
        ({}, {"a": np.inf}, r"meta\.a must be made of"),
    ]:
        with pytest.raises(InputError, match=words):
            results.save_checkpoint(tmp_path / "c.npz", arrays, meta)
    assert list(tmp_path.iterdir()) == []


def test_write_bytes_keeps_the_old_content_when_it_fails(tmp_path, monkeypatch):
    results.write_bytes(tmp_path / "a", b"old")

    def full(path, data):
        path.write_bytes(b"par")
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(atomic, "write_synced", full)
    with pytest.raises(results.WriteError, match="could not be written: No space left on device"):
        results.write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# --- imports


def test_importing_the_room_is_cheap():
    code = "import precipice.results, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    heavy = {"jax", "xarray", "zarr", "pandas", "scipy", "subprocess", "ctypes.util", "importlib.metadata"}
    assert not heavy & set(done.stdout.decode().split())
