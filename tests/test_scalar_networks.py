"""Scalar networks of other degrees and with noise: closed forms against autodiff, numpy loops and reference values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures
from precipice._checks import InputError
from precipice.dynamics import Descent, GradientNoise, LabelNoise, gradient_descent, simulate
from precipice.problems import ScalarNetwork
from precipice.results import Status

LR = 0.2
NETWORKS = {
    "free 2": ScalarNetwork((1, 1)),
    "free 2, weight 1": ScalarNetwork((1, 1), 1.0),
    "free 3": ScalarNetwork((1, 1, 1)),
    "free 7": ScalarNetwork((1,) * 7),
    "coupled 4": ScalarNetwork((2, 2), 0.25),
    "mixed": ScalarNetwork((1, 2, 3), 0.7),
}
each_network = pytest.mark.parametrize("problem", NETWORKS.values(), ids=NETWORKS)


def entries_of(problem, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.array(rng.uniform(0.4, 1.8, len(problem.powers)) * rng.choice([-1, 1], len(problem.powers)))


def descend(problem, start, num_steps, lr=LR):
    process = Descent(problem, gradient_descent(lr), start=jnp.array(start))
    return simulate(process, key=jax.random.key(0), num_steps=num_steps, every=num_steps).state.params


# Closed forms -------------------------------------------------------------------------------------------------------


@each_network
def test_gradient_and_hessian_are_those_of_the_loss(problem):
    for seed in range(3):
        x = entries_of(problem, seed)
        gradient, hessian = jax.grad(problem.loss)(x), jax.hessian(problem.loss)(x)
        scale = float(jnp.max(jnp.abs(hessian)))
        np.testing.assert_allclose(measures.scalar_network_gradient(problem, x), gradient, atol=1e-13 * scale)
        np.testing.assert_allclose(measures.scalar_network_hessian(problem, x), hessian, atol=1e-13 * scale)


@each_network
def test_sharpness_at_a_minimum_is_the_top_eigenvalue(problem):
    x = jnp.abs(entries_of(problem))
    x = x.at[0].multiply(problem.output(x) ** (-1 / problem.powers[0]))
    values = np.linalg.eigvalsh(jax.hessian(problem.loss)(x))
    np.testing.assert_allclose(measures.scalar_network_minimum_sharpness(problem, x), values[-1], rtol=1e-12)
    np.testing.assert_allclose(values[:-1], 0, atol=1e-12 * values[-1])


@each_network
def test_the_label_is_the_batch(problem):
    x = entries_of(problem)
    residual = 1.3 - problem.output(x)
    np.testing.assert_allclose(problem.loss(x, 1.3), problem.weight * residual**2, rtol=1e-14)
    assert float(problem.loss(x, 1.0)) == float(problem.loss(x))


def test_hessian_of_the_reference_point():
    """MIN-C05, in the coordinates that are free."""
    problem = ScalarNetwork((1, 1, 1, 1))
    values = np.linalg.eigvalsh(measures.scalar_network_hessian(problem, jnp.array([1.3, 0.7, 1.3, 0.7])))
    expected = [0.08423100000000011, 0.1281061405928189, 0.29051100000000035, 3.107667859407181]
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_degree_three_edge_minima():
    """MIN-C20, and both roots of a polynomial solver over the whole range of learning rates."""
    np.testing.assert_allclose(
        measures.degree_three_edge_minima(0.2), [0.3271087529004508, 4.979837720852603], rtol=1e-12
    )
    for lr in (1e-6, 1e-3, 0.05, 0.3, 0.6, 0.66):
        x = measures.degree_three_edge_minima(lr)
        np.testing.assert_allclose(measures.degree_three_sharpness(x[0]), 2 / lr, rtol=1e-13)
        np.testing.assert_allclose(measures.degree_three_sharpness(x[1]), 2 / lr, rtol=1e-13)
        assert 0 < x[0] < 1 < x[1]
    entries = jnp.array([2.3, 2.3**-0.5, 2.3**-0.5])
    np.testing.assert_allclose(
        measures.degree_three_sharpness(2.3),
        measures.scalar_network_minimum_sharpness(ScalarNetwork((1, 1, 1)), entries),
        rtol=1e-14,
    )
    assert jax.vmap(measures.degree_three_edge_minima)(jnp.array([0.1, 0.2])).shape == (2, 2)


# Degree 2 -----------------------------------------------------------------------------------------------------------

weights = pytest.mark.parametrize("weight", [0.5, 1.0])


@weights
def test_degree_two_coordinates_invert_and_meet_at_the_edge_minimum(weight):
    minimum = measures.degree_two_edge_minimum(LR, weight=weight)
    problem = ScalarNetwork((1, 1), weight)
    np.testing.assert_allclose(problem.loss(minimum), 0, atol=1e-29)
    np.testing.assert_allclose(np.linalg.eigvalsh(jax.hessian(problem.loss)(minimum))[-1], 2 / LR, rtol=1e-13)
    np.testing.assert_allclose(measures.degree_two_offset(minimum, LR, weight=weight), 0, atol=1e-14)
    offset = jnp.array([0.2, -0.3])
    entries = measures.degree_two_entries(offset, LR, weight=weight)
    np.testing.assert_allclose(measures.degree_two_offset(entries, LR, weight=weight), offset, rtol=1e-13)


@weights
def test_degree_two_step_is_gradient_descent(weight):
    problem, offset = ScalarNetwork((1, 1), weight), jnp.array([0.15, 0.05])
    entries = measures.degree_two_entries(offset, LR, weight=weight)
    for _ in range(30):
        entries = entries - LR * jax.grad(problem.loss)(entries)
        offset = measures.degree_two_step(offset, LR, weight=weight)
        np.testing.assert_allclose(measures.degree_two_offset(entries, LR, weight=weight), offset, atol=1e-12)


@weights
def test_two_step_map_is_the_leading_order_of_two_steps(weight):
    """MIN-C07 (degree 2): coefficients of b^2 kappa^3 and a b kappa, at kappa -> 0 with b = O(1), a kappa^-1 fixed."""
    printed = {0.5: (-(2**0.5), 4 * 2**0.5), 1.0: (-4.0, 8.0)}[weight]
    kappa, a, b = 1e-3, 1e-3, 1e-3
    lr = kappa**2

    def two(a, b):
        offset = jnp.array([a, b])
        return measures.degree_two_step(measures.degree_two_step(offset, lr, weight=weight), lr, weight=weight) - offset

    first = two(0.0, b)[0] / (b**2 * kappa**3)
    second = (two(a, b)[1] - two(-a, b)[1]) / (2 * a * b * kappa)
    np.testing.assert_allclose([first, second], printed, atol=0.002)
    low = measures.degree_two_two_step(jnp.array([a, b]), lr, weight=weight) - jnp.array([a, b])
    np.testing.assert_allclose(low / jnp.array([b**2 * kappa**3, a * b * kappa]), printed, rtol=1e-4)


@weights
def test_ellipse_is_kept_by_the_two_step_map_and_gives_the_end(weight):
    """C drifts by less and less as kappa falls; an orbit from (a, b) ends at the sharpness of the other end."""
    drifts = []
    for lr in (4e-3, 1e-3):
        offset = jnp.array([0.5 * lr**0.5, 0.02])
        first = measures.degree_two_ellipse(offset, lr, weight=weight)
        problem = ScalarNetwork((1, 1), weight)
        end = descend(problem, measures.degree_two_entries(offset, lr, weight=weight), 200_000, lr)
        last = measures.degree_two_offset(end, lr, weight=weight)
        drifts.append(abs(float(measures.degree_two_ellipse(last, lr, weight=weight) / first) - 1))
        predicted = measures.degree_two_final_sharpness(offset, lr, weight=weight)
        found = measures.scalar_network_minimum_sharpness(problem, end)
        fall = 2 / lr - found
        np.testing.assert_allclose(2 / lr - predicted, fall, rtol=0.1)
    assert drifts[1] < drifts[0] < 0.1


@pytest.mark.parametrize(
    ("weight", "starts", "expected"),
    [
        (
            0.5,
            [[3.3, 0.35], [3.6, 0.3], [4.0, 0.26], [2.6, 0.3]],
            [8.899916686319413, 5.571099450902576, 2.4212338181038113, 6.948951748170641],
        ),
        (1.0, [[2.45, 0.42], [2.3, 0.45], [2.6, 0.3]], [7.27972269076264, 9.007884286615536, 5.0049268457891]),
    ],
    ids=["MIN-C13", "MIN-C14"],
)
def test_degree_two_finals(weight, starts, expected):
    problem = ScalarNetwork((1, 1), weight)
    finals = [measures.scalar_network_minimum_sharpness(problem, descend(problem, start, 20_000)) for start in starts]
    np.testing.assert_allclose(finals, expected, atol=1e-9)


def test_degree_three_final():
    """MIN-C10."""
    problem = ScalarNetwork((1, 1, 1))
    end = descend(problem, [6.0, 0.1, 0.4], 20_000)
    np.testing.assert_allclose(end, [4.974976655109462, 0.44833689156046214, 0.44833689156046214], atol=1e-6)
    np.testing.assert_allclose(measures.scalar_network_minimum_sharpness(problem, end), 9.99035670952196, atol=1e-6)


# Noise --------------------------------------------------------------------------------------------------------------

PROBLEM, START = ScalarNetwork((2, 2), 0.25), jnp.array([2.6, 0.3])
NOISY = {"label": LabelNoise, "gradient": GradientNoise}
each_noise = pytest.mark.parametrize("kind", NOISY)


def sharpness_of(state):
    """2 (x^2 + y^2), the formula of a minimum: the cases were made with it, off the minimum the Hessian scatters."""
    return {"sharpness": 2 * jnp.sum(state.params**2)}


@each_noise
def test_without_noise_it_is_gradient_descent(kind, key):
    run = simulate(NOISY[kind](PROBLEM, LR, 0.0, start=START), key=key, num_steps=50, every=50)
    np.testing.assert_allclose(run.state.params, descend(PROBLEM, START, 50), rtol=1e-14)
    assert float(run.state.loss) == pytest.approx(float(PROBLEM.loss(descend(PROBLEM, START, 49))))


@each_noise
def test_the_noise_of_a_step_has_the_stated_law(kind, key):
    """From one point, many keys: mean displacement -lr grad, covariance of lr scale times the noise's direction."""
    scale, num = 0.1, 20_000
    process = NOISY[kind](PROBLEM, LR, scale, start=START)
    ends = jax.vmap(lambda k: process.step(process.init(k)).params)(jax.random.split(key, num))
    moved = np.asarray(ends) - np.asarray(START)
    x, y = np.asarray(START)
    gradient = (x**2 * y**2 - 1) * x * y * np.array([y, x])
    direction = LR * scale * x * y * np.array([y, x])
    covariance = np.outer(direction, direction) if kind == "label" else (LR * scale) ** 2 * np.eye(2)
    sem = np.sqrt(np.diag(covariance) / num)
    assert np.all(np.abs(moved.mean(0) + LR * gradient) < 5 * sem)
    size = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.all(np.abs(np.cov(moved.T) - covariance) < 5 * size * np.sqrt(2 / num))


