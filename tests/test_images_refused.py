"""Bad input of a training at size: damaged images, another architecture's checkpoint, BatchNorm, precision."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from image_layouts import NUM, as_arrow, as_parquet, encoded, folder
from precipice import curvature, dynamics, measures, problems
from precipice._checks import InputError
from precipice.problems.data.image_views import pixels_of
from test_epochs import images as batch_normed
from test_train import run

VIEW = problems.CentreCrop(8, 8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def damaged(whole, tmp_path):
    """A folder of which image 3 is cut, image 7 empty and image 45 no image."""
    shutil.copytree(whole.root, tmp_path / "train")
    found = problems.image_folder(tmp_path / "train")
    for index, change in ((3, lambda data: data[:-100]), (7, lambda data: b""), (45, lambda data: b"text")):
        path = found._path(index)
        path.write_bytes(change(path.read_bytes()))
    return found


def refusal(make):
    with pytest.raises(InputError) as caught:
        make()
    words = str(caught.value)
    assert "\n" not in words
    return words


# Images that cannot be read -----------------------------------------------------------------------------------------


def test_damaged_images_are_counted_and_named(damaged):
    found = problems.unreadable(damaged)
    assert list(found) == [3, 7, 45]
    assert re.search(r"class000/\d+\.JPEG must be one that Pillow can decode; got: .*truncated", found[3])
    assert found[7].endswith("got: no bytes.")
    assert found[45].endswith("got: cannot identify image file.")
    words = refusal(lambda: problems.refuse_unreadable(damaged))
    assert words.startswith("all 60 images must be readable; 3 are not: ")
    assert damaged.name(3) in words
    assert damaged.name(45) in words


def test_they_are_skipped_where_that_is_chosen(damaged, whole):
    found = problems.skip_unreadable(damaged)
    assert len(found) == NUM - 3
    assert found.read(3) == whole.read(4)
    np.testing.assert_array_equal(found.labels, np.delete(whole.labels, [3, 7, 45]))
    assert found.provenance.endswith("without 3 that cannot be decoded: 57 of 60.")
    assert problems.unreadable(found) == {}
    assert problems.skip_unreadable(whole) is whole
    assert problems.refuse_unreadable(whole) is whole


def test_a_training_that_meets_one_says_which(damaged):
    stream = problems.ImageStream(damaged, VIEW, NUM)
    for _ in range(2):  # and says it again
        assert re.search(r"^image .*\.JPEG must be one that Pillow can decode; got: ", refusal(lambda: stream(0)))


def test_one_that_is_gone_is_named(whole, tmp_path):
    shutil.copytree(whole.root, tmp_path / "train")
    found = problems.image_folder(tmp_path / "train")
    found._path(5).unlink()
    words = refusal(lambda: list(problems.ImageStream(found, VIEW, NUM).one_pass()))
    assert words == f"image {found.name(5)} must be readable; got: No such file or directory."
    assert list(problems.unreadable(found)) == [5]


def test_bytes_cut_or_changed_at_random_are_an_image_or_refused(whole):
    """Nothing but InputError comes out of a damaged file."""
    random, refused = np.random.default_rng(0), 0
    for trial in range(200):
        data = bytearray(whole.read(trial % NUM) if trial % 2 else encoded(np.zeros((9, 9, 3), np.uint8)))
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(0, 256)
        data = bytes(data[: random.integers(1, len(data) + 1)])
        try:
            pixels = pixels_of(VIEW, OneImage(data), 0, random)
            assert pixels.shape == (8, 8, 3)
        except InputError:
            refused += 1
    assert refused > 50


class OneImage(problems.AbstractImages):
    def __init__(self, data):
        self.data, self.labels, self.runs = data, np.zeros(1, int), np.ones(1, int)

    def name(self, index):
        return "one"

    def read(self, index):
        return self.data


def test_rows_of_a_table_are_named_too(whole, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    found = as_parquet(tmp_path, whole)
    path = tmp_path / "data" / "train-00001-of-00002.parquet"
    table = pq.read_table(path)
    rows = table["image"].to_pylist()
    rows[9]["bytes"], rows[20]["bytes"] = b"no image", None
    column = pa.array(rows, table.schema.field("image").type)
    pq.write_table(table.set_column(0, "image", column), path, row_group_size=7)
    assert list(problems.unreadable(found)) == [39, 50]
    assert f"image {path}, row 9 must be one that Pillow can decode" in problems.unreadable(found)[39]
    assert problems.unreadable(found)[50] == f"image {path}, row 20 must hold its bytes; it holds none."
    assert len(problems.skip_unreadable(found)) == NUM - 2


# Folders and shards that are not there ------------------------------------------------------------------------------


def test_folders_are_refused_by_name_and_count(whole, tmp_path):
    assert refusal(lambda: problems.image_folder(tmp_path / "none")).endswith("/none, which is not there.")
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.JPEG").write_bytes(b"")
    assert refusal(lambda: problems.image_folder(tmp_path / "flat")).endswith("a folder for each class; got none.")
    shutil.copytree(whole.root, tmp_path / "train")
    for name in ("class000", "class002"):
        for path in (tmp_path / "train" / name).iterdir():
            path.unlink()
    words = refusal(lambda: problems.image_folder(tmp_path / "train"))
    assert words.endswith("must hold images; 2 of 3 hold none: class000, class002.")
    words = refusal(lambda: problems.spread_images(whole, 100))
    assert words.startswith("100 images were asked for and 60 are there, 40 too few")
    words = refusal(lambda: problems.imagenet(data_dir=tmp_path))
    assert words.startswith(f"ImageNet needs {tmp_path}/imagenet/train/<class>/*.JPEG, or Parquet or Arrow shards")
    assert "did you mean train?" in refusal(lambda: problems.imagenet("trian", data_dir=tmp_path))


def test_classes_must_agree(whole, tmp_path):
    problems.write_generated_images(tmp_path / "val", 4, 2, side=8)
    words = refusal(lambda: problems.check_same_classes(whole, problems.image_folder(tmp_path / "val")))
    assert words.endswith("got 3 and 2: 'class002' and 0 more are in one only.")
    problems.check_same_classes(whole, whole)


def test_shards_are_refused_by_name_and_count(whole, tmp_path):
    pytest.importorskip("pyarrow")
    as_parquet(tmp_path, whole, shards=4)
    for number in (1, 2):
        (tmp_path / "data" / f"train-{number:05d}-of-00004.parquet").unlink()
    words = refusal(lambda: problems.image_table(tmp_path))
    assert words == (f"all 4 shards of train must be in {tmp_path}; 2 are missing: 00001-of-00004, 00002-of-00004.")
    assert "there are none in" in refusal(lambda: problems.image_table(tmp_path, "val"))
    assert "got 'test'" in refusal(lambda: problems.image_table(tmp_path, "test"))


def test_tables_of_something_else_are_refused(whole, tmp_path):
    pytest.importorskip("pyarrow")
    as_arrow(tmp_path, whole)
    words = refusal(lambda: problems.image_table(tmp_path, label="fine"))
    assert words.endswith("must have a column 'fine'; it has image, label.")
    (tmp_path / "train" / "data-00001-of-00002.arrow").write_bytes(b"no arrow file at all")
    assert re.search(r"^shard .*data-00001-of-00002.arrow must be readable; got: ", refusal(lambda: table(tmp_path)))


def table(path):
    return problems.image_table(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda i: problems.ImageStream(i, VIEW, 61),
            "batch_size must be at most 60 (the number of examples)",
        ),
        (lambda i: problems.ImageStream(i, VIEW, 0), "batch_size must be at least 1; got 0."),
        (lambda i: problems.ImageStream(i, VIEW, 8, workers=0), "workers must be at least 1; got 0."),
        (lambda i: problems.ImageStream(i, VIEW, 8, ahead=-1), "ahead must be at least 0; got -1."),
        (lambda i: problems.ImageStream(i, VIEW, 8)(-1), "step must be at least 0; got -1."),
        (lambda i: problems.CentreCrop(8, 7), "shorter must be at least 8; got 7."),
        (lambda i: problems.RandomCrop(8, area=(0.5, 2)), "area must be ascending and positive (area at most 1); got"),
        (lambda i: problems.chosen_images(i, [], "none"), "kept must hold distinct whole numbers from 0 to 59"),
        (lambda i: problems.chosen_images(i, [3, 3], "twice"), "kept must hold distinct whole numbers from 0 to 59"),
        (lambda i: problems.stream_order(i.runs, 0, seed=0, mix=0), "mix must be at least 1; got 0."),
    ],
)
def test_numbers_that_cannot_be(whole, make, words):
    assert refusal(lambda: make(whole)).startswith(words)


# Feeds --------------------------------------------------------------------------------------------------------------


def test_a_feed_of_another_batch_is_refused():
    problem = batch_normed()
    process = dynamics.EpochDescent(problem, dynamics.gradient_descent(0.1), 4)
    words = refusal(lambda: run(process, num_steps=4, every=4, feed=lambda step: problem.data))
    assert words == "batch_size must be that of the feed, 8; got 4."
    map_ = dynamics.CubicMap(jnp.array(0.5))
    words = refusal(lambda: run(map_, num_steps=4, every=4, feed=lambda step: problem.data))
    assert words == "a feed needs a process whose problem has data; got CubicMap."


# A checkpoint of another architecture -------------------------------------------------------------------------------


def descent(widths):
    data = problems.from_arrays(np.ones((4, 3)), np.ones((4, 2)))
    problem = problems.Supervised(problems.FullyConnected(widths), data, problems.mean_half_squared_error)
    return dynamics.Descent(problem, dynamics.gradient_descent(0.1))


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ((3, 5, 5, 2), "where this run's network, optimiser and measurements have"),
        ((3, 6, 2), "holds another: float64[5] where this run has an array float64[6]."),
        ((3, 2), "arrays, where this run's network, optimiser and measurements have"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(tmp_path, widths, words):
    """The same settings' fingerprint, another network."""
    path = tmp_path / "run.npz"
    run(descent((3, 5, 2)), num_steps=4, every=4, checkpoint=path)
    said = refusal(lambda: run(descent(widths), num_steps=4, every=4, checkpoint=path))
    assert said.startswith(f"a checkpoint must belong to the same run to be resumed; {path} holds another: ")
    assert words in said


