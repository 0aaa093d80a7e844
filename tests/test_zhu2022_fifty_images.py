"""zhu2022's networks on fifty images (figures 7, 23 to 26), on digits: parts by another route, claims, pictures."""

import dataclasses
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import evaluate
from precipice.papers.figure import Context
from precipice.papers.networks import seed_keys
from precipice.papers.registry import FIGURES
from precipice.papers.zhu2022.fifty_images import problem as parts
from precipice.papers.zhu2022.fifty_images import settings as fifty
from precipice.papers.zhu2022.fifty_images.training import run
from precipice.results import Status, to_dataset

TRAJECTORIES = [FIGURES[f"zhu2022/fig{number}"] for number in (7, 23, 24, 25, 26)]

TINY = dataclasses.replace(
    fifty.PAPER,
    dataset="digits",
    num_examples=6,
    width=5,
    depth=2,
    lr=0.1,
    num_steps=80,
    every=10,
    projection_step=40,
    window=4,
    plane_step=20,
    tip_step=40,
    rtol=1e-9,
)


def recorded(dataset, settings):
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)), scale="tiny")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    return recorded(run(TINY, Context(folder, None, "one", quiet)), TINY)


# The problem --------------------------------------------------------------------------------------------------------


def test_images_are_the_first_of_each_class_labelled_minus_and_plus_one():
    problem = parts.fifty_images(TINY, None)
    everything = problems.digits(preprocess=problems.scale_only)
    for number, chosen in ((0, slice(3)), (1, slice(3, 6))):
        wanted = np.asarray(everything.x)[np.asarray(everything.labels) == number][:3]
        np.testing.assert_array_equal(problem.data.x[chosen], wanted)
    assert problem.data.y[:, 0].tolist() == [-1, -1, -1, 1, 1, 1]
    assert (float(problem.data.x.min()), float(problem.data.x.max())) == (0, 1)
    params = problem.init(jax.random.key(0))
    assert [layer["weight"].shape for layer in params] == [(64, 5), (5, 5), (5, 1)]


@eqx.filter_jit
def dense_hessian(problem, params):
    flat, unravel = ravel_pytree(params)
    return jax.hessian(lambda p: problem.loss(unravel(p)))(flat)


def dense_sharpness(problem, params):
    return np.linalg.eigvalsh(dense_hessian(problem, params))[-1]


def test_the_span_has_the_same_steps_and_the_same_sharpness():
    whole = parts.fifty_images(TINY, None)
    params = whole.init(jax.random.key(3))
    inside, start = parts.in_span(whole, params)
    assert inside.data.x.shape == (6, 6)
    np.testing.assert_allclose(dense_sharpness(inside, start), dense_sharpness(whole, params), rtol=1e-11)
    np.testing.assert_allclose(outputs_along(inside, start), outputs_along(whole, params), atol=1e-13)


def outputs_along(problem, start):
    """The outputs before each of six steps."""
    process = dynamics.Descent(problem, dynamics.gradient_descent(0.1), start=start)
    probes = (lambda state: {"outputs": problem.outputs(state.params)},)
    return dynamics.simulate(process, key=jax.random.key(0), num_steps=5, every=1, probes=probes).saved["outputs"]


# The training -------------------------------------------------------------------------------------------------------


def test_the_plane_is_that_of_the_whole_trajectory(ran):
    """Against every point of the trajectory, kept, and a dense Hessian at its end."""
    key, _ = seed_keys(0, 2)
    problem, start = parts.started(TINY, None, key)
    process = dynamics.Descent(problem, dynamics.gradient_descent(TINY.lr), start=start)
    points = dynamics.simulate(
        process,
        key=key,
        num_steps=TINY.num_steps + 1,
        every=1,
        probes=(lambda state: {"point": ravel_pytree(state.params)[0], "loss": problem.loss(state.params)},),
    ).saved
    _, unravel = ravel_pytree(start)
    values, vectors = np.linalg.eigh(dense_hessian(problem, unravel(points["point"][TINY.num_steps])))
    found = measures.movement_oscillation(points["point"], jnp.asarray(vectors[:, -1]), step=TINY.projection_step + 1)
    one = ran.isel(seed=0)
    assert int(one["status"]) == Status.DONE
    sign = np.sign(float(one["oscillation"][0]) * float(found.oscillation[0]))
    for name, wanted in (
        ("movement", found.movement),
        ("oscillation", sign * found.oscillation),
        ("outside_plane", found.residual),
    ):
        np.testing.assert_allclose(one[name], wanted[: TINY.num_steps], atol=1e-6)
    np.testing.assert_allclose(one["loss"], points["loss"][: TINY.num_steps], rtol=1e-10)
    np.testing.assert_allclose(float(one["final_sharpness"]), values[-1], rtol=1e-9)
    np.testing.assert_allclose(float(one["final_loss"]), points["loss"][TINY.num_steps], rtol=1e-10)
    for name, steps in (("hessian_eigenvalue", one["probe_step"]), ("window_sharpness", one["window_step"])):
        measured = one[name].isel(eigenvalue=0) if name == "hessian_eigenvalue" else one[name]
        for step, value in zip(steps.values[[0, -1]], measured.values[[0, -1]], strict=True):
            np.testing.assert_allclose(value, dense_sharpness(problem, unravel(points["point"][step])), rtol=1e-7)


