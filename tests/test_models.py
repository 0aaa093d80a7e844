"""The battery of the minimal models: each against its formula by hand, differentiated by differences in 80 bits."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpy.typing import DTypeLike

from by_hand import derivatives, differentiated
from cases import MODELS
from oracles import TRACES, Counted, point
from precipice import curvature, problems
from precipice.dynamics import Descent, gradient_descent, simulate
from precipice.problems import AbstractProblem

each_model = pytest.mark.parametrize("name", MODELS)
VARYING = [name for name, row in MODELS.items() if row.varies]
NUMBER, NUMBERS = 0.4, (0.3, 0.4, 0.5, 0.6, 0.7)
POINTS = ((3, 1.0), (4, 1.0), (5, 4.0))
"""Seed and size of three points, the last one large."""
each_point = pytest.mark.parametrize(
    ("seed", "size"), [pytest.param(*p, marks=pytest.mark.long) if p == (4, 1.0) else p for p in POINTS]
)


def model_of(name, number: Any = NUMBER, dtype: DTypeLike = np.float64):
    return MODELS[name].make(number, dtype)


def point_of(name, seed=3, size=1.0, dtype: DTypeLike = np.float64):
    return jax.tree.map(lambda a: jnp.asarray(size * a, np.dtype(dtype)), point(model_of(name), seed))


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0])


@functools.cache
def by_hand_at(name, seed, size):
    """(loss, gradient, Hessian) by hand."""
    return derivatives(MODELS[name].loss, flat(point_of(name, seed, size)), NUMBER)


def near(got, wanted, rtol=1e-9):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rtol * max(1e-3, np.abs(wanted).max()))


@each_model
@each_point
def test_loss_and_gradient(name, seed, size):
    params = point_of(name, seed, size)
    loss, gradient = jax.jit(jax.value_and_grad(model_of(name).loss))(params)
    wanted = by_hand_at(name, seed, size)
    assert loss.shape == ()
    near(loss, wanted[0], 1e-13)
    near(flat(gradient), wanted[1])
    assert jax.tree.structure(gradient) == jax.tree.structure(params)


@each_model
@each_point
def test_hessian_as_an_operator(name, seed, size):
    wanted = by_hand_at(name, seed, size)[2]
    operator = curvature.Hessian(model_of(name).loss, point_of(name, seed, size))
    near(operator.dense(), wanted)


@each_model
def test_sharpness(name):
    operator = curvature.Hessian(model_of(name).loss, point_of(name))
    top = curvature.eigs(operator, key=jax.random.key(0), num=1).values[0]
    near(top, np.linalg.eigvalsh(by_hand_at(name, *POINTS[0])[2])[-1], 1e-7)


@each_model
def test_vmap_over_points_in_jit(name):
    points = [point_of(name, seed, size) for seed, size in POINTS]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    losses = jax.jit(jax.vmap(model_of(name).loss))(stacked)
    near(losses, [by_hand_at(name, seed, size)[0] for seed, size in POINTS], 1e-13)


@each_model
def test_float32_stays_float32(name):
    problem, params = model_of(name, dtype=np.float32), point_of(name, dtype=np.float32)
    loss, gradient = jax.jit(jax.value_and_grad(problem.loss))(params)
    assert loss.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    wanted = by_hand_at(name, *POINTS[0])
    near(loss, wanted[0], 1e-5)
    near(flat(gradient), wanted[1], 1e-5)


@pytest.mark.parametrize("name", VARYING)
def test_a_number_in_float64_follows_parameters_in_float32(name):
    """A sweep over an array of numbers does not raise the precision of the parameters, nor stop at strict promotion."""
    params = point_of(name, dtype=np.float32)
    loss = MODELS[name].make(jnp.array([NUMBER])[0], np.float32).loss(params)
    assert loss.dtype == jnp.float32
    near(loss, by_hand_at(name, *POINTS[0])[0], 1e-5)


@each_model
def test_a_model_is_a_pytree(name):
    problem, params = model_of(name), point_of(name)
    leaves, structure = jax.tree.flatten(problem)
    again = jax.tree.unflatten(structure, leaves)
    assert bool(eqx.tree_equal(again, problem))
    np.testing.assert_array_equal(again.loss(params), problem.loss(params))


@each_model
def test_five_numbers_and_points_compile_once(name):
    loss = eqx.filter_jit(lambda problem, params: problem.loss(params))
    counts, losses = [TRACES["loss"]], []
    for seed, number in enumerate(NUMBERS):
        params = point_of(name, seed)
        losses.append(loss(Counted(model_of(name, number)), params))
        near(losses[-1], float(MODELS[name].loss(flat(params), number)), 1e-13)
        counts.append(TRACES["loss"])
    assert np.diff(counts).tolist() == [1, 0, 0, 0, 0]
    assert len({float(value) for value in losses}) == 5


@pytest.mark.parametrize("name", VARYING)
def test_grad_and_vmap_in_the_number_a_model_is_made_of(name):
    row, params = MODELS[name], point_of(name)

    def loss(number):
        return row.make(number, np.float64).loss(params)

    theta = flat(params)
    wanted = differentiated(lambda n: row.loss(theta, n[0]), np.array([NUMBER]))
    near(jax.jit(jax.grad(loss))(NUMBER), float(wanted[0]))
    near(jax.jit(jax.vmap(loss))(jnp.array(NUMBERS)), [float(row.loss(theta, n)) for n in NUMBERS], 1e-13)


@each_model
def test_descent_is_descent_by_hand(name):
    lr, start, row = 0.02, point_of(name, 4), MODELS[name]
    run = simulate(
        Descent(model_of(name), gradient_descent(lr), start=start), key=jax.random.key(0), num_steps=8, every=8
    )
    theta = flat(start)
    for _ in range(8):
        theta = theta - lr * differentiated(lambda t: row.loss(t, NUMBER), theta).astype(float)
    near(flat(run.state.params), theta)


@each_model
def test_starts_are_drawn_with_the_key(name):
    problem = model_of(name)
    one, same, other = (problem.init(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(flat(one), flat(same))
    assert MODELS[name].drawn != np.allclose(flat(one), flat(other))
    near(problem.loss(one), float(MODELS[name].loss(flat(one), NUMBER)), 1e-13)


def test_every_problem_has_a_row():
    kinds = {kind for kind in AbstractProblem.__subclasses__() if kind.__module__.startswith("precipice.problems")}
    assert kinds - {problems.Supervised} == {row.kind for row in MODELS.values()}
