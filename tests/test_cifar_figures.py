"""The sweeps behind agarwala2024's CIFAR-10 figures, on made images and a tiny Mixer: numbers, pictures, resuming."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import problems
from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import evaluate
from precipice.papers import studies
from precipice.papers.agarwala2024 import (
    cifar,
    cifar_settings,
    cifar_trackers,
    fig6,
    fig11,
    fig12,
    fig13,
    fig14,
    fig15,
)
from precipice.papers.figure import Context
from precipice.papers.networks import seed_keys
from precipice.results import Status

FIGURES = [module.FIGURE for module in (fig6, fig11, fig12, fig13, fig14, fig15)]

TINY = dataclasses.replace(
    fig15.quick_settings(),
    num_examples=12,
    held_out=12,
    width=1 / 128,
    blocks="1",
    head_scale=0.5,
    norm_scale=0.7,
    stride=32,
    batch_sizes="3",
    lr_ratios="0.002, 0.01, 1e30",
    epochs=4,
    num_measurements=4,
    kernel_examples=6,
    kernel_chunk=2,
    hessian_examples=6,
    hessian_products=8,
    trace_samples=4,
    chunk_size=12,
    precision="float64",
)


def images(settings, data_dir, split, num):
    """Random images with random classes."""
    pixels, classes = jax.random.split(jax.random.key(len(split)))
    x = jax.random.normal(pixels, (num, 3, 32, 32), settings.precision)
    y = jax.nn.one_hot(jax.random.randint(classes, num, 0, 10), 10, dtype=settings.precision)
    return problems.from_arrays(x, y)


@pytest.fixture(scope="module", autouse=True)
def made_images():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cifar, "_images", images)
        yield
    cifar._kept.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(folder):
    return cifar.run(TINY, Context(folder, None, "one", quiet))


def recorded(dataset, settings=TINY):
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


# --- settings


def test_settings_of_the_paper():
    figure6, figure15 = fig6.paper_settings(), fig15.paper_settings()
    lrs = [cifar_settings.plan_of(figure6, 128, ratio).lr for ratio in cifar_settings.ratios_of(figure6)]
    np.testing.assert_allclose(lrs, 0.0125 * 2.0 ** np.arange(8))
    lrs = [cifar_settings.plan_of(figure15, 128, ratio).lr for ratio in cifar_settings.ratios_of(figure15)]
    np.testing.assert_allclose(lrs, 0.00625 * 2.0 ** np.arange(9))
    assert cifar_settings.plan_of(figure15, 128, 0.0125)[2:] == (200 * 390, 390, 780)
    assert cifar_settings.batches_of(fig11.paper_settings()) == [2**k for k in range(3, 9)]
    for figure in FIGURES:
        assert cifar_settings.at_size(figure.scales["paper"].settings(None))
        assert not cifar_settings.at_size(figure.scales["quick"].settings(None))
        for scale in figure.scales.values():
            figure.validate(scale.settings(None))
            figure.validate(figure.control(scale.settings(None)))


def test_networks_of_the_paper():
    resnet = problems.resnet18(10, norm=problems.layer_norm, activation=problems.gelu)
    assert cifar.network_of(fig6.paper_settings()) == resnet
    assert cifar.network_of(fig15.paper_settings()) == problems.mixer_s16(10, image=(3, 32, 32))
    small = cifar.network_of(fig6.quick_settings())
    assert isinstance(small, problems.ResNet)
    assert (small.depths, small.channels, small.stem.stride) == ((1, 1), (16, 32), 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "mnist"}, "dataset 'mnist' is unknown; known: cifar10"),
        ({"network": "resnet50"}, "network 'resnet50' is unknown; did you mean resnet18"),
        ({"batch_sizes": "13"}, r"each of batch_sizes must be at most 12 \(num_examples\); got 13"),
        ({"blocks": "1.5"}, r"each of blocks must be a whole number; got 1\.5"),
        ({"blocks": "1, 1"}, r"number of stages must be at most 1 \(those of mixer_s16\); got 2"),
        ({"stride": 5}, "stride of mixer_s16, its patch, must divide 32; got 5"),
        ({"num_measurements": 3}, r"num_measurements must divide epochs \(4\), .*; got 3"),
        ({"kernel_chunk": 4, "kernel_examples": 10}, r"kernel_chunk must divide kernel_examples \(10\); got 4"),
        ({"trace_samples": 1}, "trace_samples must be 0 or at least 2, for a standard error; got 1"),
        ({"momentum": 1.0}, "momentum must be below 1; got 1"),
        ({"warmup_epochs": 4}, r"warmup_epochs must be at most 3 \(epochs less one to fall\); got 4"),
    ],
)
def test_bad_settings(changes, words):
    with pytest.raises(InputError, match=words):
        cifar.validate(dataclasses.replace(TINY, **changes))


# --- the sweep


@pytest.mark.long
def test_axes_and_ends(swept):
    assert dict(swept.sizes) == {"batch_size": 1, "lr_ratio": 3, "seed": 1, "measurement": 5}
    diverged = swept["status"].values == Status.DIVERGED
    assert diverged[:, 2].all()
    assert not diverged[:, :2].any()
    for name in (*cifar.MEASURED, *cifar.OF_THE_HESSIAN):
        assert np.isfinite(swept[name].values[:, :2]).all()
        assert np.isnan(swept[name].values[:, 2, :, -1]).all()
    np.testing.assert_array_equal(swept["measured_at"].values[0, 0, 0], [0, 4, 8, 12, 16])


@pytest.mark.long
def test_schedule_and_k_of_a_run(swept):
    one = swept.sel(batch_size=3).isel(lr_ratio=1, seed=0)
    fallen = np.cos(np.pi * np.arange(4) / 3) / 2 + 0.5  # after one epoch of warm-up
    np.testing.assert_allclose(one["scheduled_lr"], 0.03 * np.array([0.0, *fallen]), rtol=1e-6, atol=1e-12)
    wanted = one["scheduled_lr"] * one["kernel_trace"] / (2 * 0.1 * 3 * 10)
    np.testing.assert_allclose(one["momentum_noise_kernel_norm_trace"], wanted, rtol=1e-6)


@pytest.mark.long
def test_the_start_by_dense_derivatives(swept):
    """The kernel's trace, its error and the loss, of all outputs' gradients side by side."""
    problem = cifar.problem_of(TINY, None)
    params = cifar.start_of(problem, seed_keys(0, 3)[2], head_scale=0.5, norm_scale=0.7)
    outputs, pull = jax.vjp(problem.outputs, params)
    rows = jax.jit(jax.vmap(lambda v: pull(v)[0]))(jnp.eye(outputs.size).reshape(-1, *outputs.shape))
    leaves = [np.asarray(leaf).reshape(outputs.size, -1) for leaf in jax.tree.leaves(rows)]
    squares = np.sum(np.concatenate(leaves, axis=1) ** 2, axis=1)
    samples = squares.reshape(12, 10).sum(axis=1)[:6].reshape(3, 2).mean(axis=1)
    found = cifar_trackers.kernel_trace(problem, params, 6, 2)
    np.testing.assert_allclose(found.value, samples.mean(), rtol=1e-9)
    np.testing.assert_allclose(found.sem, samples.std(ddof=1) / 3**0.5 * 0.5**0.5, rtol=1e-9)
    start = swept.isel(batch_size=0, lr_ratio=0, seed=0, measurement=0)
    np.testing.assert_allclose(start["kernel_trace"], samples.mean(), rtol=1e-6)
    np.testing.assert_allclose(start["training_loss"], problem.loss_of_outputs(outputs), rtol=1e-6)


@pytest.mark.parametrize("settings", [TINY, fig6.quick_settings()], ids=["mixer", "resnet"])
def test_last_layer_and_norms_are_scaled(settings, monkeypatch):
    problem = cifar.problem_of(dataclasses.replace(settings, num_examples=12), None)
    shapes = jax.eval_shape(problem.init, jax.random.key(0))
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
    monkeypatch.setattr(cifar, "_initial", lambda: lambda *_: ones)
    scaled = cifar.start_of(problem, jax.random.key(0), head_scale=0.5, norm_scale=0.25)
    for path, leaf in jax.tree_util.tree_leaves_with_path(scaled):
        name = jax.tree_util.keystr(path)
        wanted = 0.5 if name == "['head']['weight']" else 0.25 if "norm" in name and "scale" in name else 1.0
        np.testing.assert_array_equal(leaf, np.full(leaf.shape, wanted), err_msg=name)


@pytest.mark.long
def test_an_interrupted_sweep_goes_on_and_ends_alike(swept, folder, tmp_path, monkeypatch):
    for file in folder.glob("batch-3-lr-0.0*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    measured, plain = [], cifar_trackers.kernel_trace
    monkeypatch.setattr(cifar_trackers, "kernel_trace", lambda *a: measured.append(a) or plain(*a))
    again = cifar.run(TINY, Context(tmp_path, None, "one", quiet))
    assert len(measured) == 1  # of the largest learning rate alone, which diverges in its first epoch
    assert again.identical(swept)


def test_studies_by_id(monkeypatch):
    monkeypatch.setattr("precipice.papers.request.is_found", lambda *_: True)
    study = studies.study("agarwala2024/fig11", "paper")
    assert (study.shape, study.source) == ((6, 8, 1), "precipice.papers.agarwala2024.cifar:trained_cell")
    assert "seeds" not in study.settings


# --- claims


@pytest.mark.long
@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f.stem)
def test_claims_of_a_tiny_sweep(figure, swept):
    verdicts = evaluate(recorded(swept), figure.claims)
    assert all(np.isfinite(v.measured).all() for v in verdicts)
    assert any(v.measured for v in verdicts)
