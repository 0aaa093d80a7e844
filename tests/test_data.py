"""Data: loaders on tiny files in the official formats, closed forms, downloads from this machine."""

import ast
import dataclasses
import gzip
import hashlib
import importlib
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pooch
import pytest

from precipice._checks import InputError
from precipice.problems import data
from precipice.problems.data.releases import CIFAR10, MNIST, RELEASES

BATCH = 4
EPS = np.finfo(np.float64).eps


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def with_md5s(release, folder, **changes):
    """The release whose official files are those in `folder`."""
    sums = {file: md5(folder / file) for file in release.checksums if (folder / file).is_file()}
    return dataclasses.replace(release, checksums={**release.checksums, **sums}, **changes)


def cifar_records(labels, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), np.uint8)
    return np.concatenate([np.asarray(labels, np.uint8)[:, None], pixels.reshape(len(labels), -1)], 1)


LABELS = [[3, 5, 3, 0], [5, 9, 3, 5], [1, 2, 4, 6], [7, 8, 0, 1], [2, 3, 4, 5]]


@pytest.fixture
def cifar(tmp_path):
    """A data directory with five tiny train batches and a test batch, and its release."""
    folder = tmp_path / "data" / CIFAR10.folder
    folder.mkdir(parents=True)
    for i, labels in enumerate(LABELS):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(cifar_records(labels, i).tobytes())
    (folder / "test_batch.bin").write_bytes(cifar_records([9, 8, 7], 9).tobytes())
    release = with_md5s(CIFAR10, folder, counts={"train": 5 * BATCH, "test": 3}, archive=None)
    return partial(data.cifar10, data_dir=folder.parent, release=release)


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">I{array.ndim}I", 2048 + array.ndim, *array.shape) + array.tobytes()


DIGITS = np.array([5, 0, 4, 1, 9, 2, 1])
IMAGES = np.random.default_rng(1).integers(0, 256, (7, 5, 4))


def write_mnist(root, images=None, labels=None):
    """`mnist` on tiny files; raw bytes replace the train files where given."""
    folder = root / MNIST.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)) if images is None else images)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(DIGITS)) if labels is None else labels)
    release = with_md5s(MNIST, folder, counts={"train": 7, "test": 0})
    return partial(data.mnist, data_dir=root, release=release)


# Reading the official formats


def test_cifar_pixel_order(tmp_path):
    """The third row, fourth column of green is byte 1 + 1024 + 2*32 + 3 of the record."""
    record = np.zeros((1, 3073), np.uint8)
    record[0, 0], record[0, 1 + 1024 + 2 * 32 + 3], record[0, 1 + 2048] = 6, 51, 255
    folder = tmp_path / CIFAR10.folder
    folder.mkdir()
    (folder / "test_batch.bin").write_bytes(record.tobytes())
    release = with_md5s(CIFAR10, folder, counts={"train": 0, "test": 1})
    read = partial(data.cifar10, split="test", data_dir=str(tmp_path), preprocess=data.scale_only, release=release)
    planes = np.asarray(read(layout=data.channels_first).x)
    assert planes.shape == (1, 3, 32, 32)
    assert planes[0, 1, 2, 3] == 51 / 255
    assert planes[0, 2, 0, 0] == 1.0
    assert np.count_nonzero(planes) == 2
    np.testing.assert_array_equal(read().x, planes.reshape(1, 3072))
    assert read().labels.tolist() == [6]


@pytest.mark.parametrize("n", [1, 4, 5, 9, 20, None])
def test_cifar_first_n_across_batches(cifar, n):
    got = cifar(n, preprocess=data.scale_only)
    everything = np.concatenate([cifar_records(labels, i) for i, labels in enumerate(LABELS)])[:n]
    assert got.num_examples == len(everything)
    np.testing.assert_array_equal(got.labels, everything[:, 0])
    np.testing.assert_array_equal(got.x, everything[:, 1:] / 255)


def test_cifar_reads_only_the_batches_it_needs(cifar):
    folder = cifar.keywords["data_dir"] / CIFAR10.folder
    for i in (2, 3, 4, 5):
        (folder / f"data_batch_{i}.bin").unlink()
    assert cifar(4).num_examples == 4
    with pytest.raises(InputError, match=r"needs the file cifar-10-batches-bin/data_batch_2\.bin"):
        cifar(5)


