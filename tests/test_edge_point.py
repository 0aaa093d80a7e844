"""Self-stabilization of any problem at a point: against the exact loss, dense derivatives and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from oracles import Quadratic
from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.curvature import chunked, third_derivative

KEY = jax.random.key(0)


def network():
    data = problems.chebyshev(3, 12)
    return problems.Supervised(problems.FullyConnected((1, 5, 1)), data, problems.mean_half_squared_error)


def flat_problem():
    """(flat parameters, loss of flat parameters, back to the pytree)."""
    problem = network()
    params = problem.init(jax.random.key(3))
    flat, back = ravel_pytree(params)
    return problem, params, flat, back, lambda p: problem.loss(back(p))


def test_third_derivative_is_the_dense_one():
    problem, params, flat, _, loss = flat_problem()
    v = np.random.default_rng(0).normal(size=flat.size)
    dense = jnp.einsum("ijk,j,k->i", jax.jacfwd(jax.hessian(loss))(flat), v, v)
    direction = ravel_pytree(params)[1](jnp.asarray(v))
    for chunks in (None, chunked(problem.data, 5)):
        got = ravel_pytree(third_derivative(problem.loss, params, direction, chunks))[0]
        np.testing.assert_allclose(got, dense, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [None, 5])
def test_gradient_of_the_sharpness_by_finite_differences(chunk_size):
    problem, params, flat, _, loss = flat_problem()
    point = measures.edge_point(problem, params, key=KEY, rtol=1e-12, chunk_size=chunk_size)
    top = lambda p: float(jnp.linalg.eigvalsh(jax.hessian(loss)(p))[-1])  # noqa: E731
    steps = 1e-5 * np.eye(flat.size)
    differences = np.array([(top(flat + h) - top(flat - h)) / 2e-5 for h in steps])
    np.testing.assert_allclose(ravel_pytree(point.sharpness_gradient)[0], differences, rtol=1e-6, atol=1e-7)
    assert point.sharpness == pytest.approx(top(flat), rel=1e-10)
    gradient = np.asarray(jax.grad(loss)(flat))
    u = np.asarray(ravel_pytree(point.direction)[0])
    normal = differences - (differences @ u) * u
    np.testing.assert_allclose(ravel_pytree(point.normal)[0], normal, rtol=1e-5, atol=1e-6)
    assert point.alpha == pytest.approx(-gradient @ differences, rel=1e-5)
    assert point.beta == pytest.approx(normal @ normal, rel=1e-5)
    assert point.slope == pytest.approx(gradient @ u, rel=1e-6)
    assert point.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-10)


def test_the_loss_that_realises_the_prediction():
    """REV-4: at (0, 0) u = (1, 0) and grad S = (0, sqrt(beta)); descent from there is the predicted map."""
    lr, alpha, beta = 0.05, 3.0, 4.0
    problem = problems.SelfStabilizing(lr, alpha, beta)
    point = measures.edge_point(problem, jnp.zeros(2), key=KEY)
    np.testing.assert_allclose(np.abs(point.direction), [1, 0], atol=1e-12)
    np.testing.assert_allclose(point.sharpness_gradient, [0, 2], atol=1e-12)
    np.testing.assert_allclose([point.sharpness, point.alpha, point.beta, point.slope], [40, 3, 4, 0], atol=1e-10)
    start = jnp.array([0.01, 0.0])
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
    probe = lambda state: {"params": state.params}  # noqa: E731
    real = dynamics.simulate(process, key=KEY, num_steps=100, every=1, probes=(probe,)).saved["params"]
    x, y = point.coordinates(start)
    predicted = dynamics.SelfStabilization(lr, point.alpha, point.beta, x=x, y=y)
    map_ = dynamics.simulate(predicted, key=KEY, num_steps=100, every=1, probes=(probe,)).saved["params"]
    measured = np.array([point.coordinates(row) for row in real])
    np.testing.assert_allclose(measured, map_, rtol=1e-9, atol=1e-12)


def test_projection_to_the_edge():
    problem, params, _, _, _ = flat_problem()
    there = measures.edge_point(problem, params, key=KEY)
    lr = 2 / (1.02 * there.sharpness)
    point = measures.project_to_edge(problem, params, lr, key=KEY)
    again = measures.edge_point(problem, point.params, key=jax.random.key(5), rtol=1e-12)
    assert again.sharpness == pytest.approx(2 / lr, rel=1e-6)
    assert abs(again.slope) <= 2e-6 * again.gradient_norm
    moved = ravel_pytree(jax.tree.map(jnp.subtract, point.params, params))[0]
    assert 0 < np.linalg.norm(moved) < 0.5


def test_projection_from_a_minimum():
    """Where the gradient is exactly 0 there is nothing to compare u . grad L with."""
    problem, start = problems.ScalarNetwork((2, 2), 0.25), jnp.array([2.0, 0.5])
    sharpness = measures.edge_point(problem, start, key=KEY).sharpness
    point = measures.project_to_edge(problem, start, 2 / (1.001 * sharpness), key=KEY)
    assert point.sharpness == pytest.approx(1.001 * sharpness, rel=1e-6)
    assert abs(point.slope) <= 1e-6 * max(point.gradient_norm, 1e-9 * point.sharpness)


def test_a_sharpness_that_nothing_moves():
    problem = Quadratic(jnp.array([3.0, 1.0]))
    with pytest.raises(InputError, match=r"^sharpness must depend on params off the top eigenvector .*; beta is 0\.$"):
        measures.project_to_edge(problem, jnp.ones(2), 0.5, key=KEY)


@pytest.mark.parametrize("lr", [0.0, -1.0, np.nan])
def test_a_learning_rate_that_is_none(lr):
    problem, params, *_ = flat_problem()
    with pytest.raises(InputError, match=r"^lr must be positive and finite"):
        measures.project_to_edge(problem, params, lr, key=KEY)


def test_a_point_too_far_from_the_edge():
    problem, params, *_ = flat_problem()
    with pytest.raises(InputError, match=r"^params must lie near a point of sharpness 2/lr = 2e\+05; after 3 steps of"):
        measures.project_to_edge(problem, params, 1e-5, key=KEY, max_iterations=3)


def test_chunks_need_data():
    problem = problems.SelfStabilizing(0.1, 1.0, 1.0)
    with pytest.raises(InputError, match=r"^chunk_size needs a problem with data \(Supervised\); got SelfStab"):
        measures.edge_point(problem, jnp.zeros(2), key=KEY, chunk_size=3)


def test_precision_follows_the_parameters():
    problem = problems.Supervised(
        problems.FullyConnected((1, 5, 1)),
        problems.chebyshev(3, 12, dtype=jnp.float32),
        problems.mean_half_squared_error,
    )
    params = problem.init(KEY)
    point = measures.edge_point(problem, params, key=KEY, rtol=1e-5)
    assert {leaf.dtype for leaf in jax.tree.leaves((point.direction, point.normal))} == {jnp.dtype("float32")}
