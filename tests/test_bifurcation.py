"""Periods and tails of any process, and the cubic map in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import measures
from precipice._checks import InputError
from precipice.dynamics import (
    AbstractProcess,
    CubicMap,
    Descent,
    State,
    attractor,
    bifurcation,
    gradient_descent,
)
from precipice.problems import AbstractProblem, ScalarNetwork
from precipice.results import Status

KEY = jax.random.key(0)

PERIODS = {  # case MIN-C09; 0 is aperiodic up to 64
    0.05: 1,
    0.1: 1,
    0.12: 1,
    0.124: 1,
    0.126: 2,
    0.13: 2,
    0.14: 2,
    0.15: 2,
    0.155: 4,
    0.16: 4,
    0.17: 0,
    0.18: 0,
    0.2: 0,
    0.25: 0,
}


def test_periods_of_the_cubic_map():
    """Case MIN-C09."""
    found = bifurcation(CubicMap, jnp.array(list(PERIODS)), key=KEY, num_steps=20_000)
    assert found.period.tolist() == list(PERIODS.values())
    assert np.all(np.asarray(found.status) == int(Status.DONE))


class Logistic(AbstractProcess):
    """x' = r x (1 - x), beside a second parameter that rests."""

    r: jax.Array

    def init(self, key):
        return State(jnp.zeros((), int), {"x": jnp.full((1, 1), 0.3), "rest": jnp.ones(2)}, (), key, jnp.array(jnp.nan))

    def step(self, state):
        x = state.params["x"]
        return state._replace(step=state.step + 1, params=state.params | {"x": self.r * x * (1 - x)})


def test_periods_of_the_logistic_map():
    """Its doublings are at 3, 3.4495, 3.5441, 3.5644; its window of period 3 begins at 1 + sqrt(8) = 3.8284."""
    values = jnp.array([2.8, 3.2, 3.5, 3.55, 3.566, 3.7, 3.835, 4.2])
    found = bifurcation(Logistic, values, key=KEY, num_steps=5000)
    assert found.period.tolist() == [1, 2, 4, 8, 16, 0, 3, -1]
    assert found.tail["x"].shape == (8, 128, 1, 1)
    points = np.asarray(found.tail["x"])[1, :2, 0, 0]
    r = 3.2
    wanted = (r + 1 + np.array([-1, 1]) * np.sqrt((r - 3) * (r + 1))) / (2 * r)
    np.testing.assert_allclose(np.sort(points), wanted, rtol=1e-12)


def test_one_value_is_the_row_of_many():
    found = bifurcation(CubicMap, jnp.array([0.155, 0.2]), key=KEY, num_steps=500)
    one = attractor(CubicMap(0.155), key=KEY, num_steps=500)
    assert int(one.period) == int(found.period[0])
    np.testing.assert_allclose(one.tail, found.tail[0], rtol=1e-12)


def test_the_tail_follows_the_burn_in():
    b = 0.1
    for _ in range(300):
        b = b * (1 + 8 * 0.15 - 16 * b**2)
    found = attractor(CubicMap(0.15), key=KEY, num_steps=300, max_period=3)
    wanted = []
    for _ in range(6):
        wanted.append(b)
        b = b * (1 + 8 * 0.15 - 16 * b**2)
    np.testing.assert_allclose(found.tail, wanted, rtol=1e-12)


def test_a_diverging_orbit_is_labelled():
    found = bifurcation(CubicMap, jnp.array([0.1, 0.5]), key=KEY, num_steps=1000)
    assert found.period.tolist() == [1, -1]
    assert found.status.tolist() == [int(Status.DONE), int(Status.DIVERGED)]
    assert np.isnan(found.tail[1]).all()
    late = attractor(CubicMap(0.5), key=KEY, num_steps=1, max_period=64)  # diverges within the tail
    assert int(late.period) == -1


