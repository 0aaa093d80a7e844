"""agarwala2024/fig16 on a few generated images: numbers, resuming, claims on made numbers, picture, refusals."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
import xarray

from precipice import curvature, problems
from precipice._checks import InputError
from precipice.curvature import Estimate
from precipice.dynamics import quiet
from precipice.figures.claims import FAILS, HOLDS, NOT_EVALUATED, evaluate
from precipice.papers.agarwala2024 import fig16, imagenet
from precipice.papers.agarwala2024.imagenet_settings import PAPER, QUICK, control, lrs_of, validate
from precipice.papers.figure import Context
from precipice.papers.request import is_found
from precipice.results import Status
from test_resume import Interrupted, stopped_at

TINY = dataclasses.replace(
    QUICK,
    num_examples=12,
    held_out=6,
    num_classes=3,
    image_size=8,
    networks="vit_s16",
    width=1 / 64,
    depth=1,
    patch=4,
    batch_size=4,
    chunk_size=4,
    lrs="0.01, 1e308",
    epochs=2,
    num_measurements=2,
    trace_examples=6,
    trace_batch=3,
    trace_chunk=1,
    precision="float64",
)


class Linear(problems.AbstractNetwork):
    """Linear in the pixels: compiles faster than a transformer; the long tests have the networks."""

    inner: problems.FullyConnected

    @property
    def couples_examples(self):
        return False

    def check(self, shape, outputs):
        self.inner.check((shape[0], int(np.prod(shape[1:]))), outputs)

    def init(self, key, dtype):
        return self.inner.init(key, dtype)

    def many(self, params, x):
        return self.inner.many(params, x.reshape(len(x), -1))


def swept_in(context):
    """A run of TINY with a linear network."""
    with pytest.MonkeyPatch.context() as patch:
        linear = Linear(problems.FullyConnected((3 * 8 * 8, 3)))
        patch.setattr(imagenet, "network_of", lambda settings, name: linear)
        return imagenet.run(TINY, context)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return swept_in(Context(tmp_path_factory.mktemp("run"), None, "one", quiet))


def recorded(dataset, settings=TINY):
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


# The run ------------------------------------------------------------------------------------------------------------


def test_what_is_measured(swept):
    assert dict(swept.sizes) == {"network": 1, "lr": 2, "seed": 1, "measurement": 3}
    run, far = (swept.isel(network=0, seed=0, lr=i) for i in (0, 1))
    assert swept["network"].values.tolist() == [1]
    np.testing.assert_array_equal(run["measured_at"], [0, 3, 6])
    np.testing.assert_allclose(run["scheduled_lr"], [0, 0.01, 0], atol=1e-12)  # an epoch of warm-up, one of cosine
    assert int(far["status"]) == Status.DIVERGED
    assert int(far["diverged_at"]) > 0
    assert int(run["diverged_at"]) == -1
    trace, lr = run["training_gauss_newton_trace"].values, run["scheduled_lr"].values
    np.testing.assert_allclose(run["gauss_newton_noise_kernel_norm"], lr * trace / (2 * 0.1 * 4), rtol=1e-12)
    assert np.all(trace > 0)
    assert set(np.unique(run["test_error"] * 6).round(9)) <= set(range(7))
    assert float(run["num_params"]) == 3 * 8 * 8 * 3 + 3


@pytest.mark.long
def test_the_start_s_trace_is_near_the_exact_one(tmp_path):
    """Six images in two batches: the exact trace within 5 standard errors of ours."""
    context = Context(tmp_path, None, "", quiet)
    streams = imagenet.streams_of(TINY, *imagenet.images_of(TINY, context), 0)
    network = imagenet.network_of(TINY, "vit_s16")
    problem = problems.Supervised(network, streams.training(0), problems.mean_softmax_cross_entropy)
    params = problem.init(jax.random.split(jax.random.key(0))[0])
    batches = list(streams.traced.one_pass())
    x, y = (np.concatenate([getattr(b, n) for b in batches]) for n in ("x", "y"))
    whole = problems.from_arrays(x, y)
    exact = float(curvature.gram_trace(problem.outputs, problem.loss_of_outputs, params, whole).value)
    loss = problem.output_loss

    def one(batch, key) -> Estimate:
        sample = problems.target_sampler(loss)
        chunks: Any = curvature.chunked(batch, 1)
        return curvature.gram_trace_bartlett(problem.outputs, loss, sample, params, chunks, key=key, num=60)

    found = curvature.streamed_estimate(one, batches, key=jax.random.key(3))
    assert abs(float(found.value) - exact) < 5 * float(found.sem)
    assert float(found.sem) < 0.3 * exact


def test_streamed_means_are_those_of_all_the_data():
    data = np.random.default_rng(0).normal(size=(7, 2))
    batches = [jax.numpy.asarray(data[i : i + 3]) for i in (0, 3, 6)]
    found = curvature.streamed_mean(lambda b: {"mean": b.mean(0)}, batches)
    np.testing.assert_allclose(found["mean"], data.mean(0), rtol=1e-14)
    estimate = curvature.streamed_estimate(
        lambda b, key: Estimate(b.mean(), b[0, 0] * 0 + 2.0), batches, key=jax.random.key(0)
    )
    np.testing.assert_allclose(estimate.value, data.mean(), rtol=1e-13)
    np.testing.assert_allclose(estimate.sem, 2 * (9 + 9 + 1) ** 0.5 / 7, rtol=1e-14)
    for function in (curvature.streamed_mean, lambda f, b: curvature.streamed_estimate(f, b, key=jax.random.key(0))):
        with pytest.raises(InputError, match=r"^batches must hold at least one batch; got none\.$"):
            function(lambda *a: a, [])


def test_an_interrupted_run_goes_on(swept, tmp_path):
    context = Context(tmp_path, None, "one", stopped_at(3), 0.0)
    with pytest.raises(Interrupted):
        swept_in(context)
    xarray.testing.assert_identical(swept, swept_in(dataclasses.replace(context, progress=quiet)))


@pytest.mark.long
def test_both_networks_from_a_folder(tmp_path):
    for split, num in (("train", 12), ("val", 6)):
        problems.write_generated_images(tmp_path / "imagenet" / split, num, 3, side=16)
    settings = dataclasses.replace(
        TINY, dataset="imagenet", networks="resnet50, vit_s16", blocks="1, 1", image_size=32, patch=16, lrs="0.01"
    )
    found = imagenet.run(settings, Context(tmp_path, tmp_path, "two", quiet))
    assert found["network"].values.tolist() == [0, 1]
    assert np.all(found["training_gauss_newton_trace"].values > 0)
    assert is_found("imagenet", tmp_path)


def test_images_that_are_not_there_are_refused(tmp_path):
    context = Context(tmp_path, tmp_path, "", quiet)
    with pytest.raises(InputError, match=r"^ImageNet needs .*imagenet/train/<class>/\*\.JPEG"):
        imagenet.run(dataclasses.replace(TINY, dataset="imagenet"), context)
    assert not is_found("imagenet", tmp_path)
    for split in ("train", "val"):
        problems.write_generated_images(tmp_path / "imagenet" / split, 12, 3, side=8)
    settings = dataclasses.replace(TINY, dataset="imagenet", lrs="1")
    for changes, words in (
        ({"num_classes": 2}, r"^num_classes must be that of the images, 3; got 2\.$"),
        ({"num_examples": 20}, r"^20 images were asked for and 12 are there, 8 too few"),
    ):
        with pytest.raises(InputError, match=words):
            imagenet.images_of(dataclasses.replace(settings, **changes), context)
    next((tmp_path / "imagenet" / "train" / "class001").iterdir()).write_bytes(b"")
    with pytest.raises(InputError, match=r"^all 12 images must be readable; 1 are not: .*class001"):
        imagenet.images_of(settings, context)
    train, _ = imagenet.images_of(dataclasses.replace(settings, unreadable="skip"), context)
    assert len(train) == 11


# Settings -----------------------------------------------------------------------------------------------------------


def test_settings_of_the_paper():
    assert (PAPER.batch_size, PAPER.warmup_epochs, PAPER.num_examples) == (1024, 5, 1_281_167)
    assert lrs_of(PAPER)[-1] / lrs_of(PAPER)[0] == 1000
    for settings in (PAPER, QUICK, TINY):
        validate(settings)
        validate(control(settings))
    assert imagenet.network_of(PAPER, "resnet50") == problems.resnet50(
        norm=problems.layer_norm, activation=problems.gelu
    )
    assert imagenet.network_of(PAPER, "vit_s16") == problems.vit_s16()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "cifar10"}, "dataset 'cifar10' is unknown"),
        ({"networks": "resnet18"}, "network 'resnet18' is unknown; did you mean resnet50"),
        ({"networks": "vit_s16, vit_s16"}, "networks must be distinct"),
        ({"unreadable": "keep"}, "unreadable 'keep' is unknown"),
        ({"batch_size": 600}, r"batch_size must be at most 512 \(num_examples\); got 600"),
        ({"chunk_size": 10}, r"chunk_size must divide batch_size \(16\); got 10"),
        ({"patch": 5}, r"patch must divide image_size \(32\); got 5"),
        ({"momentum": 1.0}, "momentum must be below 1; got 1"),
        ({"warmup_epochs": 15}, "warmup_epochs must be at most 9"),
        ({"trace_samples": 1}, "trace_samples must be at least 2; got 1"),
        ({"blocks": "1.5"}, r"each of blocks must be a whole number of at least 1; got 1\.5"),
        ({"blocks": "1, 1, 1, 1, 1"}, "number of stages must be at most 4"),
    ],
)
def test_settings_that_cannot_be_run(changes, words):
    with pytest.raises(InputError, match=f"^{words}"):
        validate(dataclasses.replace(QUICK, **changes))


# Claims -------------------------------------------------------------------------------------------------------------

LRS = np.array([0.01, 0.1, 1.0, 10.0])


def made(norms, errors, settings=QUICK, diverged=()):
    """A dataset of one network whose K is constant and whose error falls from chance to its end."""
    shape = (1, 4, settings.num_measurements + 1)
    k = np.broadcast_to(np.reshape(norms, (1, 4, 1)), shape)
    falling = 0.9 + (np.reshape(errors, (1, 4, 1)) - 0.9) * np.linspace(0, 1, shape[-1])
    ends = np.array([[3 if i in diverged else -1 for i in range(4)]])
    arrays = {fig16.NORM: (("network", "lr", "measurement"), k), "diverged_at": (("network", "lr"), ends)}
    arrays["test_error"] = (("network", "lr", "measurement"), np.broadcast_to(falling, shape))
    for name in ("training_gauss_newton_trace", "training_gauss_newton_trace_sem"):
        arrays[name] = (("network", "lr", "measurement"), np.ones(shape))
    arrays["num_params"] = (("network", "lr"), np.full((1, 4), 10.0))
    dataset = xarray.Dataset(arrays, {"network": [0], "lr": LRS}).expand_dims("seed")
    return recorded(dataset.assign_coords(seed=[0]), settings)


def verdicts(dataset):
    return {v.claim.name: (v.verdict, v.measured[0] if v.measured else None) for v in evaluate(dataset, fig16.CLAIMS)}


def test_claims_where_all_hold():
    found = verdicts(made([0.4, 0.8, 1.6, 3.0], [0.6, 0.2, 0.3, 0.9]))
    assert found["K-varies-less-than-the-learning-rate"][0] == HOLDS
    assert found["K-varies-less-than-the-learning-rate"][1] == pytest.approx(0.293, abs=1e-3)
    assert found["threshold-of-order-one"] == (HOLDS, 1.6)
    assert found["small-learning-rates-are-inefficient"] == (HOLDS, pytest.approx(3.0))
    for name in ("K-varies-about-fivefold", "threshold-near-two", "best-between-one-half-and-two"):
        assert found[name][0] == NOT_EVALUATED
    at_size = verdicts(made([0.4, 0.8, 1.6, 3.0], [0.6, 0.2, 0.3, 0.9], PAPER))
    assert at_size["K-varies-about-fivefold"] == (HOLDS, pytest.approx(7.5))
    assert at_size["threshold-near-two"] == (HOLDS, 1.6)
    assert at_size["best-between-one-half-and-two"] == (HOLDS, 0.8)


def test_claims_where_k_is_a_multiple_of_the_learning_rate():
    found = verdicts(made(0.1 * LRS, [0.9, 0.9, 0.88, 0.9]))
    assert found["K-varies-less-than-the-learning-rate"] == (FAILS, pytest.approx(1.0))
    assert found["threshold-of-order-one"][0] == NOT_EVALUATED
    assert found["small-learning-rates-are-inefficient"][0] == NOT_EVALUATED


def test_claims_leave_out_what_diverged_and_need_a_threshold():
    found = verdicts(made([0.1, 0.2, 0.4, 1e9], [0.8, 0.2, 0.1, 0.9], diverged=(3,)))
    assert found["K-varies-less-than-the-learning-rate"][1] == pytest.approx(np.log10(2))
    assert found["threshold-of-order-one"] == (HOLDS, 0.4)
    found = verdicts(made([0.1, 0.2, 0.4, 0.8], [0.8, 0.2, 0.1, 0.1]))
    assert found["threshold-of-order-one"][0] == NOT_EVALUATED


# The picture --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("panel", [None, *fig16.PANELS])
def test_the_picture_says_what_was_run(panel):
    picture = fig16.FIGURE.picture(made([0.4, 0.8, 1.6, 3.0], [0.6, 0.2, 0.3, 0.9], diverged=(3,)), panel)
    assert len(picture.axes) == (3 if panel is None else 1)
    words = " ".join(picture.get_supxlabel().split())
    for said in ("512 GENERATED images (gratings in noise, not ImageNet)", "Networks reduced", "no factor 1/C in K"):
        assert said in words
    if panel in (None, "norm"):
        legend = picture.axes[0].get_legend()
        assert legend is not None
        labels = [text.get_text() for text in legend.get_texts()]
        assert labels == ["lr 0.01", "lr 0.1", "lr 1", "lr 10, diverges", "K = 2"]
