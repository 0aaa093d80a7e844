"""zhu2022/fig29, minibatch SGD on fifty images: its study against plain descent on a few digits, claims, picture."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import evaluate
from precipice.papers.figure import Context
from precipice.papers.networks import seed_keys
from precipice.papers.zhu2022 import fig29
from precipice.papers.zhu2022.fifty_images.problem import started
from precipice.papers.zhu2022.fig29.study import trained
from precipice.results import Status, to_dataset

SGD = dataclasses.replace(
    fig29.paper_settings(),
    dataset="digits",
    num_examples=6,
    width=5,
    depth=2,
    lrs="0.1",
    batch_sizes="2, 6",
    epochs=20,
    check_epochs=10,
    draws=1,
)


def recorded(dataset):
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(SGD)), scale="tiny")


def sharpness(problem, params):
    """The top eigenvalue of a dense Hessian."""
    flat, unravel = ravel_pytree(params)
    return np.linalg.eigvalsh(jax.jit(jax.hessian(lambda p: problem.loss(unravel(p))))(flat))[-1]


def test_cells_of_the_study_are_descent_to_the_end(tmp_path):
    data = recorded(fig29.run(SGD, Context(tmp_path, None, "one", quiet)))
    assert data["status"].dims == ("batch_size", "lr", "draw")
    problem, params = started(SGD, None, seed_keys(0, 3)[0])
    gradient = jax.jit(jax.grad(problem.loss))
    for _ in range(20):
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(params))
    one = data.sel(batch_size=6, lr=0.1, draw=0)
    np.testing.assert_allclose(float(one["final_loss"]), float(problem.loss(params)), rtol=1e-10)
    np.testing.assert_allclose(float(one["final_sharpness"]), sharpness(problem, params), rtol=1e-5)
    assert data["steps_taken"].values.ravel().tolist() == [60, 20]
    verdicts = {v.claim.name: v for v in evaluate(data, fig29.FIGURE.claims)}
    assert verdicts["all-losses-vanish"].value == 0
    assert verdicts["each-batch-size-is-concentrated"].verdict == "not evaluated"


def cell(settings, **values):
    fixed = {n: v for n, v in dataclasses.asdict(settings).items() if n not in ("lrs", "batch_sizes", "draws")}
    return trained(None, **values, **fixed)


def test_draws_differ_and_divergence_is_data():
    first, second, wild = (cell(SGD, batch_size=2, lr=lr, draw=draw) for lr, draw in ((0.1, 0), (0.1, 1), (500.0, 0)))
    assert first["final_loss"] != second["final_loss"]
    assert wild["status"] == Status.DIVERGED
    assert np.isnan([wild["final_loss"], wild["final_sharpness"]]).all()


def test_a_run_ends_when_its_loss_is_small():
    found = cell(dataclasses.replace(SGD, stop_loss=10.0), batch_size=6, lr=0.1, draw=0)
    assert found["steps_taken"] == 0
    assert found["final_loss"] < 10


def ends(relative):
    """A dataset of final sharpness over 2/lr [batch_size, lr, draw]."""
    relative, lrs = np.asarray(relative), np.array([0.01, 0.02])
    saved = {
        "final_sharpness": relative * 2 / lrs[:, None],
        "final_loss": np.where(np.isnan(relative), np.nan, 1e-12),
        "steps_taken": np.full(relative.shape, 10),
        "status": np.where(np.isnan(relative), int(Status.DIVERGED), int(Status.DONE)),
    }
    coords = {"batch_size": [1, 2, 6], "lr": lrs, "draw": range(relative.shape[-1])}
    return recorded(to_dataset(saved, coords=coords))


def test_a_diverged_run_is_left_out_and_counted():
    data = ends(np.full((3, 2, 2), [0.5, np.nan]))
    assert fig29.FIGURE.picture(data).axes
    found = {v.claim.name: v.verdict for v in evaluate(data, fig29.FIGURE.claims)}
    assert found["small-batches-end-far-below"] == "holds"
    assert found["all-losses-vanish"] == "fails"


def test_numbers_of_claims_on_made_ends():
    data = ends([[[0.2, 0.2, 0.2], [0.3, 0.3, 0.3]], [[0.5] * 3, [0.6] * 3], [[0.98, 0.99, 1.0], [0.97] * 3]])
    found = {v.claim.name: v for v in evaluate(data, fig29.FIGURE.claims)}
    np.testing.assert_allclose(found["large-batches-end-near-the-edge"].value, 0.97)
    np.testing.assert_allclose(found["small-batches-end-far-below"].value, 0.3)
    np.testing.assert_allclose(found["grows-with-the-batch"].value, 1)
    np.testing.assert_allclose(found["each-batch-size-is-concentrated"].value, np.std([0.98, 0.99, 1.0]) / 0.99)
    assert {v.verdict for v in found.values()} == {"holds"}
    picture = fig29.FIGURE.picture(data)
    assert all(ax.get_xlabel() == "batch size" and ax.get_ylabel() for ax in picture.axes)
    mirrored = ends(np.asarray(data["final_sharpness"] * data["lr"] / 2)[::-1])
    verdicts = {v.claim.name: v.verdict for v in evaluate(mirrored, fig29.FIGURE.claims)}
    assert verdicts["grows-with-the-batch"] == verdicts["large-batches-end-near-the-edge"] == "fails"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_sizes": "2, 4"}, r"^each of batch_sizes must divide num_examples \(6\); got 4"),
        ({"lrs": "0.2, 0.1"}, r"^lrs must be ascending"),
        ({"epochs": 15}, r"^epochs must be a multiple of check_epochs \(10\); got 15"),
        ({"draws": 0}, r"^draws must be at least 1; got 0"),
        ({"initialisation": "ntk"}, r"^initialisation 'ntk' is unknown"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_run_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        fig29.validate(dataclasses.replace(SGD, **changes))


def test_scales_and_control_can_be_run():
    for scale in fig29.FIGURE.scales.values():
        settings = scale.settings(Path("nowhere"))
        fig29.validate(settings)
        fig29.validate(fig29.control(settings))
