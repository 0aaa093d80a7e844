"""The degree-4 network near its edge minimum: coordinates, exact and approximate maps, attractor, where it ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from long_rows import some
from precipice import measures
from precipice._checks import InputError
from precipice.curvature import Hessian
from precipice.dynamics import Descent, LossBelow, gradient_descent, settle
from precipice.problems import ScalarNetwork

PROBLEM = ScalarNetwork((2, 2), 0.25)
RATES = [0.01, 0.05, 0.1, 1 / 6, 0.2, 0.25, 0.4]


def test_edge_minima_are_the_reference():
    """Case MIN-C04."""
    wanted = [
        [9.999499937486872, 0.10000500087520629],
        [4.466528223471357, 0.2238875363520722],
        [3.146264369941972, 0.31783724519578227],
        [2.414213562373095, 0.4142135623730951],
        [2.1889010593167337, 0.4568502517478567],
        [1.9318516525781366, 0.5176380902050415],
        [1.4142135623730951, 0.7071067811865475],
    ]
    np.testing.assert_allclose([measures.degree_four_edge_minimum(lr) for lr in RATES], wanted, rtol=1e-13)


@pytest.mark.parametrize("lr", RATES)
def test_the_edge_minimum_has_sharpness_two_over_lr(lr):
    hessian = Hessian(PROBLEM.loss, measures.degree_four_edge_minimum(lr)).dense()
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian)[-1], 2 / lr, rtol=1e-12)


@pytest.mark.parametrize("lr", [0.05, 0.2])
def test_coordinates_invert(lr):
    for offset in np.random.default_rng(0).uniform(-0.2, 0.2, (5, 2)):
        entries = measures.degree_four_entries(jnp.array(offset), lr)
        np.testing.assert_allclose(measures.degree_four_offset(entries, lr), offset, atol=1e-13)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("lr", [0.05, 0.2])
def test_the_reduced_map_is_gradient_descent(lr, sign):
    """Both signs of (x, y), which descent does not tell apart."""
    params = jnp.array([1.1, 0.9]) * measures.degree_four_edge_minimum(lr)
    process = Descent(PROBLEM, gradient_descent(lr), start=sign * params)
    state, offset = process.init(jax.random.key(0)), measures.degree_four_offset(params, lr)
    for _ in range(6):
        state, offset = process.step(state), measures.degree_four_step(offset, lr)
        np.testing.assert_allclose(measures.degree_four_offset(sign * state.params, lr), offset, atol=1e-11)


def test_two_step_coefficients_as_kappa_goes_to_zero():
    """Case MIN-C07, by fitting two exact steps: (a'' - a)/(b^2 kappa^3), ab/kappa and b^3."""
    kappa = 1e-2
    lr, b = kappa**2, 1e-3

    def two(a, b):
        return np.array(measures.degree_four_step(measures.degree_four_step(jnp.array([a, b]), lr), lr))

    fall = (two(0.0, b)[0] + two(0.0, -b)[0]) / 2 / (b**2 * kappa**3)
    odd = {a: (two(a, b)[1] - two(a, -b)[1]) / (2 * b) for a in (-1e-3, 0.0, 1e-3)}
    cross = (odd[1e-3] - odd[-1e-3]) / (2e-3 * kappa)
    cube = (odd[0.0] - 1) / b**2
    np.testing.assert_allclose([fall, cross, cube], [-4, 8, -16], atol=0.02)
    a_new, b_new = measures.degree_four_two_step(jnp.array([0.3, 0.1]), lr)
    np.testing.assert_allclose([a_new, b_new], [0.3 - 4 * 0.01 * kappa**3, 0.1 + 8 * 0.03 * kappa - 16e-3], rtol=1e-14)


def test_orbits_solve_the_limit_and_the_tip_is_on_the_parabola():
    lr = 0.04
    kappa = lr**0.5
    a, b = jnp.array(0.002), jnp.array(0.03)
    slope_a, slope_b = jax.grad(lambda p: measures.degree_four_orbit(p, lr))(jnp.stack([a, b]))
    np.testing.assert_allclose(
        slope_a + slope_b * (4 * b**2 - 2 * a * kappa) / (b * kappa**3), 0, atol=1e-9 * abs(slope_a)
    )
    np.testing.assert_allclose(measures.degree_four_orbit(jnp.array([-(kappa**3) / 8, 0.0]), lr), 0, atol=1e-18)


FINALS = {  # cases MIN-C01 and MIN-C02: (x, y, lr), final sharpness, (2/lr - sharpness)/lr
    (2.6, 0.3, 0.25): (7.924518001931325, 0.3019279922746989),
    (2.6, 0.3, 0.2): (9.927360217756945, 0.3631989112152745),
    (2.9, 0.3, 1 / 6): (11.93323609180184, 0.4005834491889608),
    (2.5, 0.45, 0.2): (9.927360217757203, 0.3631989112139866),
    (2.4, 0.42, 0.2): (9.927360217757226, 0.36319891121387116),
    (3.6, 0.25, 0.1): (19.95385024638138, 0.46149753618621503),
    (4.9, 0.19, 0.05): (39.97549795309835, 0.49004093803304727),
    (7.3, 0.14, 0.02): (99.99003218836987, 0.49839058150666915),
    (12.5, 0.05, 0.01): (199.99500402672646, 0.4995973273537402),
}


@pytest.mark.parametrize("start", some(FINALS, *list(FINALS)[::3]))
def test_descent_ends_where_the_reference_does_and_theory_says(start):
    wanted = FINALS[start]
    x, y, lr = start
    found = settle(
        Descent(PROBLEM, gradient_descent(lr)),
        np.array([[x, y]]),
        key=jax.random.key(0),
        converged=LossBelow(1e-28),
        num_steps=2_000_000,
        check_every=1000,
    )
    x, y = np.abs(found.params[0])  # the mirror image of a minimum is one too
    sharpness = 2 * (x**2 + y**2)
    np.testing.assert_allclose(sharpness, wanted[0], atol=2e-5)
    np.testing.assert_allclose((2 / lr - sharpness) / lr, wanted[1], atol=0.002)
    a, b = measures.degree_four_offset(jnp.array([x, y]), lr)
    assert abs(b) < 1e-10
    np.testing.assert_allclose(measures.degree_four_sharpness(a, lr), sharpness, rtol=1e-9)
    predicted = (2 / lr - float(measures.degree_four_final_sharpness(lr))) / lr
    assert abs(predicted - wanted[1]) < 1.5 * lr  # the theory's next order


@pytest.mark.parametrize("lr", [0.5, 0.7])
def test_learning_rates_without_an_edge_minimum_are_refused(lr):
    with pytest.raises(
        InputError, match=rf"^lr must be below 0\.5 \(no minimum of degree 4 has .* below 4\); got {lr}\.$"
    ):
        measures.degree_four_edge_minimum(lr)


def test_eigenvalues_at_the_double_point():
    """x = y with x^2 y^2 = 1/2, where the discriminant vanishes."""
    x = 0.5**0.25
    found = measures.degree_four_eigenvalues(jnp.array([x, x]))
    network = ScalarNetwork((1, 1, 1, 1))
    dense = np.linalg.eigvalsh(jax.hessian(network.loss)(jnp.full(4, x)))[::-1]
    np.testing.assert_allclose(found, dense, atol=1e-13)
