"""Figures of quadratic models: runs that share one Q against single runs, estimators without bias, bad settings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.papers.agarwala2022 import fig3, fig4, fig11, fig12, models
from precipice.papers.agarwala2024 import fig2, fig9
from precipice.papers.agarwala2024 import models as stochastic


def test_cells_that_share_a_model_end_as_they_do_alone():
    """Converged, stopped at the most steps, and diverged: the state, its loss and its number of steps."""
    rows = models.unit_rows(4, 6, jax.random.key(0))
    output, jacobian = jnp.array([0.01, 0.02, 5.0]), jnp.array([0.3, 0.05, 0.3])
    found = jax.jit(lambda: models.ends(rows, output, jacobian, 200))()
    assert models.diverged(found).tolist() == [False, False, True]
    for i in range(2):
        model = problems.QuadraticModel(rows._replace(y=output[i] * rows.y, g=jacobian[i] * rows.g))
        process = dynamics.Descent(model, dynamics.gradient_descent(1.0))
        state, steps = process.init(jax.random.key(0)), 0
        step = jax.jit(lambda s, p=process: p.step(s))
        while steps < 200 and float(model.loss(state.params)) > models.CONVERGED:
            state, steps = step(state), steps + 1
        assert int(found.steps[i]) == steps
        np.testing.assert_allclose(found.loss[i], model.loss(state.params), rtol=1e-9)
        np.testing.assert_allclose(found.end[i], np.linalg.eigvalsh(model.kernel(state.params))[-1], rtol=1e-12)
        np.testing.assert_allclose(found.start[i], np.linalg.eigvalsh(model.kernel(jnp.zeros(6)))[-1], rtol=1e-12)
    assert np.isnan(found.end[2])
    assert int(found.steps[2]) < 200


def test_the_exact_mean_over_the_second_batch_is_that_of_all_batches():
    """Figure 9 of agarwala2024 against every second batch, and the mirror image that stands for -Q."""
    rows = problems.gaussian_rows(4, 5, output_scale=1.0, jacobian_scale=1.0, key=jax.random.key(0))
    at, lr = dynamics.OutputJacobian(rows.y, rows.g), 0.1

    def moved(q, point, batch):
        gradient = point.z[batch] @ point.jacobian[batch] / len(batch)
        return dynamics.quadratic_move(q, point, -lr * gradient)

    first = moved(rows.q, at, jnp.array([0, 2]))
    pairs = [jnp.array(pair) for pair in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))]
    mean = np.mean([measures.frozen_modes(rows.g, moved(rows.q, first, b).jacobian).sigma for b in pairs], axis=0)
    whole = measures.frozen_modes(rows.g, moved(rows.q, first, jnp.arange(4)).jacobian).sigma
    np.testing.assert_allclose(mean, whole, rtol=1e-12)
    mirrored = moved(-rows.q, at, jnp.arange(4))
    other = moved(rows.q, dynamics.OutputJacobian(-rows.y, rows.g), jnp.arange(4))
    np.testing.assert_allclose(mirrored.jacobian, other.jacobian, rtol=1e-12)
    np.testing.assert_allclose(mirrored.z, -other.z, rtol=1e-12)


def test_the_shaped_spectrum_has_the_mean_of_the_flat_one():
    sigma = jnp.array([3.0, 2.0, 1.0])
    np.testing.assert_allclose(stochastic.variance(0)(sigma), 1.0)
    np.testing.assert_allclose(stochastic.variance(1)(sigma), [1.5, 1.0, 0.5])


BAD = [
    (fig3, {"scales": "0.3, 0.1"}, "scales must be ascending"),
    (fig3, {"scales": "0.3"}, "how many scales must be at least 2; got 1"),
    (fig3, {"every": 7}, "num_steps must be a multiple of every"),
    (fig3, {"jacobian_scale": 0.0}, "jacobian_scale must be positive"),
    (fig3, {"precision": "float32"}, "precision must be float64"),
    (fig4, {"sizes": "60-120"}, "sizes must be pairs such as"),
    (fig4, {"sizes": "6x12; 5x5; 4x4"}, "sizes must be at most 2 pairs, one a panel"),
    (fig4, {"output_high": 0.001}, "output_high must be finite and above output_low"),
    (fig4, {"grid": 2}, "grid must be at least 3"),
    (fig11, {"ensemble": "odd"}, "ensemble 'odd' is unknown"),
    (fig11, {"draws": 1}, "draws must be at least 2"),
    (fig12, {"duration": -1.0}, "duration must be positive"),
    (fig2, {"batch_sizes": "2, 50"}, "each of batch_sizes must be a whole number up to 40; got 50"),
    (fig2, {"batch_sizes": "2"}, "batch_sizes must be at least two"),
    (fig9, {"modes": 61}, "modes must be at most 60, the rank of the Jacobian; got 61"),
    (fig9, {"lr_power": float("nan")}, "lr_power must be finite"),
]


@pytest.mark.parametrize(
    ("figure", "change", "words"), BAD, ids=[f"{f.__name__[-5:]} {next(iter(c))}" for f, c, _ in BAD]
)
def test_bad_settings_are_refused(figure, change, words):
    with pytest.raises(InputError, match=words):
        figure.validate(dataclasses.replace(figure.quick_settings(), **change))


@pytest.mark.parametrize("figure", [fig2, fig3, fig4, fig9, fig11, fig12])
def test_scales_and_controls_are_valid(figure):
    for settings in (figure.quick_settings(), figure.paper_settings()):
        figure.validate(settings)
        figure.validate(figure.control(settings))