def test_a_training_that_diverges_is_labelled_and_drawn(tmp_path):
    settings = dataclasses.replace(TINY, lr=500.0)
    data = recorded(run(settings, Context(tmp_path, None, "one", quiet)), settings)
    assert data["status"].values.tolist() == [Status.DIVERGED]
    assert 0 < int(data["diverged_at"][0]) < 40
    assert np.isnan(data["movement"]).all()
    for figure in TRAJECTORIES:
        assert {v.verdict for v in evaluate(data, figure.claims)} == {"not evaluated"}
        assert figure.picture(data).axes


# Claims -------------------------------------------------------------------------------------------------------------


def made(coefficient=7500.0, bend=0.0, slow=0.999, flip=-1.0):
    """A trajectory on a parabola with period two, whose sharpness goes around 200."""
    steps = np.arange(TINY.num_steps)
    y = 0.01 * slow**steps * flip**steps
    x = coefficient * y**2 + bend * y
    saved = {
        "movement": x,
        "oscillation": y,
        "outside_plane": np.where(steps < TINY.plane_step, 1.0, 0.01),
        "loss": 1e-3 * 0.9**steps * (1 + 0.5 * (-1.0) ** steps),
        "window_sharpness": 200 + np.array([1.0, -1, 1, -1, 1]),
        "hessian_eigenvalue": np.full((9, 2), 199.0),
        "final_sharpness": 199.9,
        "final_loss": 1e-9,
        "edge": 200.0,
    }
    saved = {name: np.asarray(value)[None] for name, value in saved.items()}
    coords = {
        "seed": [0],
        "step": steps,
        "probe_step": range(0, 81, 10),
        "window_step": range(40, 45),
    }
    return recorded(to_dataset(saved, coords=coords), dataclasses.replace(TINY, width=fifty.PAPER.width))


def values(data):
    return {v.claim.name: v.value for figure in TRAJECTORIES for v in evaluate(data, figure.claims)}


def test_numbers_of_claims_on_a_made_parabola():
    found = values(made())
    np.testing.assert_allclose(found["ends-just-below-the-edge"], 0.0005)
    np.testing.assert_allclose(found["parabola-is-as-narrow-as-the-papers"], 7500)
    np.testing.assert_allclose(found["local-trajectory-is-a-parabola"], 0, atol=1e-12)
    assert found["sharpness-oscillates-around-the-edge"] == 0.5
    assert found["loss-is-not-monotone"] == 0.5
    assert found["late-trajectory-lies-in-the-plane"] == 0.01
    assert found["oscillates-with-period-two"] == 1
    np.testing.assert_allclose(found["two-step-trajectory-moves-towards-the-minimum"], 1)
    assert all(v.verdict == "holds" for f in TRAJECTORIES for v in evaluate(made(), f.claims))


def test_what_is_no_parabola_fails():
    found = values(made(bend=50.0, flip=1.0, slow=0.95))
    assert found["local-trajectory-is-a-parabola"] > 0.1
    assert found["oscillates-with-period-two"] == 0


@pytest.mark.parametrize("figure", TRAJECTORIES, ids=lambda f: f.stem)
def test_pictures_have_labels_and_say_what_was_run(figure):
    data = made()
    for panel in (None, *figure.panels):
        picture = figure.picture(data, panel)
        assert all(ax.get_ylabel() for ax in picture.axes)
        assert all(ax.get_xlabel() for ax in picture.axes if ax.get_label() != "<colorbar>")
        text = " ".join(picture.get_supxlabel().split())
        assert "first 3 images each of classes 0 and 1 of digits" in text
        assert "scale tiny" in text
    assert {claim.name for claim in figure.claims} == set(figure.claim_panels)
    assert set(figure.claim_panels.values()) <= set(figure.panels)


def test_the_fit_is_drawn_with_its_coefficient():
    (ax, *_) = FIGURES["zhu2022/fig24"].picture(made(), "tip").axes
    (line,) = [line for line in ax.lines if line.get_label() == "x = 7.5e+03 y²"]
    x, y = (np.asarray(values, float) for values in line.get_data())
    np.testing.assert_allclose(x, 7500 * y**2)


# Refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "mnist"}, r"^dataset 'mnist' is unknown; known: cifar10, digits"),
        ({"num_examples": 7}, r"^num_examples must be even, half of each class; got 7"),
        ({"initialisation": "ntk"}, r"^initialisation 'ntk' is unknown"),
        ({"projection_step": 45}, r"^num_steps must be a multiple of every \(10\); got 45"),
        ({"projection_step": 80}, r"^projection_step must be at most 70 \(before the last steps\); got 80"),
        ({"tip_step": 79}, r"^tip_step must be at most 70 \(before the last steps\); got 79"),
        ({"window": 41}, r"^window must be at most 40 \(what is left of the steps\); got 41"),
        ({"precision": "float32"}, r"^precision must be float64; got 'float32'"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_run_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        fifty.validate(dataclasses.replace(TINY, **changes))


@pytest.mark.parametrize("figure", TRAJECTORIES, ids=lambda f: f.stem)
def test_scales_and_controls_can_be_run(figure):
    for scale in figure.scales.values():
        settings = scale.settings(Path("nowhere"))
        figure.validate(settings)
        figure.validate(figure.control(settings))
