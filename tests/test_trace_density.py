"""Trace, spectral density and the compiled top eigenvalue against spectra that are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import PROBLEMS, SPECTRA, dense_case
from oracles import EPS, point, rotated
from precipice import curvature
from precipice._checks import InputError
from precipice.curvature import density, top_eigenvalue, trace

SPECTRUM = np.concatenate([np.random.default_rng(2).normal(size=37), [8.0, 5.0, -4.0]])
SMALL = rotated(SPECTRUM)
SEEDS = pytest.mark.parametrize("seed", range(3))

compiled_trace = eqx.filter_jit(trace)
compiled_density = eqx.filter_jit(density)
compiled_top = eqx.filter_jit(top_eigenvalue)


# Trace --------------------------------------------------------------------------------------------------------------


@SEEDS
def test_trace_is_within_five_standard_errors(seed):
    found = compiled_trace(SMALL, key=jax.random.key(seed), num=50)
    assert abs(float(found.value) - SPECTRUM.sum()) <= 5 * float(found.sem)


def test_standard_error_of_the_trace_is_honest():
    """Over 200 keys the errors in units of the sem have unit size, and the sem is the formula's."""
    keys = jax.random.split(jax.random.key(7), 200)
    found = jax.jit(jax.vmap(lambda key: trace(SMALL, key=key, num=30)))(keys)
    scores = (np.asarray(found.value) - SPECTRUM.sum()) / np.asarray(found.sem)
    assert 0.8 < np.sqrt(np.mean(scores**2)) < 1.25
    matrix = np.asarray(SMALL.matrix)
    variance = 2 * np.sum((matrix - np.diag(np.diag(matrix))) ** 2)
    np.testing.assert_allclose(np.sqrt(np.mean(np.asarray(found.sem) ** 2)), np.sqrt(variance / 30), rtol=0.05)


def test_trace_of_a_diagonal_matrix_is_exact():
    op = type(SMALL)(jnp.diag(jnp.arange(5.0)))
    found = trace(op, key=jax.random.key(0), num=3)
    assert (float(found.value), float(found.sem)) == (10.0, 0.0)


@SEEDS
def test_trace_of_a_hessian_is_the_sum_of_its_eigenvalues(seed):
    problem = PROBLEMS["half squared"]()
    found = compiled_trace(curvature.Hessian(problem.loss, point(problem)), key=jax.random.key(seed), num=40)
    wanted = np.linalg.eigvalsh(dense_case("half squared").hessian).sum()
    assert abs(float(found.value) - wanted) <= 5 * float(found.sem)
    assert float(found.sem) < 0.2 * wanted


def test_trace_in_float32():
    found = compiled_trace(rotated(SPECTRUM, dtype=np.float32), key=jax.random.key(0), num=20)
    assert found.value.dtype == found.sem.dtype == jnp.float32


def test_trace_of_one_sample_is_refused():
    with pytest.raises(InputError, match=r"^num of a trace must be at least 2; got 1\.$"):
        trace(SMALL, key=jax.random.key(0), num=1)


# Density ------------------------------------------------------------------------------------------------------------


@SEEDS
@pytest.mark.parametrize("power", [1, 2, 3])
def test_moments_are_within_five_standard_errors(seed, power):
    found = compiled_density(SMALL, key=jax.random.key(seed), num=30, depth=10)
    value, sem = found.mean(power)
    assert abs(float(value) - np.mean(SPECTRUM**power)) <= 5 * float(sem)
    assert float(sem) < 0.5 * np.mean(np.abs(SPECTRUM) ** power)


@SEEDS
def test_rows_are_the_moments_of_their_vector(seed):
    """Quadrature of depth m is exact for powers up to 2m - 1: the same vectors at another depth agree."""
    few, many = (compiled_density(SMALL, key=jax.random.key(seed), num=4, depth=d) for d in (4, 20))
    for power in range(8):
        np.testing.assert_allclose(
            np.sum(np.asarray(few.weights * few.nodes**power), axis=1),
            np.sum(np.asarray(many.weights * many.nodes**power), axis=1),
            rtol=1e-10,
        )


def test_full_depth_has_the_eigenvalues_as_nodes():
    found = compiled_density(SMALL, key=jax.random.key(0), num=2, depth=40)
    np.testing.assert_allclose(np.sort(found.nodes[0]), np.sort(SPECTRUM), atol=1e-8)


