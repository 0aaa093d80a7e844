"""The degree-4 network: closed-form eigenvalues, proved bounds, regions, symmetries, two exact steps to their order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import measures
from precipice._checks import InputError
from precipice.dynamics import Descent, LossBelow, gradient_descent, settle
from precipice.measures import DegreeFourRegion
from precipice.problems import ScalarNetwork
from precipice.results import StopReason

PROBLEM, FREE = ScalarNetwork((2, 2), 0.25), ScalarNetwork((1, 1, 1, 1))


def step_of(params, lr):
    process = Descent(PROBLEM, gradient_descent(lr), start=jnp.asarray(params))
    return np.asarray(process.step(process.init(jax.random.key(0))).params)


def ends(starts, lr, num_steps=2_000_000):
    descent = Descent(PROBLEM, gradient_descent(lr))
    return settle(
        descent,
        np.asarray(starts),
        key=jax.random.key(0),
        converged=LossBelow(1e-20),
        num_steps=num_steps,
        check_every=500,
    )


# Eigenvalues --------------------------------------------------------------------------------------------------------


def test_eigenvalues_of_the_reference_point():
    """Case MIN-C05."""
    expected = [0.08423100000000011, 0.1281061405928189, 0.29051100000000035, 3.107667859407181]
    found = measures.degree_four_eigenvalues(jnp.array([1.3, 0.7]))
    np.testing.assert_allclose(found[::-1], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_eigenvalues_are_those_of_the_dense_hessian(seed):
    x, y = np.random.default_rng(seed).uniform(0.1, 2.5, 2) * [1, (-1) ** seed]
    dense = np.linalg.eigvalsh(jax.hessian(FREE.loss)(jnp.array([x, y, x, y])))
    found = measures.degree_four_eigenvalues(jnp.array([x, y]))
    np.testing.assert_allclose(found, dense[::-1], atol=1e-13 * np.abs(dense).max())
    coupled = np.linalg.eigvalsh(jax.hessian(PROBLEM.loss)(jnp.array([x, y])))
    for value in coupled:
        assert np.abs(found - value).min() < 1e-12 * np.abs(dense).max()


def test_small_eigenvalues_keep_their_digits():
    """With xy = 1 + e, those that vanish at the minimum are -2 e x^2, -2 e y^2 and -4 e/(x^2 + y^2)."""
    x, e = 2.0, 2.0**-40
    y = (1 + e) / x
    found = np.sort(measures.degree_four_eigenvalues(jnp.array([x, y])))[:3]
    np.testing.assert_allclose(found, np.sort([-2 * e * x**2, -2 * e * y**2, -4 * e / (x**2 + y**2)]), rtol=1e-9)


def test_eigenvalues_at_the_origin_vanish():
    np.testing.assert_array_equal(measures.degree_four_eigenvalues(jnp.zeros(2)), np.zeros(4))


# Bounds -------------------------------------------------------------------------------------------------------------


def test_bounds_of_the_theorem_are_those_of_its_corollaries():
    """a in (-5/3, -1/10) kappa^3 and sharpness in (2/lr - 20/3 lr, 2/lr) agree to leading order."""
    lr = 1e-4
    low, _ = measures.degree_four_offset_bounds(lr)
    wanted_low, wanted_high = measures.degree_four_sharpness_bounds(lr)
    np.testing.assert_allclose((2 / lr - measures.degree_four_sharpness(low, lr)) / lr, 20 / 3, rtol=1e-3)
    np.testing.assert_allclose((wanted_high - wanted_low) / lr, 20 / 3, rtol=1e-6)


@pytest.mark.parametrize("lr", [0.01, 0.05, 0.1, 0.2])
def test_starts_beyond_the_edge_minimum_end_within_the_bounds(lr):
    """The conclusion at learning rates far above the proof's; at 0.01 the starts fill the theorem's box for K = 4."""
    box = measures.degree_four_offset_starts(lr, 4.0) if lr == 0.01 else measures.StartBox(*jnp.array([0.1, 0.3, 0.2]))
    rng = np.random.default_rng(0)
    b = rng.uniform(0, float(box.height), 24) * rng.choice([-1, 1], 24)
    offsets = np.stack([rng.uniform(float(box.low), float(box.high), 24), b], axis=1)
    found = ends(jax.vmap(lambda o: measures.degree_four_entries(o, lr))(jnp.asarray(offsets)), lr)
    assert np.all(found.stop_reason == int(StopReason.VALUE_REACHED))
    final = np.sort(np.abs(found.params), axis=1)[:, ::-1]
    a = np.array([measures.degree_four_offset(jnp.asarray(point), lr)[0] for point in final])
    lowest, highest = measures.degree_four_offset_bounds(lr)
    assert lowest < a.min()
    assert a.max() < highest
    sharpness = 2 * np.sum(final**2, axis=1)
    lowest, highest = measures.degree_four_sharpness_bounds(lr)
    assert lowest < sharpness.min()
    assert sharpness.max() < highest


def test_the_theorem_is_of_small_learning_rates():
    """At 0.25 the end is outside (errata, 002: -0.0941 kappa^3)."""
    found = ends([[2.6, 0.3]], 0.25)
    a = measures.degree_four_offset(jnp.asarray(np.abs(found.params[0])), 0.25)[0]
    assert a > measures.degree_four_offset_bounds(0.25)[1]
    np.testing.assert_allclose(a / 0.25**1.5, -0.0941, atol=1e-4)


def test_boxes_of_starts_lie_in_each_other():
    """Corollary 3.1's box is inside theorem 3.1's, and each learning rate of corollary 3.2 has its box inside 3.1's."""
    constant = 1.0  # the largest learning rates that round to distinct boxes
    lr = float(measures.degree_four_proof_lr(constant)) * 0.99
    entry, offset = measures.degree_four_entry_starts(lr, constant), measures.degree_four_offset_starts(lr, constant)
    for x in (entry.low, entry.high):
        a = np.sqrt(float(x) ** 2 - 1 / float(x) ** 2) - (lr**-2 - 4) ** 0.25  # on the valley
        assert offset.low < a < offset.high
    alpha = np.sqrt(lr)
    box = measures.degree_four_adaptive_starts(alpha, constant)
    np.testing.assert_allclose(box.high_lr, lr, rtol=1e-12)
    for rate in (float(box.low_lr) * (1 + 1e-12), lr * (1 - 1e-12)):
        wide = measures.degree_four_entry_starts(rate, constant)
        assert wide.low < box.starts.low < box.starts.high < wide.high