# BatchNorm ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "measure",
    [
        lambda p, w: curvature.kernel_matrix(p.outputs, w, p.data, chunk=2),
        lambda p, w: curvature.gram_trace(p.outputs, p.loss_of_outputs, w, p.data),
        lambda p, w: curvature.gram_trace_bartlett(
            p.outputs, p.output_loss, problems.target_sampler(p.output_loss), w, p.data, key=jax.random.key(0)
        ),
        lambda p, w: curvature.gram(p.outputs, p.loss_of_outputs, w, curvature.chunked(p.data, 2)),
        lambda p, w: measures.gradient_noise_scale(p, w, p.data, chunk=2),
        lambda p, w: measures.gradient_noise_scale_two_batch(p, w, p.data, small=1, large=4, key=jax.random.key(0)),
    ],
)
def test_per_example_measures_of_batch_norm_are_refused(measure):
    problem = batch_normed()
    words = refusal(lambda: measure(problem, problem.init(jax.random.key(0))))
    assert "must be of a network whose examples do not act on each other; got one with BatchNorm, where" in words


# Precision ----------------------------------------------------------------------------------------------------------


def test_tolerances_below_the_rounding_are_refused():
    exact = batch_normed()
    low = problems.Supervised(problems.Lowered(exact.network, jnp.bfloat16), exact.data, exact.output_loss)
    params, key = exact.init(jax.random.key(0)), jax.random.key(1)
    words = refusal(lambda: curvature.eigs(curvature.Hessian(low.loss, params), key=key))
    assert words == (
        "rtol must be at least 0.0078, the rounding of bfloat16, in which the operator's products are computed; got "
        "0.0001."
    )
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    operator = curvature.Hessian(quadratic, half["weights"][0])
    words = refusal(lambda: curvature.eigs(operator, key=key, rtol=1e-9))
    assert words.startswith("rtol must be at least 1.2e-07, the rounding of float32, in which")
    assert curvature.eigs(operator, key=key, rtol=1e-4).converged


def quadratic(w):
    return jnp.sum(w**2)