def test_cifar_test_split(cifar):
    assert cifar(split="test").labels.tolist() == [9, 8, 7]


def test_mnist_values(tmp_path):
    got = write_mnist(tmp_path)(6, preprocess=data.scale_only)
    np.testing.assert_array_equal(got.x, IMAGES[:6].reshape(6, 20) / 255)
    assert got.labels.tolist() == DIGITS[:6].tolist()
    assert write_mnist(tmp_path)(2, layout=data.channels_first).x.shape == (2, 1, 5, 4)


def test_mnist_chunks_join(tmp_path, monkeypatch):
    whole = write_mnist(tmp_path)()
    monkeypatch.setattr(importlib.import_module("precipice.problems.data.mnist"), "CHUNK", 2)
    for n in (1, 2, 3, 7):
        np.testing.assert_array_equal(write_mnist(tmp_path)(n).labels, whole.labels[:n])
    np.testing.assert_array_equal(write_mnist(tmp_path)().x, whole.x)


def test_digits():
    got = data.digits(20, preprocess=data.scale_only)
    assert got.labels.tolist() == [*range(10), *range(10)]
    np.testing.assert_array_equal(got.x[0, :8] * 16, [0, 0, 5, 13, 9, 1, 0, 0])
    assert data.digits().x.shape == (1797, 64)
    with pytest.raises(InputError, match=r"n must be at most 1797, .*scikit-learn digits.*; got 1798"):
        data.digits(1798)


# Files that are missing, damaged or not official