class Parabola(AbstractProblem):
    def init(self, key):
        return jnp.array([1.0, 1.0])

    def loss(self, params, batch=None):
        return (4 * params[0] ** 2 + params[1] ** 2) / 2


def test_gradient_descent_at_the_edge_has_period_two():
    """At lr = 2/4 the sharp entry turns from step to step for ever; below, all comes to rest; above, it diverges."""

    def make(lr):
        return Descent(Parabola(), gradient_descent(lr))

    found = bifurcation(make, jnp.array([0.4, 0.5, 0.6]), key=KEY, num_steps=3000, max_period=8)
    assert found.period.tolist() == [1, 2, -1]


def test_descent_on_the_network_ends_at_period_one():
    process = Descent(ScalarNetwork((2, 2), 0.25), gradient_descent(0.2), start=jnp.array([2.6, 0.3]))
    assert int(attractor(process, key=KEY, num_steps=5000).period) == 1


def test_a_new_value_compiles_nothing():
    traces = []

    def make(value):
        traces.append(1)
        return CubicMap(value)

    for value in (0.1, 0.12, 0.14):
        bifurcation(make, jnp.array([value]), key=KEY, num_steps=10, max_period=2)
    assert len(traces) == 1


# The cubic map ------------------------------------------------------------------------------------------------------


def step(b, offset):
    process = CubicMap(offset, start=b)
    return process.step(process.init(KEY)).params


@pytest.mark.parametrize("offset", [0.01, 0.1, 0.125, 0.2])
def test_closed_forms_of_the_cubic_map(offset):
    fixed, border = measures.cubic_map_fixed_point(offset), measures.cubic_map_border(offset)
    np.testing.assert_allclose(step(fixed, offset), fixed, rtol=1e-14)
    np.testing.assert_allclose(step(border, offset), -border, rtol=1e-14)
    slope = jax.grad(lambda b: step(b, offset))
    np.testing.assert_allclose(measures.cubic_map_multiplier(offset), slope(fixed), atol=1e-13)
    np.testing.assert_allclose(measures.cubic_map_slope(0.3, offset), slope(jnp.array(0.3)), rtol=1e-13)
    np.testing.assert_allclose(slope(border) * slope(-border), (5 + 16 * offset) ** 2, rtol=1e-13)
    inside = attractor(CubicMap(offset, start=border * 0.999), key=KEY, num_steps=2000)
    outside = attractor(CubicMap(offset, start=border * 1.001), key=KEY, num_steps=2000)
    assert int(inside.status) == int(Status.DONE)
    assert int(outside.status) == int(Status.DIVERGED)


def test_the_last_bounded_map_is_the_chebyshev_polynomial():
    b = np.linspace(-0.5, 0.5, 11)
    wanted = -np.polynomial.chebyshev.chebval(2 * b, [0, 0, 0, 1]) / 2
    np.testing.assert_allclose([step(v, 0.25) for v in b], wanted, atol=1e-15)
    assert int(attractor(CubicMap(0.2501, start=0.11), key=KEY, num_steps=200_000).period) == -1


def test_it_is_the_two_step_map_at_a_frozen_offset():
    lr, a, b = 0.04, 0.3, 0.07
    moved = measures.degree_four_two_step(jnp.array([a, b]), lr)[1]
    np.testing.assert_allclose(step(b, a * lr**0.5), moved, rtol=1e-14)


# Bad input ----------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"^offset must be finite; got nan\.$"):
        CubicMap(float("nan"))
    with pytest.raises(InputError, match=r"^max_period must be at least 1; got 0\.$"):
        attractor(CubicMap(0.1), key=KEY, num_steps=1, max_period=0)
    with pytest.raises(InputError, match=r"^number of values must be at least 1; got 0\.$"):
        bifurcation(CubicMap, jnp.zeros(0), key=KEY, num_steps=1)
    with pytest.raises(InputError, match=r"^values must be finite; got NaN or inf\.$"):
        bifurcation(CubicMap, jnp.array([jnp.inf]), key=KEY, num_steps=1)
