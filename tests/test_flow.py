"""Gradient flow: conserved quantities, order of convergence, closed forms, labels, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from long_rows import some
from oracles import TRACES, Counted, Quadratic
from precipice import dynamics, problems
from precipice._checks import InputError
from precipice.results import Status

LOSSES = [problems.SquareRootLoss(), problems.LogCoshLoss(), problems.HuberLoss(), problems.PowerLoss(1.5)]


@pytest.mark.parametrize("loss", some(LOSSES, LOSSES[0], LOSSES[-1]), ids=lambda loss: type(loss).__name__)
def test_single_neuron_conserves_the_difference_of_squares(loss):
    """TN-4."""
    found = dynamics.flow(problems.SingleNeuron(loss), jnp.array([3.0, 4.0]), np.linspace(0, 5, 11))
    x, y = found.params.T
    np.testing.assert_allclose(y**2 - x**2, 7, rtol=1e-6)
    assert abs(float(x[-1])) < 1e-4
    assert int(found.status) == Status.DONE


def test_scalar_networks_conserve_differences_of_squares():
    problem = problems.ScalarNetwork((1, 1, 1, 1))
    found = dynamics.flow(problem, jnp.array([1.5, 0.3, 0.9, 2.0]), [0.0, 1.0, 4.0])
    differences = np.diff(np.asarray(found.params) ** 2, axis=1)
    np.testing.assert_allclose(differences, np.tile(differences[:1], (3, 1)), rtol=1e-6)


def test_a_quadratic_flows_in_closed_form():
    curvatures = jnp.array([1.0, 10.0])
    start, times = jnp.array([1.0, -2.0]), np.array([0.0, 0.1, 0.7, 3.0])
    found = dynamics.flow(Quadratic(curvatures), start, times)
    np.testing.assert_allclose(found.params, start[None] * np.exp(-times[:, None] * curvatures[None]), atol=1e-8)
    np.testing.assert_array_equal(found.time, times)


def test_fixed_steps_converge_at_fifth_order_or_better():
    """Tsitouras' error of fifth order has so small a constant that the sixth shows."""
    problem, start = problems.ScalarNetwork((2, 2), 0.25), jnp.array([1.4, 0.3])
    exact = dynamics.flow(problem, start, [2.0], rtol=1e-13, atol=1e-14).params[0]
    steps = np.array([0.2, 0.1, 0.05, 0.025])
    errors = [float(jnp.abs(dynamics.flow(problem, start, [2.0], step=h).params[0] - exact).max()) for h in steps]
    assert 4.9 < np.polyfit(np.log(steps), np.log(errors), 1)[0] < 6.2


def test_descent_with_small_steps_approaches_the_flow_at_first_order():
    problem, start = problems.ScalarNetwork((2, 2), 0.25), jnp.array([1.4, 0.3])
    exact = dynamics.flow(problem, start, [1.0]).params[0]
    probe = lambda state: {"p": state.params}  # noqa: E731
    errors = []
    for num_steps in (100, 200, 400):
        process = dynamics.Descent(problem, dynamics.gradient_descent(1 / num_steps), start=start)
        run = dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=num_steps, probes=(probe,))
        errors.append(float(jnp.abs(run.saved["p"][-1] - exact).max()))
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2, rtol=0.03)


def test_a_new_start_does_not_compile_again_and_vmaps():
    problem = Counted(Quadratic(jnp.array([1.0, 3.0])))
    before = TRACES["loss"]
    one = dynamics.flow(problem, jnp.ones(2), [0.5, 1.0])
    traced = TRACES["loss"]
    assert traced > before
    dynamics.flow(problem, 2 * jnp.ones(2), [0.25, 2.0], rtol=1e-6)
    assert TRACES["loss"] == traced
    many = jax.vmap(lambda start: dynamics.flow(problem, start, [0.5, 1.0]))(jnp.ones((3, 2)))
    np.testing.assert_allclose(many.params, np.stack([one.params] * 3), rtol=1e-9)


def test_pytrees_and_precision():
    data = problems.chebyshev(3, 12, dtype=jnp.float32)
    problem = problems.Supervised(problems.FullyConnected((1, 5, 1)), data, problems.mean_half_squared_error)
    start = problem.init(jax.random.key(0))
    found = dynamics.flow(problem, start, [0.0, 1.0], rtol=1e-4, atol=1e-6)
    assert {leaf.dtype for leaf in jax.tree.leaves(found.params)} == {jnp.dtype("float32")}
    last = jax.tree.map(lambda leaf: leaf[-1], found.params)
    assert float(problem.loss(last)) < float(problem.loss(start))
    first = jax.tree.map(lambda leaf: leaf[0], found.params)
    np.testing.assert_array_equal(jax.tree.leaves(first)[0], jax.tree.leaves(start)[0])


def test_what_cannot_be_followed_is_labelled():
    runaway = Quadratic(jnp.array([-50.0, 1.0]))
    found = dynamics.flow(runaway, jnp.ones(2), [0.0, 1.0, 100.0])
    assert int(found.status) == Status.DIVERGED
    np.testing.assert_allclose(found.params[1], [np.exp(50), np.exp(-1)], rtol=1e-5)
    stiff = dynamics.flow(Quadratic(jnp.array([1e6, 1.0])), jnp.ones(2), [1e-6, 10.0], max_steps=1000)
    assert int(stiff.status) == Status.DIVERGED
    assert np.isfinite(stiff.params[0]).all()
    assert np.isnan(stiff.params[1]).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"times": []}, r"times must be a row of at least one number; got shape \(0,\)"),
        ({"times": [1.0, 0.5]}, r"times must be finite, not negative and increasing; got \[1\.0, 0\.5\]"),
        ({"times": [-1.0, 0.5]}, "times must be finite, not negative and increasing"),
        ({"times": [0.0, np.nan]}, "times must be finite, not negative and increasing"),
        ({"start": jnp.array([np.nan, 1.0])}, "start of a flow must be finite; got NaN or inf"),
        ({"rtol": 0.0}, "rtol must be positive and finite; got 0.0"),
        ({"atol": -1.0}, "atol must be positive and finite; got -1.0"),
        ({"step": 0.0}, "step must be positive and finite; got 0.0"),
        ({"max_steps": 0}, "max_steps must be at least 1; got 0"),
    ],
)
def test_refusals(changes, words):
    with pytest.raises(InputError, match=words):
        dynamics.flow(**{"problem": Quadratic(jnp.ones(2)), "start": jnp.ones(2), "times": [1.0]} | changes)