def test_density_on_a_grid_integrates_to_one_and_has_its_mass_in_place():
    found = compiled_density(SMALL, key=jax.random.key(0), num=20, depth=30)
    grid = jnp.linspace(-10.0, 14.0, 2401)
    heights = np.asarray(found.on_grid(grid, 0.2))
    assert heights.min() >= 0
    np.testing.assert_allclose(np.trapezoid(heights, grid), 1, atol=1e-8)
    np.testing.assert_allclose(np.trapezoid(heights * np.asarray(grid), grid), found.mean(1)[0], atol=1e-8)
    near_top = np.abs(np.asarray(grid) - 8.0) < 1
    np.testing.assert_allclose(np.trapezoid(heights[near_top], grid[near_top]), 1 / 40, rtol=0.6)


@pytest.mark.parametrize(
    ("values", "nodes"),
    [
        (np.full(40, 2.0), {2.0}),
        (np.zeros(40), {0.0}),
        (np.concatenate([np.zeros(39), [3.0]]), {0.0, 3.0}),
        (np.concatenate([np.full(20, -1.0), np.full(20, 4.0)]), {-1.0, 4.0}),
    ],
    ids=["multiple of the identity", "zero", "rank one", "two values"],
)
def test_a_krylov_space_that_ends_early(values, nodes):
    found = compiled_density(rotated(values), key=jax.random.key(0), num=100, depth=12)
    kept = np.asarray(found.weights) > 1e-9
    distances = np.abs(np.asarray(found.nodes)[kept][:, None] - np.array(sorted(nodes))[None]).min(axis=1)
    assert distances.max() < 1e-9
    np.testing.assert_allclose(np.sum(found.weights, axis=1), 1, atol=1e-12)
    value, sem = found.mean(1)
    assert abs(float(value) - values.mean()) <= 5 * float(sem) + 1e-12
    if len(nodes) == 1:
        assert float(sem) < 1e-12


def test_log_determinant_of_a_multiple_of_the_identity():
    """Lanczos without a guard gives NaN here: the padding must lie within the spectrum."""
    found = compiled_density(rotated(np.full(40, 2.0)), key=jax.random.key(0), num=2, depth=5)
    np.testing.assert_allclose(40 * np.sum(found.weights * np.log(found.nodes), axis=1), 40 * np.log(2), rtol=1e-12)


def test_density_in_float32():
    found = compiled_density(rotated(SPECTRUM, dtype=np.float32), key=jax.random.key(0), num=5, depth=8)
    assert found.nodes.dtype == found.weights.dtype == jnp.float32
    assert abs(float(found.mean(1)[0]) - SPECTRUM.mean()) <= 5 * float(found.mean(1)[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num": 1, "depth": 5}, r"^num of a density must be at least 2; got 1\.$"),
        ({"num": 2, "depth": 0}, r"^depth must be at least 1; got 0\.$"),
        ({"num": 2, "depth": 41}, r"^depth must be at most 40 \(the size of the operator\); got 41\.$"),
    ],
)
def test_density_out_of_range(options, words):
    with pytest.raises(InputError, match=words):
        density(SMALL, key=jax.random.key(0), **options)


def test_a_width_of_zero_is_refused():
    found = compiled_density(SMALL, key=jax.random.key(0), num=2, depth=5)
    with pytest.raises(InputError, match=r"^width must be positive and finite; got 0\.0\.$"):
        found.on_grid(jnp.zeros(1), 0.0)


# The top eigenvalue in a compiled program -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECTRA)
def test_top_eigenvalue_at_full_depth(name):
    values = SPECTRA[name].values
    found = compiled_top(rotated(values), key=jax.random.key(0), depth=len(values))
    np.testing.assert_allclose(found.value, values.max(), rtol=0, atol=1e-9 * np.abs(values).max())
    assert float(found.residual) <= 1e-5 * np.abs(values).max() + 50 * EPS


@SEEDS
def test_an_eigenvalue_lies_within_the_residual(seed):
    found = compiled_top(SMALL, key=jax.random.key(seed), depth=6)
    distance = np.abs(SPECTRUM - float(found.value)).min()
    assert 1e-12 < distance <= float(found.residual)
    assert float(found.residual) < 1


def test_top_eigenvalue_under_vmap():
    ops = type(SMALL)(jnp.stack([SMALL.matrix, -SMALL.matrix]))
    keys = jax.random.split(jax.random.key(0), 2)
    found = jax.jit(jax.vmap(lambda op, key: top_eigenvalue(op, key=key, depth=40).value))(ops, keys)
    np.testing.assert_allclose(found, [8.0, 4.0], atol=1e-8)


def test_no_lanczos_steps_are_refused():
    with pytest.raises(InputError, match=r"^depth must be at least 1; got 0\.$"):
        top_eigenvalue(SMALL, key=jax.random.key(0), depth=0)
