"""One-output quadratic models: reduced maps against descent, nullclines, expansions; QR-C01, 06, 08, 09, 10, 16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures, problems
from precipice._checks import InputError

KEY = jax.random.key(0)


def params_of(process, num_steps):
    """The parameters at steps 0 to num_steps."""
    run = dynamics.simulate(process, key=KEY, num_steps=num_steps, every=1, probes=(lambda s: _named(s.params),))
    return run.saved


def _named(params):
    return params._asdict() if hasattr(params, "_asdict") else {"p": params}


def drawn(seed, p=4):
    """(problem, parameters): a random symmetric Q with well-separated eigenvalues, scaled for lr 0.1."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(p, p)))
    q = basis @ np.diag(np.linspace(-1, 1, p) + 0.2 * rng.uniform(size=p)) @ basis.T
    return problems.QuadraticRegression((q + q.T) / 2, 0.3), jnp.asarray(rng.normal(size=p))


# The model ----------------------------------------------------------------------------------------------------------


def test_derivatives_of_the_model():
    problem, params = drawn(0)
    np.testing.assert_allclose(jax.grad(problem.output)(params), problem.jacobian(params), rtol=1e-12)
    np.testing.assert_allclose(jax.hessian(problem.output)(params), problem.q, atol=1e-12)
    np.testing.assert_allclose(problem.kernel(params), jnp.sum(problem.jacobian(params) ** 2), rtol=1e-12)
    np.testing.assert_allclose(problem.loss(params, 0.7), (problem.output(params) - 0.7) ** 2 / 2)


def test_sharpness_at_a_minimum_is_the_kernel():
    problem = problems.QuadraticRegression(jnp.array([1.0, -0.25]))
    params = jnp.array([0.5, 1.0])  # theta^T Q theta = 0
    assert float(problem.output(params)) == 0
    sharpness = np.linalg.eigvalsh(jax.hessian(problem.loss)(params))[-1]
    assert sharpness == pytest.approx(float(problem.kernel(params)), rel=1e-12)


def test_linear_network_on_one_point():
    """QR-25: the network itself, and its loss, gradient descent and E."""
    x, width, target = np.array([0.3, -1.2, 0.5]), 2, 0.4
    model = problems.linear_network_on_one_point(x, width=width, target=target)
    theta = jnp.asarray(np.random.default_rng(1).normal(size=width * 4))

    def network(theta):
        v, u = theta[:width], theta[width:].reshape(width, 3)
        return v @ (u @ jnp.asarray(x))

    np.testing.assert_allclose(model.output(theta), network(theta) - target, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(model.loss)(theta), jax.grad(lambda t: (network(t) - target) ** 2 / 2)(theta))
    assert float(model.offset) == 2 * target
    values, modes, _ = dynamics.rescaled_modes(model, theta, 1.0)
    size = np.linalg.norm(x)
    squares = np.asarray(modes.jacobian) ** 2
    difference = squares[values > 0.5 * size].sum() - squares[values < -0.5 * size].sum()
    np.testing.assert_allclose(difference / size, 2 * network(theta), rtol=1e-10)


def test_spectrum_of_the_reference_network():
    """QR-C16."""
    x = [-0.8019314252534474, -1.324358995628145, -0.24836162209524854]
    values = np.linalg.eigvalsh(problems.linear_network_on_one_point(x, width=2).q)
    np.testing.assert_allclose(values, [-1.5680255914493224] * 2 + [0] * 4 + [1.5680255914493224] * 2, atol=1e-12)


def test_flow_of_the_reference():
    """QR-C10: speed factor 0.7 for time 3."""
    problem = problems.QuadraticRegression(jnp.array([1.0, -0.3, 0.5]))
    found = dynamics.flow(problem, jnp.array([0.7, 0.9, -0.4]), [0.7 * 3], rtol=1e-12, atol=1e-13)
    end = found.params[0]
    np.testing.assert_allclose(end, [0.569336781143417, 0.9575493128282658, -0.3607410725218422], atol=1e-9)
    np.testing.assert_allclose(problem.kernel(end), 0.43919896249860896, atol=1e-9)