@each_noise
def test_keys_decide_the_noise_and_are_used_once(kind, key):
    process = NOISY[kind](PROBLEM, LR, 0.1, start=START)
    states = [process.init(key)]
    for _ in range(3):
        states.append(process.step(states[-1]))
    datas = [jax.random.key_data(s.key).tolist() for s in states]
    assert len({tuple(d) for d in datas}) == 4
    again = process.step(process.init(key))
    np.testing.assert_array_equal(again.params, states[1].params)
    assert np.any(process.step(process.init(jax.random.key(1))).params != states[1].params)


@each_noise
def test_float32_stays_float32_and_lr_and_scale_may_be_traced(kind, key):
    problem = ScalarNetwork((2, 2), jnp.float32(0.25))

    @jax.jit
    def end(lr, scale):
        process = NOISY[kind](problem, lr, scale, start=START.astype(jnp.float32))
        return simulate(process, key=key, num_steps=4, every=2).state.params

    assert end(0.1, 0.2).dtype == jnp.float32
    assert jax.vmap(end, (0, None))(jnp.array([0.1, 0.2]), 0.1).shape == (2, 2)


def test_gradient_noise_on_any_problem(key):
    from cases import PROBLEMS

    process = GradientNoise(PROBLEMS["half squared"](), 0.1, 0.0)
    descent = Descent(process.problem, gradient_descent(0.1))
    ends = [simulate(p, key=key, num_steps=3, every=3).state.params for p in (process, descent)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), *ends)


