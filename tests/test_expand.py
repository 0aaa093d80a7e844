"""Taylor models against the problem near the point, against dense tensors, and v . Q with its spectrum."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from cases import PROBLEMS
from long_rows import some
from oracles import close, point
from precipice import curvature, dynamics, problems
from precipice._checks import InputError
from precipice.problems import QuadraticModel, dense_rows, expand

SQUARED = ("half squared", "squared")


@functools.cache
def case(name):
    problem = PROBLEMS[name]()
    return problem, point(problem)


def displaced(params, size, seed=8):
    """The point moved by `size` times a fixed random displacement."""
    moved = point_like(params, seed)
    return jax.tree.map(lambda a, b: a + size * b, params, moved)


def point_like(params, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)


# Taylor models ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", some(["half squared", "logistic", "cross-entropy"], "cross-entropy"))
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_error_falls_with_the_order(name, order):
    """Outputs differ by the next power of the displacement: slope order + 1 over a factor 16."""
    problem, params = case(name)
    model = expand(problem, params, order=order)
    error = jax.jit(lambda size: jnp.abs(model.outputs(p := displaced(params, size)) - problem.outputs(p)).max())
    sizes = np.array([0.02, 0.01, 0.005, 0.0025])
    slope = np.polyfit(np.log(sizes), np.log([float(error(size)) for size in sizes]), 1)[0]
    assert abs(slope - (order + 1)) < 0.15
    close(model.outputs(params), problem.outputs(params))
    close(model.loss(model.init(jax.random.key(0))), problem.loss(params))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_at_the_point_are_the_problems(order):
    """Gradient of any order; Hessian from order 2; from order 1 it is the Gauss-Newton matrix."""
    problem, params = case("cross-entropy")
    model = expand(problem, params, order=order)
    theta, unravel = ravel_pytree(params)
    near = functools.partial(np.testing.assert_allclose, atol=1e-12)
    near(jax.grad(lambda t: model.loss(unravel(t)))(theta), jax.grad(lambda t: problem.loss(unravel(t)))(theta))
    if order == 1:
        wanted = curvature.GaussNewton(problem.outputs, problem.loss_of_outputs, params, problem.data).dense()
    else:
        wanted = curvature.Hessian(problem.loss, params).dense()
    near(curvature.Hessian(model.loss, params).dense(), wanted)


@pytest.mark.parametrize("name", SQUARED)
def test_the_dense_model_is_the_matrix_free_one(name):
    """Residuals, Jacobian and kernel far from the point, for two outputs and one, half squares or not."""
    problem, params = case(name)
    dense, model = QuadraticModel(dense_rows(problem, params)), expand(problem, params, order=2)
    moved = displaced(params, 0.7)
    theta = ravel_pytree(moved)[0] - ravel_pytree(params)[0]
    residuals = (model.outputs(moved) - problem.data.y).ravel()
    close(dense.outputs(theta)[:, 0], residuals)
    jacobian = curvature.Jacobian(model.outputs, moved, problem.data).dense()
    close(dense.jacobian(theta), jacobian)
    close(dense.kernel(theta), jacobian @ jacobian.T)
    close(dense.loss(theta), 0.5 * np.sum(np.square(residuals)))


def test_a_quadratic_model_is_its_own_expansion():
    rows = problems.gaussian_rows(4, 5, output_scale=1.0, jacobian_scale=1.0, key=jax.random.key(0))
    model, start, theta = QuadraticModel(rows), jnp.linspace(-1, 1, 5), jnp.linspace(2, 1, 5)
    for order in (2, 3):
        close(expand(model, start, order=order).outputs(theta), model.outputs(theta))
    again = dense_rows(model, start)
    close(again.y, model.outputs(start)[:, 0])
    close(again.g, model.jacobian(start))
    close(again.q, rows.q)
    twice = expand(expand(model, start, order=2), theta, order=2)
    close(twice.outputs(start), model.outputs(start))


def test_training_the_expansion_follows_the_network_and_then_leaves_it():
    """Gradient descent and minibatches on a Taylor model as on any problem; early on the quadratic one is nearer."""
    problem, params = case("half squared")
    far = {}
    for order in (1, 2):
        model = expand(problem, params, order=order)
        runs = [
            dynamics.simulate(
                dynamics.MinibatchDescent(p, dynamics.gradient_descent(0.05), 3, start=params),
                key=jax.random.key(1),
                num_steps=10,
                every=10,
            ).state.params
            for p in (model, problem)
        ]
        far[order] = float(jnp.linalg.norm(ravel_pytree(runs[0])[0] - ravel_pytree(runs[1])[0]))
    assert 0 < far[2] < far[1] / 3


# Model curvature ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", some([None, 3], 3))
def test_model_curvature_is_the_dense_tensor_contracted(size):
    problem, params = case("half squared")
    direction = point_like(problem.outputs(params), 2)
    data = problem.data if size is None else curvature.chunked(problem.data, size)
    operator = curvature.ModelCurvature(problem.outputs, params, data, direction)
    wanted = np.tensordot(direction.ravel(), dense_rows(problem, params).q, 1)
    close(operator.dense(), wanted)
    ends: tuple[tuple[Literal["largest", "smallest"], np.ndarray], ...] = (
        ("largest", np.linalg.eigvalsh(wanted)[::-1]),
        ("smallest", np.linalg.eigvalsh(wanted)),
    )
    for end, values in ends:
        found = curvature.eigs(operator, key=jax.random.key(0), num=2, end=end, rtol=1e-8)
        np.testing.assert_allclose(found.values, values[:2], rtol=1e-7)
    mean, sem = curvature.density(operator, key=jax.random.key(1), num=30, depth=10).mean(2)
    assert abs(float(mean) - np.mean(np.linalg.eigvalsh(wanted) ** 2)) < 5 * float(sem)


# Bad input ----------------------------------------------------------------------------------------------------------


def test_bad_expansions_are_refused():
    problem, params = case("half squared")
    with pytest.raises(InputError, match="order must be 1, 2 or 3; got 4"):
        expand(problem, params, order=4)
    with pytest.raises(InputError, match="problem must have outputs to be expanded; ScalarNetwork has none"):
        expand(problems.ScalarNetwork((2, 2)), jnp.ones(2), order=2)
    with pytest.raises(InputError, match="dense_rows needs a squared output_loss"):
        dense_rows(*case("logistic"))


def test_a_dense_model_that_is_too_large_is_refused():
    """The message gives the need and the matrix-free way; nothing is made."""
    network = problems.FullyConnected((100, 300, 10))
    data = problems.from_arrays(np.zeros((200, 100)), np.zeros((200, 10)))
    problem = problems.Supervised(network, data, problems.mean_half_squared_error)
    params = jax.tree.map(jnp.zeros_like, problem.init(jax.random.key(0)))
    with pytest.raises(InputError, match=r"at most 4 GiB .* 2,000 outputs and 33,310 parameters need 1.65e\+04 GiB"):
        dense_rows(problem, params)
    with pytest.raises(InputError, match="max_bytes must be positive"):
        dense_rows(*case("half squared"), max_bytes=0)
