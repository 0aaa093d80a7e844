"""Images that do not fit into memory: layouts, views, order, batches ahead of the training, resuming mid-epoch."""

import importlib
import threading
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from image_layouts import LAYOUTS, NUM, as_parquet, encoded, folder
from precipice import dynamics, problems
from precipice.problems.data.image_stream import IMAGENET_DEVIATION, IMAGENET_MEAN
from precipice.problems.data.imagenet import has_imagenet
from test_processes import flat
from test_resume import Interrupted, stopped_at
from test_train import KEY, assert_same, run

VIEW = problems.RandomCrop(8)
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("images"))


def stream(images, batch_size=8, view: Any = VIEW, **options):
    return problems.ImageStream(images, view, batch_size, **options)


# Layouts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_holds_the_same_images(images, tmp_path, layout):
    pytest.importorskip("pyarrow")
    found = LAYOUTS[layout](tmp_path, images)
    assert len(found) == NUM
    np.testing.assert_array_equal(found.labels, images.labels)
    assert [found.read(i) for i in range(NUM)] == [images.read(i) for i in range(NUM)]
    assert found.classes == (("0", "1", "2") if layout == "plain bytes" else images.classes)
    assert found.runs.sum() == NUM
    batches = [problems.ImageStream(i, problems.CentreCrop(8, 8), NUM, mix=1) for i in (images, found)]
    for one, other in zip(*(s.one_pass() for s in batches), strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)


def test_imagenet_is_found_in_either_layout(images, tmp_path):
    pytest.importorskip("pyarrow")
    problems.write_generated_images(tmp_path / "one" / "imagenet" / "train", 6, 3, side=8)
    problems.write_generated_images(tmp_path / "one" / "imagenet" / "val", 3, 3, side=8)
    as_parquet(tmp_path / "other" / "imagenet", images, split="validation")
    as_parquet(tmp_path / "other" / "imagenet", images)
    assert [has_imagenet(tmp_path / d) for d in ("one", "other", "none")] == [True, True, False]
    sizes = [[len(problems.imagenet(s, data_dir=tmp_path / d)) for s in ("train", "val")] for d in ("one", "other")]
    assert sizes == [[6, 3], [NUM, NUM]]


def test_some_of_a_collection(images):
    found = problems.spread_images(images, 6)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (found.name(2), found.read(2)) == (images.name(20), images.read(20))
    assert problems.spread_images(images, NUM) is images
    assert "6 of 60" in found.provenance


# Order --------------------------------------------------------------------------------------------------------------