def test_label_noise_flattens_to_the_flattest_minimum():
    """MIN-C17, over its seeds."""

    def run(key):
        process = LabelNoise(PROBLEM, LR, 0.01, start=START)
        return simulate(process, key=key, num_steps=1_000_000, every=200, probes=(sharpness_of,))

    runs = jax.vmap(run)(jax.vmap(jax.random.key)(jnp.arange(4)))
    assert float(runs.saved["sharpness"][:, 1].mean()) == pytest.approx(9.92654567691175, abs=0.3)
    assert float(runs.saved["sharpness"][:, -1].mean()) == pytest.approx(3.989786574326661, abs=0.05)


def test_gradient_noise_wanders_between_the_edge_minima():
    """MIN-C18, over its seeds."""

    def run(key):
        process = GradientNoise(PROBLEM, LR, 0.01, start=START)
        return simulate(process, key=key, num_steps=400_000, every=1000, probes=(sharpness_of,))

    runs = jax.vmap(run)(jax.vmap(jax.random.key)(jnp.arange(3)))
    assert np.all(runs.status == Status.DONE)
    values = np.asarray(runs.saved["sharpness"][:, 1:])
    assert np.mean(values < 10.5) == pytest.approx(1, abs=0.02)
    assert values.min() == pytest.approx(3.979516080362722, abs=0.5)
    assert values.max() == pytest.approx(10.092031208221597, abs=2)
    assert values.mean() == pytest.approx(5.335806500154881, abs=1.5)


# Refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: measures.degree_two_edge_minimum(1.0),
            r"^lr must be below 1 \(no minimum of degree 2 with weight 0.5",
        ),
        (lambda: measures.degree_two_edge_minimum(0.5, weight=1.0), r"^lr must be below 0.5 "),
        (lambda: measures.degree_two_edge_minimum(0.0), r"^lr must be positive and finite; got 0.0"),
        (lambda: measures.degree_three_edge_minima(2 / 3), r"^lr must be below 2/3 "),
        (lambda: measures.degree_three_edge_minima(-0.1), r"^lr must be positive and finite; got -0.1"),
        (lambda: dynamics.LabelNoise(PROBLEM, 0.0, 0.1), r"^lr must be positive"),
        (lambda: dynamics.LabelNoise(PROBLEM, 0.1, -0.1), r"^scale must be at least 0; got -0.1"),
        (lambda: dynamics.GradientNoise(PROBLEM, float("nan"), 0.1), r"^lr must be positive"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