def test_modes_under_the_flow():
    """QR-3, QR-6: ln J_i^2 moves by -2 w_i times one number; z keeps its sign; E is constant."""
    problem = problems.QuadraticRegression(jnp.array([1.0, -0.3, 0.5]), 0.2)
    start = jnp.array([0.7, 0.9, -0.4])
    found = dynamics.flow(problem, start, [0.5, 1.0, 4.0], rtol=1e-11, atol=1e-13)
    values, first, _ = dynamics.rescaled_modes(problem, start, 1.0)
    for params in found.params:
        _, modes, _ = dynamics.rescaled_modes(problem, params, 1.0)
        moved = np.log(np.asarray(modes.jacobian**2 / first.jacobian**2)) / (-2 * np.asarray(values))
        np.testing.assert_allclose(moved, moved[0], rtol=1e-7)
        assert float(modes.z) * float(first.z) > 0
        np.testing.assert_allclose(measures.conserved_offset(values, modes.z, modes.jacobian), 0.2, rtol=1e-7)


@pytest.mark.parametrize("z", [-0.2, -0.05])
def test_progressive_sharpening_from_a_balanced_start(z):
    """QR-9: eigenvalues w and -w with equal modes: T(0) = 2 J^2 grows at once (z T(1) = 0, z^2 T(2) > 0)."""
    modes = dynamics.Modes(jnp.array(z), jnp.array([0.3, 0.3]))
    run = params_of(dynamics.QuadraticModes(jnp.array([1.0, -1.0]), modes), 1)
    t = jnp.sum(run["jacobian"] ** 2, axis=1)
    np.testing.assert_allclose(t[1] - t[0], z**2 * t[0], rtol=1e-12)


# Reduced maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lr", [0.05, 0.4])
def test_reduced_maps_are_gradient_descent_on_the_parameters(seed, lr):
    """QR-5, QR-7, QR-8 and the constancy of E (QR-4)."""
    problem, start = drawn(seed)
    run = params_of(dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start), 12)["p"]
    values, first, offset = dynamics.rescaled_modes(problem, start, lr)
    modes = params_of(dynamics.QuadraticModes(values, first), 12)
    moments = params_of(dynamics.QuadraticMoments(values, dynamics.moments_of(values, first)), 12)
    for t, params in enumerate(run):
        _, exact, _ = dynamics.rescaled_modes(problem, params, lr)
        scale = float(jnp.max(jnp.abs(exact.jacobian)) ** 2 + 1)
        np.testing.assert_allclose(modes["z"][t], exact.z, atol=1e-11 * scale)
        np.testing.assert_allclose(modes["jacobian"][t] ** 2, exact.jacobian**2, atol=1e-11 * scale)
        np.testing.assert_allclose(moments["moments"][t], dynamics.moments_of(values, exact).moments, atol=1e-9 * scale)
        np.testing.assert_allclose(moments["moments"][t][0], lr * problem.kernel(params), atol=1e-9 * scale)
        np.testing.assert_allclose(
            measures.conserved_offset(values, exact.z, exact.jacobian), offset, atol=1e-9 * scale
        )


def test_the_plane_map_of_the_reference_is_descent_on_the_parameters():
    """QR-C01."""
    lr, w = 0.4, -0.05
    problem = problems.QuadraticRegression(jnp.array([1.0, w]))
    start = jnp.array([1.1, 2.0])
    end = params_of(dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start), 7)["p"][-1]
    point = jnp.stack([lr * problem.output(start), lr * problem.kernel(start)])
    mapped = params_of(dynamics.TwoEigenvalueMap(w, point), 7)["p"][-1]
    expected = [0.02817650093300981, 0.14533437492328008]
    np.testing.assert_allclose(mapped, expected, atol=1e-13)
    np.testing.assert_allclose([lr * problem.output(end), lr * problem.kernel(end)], expected, atol=1e-13)