def message(function, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def test_missing_file_names_folder_file_and_command(tmp_path, monkeypatch):
    assert message(data.cifar10, 10, data_dir=tmp_path) == (
        "CIFAR-10 needs the file cifar-10-batches-bin/data_batch_1.bin, which is not in the data directory "
        f"{tmp_path}; `precipice fetch cifar10 --data-dir {tmp_path}` downloads it there."
    )
    monkeypatch.setenv("PRECIPICE_DATA", str(tmp_path))
    assert message(data.mnist, 10) == (
        "MNIST needs the file mnist/train-images-idx3-ubyte.gz, which is not in the data directory "
        f"{tmp_path}; `precipice fetch mnist` downloads it there."
    )


def test_explicit_directory_wins_over_variable(cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("PRECIPICE_DATA", str(tmp_path / "elsewhere"))
    assert cifar(4).num_examples == 4
    monkeypatch.setenv("PRECIPICE_DATA", str(cifar.keywords["data_dir"]))
    assert cifar(4, data_dir=None).num_examples == 4


def test_wrong_md5_names_file_expected_and_got(cifar):
    path = cifar.keywords["data_dir"] / CIFAR10.folder / "data_batch_1.bin"
    expected = md5(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    assert message(cifar, 2).startswith(f"{path} must have the official md5 {expected}; got {md5(path)}; `precipice")


def test_official_md5s_are_enforced(cifar):
    assert "5dd7e06a14cb22eb9f671a540d1b7c25" in message(cifar, 2, release=CIFAR10)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (cifar_records([1, 2]).tobytes()[:-7], "whole records of 3073 bytes; got 6139 bytes"),
        (b"", "whole records of 3073 bytes; got 0 bytes"),
        (cifar_records([1, 10]).tobytes(), "classes from 0 to 9; got 10"),
    ],
)
def test_damaged_cifar(cifar, content, words):
    folder = cifar.keywords["data_dir"] / CIFAR10.folder
    (folder / "data_batch_1.bin").write_bytes(content)
    assert words in message(cifar, 1, release=with_md5s(cifar.keywords["release"], folder))


WHOLE = gzip.compress(idx(IMAGES))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (gzip.compress(idx(DIGITS)), None, "magic number 2051; got 2049"),
        (None, WHOLE, "magic number 2049; got 2051"),
        (WHOLE[: len(WHOLE) // 2], None, "damaged or cut short"),
        (b"not a gzip file", None, "damaged or cut short"),
        (WHOLE[:40] + bytes(60) + WHOLE[100:], None, "damaged or cut short"),
        (gzip.compress(idx(IMAGES) + b"\x00"), None, "must end after the number of items in its header"),
        (gzip.compress(idx(IMAGES)[:-3]), None, "asks for 140 more bytes; got 137"),
        (gzip.compress(b"\x00\x00"), None, "asks for 4 more bytes; got 2"),
        (None, gzip.compress(idx(DIGITS[:-1])), "one label for each image of train-images"),
        (None, gzip.compress(idx(DIGITS + 1)), "digits up to 9; got 10"),
    ],
    ids=range(10),
)
def test_damaged_mnist(tmp_path, images, labels, words):
    assert words in message(write_mnist(tmp_path, images, labels))


def test_mnist_without_labels_for_its_later_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("precipice.problems.data.mnist"), "CHUNK", 2)
    assert "one label for each image" in message(write_mnist(tmp_path, None, gzip.compress(idx(DIGITS[:4]))))


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 21}, "n must be at most 20, the number of images there are (CIFAR-10 train split); got 21."),
        ({"n": 5, "classes": (9, 1, 0, 8)}, None),
        (
            {"n": 7, "classes": (9, 1, 0, 8)},
            "n must be at most 6, the number of images there are (CIFAR-10 train",
        ),
        ({"n": 0}, "n must be at least 1; got 0."),
        ({"split": "val"}, "split 'val' is unknown; known: test, train."),
        ({"classes": ()}, "classes must be distinct whole numbers from 0 to 9; got ()."),
        ({"classes": (1, 1)}, "got (1, 1)."),
        ({"classes": (3, 10)}, "got (3, 10)."),
        ({"classes": (-1, 3)}, "got (-1, 3)."),
        ({"split": "test", "classes": (1, 2)}, "got none of them in CIFAR-10 test split, classes (1, 2)."),
        ({"targets": data.binary_pair}, "binary_pair needs classes to name exactly two classes; got 10."),
        ({"dtype": "int32"}, "dtype must be floating; got int32."),
        (
            {"preprocess": lambda images: images[:, :1]},
            "must keep the shape (20, 3, 32, 32); got (20, 1, 32, 32).",
        ),
        ({"preprocess": lambda images: images / 0 * 0}, "x must be finite in float64; got 61440 values"),
        (
            {"targets": lambda originals, classes: np.ones((3, 1))},
            "one row for each example of x, 20; got 3.",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_refused_options(cifar, options, words):
    if words is None:
        assert cifar(**options).num_examples == 5
    else:
        assert words in message(cifar, **options)


def test_classes_are_renumbered_in_their_order(cifar):
    got = cifar(5, classes=(5, 3), preprocess=data.scale_only)
    assert got.labels.tolist() == [1, 0, 1, 0, 1]
    records = np.concatenate([cifar_records(LABELS[0], 0), cifar_records(LABELS[1], 1)])
    np.testing.assert_array_equal(got.x, records[[0, 1, 2, 4, 6], 1:] / 255)
    assert "classes (5, 3): first 5 images" in got.provenance


@pytest.mark.parametrize(
    ("targets", "classes", "expected"),
    [
        (data.one_hot, (3, 5), [[1, 0], [0, 1], [1, 0], [0, 1]]),
        (data.one_hot, (0, 5, 3), [[0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]),
        (data.binary_pair, (3, 5), [[1], [-1], [1], [-1]]),
        (data.binary_pair, (5, 3), [[-1], [1], [-1], [1]]),
        (data.parity, (0, 5, 3), [[1], [1], [1], [-1]]),
        (data.parity, None, [[1], [1], [1], [-1]]),
        (lambda originals, classes: originals[:, None] * 0.5, None, [[1.5], [2.5], [1.5], [0]]),
    ],
)
def test_targets(cifar, targets, classes, expected):
    got = cifar(4, classes=classes, targets=targets)
    np.testing.assert_array_equal(got.y, np.asarray(expected, np.float64))
    assert got.y.dtype == jnp.float64


def test_one_hot_of_all_classes(cifar):
    got = cifar()
    np.testing.assert_array_equal(got.y, np.eye(10)[np.concatenate(LABELS)])


def test_float32_is_the_cast_of_float64(cifar):
    options = {"preprocess": data.standardise_pixels, "targets": data.parity}
    double, single = cifar(**options), cifar(**options, dtype=jnp.float32)
    assert (double.x.dtype, single.x.dtype, single.y.dtype) == (jnp.float64, jnp.float32, jnp.float32)
    assert double.labels.dtype == single.labels.dtype == jnp.int32
    np.testing.assert_array_equal(single.x, np.asarray(double.x).astype(np.float32))


def test_precision_follows_jax(cifar, no_x64):
    assert cifar(3).x.dtype == cifar(3).y.dtype == jnp.float32
    assert data.chebyshev(3, 5).x.dtype == jnp.float32
    refusal = "dtype must be float32 while jax_enable_x64 is off; got float64."
    assert message(cifar, 3, dtype=jnp.float64) == refusal
    assert message(data.from_arrays, np.ones((2, 2)), np.ones((2, 1))) == refusal


@pytest.fixture
def no_x64():
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


def test_provenance_says_what_was_done(cifar):
    got = cifar(7, preprocess=data.zca(epsilon=0.1), targets=data.parity, dtype="float32")
    assert got.provenance == (
        "CIFAR-10 train split: first 7 images, pixels in [0, 1], zca(epsilon=0.1) over these images, flat, "
        "targets parity, float32."
    )


# Preprocessing


def images(n=6, shape=(2, 3, 2), seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(n, *shape)) * np.linspace(0.2, 1, shape[-1])


def statistics(x, over):
    """Mean and standard deviation by plain loops over everything but `over`."""
    groups = np.moveaxis(x, over, range(len(over))).reshape(*[x.shape[i] for i in over], -1)
    mean = np.vectorize(lambda *i: sum(groups[i]) / len(groups[i]))(*np.indices(groups.shape[:-1]))
    variance = np.vectorize(lambda *i: sum((groups[i] - mean[i]) ** 2) / len(groups[i]))(*np.indices(mean.shape))
    return [np.moveaxis(np.broadcast_to(s[..., None], groups.shape), -1, 0) for s in (mean, np.sqrt(variance))]


CHANNEL, PIXEL = (1,), (1, 2, 3)


@pytest.mark.parametrize(
    ("function", "over", "divide"),
    [
        (data.centre, PIXEL, False),
        (data.standardise_pixels, PIXEL, True),
        (data.centre_channels, CHANNEL, False),
        (data.standardise_channels, CHANNEL, True),
    ],
)
def test_means_and_variances(function, over, divide):
    x = images()
    groups = {PIXEL: lambda a: a, CHANNEL: lambda a: np.moveaxis(a, 1, -1).reshape(-1, a.shape[1])}[over]
    mean, std = statistics(x, over)
    expected = (groups(x) - mean) / (std if divide else 1.0)
    np.testing.assert_allclose(groups(function(x)), expected, rtol=0, atol=50 * EPS * np.abs(expected).max())


def test_scale_only():
    np.testing.assert_array_equal(data.scale_only(images()), images())


def test_pixel_that_never_varies_becomes_zero():
    x = images()
    x[:, 1, 2, 0] = 0.1  # whose mean over six images is not 0.1 to the last bit
    got = data.standardise_pixels(x)
    np.testing.assert_array_equal(got[:, 1, 2, 0], 0.0)
    assert np.count_nonzero(got) == x.size - len(x)


def test_constant_channel_is_refused():
    x = images()
    x[:, 1] = 0.1
    assert message(data.standardise_channels, x) == (
        "standardise_channels needs channels that vary; channel 1 is constant."
    )


@pytest.mark.parametrize("n", [7, 12, 40], ids=["fewer images", "as many", "more images"])
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_zca_covariance(n, epsilon):
    """The covariance of the result is V S/(S + epsilon) V^T, and the map is symmetric (not PCA)."""
    x = images(n)
    rows = x.reshape(n, 12) - x.reshape(n, 12).mean(0)
    covariance = rows.T @ rows / n
    got = data.zca(epsilon=epsilon)(x).reshape(n, 12)
    expected = covariance @ np.linalg.inv(covariance + epsilon * np.eye(12))
    tolerance = 50 * EPS / epsilon
    np.testing.assert_allclose(got.T @ got / n, expected, rtol=0, atol=tolerance)
    cross = rows.T @ got / n  # = V S (S + epsilon)^(-1/2) V^T: symmetric, positive
    np.testing.assert_allclose(cross, cross.T, rtol=0, atol=tolerance)
    assert np.linalg.eigvalsh(cross).min() > -tolerance
    assert np.linalg.norm(expected - np.eye(12)) > 0.01


def test_zca_refuses_epsilon_zero():
    assert message(data.zca, epsilon=0.0) == "epsilon must be positive and finite; got 0.0."


# Data from a formula, and from arrays


@pytest.mark.parametrize(("degree", "n"), [(0, 2), (3, 20), (4, 20), (5, 20)])
def test_chebyshev(degree, n):
    got = data.chebyshev(degree, n)
    x = np.asarray(got.x)
    assert x.shape == got.y.shape == (n, 1)
    np.testing.assert_allclose(x[:, 0], -1 + 2 * np.arange(n) / (n - 1), atol=50 * EPS)
    np.testing.assert_allclose(got.y, np.cos(degree * np.arccos(x)), atol=50 * EPS)
    assert f"degree {degree} at {n} points" in got.provenance


@pytest.mark.parametrize(
    ("degree", "n", "words"), [(-1, 20, "degree must be at least 0"), (3, 1, "n must be at least 2")]
)
def test_chebyshev_refuses(degree, n, words):
    assert words in message(data.chebyshev, degree, n)


@pytest.mark.parametrize("d", [1, 2, 30])
def test_rescaled_layers_task(d):
    got = data.rescaled_layers_task(d, key=jax.random.key(3))
    x, y = np.asarray(got.x), np.asarray(got.y)
    atol = 50 * EPS * d
    np.testing.assert_allclose(x @ x.T, d * np.eye(d), atol=atol)
    np.testing.assert_allclose(x.T @ y / d, np.diag([(d - i) / d for i in range(d)]), atol=atol)
    other = data.rescaled_layers_task(d, key=jax.random.key(4))
    assert d == 1 or np.abs(np.asarray(other.x) - x).max() > 0.1
    assert got.provenance != other.provenance
    single = data.rescaled_layers_task(d, key=jax.random.key(3), dtype=jnp.float32)
    np.testing.assert_array_equal(single.x, x.astype(np.float32))


def test_rescaled_layers_inputs_favour_no_direction():
    """Over keys x_ii has mean 0 and variance 1; without the sign fix x_00 would always be negative."""
    draws = np.stack([data.rescaled_layers_task(2, key=jax.random.key(s)).x for s in range(200)])
    diagonal = np.stack([draws[:, 0, 0], draws[:, 1, 1]])
    assert np.abs(diagonal.mean(1)).max() < 5 / np.sqrt(200)
    assert np.abs((diagonal**2).mean(1) - 1).max() < 5 * np.sqrt(0.5 / 200)


def test_rescaled_layers_refuses_width_zero():
    assert message(data.rescaled_layers_task, 0, key=jax.random.key(0)) == "d must be at least 1; got 0."


X, Y = np.ones((3, 2)), np.ones((3, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X, Y[:2]), "y must have one row for each example of x, 3; got 2."),
        ((X, Y[:, 0]), "y must have shape [n, outputs] (y[:, None] for one output); got (3,)."),
        ((X[:, 0], Y), "x must have shape [n, features] or more axes; got (3,)."),
        ((X[:0], Y[:0]), "x and y must hold at least one number; got shapes (0, 2) and (0, 1)."),
        ((X * np.nan, Y), "x must be finite in float64; got 6 values that are NaN or infinite."),
        ((X, np.array([[1.0], [np.inf], [2.0]])), "y must be finite in float64; got 1 values"),
        ((X.astype(int), Y), "x must be floating; got int64."),
        ((X, Y.astype(bool)), "y must be floating; got bool."),
        (
            (X, Y.astype(np.float32)),
            "y must have the dtype of x, float64, unless dtype is given; got float32.",
        ),
        ((X, Y, np.zeros(2, int)), "labels must have shape (3,), one for each example; got (2,)."),
        ((X, Y, np.zeros(3)), "labels must be whole numbers; got float64."),
        ((X, Y, np.array([0, -1, 1])), "labels must be at least 0; got -1."),
    ],
)
def test_from_arrays_refuses(arguments, words):
    assert words in message(data.from_arrays, *arguments)


