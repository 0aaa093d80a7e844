"""The predicted dynamics of self-stabilization: the map, the loss that realises it, the cycle's law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from precipice import measures
from precipice._checks import InputError
from precipice.curvature import Hessian
from precipice.dynamics import Descent, SelfStabilization, gradient_descent, simulate
from precipice.problems import SelfStabilizing

LR, ALPHA, BETA, START = 0.01, 1.0, 1.0, 1e-3


def trajectory(num_steps, **options):
    numbers = {"lr": LR, "alpha": ALPHA, "beta": BETA, "x": START} | options
    x = numbers.pop("x")
    process = SelfStabilization(numbers["lr"], numbers["alpha"], numbers["beta"], x=x)
    run = simulate(
        process, key=jax.random.key(0), num_steps=num_steps, every=1, probes=(lambda s: {"entries": s.params},)
    )
    return np.asarray(run.saved["entries"]).T


def test_the_reference_cycle():
    """Case REV-C01."""
    x, y = trajectory(6000)
    peak = int(np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:]))[0]) + 1
    assert peak == 385
    np.testing.assert_allclose(y[peak], 3.7076947241575646, rtol=1e-9)
    np.testing.assert_allclose(np.abs(x[peak - 1 : peak + 1]), [1.3988065762338768, 1.4506670226368685], rtol=1e-9)
    up = np.flatnonzero((y[1:] > 0) & (y[:-1] <= 0)) + 1
    np.testing.assert_array_equal(up[up > 1][:4], [893, 1835, 2834, 3898])
    law = measures.peak_excess(START, ALPHA, BETA)
    np.testing.assert_allclose(law, 3.675412662344763, rtol=1e-12)
    np.testing.assert_allclose(y[peak], law, rtol=0.02)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 3.0)])
def test_descent_on_its_loss_takes_the_same_steps(alpha, beta):
    problem, root = SelfStabilizing(0.1, alpha, beta), beta**0.5
    process = Descent(problem, gradient_descent(0.1), start=jnp.array([0.3, 0.2 / root]))
    state, (x, y) = process.init(jax.random.key(0)), (0.3, 0.2)
    for _ in range(40):
        state = process.step(state)
        x, y = -(1 + 0.1 * y) * x, y + 0.1 * (alpha - beta * x**2 / 2)
        np.testing.assert_allclose([state.params[0], root * state.params[1]], [x, y], rtol=1e-12, atol=1e-14)


def test_the_loss_has_the_curvature_it_is_made_for():
    """At x = w = 0: sharpness 2/lr; alpha = -grad L . grad S and beta = |grad S|^2."""
    problem, zero = SelfStabilizing(0.1, 0.7, 3.0), jnp.zeros(2)

    def sharpness(params):
        return jnp.linalg.eigvalsh(Hessian(problem.loss, params).dense())[-1]

    slope = np.asarray(jax.grad(sharpness)(zero))
    np.testing.assert_allclose(sharpness(zero), 20, rtol=1e-14)
    np.testing.assert_allclose(-np.dot(jax.grad(problem.loss)(zero), slope), 0.7, rtol=1e-12)
    np.testing.assert_allclose(slope @ slope, 3.0, rtol=1e-12)


def test_the_invariant_is_kept_by_the_limit_of_small_steps():
    def field(_, p):
        return [p[1] * p[0], ALPHA - BETA * p[0] ** 2 / 2]

    found = scipy.integrate.solve_ivp(field, (0, 20), [START, 0.0], rtol=1e-11, atol=1e-13)
    levels = np.asarray(measures.stabilization_invariant(found.y[0], found.y[1], ALPHA, BETA))
    np.testing.assert_allclose(levels, levels[0], rtol=1e-8)


@pytest.mark.parametrize("x", [1e-3, 0.1, 1.0])
def test_period_and_peak_against_an_integrator(x):
    def field(_, p):
        return [p[1] * p[0], ALPHA - BETA * p[0] ** 2 / 2]

    def back(t, p):
        return p[1] if t > 1e-3 else 1.0

    back.direction = 1  # pyright: ignore[reportFunctionMemberAccess]
    found = scipy.integrate.solve_ivp(field, (0, 30), [x, 0.0], rtol=1e-11, atol=1e-13, events=back, max_step=0.01)
    np.testing.assert_allclose(measures.cycle_steps(x, LR, ALPHA, BETA), found.t_events[0][0] / LR, rtol=1e-4)
    np.testing.assert_allclose(measures.peak_excess(x, ALPHA, BETA), found.y[1].max(), rtol=1e-4)


@pytest.mark.parametrize("beta", [0.05, 1.0, 20.0])
def test_the_period_scales_with_beta(beta):
    """x sqrt(beta) and lr are all that matters; near the turning point the cycle is harmonic."""
    x = 1.5 * measures.turning_displacement(1.0, beta)
    wanted = measures.cycle_steps(1.5 * 2**0.5, LR, 1.0, 1.0)
    np.testing.assert_allclose(measures.cycle_steps(x, LR, 1.0, beta), wanted, rtol=1e-9)
    harmonic = 2 * np.pi / (LR * 2**0.5)
    for near in (1.0, 1 + 1e-4):
        found = measures.cycle_steps(near * measures.turning_displacement(1.0, beta), LR, 1.0, beta)
        np.testing.assert_allclose(found, harmonic, rtol=1e-6)


def test_a_cycle_needs_a_displacement():
    with pytest.raises(InputError, match=r"^size of x must be positive and finite; got 0\.0\.$"):
        measures.cycle_steps(0.0, LR, ALPHA, BETA)


def test_the_map_approaches_the_limit_at_first_order():
    errors = []
    for lr in (0.02, 0.01, 0.005):
        _, y = trajectory(int(6 / lr), lr=lr)
        errors.append(y.max() / measures.peak_excess(START, ALPHA, BETA) - 1)
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2, atol=0.35)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.0}, r"^lr must be positive and finite; got 0\.0\.$"),
        ({"beta": -1.0}, r"^beta must be positive and finite; got -1\.0\.$"),
        ({"x": 0.0}, r"^x must not be 0, where it would stay; got 0\.0\.$"),
        ({"x": float("nan")}, r"^x must be finite; got nan\.$"),
    ],
)
def test_bad_numbers(changes, words):
    with pytest.raises(InputError, match=words):
        trajectory(10, **changes)