REGIONS = {  # in units of kappa = 0.1: 2 kappa^2.5 = 6.3e-3, kappa^2.5 = 3.2e-3, -17/200 kappa^3 = -8.5e-5
    (0.1, 0.2): DegreeFourRegion.FAR,
    (0.1, 0.1): DegreeFourRegion.PARABOLA,
    (0.1, -0.1): DegreeFourRegion.PARABOLA,
    (0.1, 0.04): DegreeFourRegion.NEAR_VALLEY,
    (0.005, 0.015): DegreeFourRegion.APPROACH,
    (0.005, 0.05): DegreeFourRegion.OUTSIDE,
    (0.001, (5e-5 + 6.25e-6) ** 0.5): DegreeFourRegion.TUBE,
    (0.001, 0.02): DegreeFourRegion.OUTSIDE,
    (-1e-4, 1e-6): DegreeFourRegion.END,
    (-1e-4, (-5e-6 + 6.25e-6) ** 0.5): DegreeFourRegion.END,
    (-1e-4, 0.1): DegreeFourRegion.OUTSIDE,
}


@pytest.mark.parametrize(("offset", "wanted"), REGIONS.items())
def test_regions(offset, wanted):
    assert DegreeFourRegion(int(measures.degree_four_region(jnp.array(offset), 0.01))) == wanted


def test_an_orbit_passes_the_regions_in_order():
    """One run at lr 0.01 by the exact map, b averaged over two steps, whose difference 3 b^2 is wider than the tube."""
    lr, flip = 0.01, jnp.array([1.0, -1.0])

    def two(offset, _):
        return measures.degree_four_step(measures.degree_four_step(offset, lr), lr), None

    def block(offset, _):
        mean = (offset + measures.degree_four_step(offset, lr) * flip) / 2
        return jax.lax.scan(two, offset, None, length=50)[0], measures.degree_four_region(mean, lr)

    codes = np.asarray(jax.jit(lambda o: jax.lax.scan(block, o, None, length=4000)[1])(jnp.array([0.05, 0.11])))
    passed = [DegreeFourRegion(code) for code in codes[np.flatnonzero(np.diff(codes, prepend=-1))]]
    order = ("FAR", "PARABOLA", "APPROACH", "TUBE", "END")
    assert [region.name for region in passed] == list(order)


# Symmetries and order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_descent_commutes_with_sign_flips_and_exchange(seed):
    point = np.random.default_rng(seed).uniform(0.2, 2, 2)
    x, y = step_of(point, 0.2)
    for flip in ([1, -1], [-1, 1], [-1, -1]):
        np.testing.assert_array_equal(step_of(point * np.array(flip), 0.2), [x * flip[0], y * flip[1]])
    np.testing.assert_allclose(step_of(point[::-1].copy(), 0.2), [y, x], rtol=1e-15)


def test_two_exact_steps_are_the_two_step_map_to_its_order():
    """Along a = u kappa^3, b = v kappa^2 (the scale of the tip) both increments are of order kappa^7 and kappa^6."""
    errors, kappas = [], np.array([0.04, 0.02, 0.01])
    for kappa in kappas:
        offset = jnp.array([0.3 * kappa**3, 0.4 * kappa**2])
        exact = measures.degree_four_step(measures.degree_four_step(offset, kappa**2), kappa**2)
        moved = np.asarray(measures.degree_four_two_step(offset, kappa**2) - offset)
        errors.append(np.abs(np.asarray(exact - offset) - moved) / np.abs(moved))
    slopes = np.polyfit(np.log(kappas), np.log(np.array(errors)), 1)[0]
    assert np.all(slopes > 0.9)  # relative error of first order in kappa, or better
    assert np.all(np.array(errors)[-1] < 0.05)


# Bad input ----------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"^constant must be positive and finite; got 0\.0\.$"):
        measures.degree_four_offset_starts(0.1, 0.0)
    with pytest.raises(InputError, match=r"^lr must be positive and finite; got -1\.0\.$"):
        measures.degree_four_sharpness_bounds(-1.0)