def test_each_epoch_is_a_permutation_of_its_own(images):
    runs = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    orders = [problems.stream_order(runs, epoch, seed=1, mix=8) for epoch in range(3)]
    assert all(np.array_equal(np.sort(order), np.arange(31)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert np.array_equal(orders[1], problems.stream_order(runs, 1, seed=1, mix=8))
    assert not np.array_equal(orders[1], problems.stream_order(runs, 1, seed=2, mix=8))


def test_a_run_is_finished_before_far_ones_begin():
    """Runs of 5, windows of 10: each block of 10 holds exactly two whole runs, mixed."""
    order = problems.stream_order(np.full(8, 5), 0, seed=0, mix=10).reshape(4, 10) // 5
    assert sorted(tuple(sorted(set(row))) for row in order) != [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert all(np.bincount(row, minlength=8).tolist().count(5) == 2 for row in order)
    assert any(np.any(np.diff(row) < 0) and np.any(np.diff(row) > 0) for row in order)


def test_single_images_are_in_any_place_equally_often():
    counts = np.zeros((4, 4))
    for epoch in range(2000):
        counts[np.arange(4), problems.stream_order(np.ones(4, int), epoch, seed=3, mix=2)] += 1
    np.testing.assert_allclose(counts / 2000, 0.25, atol=5 * (0.25 * 0.75 / 2000) ** 0.5)


def test_a_row_group_is_read_once_an_epoch(images, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    module = importlib.import_module("precipice.problems.data.image_table")
    table, reads, read = as_parquet(tmp_path, images), [], module._images_of
    size = max(len(images.read(i)) for i in range(NUM))
    object.__setattr__(table, "kept_bytes", 40 * size)  # two windows of 14 to 20 images, of 60

    def counted(group, column):
        reads.append(group)
        return read(group, column)

    monkeypatch.setattr(module, "_images_of", counted)
    batches = stream(table, 10, mix=14, workers=3, ahead=0)
    for step in range(batches.epoch_steps):
        batches(step)
    assert len(set(reads)) == len(reads) == len(table.runs)
    batches._pool.shutdown(wait=True)
    assert len(table._kept) < len(table.runs)
    assert sum(f.result().nbytes for f in table._kept.values()) <= 40 * size


# Views --------------------------------------------------------------------------------------------------------------


def test_the_centre_is_cut_as_by_hand():
    pixels = RANDOM.integers(0, 256, (16, 20, 3), dtype=np.uint8)
    shown = problems.CentreCrop(8, 16)(encoded(pixels), RANDOM)
    np.testing.assert_array_equal(shown, pixels[4:12, 6:14])


def test_grey_and_transparent_images_become_rgb():
    grey = RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)
    shown = problems.CentreCrop(8, 8)(encoded(grey), RANDOM)
    np.testing.assert_array_equal(shown, np.repeat(grey[:, :, None], 3, 2))
    clear = RANDOM.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    np.testing.assert_array_equal(problems.CentreCrop(8, 8)(encoded(clear), RANDOM), clear[:, :, :3])


def test_a_jpeg_decoded_smaller_shows_the_same():
    """A smooth picture of 512 pixels, shown at 32: decoded at 1/8 and whole."""
    y, x = np.mgrid[:512, :512] / 512
    pixels = (255 * np.stack([x, y, (x + y) / 2], 2)).astype(np.uint8)
    quick = problems.CentreCrop(32, 40)(encoded(pixels, "JPEG", quality=95), RANDOM).astype(int)
    whole = problems.CentreCrop(32, 40)(encoded(pixels, "PNG"), RANDOM).astype(int)
    assert np.abs(quick - whole).max() <= 4


def test_random_parts_have_the_areas_and_shapes_asked_for():
    view, random = problems.RandomCrop(8, area=(0.2, 0.6)), np.random.default_rng(0)
    boxes = np.array([view.box(200, 100, random) for _ in range(2000)])
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    areas, ratios = w * h / 20_000, w / h
    assert areas.min() > 0.19
    assert areas.max() < 0.61
    assert ratios.min() > 0.72
    assert ratios.max() < 1.37
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 200
    assert boxes[:, 3].max() <= 100
    assert view.box(1000, 1, random) == pytest.approx((500 - 2 / 3, 0, 500 + 2 / 3, 1))  # nothing fits: the middle


def test_half_are_mirrored():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, 2:] = 255
    view, random = problems.RandomCrop(4, area=(1, 1), ratio=(1, 1)), np.random.default_rng(0)
    mirrored = [bool(view(encoded(pixels), random)[0, 0, 0]) for _ in range(400)]
    assert abs(np.mean(mirrored) - 0.5) < 5 * 0.5 / 20


# Batches ------------------------------------------------------------------------------------------------------------


def test_batches_depend_on_seed_and_step_alone(images):
    """Not on threads, batches ahead, or the steps asked for before."""
    one, other = stream(images, workers=1, ahead=0), stream(images, workers=4, ahead=3)
    found = [one(step) for step in range(16)]
    for step in (0, 1, 2, 9, 10, 3, 15):
        for a, b in zip(jax.tree.leaves(found[step]), jax.tree.leaves(other(step)), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(found[0].x, stream(images, seed=1)(0).x)
    assert not np.array_equal(one.chosen(0), one.chosen(7))


def test_pixels_are_normalised_and_labels_one_hot(images):
    batches = stream(images, NUM, problems.CentreCrop(8, 8))
    found, rows = batches(0), batches.chosen(0)
    pixels = np.stack([problems.CentreCrop(8, 8)(images.read(i), RANDOM) for i in rows.tolist()])
    wanted = (pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_DEVIATION)
    np.testing.assert_allclose(found.x, wanted.transpose(0, 3, 1, 2), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(found.labels, images.labels[rows])
    np.testing.assert_array_equal(found.y, np.eye(3)[images.labels[rows]])
    assert stream(images, dtype=jnp.float32)(0).x.dtype == jnp.float32


def test_a_pass_shows_each_image_once_and_the_rest(images):
    for ahead in (0, 2, 9):
        found = list(stream(images, 16, problems.CentreCrop(8, 8), ahead=ahead).one_pass())
        assert [len(batch.labels) for batch in found] == [16, 16, 16, 12]
        np.testing.assert_array_equal(np.concatenate([b.labels for b in found]), images.labels)


class Slow:
    """A view that counts, and waits until it may go on."""

    size = 4

    def __init__(self):
        self.seen, self.lock, self.go = 0, threading.Lock(), threading.Event()

    def __call__(self, encoded, random):
        with self.lock:
            self.seen += 1
        return np.zeros((4, 4, 3), np.uint8)


def test_so_many_batches_are_decoded_ahead_and_no_more(images):
    view = Slow()
    batches = stream(images, 8, view, ahead=2, workers=2)
    for step in range(5):
        batches(step)
    batches.close()
    assert 40 <= view.seen <= 56
    batches._pool.shutdown(wait=True)
    assert view.seen <= 56


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_next_batch_is_whole_before_it_is_asked_for(images, dtype):
    batches = stream(images, dtype=dtype)
    batches(0)
    ready = batches._begun[1].whole.result(timeout=60)
    assert ready.x.dtype == ready.y.dtype == dtype
    assert batches(1) is ready


def test_a_stream_that_is_let_go_ends_its_threads(images):
    batches = stream(images)
    batches(0)
    threads = {*batches._pool._threads, *batches._last._threads}
    del batches
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


# Training -----------------------------------------------------------------------------------------------------------


def descent(batches, **options):
    network = problems.FullyConnected((3 * 8 * 8, 3))
    problem = problems.Supervised(Flattened(network), batches(0), problems.mean_softmax_cross_entropy)
    return dynamics.EpochDescent(problem, dynamics.gradient_descent(0.05), batches.batch_size, **options)


class Flattened(problems.AbstractNetwork):
    network: problems.FullyConnected

    @property
    def couples_examples(self):
        return False

    def init(self, key, dtype):
        return self.network.init(key, dtype)

    def many(self, params, x):
        return self.network.many(params, x.reshape(len(x), -1))

    def check(self, shape, outputs):
        self.network.check((shape[0], shape[1] * shape[2] * shape[3]), outputs)


def test_a_fed_training_is_the_loop_over_its_batches(images):
    """Softmax regression in numpy, two epochs and a half."""
    batches = stream(images)
    found = run(descent(batches), num_steps=18, every=6, feed=batches)
    params = eqx.filter_jit(descent(batches).init)(KEY).params[0]
    w, b = np.asarray(params["weight"]), np.asarray(params["bias"])
    for step in range(18):
        data = batches(step)
        x, y = np.asarray(data.x).reshape(8, -1), np.asarray(data.y)
        logits = x @ w + b
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        np.testing.assert_allclose(found.loss[step], -(y * logs).sum(1).mean(), rtol=1e-11)
        residual = (np.exp(logs) - y) / 8
        w, b = w - 0.05 * x.T @ residual, b - 0.05 * residual.sum(0)
    np.testing.assert_allclose(flat(found.state.params), np.concatenate([b, w.ravel()]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", [2, 10, 16])
def test_resuming_a_fed_training_mid_epoch_changes_no_bit(images, step, tmp_path):
    process = descent(stream(images), l2=0.01)
    options = {"num_steps": 18, "every": 6, "block": 2}
    kept = {**options, "checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    with pytest.raises(Interrupted):
        run(process, **kept, progress=stopped_at(step), feed=stream(images, workers=1))
    asked = Asked(stream(images))
    assert_same(run(process, **options, feed=stream(images)), run(process, **kept, feed=asked))
    assert asked.steps == [0, *range(step - 2, 18)]  # the block that was interrupted is taken again


class Asked:
    """A feed that keeps which steps it was asked for."""

    def __init__(self, feed):
        self.feed, self.steps = feed, []

    def __call__(self, step):
        self.steps.append(step)
        return self.feed(step)


def test_a_divergence_ends_a_fed_training_where_it_happens(images):
    batches = Asked(stream(images))
    process = descent(batches.feed)

    def feed(step):
        data = batches(step)
        return eqx.tree_at(lambda d: d.x, data, data.x * (jnp.inf if step == 5 else 1.0))

    found = run(process, num_steps=60, every=60, feed=feed)
    assert (found.diverged_at, len(found.loss), int(found.state.step)) == (5, 6, 5)
    assert max(batches.steps) <= 8


def test_five_fed_steps_compile_once(images):
    batches = stream(images)
    process, seen = descent(batches), []

    class Counting(problems.AbstractNetwork):
        network: problems.AbstractNetwork

        @property
        def couples_examples(self):
            return False

        def init(self, key, dtype):
            return self.network.init(key, dtype)

        def many(self, params, x):
            seen.append(x.shape)
            return self.network.many(params, x)

        def check(self, shape, outputs):
            self.network.check(shape, outputs)

    process = eqx.tree_at(lambda p: p.problem.network, process, Counting(process.problem.network))
    run(process, num_steps=2, every=2, feed=batches)
    before = len(seen)
    run(process, num_steps=12, every=4, feed=batches)
    assert len(seen) == before