@pytest.mark.parametrize("w", [-1.0, -0.1, 0.4])
@pytest.mark.parametrize("offset", [0.0, 0.3, -0.2])
def test_the_plane_map_is_that_of_modes(w, offset):
    eigenvalues = jnp.array([1.0, w])
    jacobian = jnp.array([0.7, 0.5])
    z = float(jnp.sum(jacobian**2 / eigenvalues) - offset) / 2
    modes = params_of(dynamics.QuadraticModes(eigenvalues, dynamics.Modes(jnp.array(z), jacobian)), 20)
    point = [z, float(jnp.sum(jacobian**2))]
    mapped = params_of(dynamics.TwoEigenvalueMap(w, point, offset), 20)["p"]
    np.testing.assert_allclose(mapped[:, 0], modes["z"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mapped[:, 1], jnp.sum(modes["jacobian"] ** 2, axis=1), rtol=1e-9)
    squares = measures.two_eigenvalue_modes(mapped[:, 0], mapped[:, 1], w, offset)
    np.testing.assert_allclose(jnp.stack(squares, axis=1), modes["jacobian"] ** 2, rtol=1e-8, atol=1e-11)
    after = np.array(measures.two_eigenvalue_step(point[0], point[1], w, offset))
    np.testing.assert_allclose(after, mapped[1], rtol=1e-12)


def test_catapult_of_the_symmetric_model():
    """QR-C09: T' - T = z^2 (T - 4) for E = 0."""
    z, t = np.array([[0.3, 1.0], [0.3, 3.9], [-0.4, 3.9], [0.2, 4.1]]).T
    _, after = measures.two_eigenvalue_step(z, t, -1.0)
    np.testing.assert_allclose(after - t, [-0.27, -0.008999999999999897, -0.016, 0.004], atol=1e-14)


def test_feasible_points_of_the_reference():
    """QR-C08."""
    z, t = np.array([[0.5, 1.2], [0.5, 0.9], [-0.5, 0.02], [-0.5, 0.06], [1.0, 2.01]]).T
    assert np.asarray(measures.two_eigenvalue_feasible(z, t, -0.1)).tolist() == [True, False, False, False, True]


def test_quadratic_potential_in_two_steps():
    """QR-15 (ERR-Q4): theta'' = (1 - lam)^2 theta."""
    problem = problems.ScalarNetwork((1,), 0.5)  # (1 - x)^2/2, curvature 1
    run = params_of(dynamics.Descent(problem, dynamics.gradient_descent(1.8), start=jnp.array([1.5])), 4)["p"]
    np.testing.assert_allclose(run[2:, 0] - 1, (1 - 1.8) ** 2 * (run[:-2, 0] - 1), rtol=1e-12)


# Nullclines and expansions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("w", "offset"), [(-1.0, 0.0), (-1.0, 0.5), (-0.1, 0.0), (0.5, 1.0)])
def test_one_step_nullclines(w, offset):
    z = np.array([-0.4, -0.1, 0.2, 0.7])
    of_z, of_t = measures.one_step_nullclines(z, w, offset)
    np.testing.assert_allclose(measures.two_eigenvalue_step(z, of_z, w, offset)[0], z, rtol=1e-12)
    np.testing.assert_allclose(measures.two_eigenvalue_step(z, of_t, w, offset)[1], of_t, rtol=1e-10)


def test_two_step_nullclines():
    """QR-C06, QR-17 and that the series is right to its order."""
    epsilon = 0.1
    h = 1e-4
    expected = {"z": ([1.8, 1.82], [1.8000000163798102, 1.8200000173607123])}
    expected["t"] = ([1.911111111111111, 1.97], [1.911111129919707, 1.9700298281577489])
    above, below = (measures.two_step_nullclines(jnp.array(s * h), epsilon) for s in (1, -1))
    for index, name in enumerate("zt"):
        slope = (above[index] - below[index]) / (2 * h)
        bend = (above[index] + below[index] - 4) / (2 * h**2)
        np.testing.assert_allclose([slope, bend], expected[name][0], atol=1e-5 if name == "z" else 1e-4)
        np.testing.assert_allclose(slope, expected[name][1][0], atol=1e-5)
    z = jnp.array([0.08, 0.04, 0.02])
    for exact, series, order in zip(
        measures.two_step_nullclines(z, epsilon), measures.two_step_nullcline_series(z, epsilon), (4, 3), strict=True
    ):
        error = np.abs(exact - series)
        np.testing.assert_allclose(np.log2(error[:-1] / error[1:]), order, atol=0.35)
    assert float(measures.two_step_nullclines(jnp.array(0.0), epsilon)[0]) == 2


def test_exact_nullclines_are_nullclines():
    z = jnp.linspace(-0.2, 0.2, 9)
    of_z, of_t = measures.two_step_nullclines(z, 0.02)
    twice = lambda t: measures.two_eigenvalue_step(*measures.two_eigenvalue_step(z, t, -0.02), -0.02)  # noqa: E731
    np.testing.assert_allclose(twice(of_z)[0], z, atol=1e-12)
    np.testing.assert_allclose(twice(of_t)[1], of_t, atol=1e-12)


def test_two_step_expansion_to_its_order():
    """QR-16: the remainder is of the fourth order in z."""
    z, t, epsilon = np.array([0.04, 0.02, 0.01]), 1.7, 0.2
    twice = measures.two_eigenvalue_step(*measures.two_eigenvalue_step(z, t, -epsilon), -epsilon)
    for got, exact in zip(measures.two_step_expansion(z, t, epsilon), (twice[0] - z, twice[1] - t), strict=True):
        error = np.abs(got - exact)
        np.testing.assert_allclose(np.log2(error[:-1] / error[1:]), 4, atol=0.2)


def test_without_a_second_eigenvalue_t_moves_twice_as_z():
    """QR-18 (ERR-Q6), in the limit of a vanishing second eigenvalue."""
    z, t = 0.2, 1.6
    after = measures.two_eigenvalue_step(z, t, -1e-12)
    np.testing.assert_allclose(after[1] - t, -2 * z * t + z**2 * t, rtol=1e-9)
    twice = measures.two_eigenvalue_step(*after, -1e-12)
    np.testing.assert_allclose(after[1] - t, 2 * (after[0] - z), rtol=1e-9)
    np.testing.assert_allclose(twice[1] - t, 2 * (twice[0] - z), rtol=1e-9)


@pytest.mark.parametrize("sign", [1, 0, -1])
def test_expansion_around_the_nullcline(sign):
    """QR-19 along y = sign z^2: the remainders are of the orders z^5 and z^4 (the formula sheet's plus leaves z^4)."""
    epsilon, found = 0.05, []
    for z in (0.08, 0.04, 0.02):
        y = sign * z**2
        t = float(measures.two_step_nullclines(jnp.array(z), epsilon)[0]) + y
        after = measures.two_eigenvalue_step(*measures.two_eigenvalue_step(z, t, -epsilon), -epsilon)
        y_after = after[1] - float(measures.two_step_nullclines(jnp.array(after[0]), epsilon)[0])
        of_z, of_y = measures.edge_expansion(z, y, epsilon)
        found.append((after[0] - z - of_z, y_after - y - of_y))
    of_z, of_y = np.abs(np.array(found)).T
    np.testing.assert_allclose(np.log2(of_y[:-1] / of_y[1:]), 4, atol=0.3)
    if sign:
        np.testing.assert_allclose(np.log2(of_z[:-1] / of_z[1:]), 5, atol=0.3)
    else:
        assert of_z.max() < 1e-14


def test_low_order_map_and_its_ratio():
    """QR-20, QR-21: leading terms of the expansion; y stands still at the fixed ratio."""
    epsilon = 0.01
    rate = dynamics.low_order_rate(jnp.array([0.1, float(measures.edge_offset_fixed_ratio(epsilon))]), epsilon)
    assert abs(float(rate[1])) < 1e-17
    process = dynamics.LowOrderMap(epsilon, [0.1, 0.003])
    run = params_of(process, 3)["p"]
    np.testing.assert_allclose(run[1] - run[0], dynamics.low_order_rate(run[0], epsilon), rtol=1e-9)
    np.testing.assert_allclose(run[1] - run[0], np.array(measures.edge_expansion(0.1, 0.003, epsilon)), rtol=0.15)


@pytest.mark.parametrize("epsilon", [0.002, 0.01])
def test_the_end_of_the_edge_of_stability(epsilon):
    """QR-22, QR-23: final T(0) = 2 - eps/2 - 0.84 eps^2 (measured in the formula sheet)."""
    found = dynamics.settle(
        dynamics.TwoEigenvalueMap(-epsilon, [-0.3, 1.5]),
        jnp.array([[-0.3, 1.5]]),
        key=KEY,
        converged=dynamics.EntryBelow(1e-9),
        num_steps=64 * 20_000,
    )
    final = float(found.params[0, 1])
    assert 2 - final == pytest.approx(epsilon / 2 + 0.84 * epsilon**2, rel=2e-3)
    assert final == pytest.approx(measures.edge_final_curvature(epsilon), abs=2 * epsilon**2)
    assert float(measures.edge_separation(0.3, epsilon)) > 3


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: problems.QuadraticRegression(np.ones((2, 3))),
            r"^q must be a square matrix or a row of eigenvalues; got",
        ),
        (lambda: problems.QuadraticRegression(np.array([[0.0, 1.0], [0.0, 0.0]])), r"^q must be symmetric; use"),
        (lambda: problems.QuadraticRegression(np.array([1.0, np.nan])), r"^q must be finite; got NaN or inf\.$"),
        (lambda: problems.linear_network_on_one_point(np.ones((2, 2)), width=2), r"^x must be a row of finite numbers"),
        (lambda: problems.linear_network_on_one_point([1.0], width=0), r"^width must be at least 1; got 0\.$"),
        (
            lambda: dynamics.TwoEigenvalueMap(0.0, [0.1, 1.0]),
            r"^eigenvalue must lie in \[-1, 1\) and not be 0; got 0\.0",
        ),
        (lambda: dynamics.TwoEigenvalueMap(-0.1, [np.nan, 1.0]), r"^start must be finite; got \[nan, 1\.0\]\.$"),
        (
            lambda: dynamics.TwoEigenvalueMap(-0.1, [0.5, 0.9]),
            r"^start \[z, T\] = \[0\.5, 0\.9\] must lie in the cone where both squared modes are positive; they are",
        ),
        (
            lambda: dynamics.TwoEigenvalueMap(-0.1, [0.5, 1.2, 1.0]),
            r"^start must be two numbers \[z, T\]; got shape \(3,\)",
        ),
        (lambda: dynamics.TwoEigenvalueMap(-0.1, [0.5, 1.2], np.nan), r"^offset must be finite; got nan\.$"),
        (lambda: problems.QuadraticRegression(np.ones(2), np.nan), r"^offset must be finite; got nan\.$"),
        (
            lambda: dynamics.QuadraticModes(jnp.ones(2), dynamics.Modes(jnp.array(0.1), jnp.ones(3))),
            r"^jacobian must have one number for each of 2 eigenvalues\.$",
        ),
        (
            lambda: dynamics.QuadraticModes(jnp.ones(2), dynamics.Modes(jnp.array(np.nan), jnp.ones(2))),
            r"^start of modes must be finite; got NaN or inf\.$",
        ),
        (
            lambda: dynamics.QuadraticMoments(jnp.ones(2), dynamics.Moments(jnp.array(0.1), jnp.ones(2))),
            r"^eigenvalues must be distinct; got \[1\.0, 1\.0\]\.$",
        ),
        (lambda: dynamics.LowOrderMap(0.0, [0.1, 0.0]), r"^epsilon must be positive and finite; got 0\.0\.$"),
        (lambda: dynamics.LowOrderMap(0.1, [np.inf, 0.0]), r"^start must be finite; got \[inf, 0\.0\]\.$"),
        (lambda: measures.edge_final_curvature(0.0), r"^epsilon must be positive and finite"),
        (lambda: measures.edge_separation(0.1, 1.0), r"^epsilon must lie in \(0, 1\); got 1\.0\.$"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