@pytest.mark.filterwarnings("ignore:overflow")
def test_from_arrays_refuses_what_overflows_in_the_dtype_asked_for():
    assert "x must be finite in float32; got 6" in message(data.from_arrays, 1e300 * X, Y, dtype=jnp.float32)


def test_from_arrays():
    labels = jnp.array([2, 0, 1])
    got = data.from_arrays(jnp.array(X), Y, labels, "three ones")
    assert (got.num_examples, got.provenance, got.x.dtype) == (3, "three ones", jnp.float64)
    np.testing.assert_array_equal(got.labels, labels)
    single = data.from_arrays(X.astype(np.float32), Y.astype(np.float32))
    assert single.x.dtype == single.y.dtype == jnp.float32
    assert single.provenance == "user arrays"


def test_from_arrays_copies():
    """JAX may share the memory of a numpy array that is aligned to 64 bytes."""
    memory = np.zeros(8 * 50_000 + 64, np.uint8)
    x = memory[-memory.ctypes.data % 64 :][: 8 * 50_000].view(np.float64).reshape(1000, 50)
    x[:] = 1.0
    got = data.from_arrays(x, np.ones((1000, 1)))
    x[:] = 7.0
    assert float(got.x.max()) == 1.0


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (np.eye(3)[[2, 0, 1]], [2, 0, 1]),
        (np.eye(3) + np.eye(3)[::-1], [0, 0, 0]),
        (np.ones((3, 1)), [0, 0, 0]),
    ],
)
def test_labels_by_default(y, labels):
    assert data.from_arrays(X, y).labels.tolist() == labels


