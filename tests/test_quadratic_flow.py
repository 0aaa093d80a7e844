"""Rates and rescaling of the flow of one-output quadratic models, and what their two-step map is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures, problems
from test_quadratic import drawn


def modes_along(problem, start, times):
    """(eigenvalues of Q, z [n], squared modes [n, p], parameters [n, p]) of the flow at these times."""
    found = dynamics.flow(problem, start, times, rtol=1e-12, atol=1e-13)
    values = dynamics.rescaled_modes(problem, start, 1.0)[0]
    modes = [dynamics.rescaled_modes(problem, params, 1.0)[1] for params in found.params]
    z, squares = np.array([m.z for m in modes]), np.array([m.jacobian**2 for m in modes])
    return np.asarray(values), z, squares, found.params


def slope(values, step):
    """The derivative in the middle of five equidistant values, to the fourth order."""
    return (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (12 * step)


@pytest.mark.parametrize("seed", range(3))
def test_flow_of_output_modes_and_kernel(seed):
    """QR-3 and QR-6 as rates (ERR-Q2, ERR-Q3) and, for one output, QR-26: K' = -z (2 J Q J)."""
    problem, start = drawn(seed)
    step = 1e-3
    w, z, squares, params = modes_along(problem, start, step * np.arange(5))
    np.testing.assert_allclose(slope(z, step), -z[2] * squares[2].sum(), rtol=1e-7)
    np.testing.assert_allclose(slope(squares, step), -2 * z[2] * w * squares[2], rtol=1e-7, atol=1e-9)
    jacobian = problem.jacobian(params[2])
    wanted = -2 * z[2] * jacobian @ problem.q @ jacobian
    np.testing.assert_allclose(slope(squares.sum(axis=1), step), wanted, rtol=1e-7)


def test_the_rescaled_flow_does_not_know_the_learning_rate():
    """QR-5, QR-6: (lr z, sqrt(lr) J) of Q, E at time lr t is that of another lr from the same rescaled start."""
    w, first = jnp.array([1.0, -0.4, 0.3]), jnp.array([0.8, 1.1, -0.5])
    ends = []
    for lr in (0.2, 1.0, 3.0):
        offset = float(jnp.sum(first**2 / w) - 2 * 0.6) / lr
        problem = problems.QuadraticRegression(w, offset)
        _, z, squares, _ = modes_along(problem, first / (w * lr**0.5), [0.0, 1.5 * lr])
        np.testing.assert_allclose(lr * z[0], 0.6, rtol=1e-12)
        ends.append([lr * z[1], *(lr * squares[1])])
    np.testing.assert_allclose(ends, [ends[0]] * 3, rtol=1e-9)


def differences(values):
    """The largest k for which the k-th differences of a row are not rounding."""
    scale, orders = np.abs(values).max(), []
    for order in range(1, len(values)):
        values = np.diff(values)
        if np.abs(values).max() > 1e-9 * scale:
            orders.append(order)
    return max(orders)


@pytest.mark.parametrize(("which", "in_epsilon"), [(0, 5), (1, 6)])
def test_degrees_of_the_two_step_map(which, in_epsilon):
    """QR-16: a polynomial of degree 3 in T, 9 in z, and 5 (for z) or 6 (for T) in epsilon."""

    def twice(z, t, epsilon):
        return measures.two_eigenvalue_step(*measures.two_eigenvalue_step(z, t, -epsilon), -epsilon)[which]

    nodes = 0.25 * np.arange(-8.0, 6.0)
    assert differences(np.array([twice(0.6, t, 0.3) for t in nodes])) == 3
    assert differences(np.array([twice(z, 1.3, 0.3) for z in nodes])) == 9
    assert differences(np.array([twice(0.6, 1.3, e) for e in nodes])) == in_epsilon


@pytest.mark.parametrize("w", [-1.0, -0.2, 0.6])
def test_the_two_step_map_is_two_steps_of_modes(w):
    """The plane's map applied twice against the parameters themselves after two steps of descent."""
    lr, start = 0.3, jnp.array([1.2, 0.9])
    problem = problems.QuadraticRegression(jnp.array([1.0, w]), 0.4)
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
    run = dynamics.simulate(process, key=jax.random.key(0), num_steps=2, every=2)
    once = measures.two_eigenvalue_step(lr * problem.output(start), lr * problem.kernel(start), w, 0.4 * lr)
    twice = np.array(measures.two_eigenvalue_step(*once, w, 0.4 * lr))
    end = run.state.params
    np.testing.assert_allclose(twice, [lr * problem.output(end), lr * problem.kernel(end)], rtol=1e-12)
