"""The sweeps behind agarwala2024's MNIST figures, on a few digits: a second route to the numbers, claims, resuming."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import evaluate
from precipice.papers.agarwala2024 import fig3, fig4, fig5, fig10, mnist
from precipice.papers.figure import Context
from precipice.results import Status, to_dataset

TINY = dataclasses.replace(
    mnist.PAPER,
    dataset="digits",
    num_examples=48,
    width=8,
    batch_sizes="1, 2, 48",
    lr_ratios="0.005, 0.02, 3000",
    small_batch=2,
    epochs=4,
    num_measurements=4,
    seeds=2,
    precision="float64",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(folder):
    return mnist.run(TINY, Context(folder, None, "one", quiet))


def recorded(dataset, settings=TINY):
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


def test_steps_and_learning_rates_are_those_of_the_paper():
    plans = {plan.batch_size: plan for plan in mnist.plans(mnist.PAPER)}
    assert (plans[1].num_steps, plans[32].num_steps, plans[512].num_steps) == (1_200_000, 37_488, 37_488)
    np.testing.assert_allclose(plans[8].lrs, 8 * plans[1].lrs)
    np.testing.assert_array_equal(plans[512].lrs, plans[32].lrs)


def test_axes_and_ends(swept):
    assert dict(swept.sizes) == {"batch_size": 3, "lr_ratio": 3, "seed": 2, "measurement": 5}
    diverged = swept["status"].values == Status.DIVERGED
    assert diverged[:, 2].all()
    assert not diverged[:, 0].any()
    assert np.all((swept["diverged_at"].values >= 0) == diverged)
    assert np.isnan(swept["training_loss"].values[..., -1]).all(where=diverged)
    assert np.isfinite(swept["training_loss"].values[..., 0]).all()
    full = swept["noise_kernel_norm"].sel(batch_size=48).isel(lr_ratio=[0, 1]).values
    np.testing.assert_allclose(full, 0, atol=1e-12)
    np.testing.assert_array_equal(swept["measured_at"].values[0, 0, 0], [0, 48, 96, 144, 192])


def test_k_and_loss_by_jacobians_and_a_dense_inverse():
    problem, lr, batch, n = mnist.problem_of(TINY, None), 0.03, 2, TINY.num_examples
    params = problem.init(jax.random.key(5))
    flat, unravel = ravel_pytree(params)
    jacobian = np.asarray(jax.jacrev(lambda p: problem.outputs(unravel(p))[:, 0])(flat))
    values, vectors = np.linalg.eigh(jacobian @ jacobian.T / n)
    kept = values > 1e-10 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    beta, pair = batch / n, (batch - 1) / (n - 1)
    alone = (1 - lr * values) ** 2 + (pair / beta - 1) * lr**2 * values**2
    spread = (1 - pair) / beta * lr**2 * values[:, None] * (vectors**2).T @ vectors**2 * values
    norm = np.max(np.linalg.eigvals(np.linalg.solve(np.diag(1 - alone), spread)).real)
    outputs, targets = np.asarray(problem.outputs(params)), np.asarray(problem.data.y)
    wanted = [
        np.mean(np.sum((outputs - targets) ** 2, axis=1)) / 2,
        norm,
        lr * np.sum(jacobian**2) / n / (2 * batch),
        values[-1],
    ]
    np.testing.assert_allclose(mnist.spectral(problem, params, lr, batch), wanted, rtol=1e-9)


def test_an_interrupted_sweep_goes_on_and_ends_alike(swept, folder, tmp_path, monkeypatch):
    for file in folder.glob("batch-1-*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    measured = []
    plain = mnist.spectral
    monkeypatch.setattr(mnist, "spectral", lambda *a: measured.append(a[3]) or plain(*a))
    again = mnist.run(TINY, Context(tmp_path, None, "one", quiet))
    assert set(measured) == {2, 48}
    assert again.identical(swept)


@pytest.mark.parametrize("figure", [fig3.FIGURE, fig4.FIGURE, fig5.FIGURE, fig10.FIGURE], ids=lambda f: f.stem)
def test_claims_and_pictures_of_a_tiny_sweep(figure, swept):
    data = recorded(swept if figure is not fig3.FIGURE else swept.isel(batch_size=[0]))
    verdicts = evaluate(data, figure.claims)
    assert all(np.isfinite(v.measured).all() for v in verdicts)
    assert any(v.measured for v in verdicts)
    assert len({claim.name for claim in figure.claims}) == len(figure.claim_panels)
    for panel in (None, *figure.panels):
        picture = figure.picture(data, panel)
        assert all(ax.get_xlabel() and ax.get_ylabel() for ax in picture.axes)
        assert "48 images of digits" in " ".join(picture.get_supxlabel().split())


def made(norms, tops=None, losses=None, traces=None):
    """A dataset of batch sizes 1, 2 (small) and 48 whose last measurements are given [batch_size, lr_ratio]."""
    norms = np.asarray(norms, float)
    shape = (*norms.shape, 1)
    later = {
        "noise_kernel_norm": norms,
        "noise_kernel_norm_trace": norms if traces is None else np.asarray(traces, float),
        "kernel_top_eigenvalue": np.ones(norms.shape) if tops is None else np.asarray(tops, float),
        "training_loss": np.ones(norms.shape) if losses is None else np.asarray(losses, float),
    }
    saved = {name: np.stack([np.zeros(norms.shape), value], axis=-1)[..., None, :] for name, value in later.items()}
    saved["run_lr"] = np.outer([1, 2, 2], [0.1, 0.2, 0.4])[..., None]
    saved["diverged_at"] = np.full(shape, -1)
    saved["measured_at"] = np.broadcast_to(np.arange(2.0), saved["training_loss"].shape)
    coords = {"batch_size": [1, 2, 48], "lr_ratio": [0.1, 0.2, 0.4], "seed": [0], "measurement": [0, 1]}
    return recorded(to_dataset(saved, coords=coords))


def value(figure, name, data):
    (found,) = [v for v in evaluate(data, figure.claims) if v.claim.name == name]
    return found.value


def test_numbers_of_claims_on_made_sweeps():
    norms = [[0.2, 0.5, 0.8], [0.2, 0.4, np.nan], [0.0, 0.0, 0.0]]
    losses = [[3.0, 1.0, 2.0], [3.0, 1.0, np.nan], [9.0, 8.0, 7.0]]
    tops = [[1.0, 1.0, 1.0], [1.0, 4.0, np.nan], [1.0, 1.0, 2.5]]
    data = made(norms, tops=tops, losses=losses)
    np.testing.assert_allclose(value(fig5.FIGURE, "K-depends-on-the-ratio", data), 0.1 / 0.45)
    np.testing.assert_allclose(value(fig5.FIGURE, "K-is-of-order-one-over-a-wide-range", data), 2)
    np.testing.assert_allclose(value(fig5.FIGURE, "best-loss-at-moderate-K", data), 0.45)
    np.testing.assert_allclose(value(fig5.FIGURE, "the-eigenvalue-does-not-predict", data), 1.6 / 0.2)
    np.testing.assert_allclose(value(fig4.FIGURE, "large-batches-reach-the-edge", data), 2.0)
    np.testing.assert_allclose(value(fig4.FIGURE, "single-examples-do-not", data), 0.4)
    data = made(norms, traces=[[0.19, 0.55, 0.5], [0.18, 0.3, np.nan], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(value(fig10.FIGURE, "trace-lies-below", data), 0.8)
    np.testing.assert_allclose(value(fig10.FIGURE, "most-near-one", data), 0.625 / 0.925)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "cifar10"}, "dataset 'cifar10' is unknown; known: digits, mnist."),
        ({"batch_sizes": "1, 49"}, r"each of batch_sizes must be at most 48 \(num_examples\); got 49"),
        ({"batch_sizes": "1.5"}, r"each of batch_sizes must be a whole number; got 1\.5"),
        ({"lr_ratios": "0.2, 0.1"}, "lr_ratios must be ascending"),
        (
            {"num_measurements": 200},
            "epochs must leave a step between measurements; batches of 1 take 192 steps for 200",
        ),
        ({"zca_epsilon": 0.0}, "zca_epsilon must be positive and finite; got 0"),
    ],
)
def test_bad_settings(changes, words):
    with pytest.raises(InputError, match=words):
        mnist.validate(dataclasses.replace(TINY, **changes))


def test_float32_trains_in_float32_and_measures_in_float64():
    problem = mnist.problem_of(dataclasses.replace(TINY, precision="float32"), None)
    params = problem.init(jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert mnist.spectral(problem, params, 0.01, 1).dtype == np.float64