def test_dataset_is_a_pytree_that_does_not_retrace(cifar):
    first, second = cifar(3, classes=(3, 5)), cifar(3, classes=(3, 5))
    traces = []

    @eqx.filter_jit
    def total(dataset):
        traces.append(1)
        return jnp.sum(dataset.x) + dataset.num_examples

    moved = eqx.tree_at(lambda dataset: dataset.x, second, second.x + 1)
    np.testing.assert_allclose(total(moved) - total(first), first.x.size, rtol=1e-12)
    assert len(traces) == 1
    assert len(jax.tree.leaves(first)) == 3
    with pytest.raises(AttributeError):
        first.x = second.x


# Downloads, from a server on this machine


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        """Print nothing."""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """(folder, url): whatever is put into the folder is served."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(cifar, served):
    """The CIFAR-10 release of the fixture `cifar`, as a tar file on the server."""
    folder, url = served
    path = folder / "tiny.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(cifar.keywords["data_dir"] / CIFAR10.folder, CIFAR10.folder)
    return dataclasses.replace(cifar.keywords["release"], url=url, archive=(path.name, md5(path)))


def fetch(release, root):
    return data.fetch(release.name, root, progress=False, releases={release.name: release})


def files_under(root):
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*"))


def test_fetch_unpacks_the_archive(archive, served, cifar, tmp_path):
    target = fetch(archive, tmp_path / "new" / "place")
    assert target == tmp_path / "new" / "place" / CIFAR10.folder
    assert files_under(tmp_path / "new" / "place") == [CIFAR10.folder] + sorted(
        f"{CIFAR10.folder}/{file}" for file in CIFAR10.checksums
    )
    got = data.cifar10(9, data_dir=target.parent, release=archive)
    np.testing.assert_array_equal(got.x, cifar(9).x)
    (served[0] / "tiny.tar.gz").unlink()
    assert fetch(archive, tmp_path / "new" / "place") == target  # everything is there: nothing is downloaded


def test_fetch_replaces_a_damaged_file(archive, tmp_path):
    target = fetch(archive, tmp_path / "place")
    (target / "test_batch.bin").write_bytes(b"damaged")
    fetch(archive, tmp_path / "place")
    assert md5(target / "test_batch.bin") == archive.checksums["test_batch.bin"]


def test_fetch_file_by_file_into_the_directory_of_the_variable(served, tmp_path, monkeypatch):
    write_mnist(tmp_path / "source")
    folder, url = served
    for path in (tmp_path / "source" / "mnist").iterdir():
        path.rename(folder / path.name)
    names = MNIST.splits["train"]
    release = dataclasses.replace(MNIST, url=url, checksums={name: md5(folder / name) for name in names})
    monkeypatch.setenv("PRECIPICE_DATA", str(tmp_path / "chosen"))
    assert fetch(release, None) == tmp_path / "chosen" / "mnist"
    got = data.mnist(3, release=dataclasses.replace(release, counts={"train": 7}))
    assert got.labels.tolist() == [5, 0, 4]


def test_loading_downloads_into_the_cache(archive, tmp_path, monkeypatch):
    downloader = pooch.HTTPDownloader
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr("pooch.HTTPDownloader", lambda progressbar: downloader(progressbar=False))
    monkeypatch.delenv("PRECIPICE_DATA", raising=False)
    assert data.cifar10(3, release=archive).labels.tolist() == [3, 5, 3]
    assert (tmp_path / "cache" / "precipice" / CIFAR10.folder / "data_batch_5.bin").is_file()


def failure(release, root, reason):
    """The one sentence, and nothing left behind."""
    assert message(fetch, release, root) == (
        f"CIFAR-10 could not be downloaded from {release.url} into {root / CIFAR10.folder} ({reason}); "
        f"where there is a network, `precipice fetch cifar10 --data-dir {root}` gets it."
    )
    assert [name for name in files_under(root) if name != CIFAR10.folder] == []


def test_fetch_without_a_network(archive, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as closed:
        port = closed.server_port
    failure(dataclasses.replace(archive, url=f"http://127.0.0.1:{port}/"), tmp_path / "place", "ConnectionError")


def test_fetch_of_what_the_server_has_not(archive, served, tmp_path):
    (served[0] / "tiny.tar.gz").unlink()
    failure(archive, tmp_path / "place", "HTTP status 404")


def test_fetch_of_an_archive_with_another_md5(archive, tmp_path):
    failure(dataclasses.replace(archive, archive=("tiny.tar.gz", "0" * 32)), tmp_path / "place", "wrong md5")


def test_fetch_of_an_archive_with_other_files(archive, tmp_path):
    sums = {**archive.checksums, "test_batch.bin": "0" * 32}
    failure(dataclasses.replace(archive, checksums=sums), tmp_path / "place", "wrong md5")


def test_fetch_of_an_archive_that_reaches_outside(archive, served, tmp_path):
    path = served[0] / "tiny.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(__file__, "../../evil.py")
    unsafe = dataclasses.replace(archive, archive=(path.name, md5(path)))
    failure(unsafe, tmp_path / "place", "OutsideDestinationError")
    assert list(tmp_path.rglob("evil.py")) == []


def test_fetch_into_a_folder_that_cannot_be_made(archive, tmp_path):
    (tmp_path / "place").write_text("a file in the way")
    assert "(Not a directory)" in message(fetch, archive, tmp_path / "place")


def test_fetch_of_an_unknown_name(tmp_path):
    assert message(data.fetch, "cifar", tmp_path) == "data set 'cifar' is unknown; did you mean cifar10?"


def test_found(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    got = data.found(tmp_path)
    assert set(got) == set(RELEASES) == {"cifar10", "mnist"}
    assert got["mnist"].folder == tmp_path / "mnist"
    assert got["mnist"].present == MNIST.splits["train"]
    assert got["mnist"].missing == MNIST.splits["test"]
    assert got["cifar10"].missing == tuple(CIFAR10.checksums)
    monkeypatch.setenv("PRECIPICE_DATA", str(tmp_path))
    assert data.found() == got
    assert data.found(md5=True)["mnist"].wrong == MNIST.splits["train"]  # tiny files in the official format


def test_releases_are_consistent():
    for name, release in RELEASES.items():
        assert release.name == name
        assert sorted(file for files in release.splits.values() for file in files) == sorted(release.checksums)
        assert set(release.counts) == set(release.splits)
        assert release.url.startswith("https://")
        assert release.url.endswith("/")


@pytest.mark.parametrize("name", ["files", "releases"])
def test_file_handling_imports_no_jax(name):
    source = Path(importlib.import_module(f"precipice.problems.data.{name}").__file__ or "").read_text()
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {getattr(node, "module", None) or node.names[0].name for node in nodes}
    ours = {module for module in modules if module.startswith("precipice")}
    assert ours <= {"precipice._checks", "precipice.problems.data.releases"}
    assert modules & {"jax", "equinox", "jaxtyping", "numpy"} == set()
