"""The rank-one factorisation: loss and gradient by matrices, alignment by numpy, reduction to the scalar model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import measures
from precipice._checks import InputError
from precipice.dynamics import Descent, gradient_descent, simulate
from precipice.problems import RankOneFactorization, ScalarNetwork

KEY = jax.random.key(0)


def point(seed, d=5):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, d)) / d**0.5)


def follow(problem, start, lr, num_steps):
    process = Descent(problem, gradient_descent(lr), start=start)
    run = simulate(process, key=KEY, num_steps=num_steps, every=1, probes=(lambda s: {"entries": s.params},))
    return run.saved["entries"]


@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_are_those_of_the_matrices(seed):
    params, problem = point(seed), RankOneFactorization(5)
    x, y = np.asarray(params)
    outer = np.outer(x, y)
    residual = np.eye(5) - outer @ outer
    loss = problem.loss(params)
    np.testing.assert_allclose(loss, np.sum(residual**2) / 4, rtol=1e-13)
    s, xx, yy = x @ y, x @ x, y @ y
    wanted = np.stack(
        [
            -s * y + s * xx * yy * y / 2 + s**2 * yy * x / 2,
            -s * x + s * xx * yy * x / 2 + s**2 * xx * y / 2,
        ]
    )
    np.testing.assert_allclose(jax.grad(problem.loss)(params), wanted, atol=1e-14)
    np.testing.assert_allclose(measures.rank_one_excess(params), loss - 1, rtol=1e-12)


def test_starts_have_the_stated_lengths_and_uniform_directions():
    problem = RankOneFactorization(4, 3.0)
    found = jax.vmap(problem.init)(jax.random.split(KEY, 4000))
    norms = np.asarray(jax.vmap(measures.rank_one_norms)(found))
    np.testing.assert_allclose(norms, np.broadcast_to([3.0, 1 / 6], norms.shape), rtol=1e-13)
    unit = np.asarray(found) / norms[..., None]
    np.testing.assert_allclose(unit.mean(axis=0), 0, atol=5 * (1 / 4 / 4000) ** 0.5)
    np.testing.assert_allclose(np.einsum("nij,nkj->ik", unit, unit) / 4000, np.eye(2), atol=5 * (1 / 4 / 4000) ** 0.5)


def test_sharpness_and_spectrum_at_a_minimum():
    params = jnp.zeros((2, 4)).at[0, 0].set(1.8).at[1, 0].set(1 / 1.8)
    hessian = jax.hessian(RankOneFactorization(4).loss)(params).reshape(8, 8)
    total = 1.8**2 + 1.8**-2
    np.testing.assert_allclose(
        np.linalg.eigvalsh(hessian), [0, 0, 0, 0, total / 2, total / 2, total / 2, 2 * total], atol=1e-13
    )
    np.testing.assert_allclose(measures.rank_one_minimum_sharpness(params), 2 * total, rtol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_alignment_and_its_factor(seed):
    params, lr = point(seed), 0.2
    x, y = np.asarray(params)
    np.testing.assert_allclose(measures.rank_one_alignment(params), (x @ x) * (y @ y) - (x @ y) ** 2, rtol=1e-12)
    after = follow(RankOneFactorization(5), params, lr, 1)[1]
    ratio = measures.rank_one_alignment(after) / measures.rank_one_alignment(params)
    np.testing.assert_allclose(measures.rank_one_alignment_factor(params, lr), ratio, rtol=1e-11)


def test_alignment_is_accurate_for_nearly_parallel_vectors():
    e = 1e-12
    params = jnp.array([[3.0, 0.0], [0.5, e]])
    np.testing.assert_allclose(measures.rank_one_alignment(params), 9 * e**2, rtol=1e-14)


def test_alignment_decays_as_in_the_proof():
    """Lemma 20 at lr 0.01, far above the proof's: once s^2 is in (7/20, 13/10), xi falls by 0.7 a step or faster."""
    lr = 0.01
    problem = RankOneFactorization(10, 1.02 * float(measures.degree_four_edge_minimum(lr)[0]))
    for key in jax.random.split(KEY, 3):
        path = follow(problem, problem.init(key), lr, 60)
        xi = np.asarray(jax.vmap(measures.rank_one_alignment)(path))
        square = np.einsum("ti,ti->t", *np.moveaxis(np.asarray(path), 1, 0)) ** 2
        seen = (square[:-1] > 0.35) & (square[:-1] < 1.3) & (xi[1:] > 1e-28)
        assert seen.sum() >= 10
        assert np.max((xi[1:] / xi[:-1])[seen]) < 0.7
        assert np.all(np.diff(xi)[: np.flatnonzero(seen)[0]] < 0)


def test_aligned_vectors_move_as_the_scalar_network():
    lr = 0.2
    direction = np.random.default_rng(1).normal(size=6)
    direction /= np.linalg.norm(direction)
    start = jnp.asarray(np.stack([2.6 * direction, 0.3 * direction]))
    path = follow(RankOneFactorization(6), start, lr, 200)
    scalar = follow(ScalarNetwork((2, 2), 0.25), jnp.array([2.6, 0.3]), lr, 200)
    np.testing.assert_allclose(jax.vmap(measures.rank_one_norms)(path)[:60], np.abs(scalar)[:60], rtol=1e-9)
    assert float(jax.vmap(measures.rank_one_alignment)(path).max()) < 1e-28


@pytest.mark.parametrize("seed", range(3))
def test_conclusion_of_theorem_3_2(seed):
    """At lr 0.05 and d = 10, starts of K = 1: after 100 steps the kick of K = 16, then the end within the bounds."""
    lr, constant = 0.05, 16.0
    starts = measures.rank_one_starts(lr, 1.0)
    problem = RankOneFactorization(10, (starts.low + starts.high) / 2)
    before = follow(problem, problem.init(jax.random.key(seed)), lr, 100)[-1]
    end = follow(problem, measures.rank_one_kick(before, constant), lr, 20_000)[-1]
    total = float(jnp.sum(end**2))
    low, high = measures.rank_one_norm_bounds(lr)
    assert low < total < high
    assert float(measures.rank_one_excess(end)) < 1e-12


def test_bounds_are_those_of_the_paper():
    np.testing.assert_allclose(
        2 * measures.rank_one_norm_bounds(0.1), measures.degree_four_sharpness_bounds(0.1), rtol=1e-14
    )
    np.testing.assert_allclose(measures.rank_one_proof_lr(1.0, 10, 1e-300), 1 / 8e6)
    wanted = 1 / (0.01 * (20_000 + 2000 * (np.log(10) - np.log(0.5))))
    np.testing.assert_allclose(measures.rank_one_proof_lr(0.1, 10, 0.5), min(wanted, 1e4 / 8e6), rtol=1e-14)
    kicked = measures.rank_one_kick(jnp.ones((2, 3)), 8.0)
    np.testing.assert_allclose(kicked, np.array([[1.0] * 3, [1.25] * 3]))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"^dimension must be at least 1; got 0\.$"):
        RankOneFactorization(0)
    with pytest.raises(InputError, match=r"^norm must be positive and finite; got 0\.0\.$"):
        RankOneFactorization(3, 0.0)
    with pytest.raises(InputError, match=r"^constant must be positive and finite; got -1\.0\.$"):
        measures.rank_one_kick(jnp.ones((2, 3)), -1.0)
