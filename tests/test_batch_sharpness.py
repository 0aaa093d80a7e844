"""Batch sharpness, gradient noise scale and Hessian trace, against enumeration of all batches and dense matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from cases import NUM_EXAMPLES, PROBLEMS, dense_case
from long_rows import some
from oracles import point
from precipice import curvature, dynamics, measures, results
from precipice._checks import InputError

NAMES = ["half squared", "cross-entropy"]


def derivatives(problem, params):
    """Gradient [n, p] and Hessian [n, p, p] of each example's loss: those of a batch are their means."""
    flat, unravel = ravel_pytree(params)

    def loss(theta, row):
        return problem.loss(unravel(theta), jax.tree.map(lambda a: a[row][None], problem.data))

    rows = jnp.arange(NUM_EXAMPLES)
    gradients = jax.vmap(jax.grad(loss), (None, 0))(flat, rows)
    return np.asarray(gradients), np.asarray(jax.vmap(jax.hessian(loss), (None, 0))(flat, rows))


def quotient(gradients, hessians, rows):
    g, h = gradients[list(rows)].mean(axis=0), hessians[list(rows)].mean(axis=0)
    return g @ h @ g / (g @ g)


@pytest.mark.parametrize("batch_size", some([1, 3], 3))
@pytest.mark.parametrize("name", some(NAMES, "cross-entropy"))
def test_batch_sharpness_is_the_mean_over_all_batches(name, batch_size):
    problem = PROBLEMS[name]()
    params = point(problem)
    of_examples = derivatives(problem, params)
    every = [quotient(*of_examples, rows) for rows in itertools.combinations(range(NUM_EXAMPLES), batch_size)]
    for seed in range(3):
        found = measures.batch_sharpness(
            problem, params, problem.data, batch_size=batch_size, num=400, key=jax.random.key(seed)
        )
        value, sem = float(found.value), float(found.sem)
        assert abs(value - np.mean(every)) < 5 * sem
        np.testing.assert_allclose(sem, np.std(every) / 20, rtol=0.3)


def test_of_the_full_batch_it_is_the_curvature_along_the_gradient():
    problem = PROBLEMS["cross-entropy"]()
    params = point(problem)
    found = measures.batch_sharpness(problem, params, problem.data, batch_size=7, num=2, key=jax.random.key(0))
    wanted = quotient(*derivatives(problem, params), range(NUM_EXAMPLES))
    np.testing.assert_allclose(float(found.value), wanted, rtol=1e-11)
    assert float(found.sem) < 1e-11 * wanted
    assert float(found.value) < np.linalg.eigvalsh(dense_case("cross-entropy").hessian)[-1]


def noise(gradients):
    """(tr Sigma, |G|^2)."""
    mean = gradients.mean(axis=0)
    return np.mean(np.sum((gradients - mean) ** 2, axis=1)), mean @ mean


@pytest.mark.parametrize("chunk", [1, 3, 7])
@pytest.mark.parametrize("name", NAMES)
def test_exact_gradient_noise_scale(name, chunk):
    problem = PROBLEMS[name]()
    params = point(problem)
    trace, signal = noise(derivatives(problem, params)[0])
    found = measures.gradient_noise_scale(problem, params, problem.data, chunk=chunk)
    np.testing.assert_allclose(float(found.value), trace / signal, rtol=1e-11)
    assert float(found.sem) == 0


def test_squared_gradients_of_all_batches_with_replacement():
    """The identity behind the two-batch form: E|g_B|^2 = |G|^2 + tr(Sigma)/B, over all n^B draws."""
    problem = PROBLEMS["half squared"]()
    gradients = derivatives(problem, point(problem))[0]
    trace, signal = noise(gradients)
    for size in (1, 2, 3):
        draws = itertools.product(range(NUM_EXAMPLES), repeat=size)
        squares = [np.sum(gradients[list(rows)].mean(axis=0) ** 2) for rows in draws]
        np.testing.assert_allclose(np.mean(squares), signal + trace / size, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_two_batch_gradient_noise_scale(name):
    problem = PROBLEMS[name]()
    params = point(problem)
    trace, signal = noise(derivatives(problem, params)[0])
    for seed in range(3):
        found = measures.gradient_noise_scale_two_batch(
            problem, params, problem.data, small=1, large=30, num=1000, key=jax.random.key(seed)
        )
        assert abs(float(found.value) - trace / signal) < 5 * float(found.sem)
        assert 0 < float(found.sem) < 0.2 * trace / signal


@pytest.mark.parametrize("size", [None, 3])
def test_hessian_trace_with_and_without_an_l2_term(size):
    problem = PROBLEMS["cross-entropy"]()
    params, hessian = point(problem), dense_case("cross-entropy").hessian
    chunks = None if size is None else curvature.chunked(problem.data, size)
    for seed in range(3):
        key = jax.random.key(seed)
        plain = measures.hessian_trace(problem, params, key=key, num=200, chunks=chunks)
        decayed = measures.hessian_trace(problem, params, key=key, num=200, l2=0.25, chunks=chunks)
        assert abs(float(plain.value) - np.trace(hessian)) < 5 * float(plain.sem)
        np.testing.assert_allclose(float(decayed.value - plain.value), 0.25 * len(hessian), rtol=1e-12)
        assert float(decayed.sem) == float(plain.sem) < 0.2 * np.trace(hessian)


def test_the_probe_along_minibatch_descent():
    problem = PROBLEMS["half squared"]()
    process = dynamics.MinibatchDescent(problem, dynamics.gradient_descent(0.1), 2, start=point(problem))
    key = jax.random.key(5)
    probe = measures.stochastic_measures(problem, batch_size=2, num=20, chunk=3, key=key)
    run = jax.jit(lambda: dynamics.simulate(process, key=key, num_steps=4, every=2, probes=(probe,)))()
    assert run.saved["batch_sharpness"].shape == run.step.shape
    params, last = run.state.params, {name: float(values[-1]) for name, values in run.saved.items()}
    fresh = jax.random.fold_in(key, run.state.step)
    sharpness = measures.batch_sharpness(problem, params, problem.data, batch_size=2, num=20, key=fresh)
    trace, signal = noise(derivatives(problem, params)[0])
    wanted = {
        "batch_sharpness": float(sharpness.value),
        "batch_sharpness_sem": float(sharpness.sem),
        "gradient_noise_scale": trace / signal,
        "ntk_trace": float(jnp.trace(measures.layerwise_gram(problem, params))),
    }
    assert {name: last[name] for name in wanted} == pytest.approx(wanted, rel=1e-10)
    assert wanted.keys() <= results.VARIABLES.keys()


def test_float32_stays_float32():
    problem = PROBLEMS["half squared"](dtype=np.float32)
    params, key = point(problem), jax.random.key(0)
    for found in (
        measures.batch_sharpness(problem, params, problem.data, batch_size=2, key=key),
        measures.gradient_noise_scale(problem, params, problem.data, chunk=2),
        measures.gradient_noise_scale_two_batch(problem, params, problem.data, small=1, large=3, key=key),
        measures.hessian_trace(problem, params, key=key, l2=0.1),
    ):
        assert found.value.dtype == found.sem.dtype == jnp.float32


def test_bad_input_is_refused_by_its_words():
    problem = PROBLEMS["half squared"]()
    params, key = point(problem), jax.random.key(0)
    with pytest.raises(InputError, match=r"batch_size must be at most 7 \(the number of examples\); got 8"):
        measures.batch_sharpness(problem, params, problem.data, batch_size=8, key=key)
    with pytest.raises(InputError, match="batch_size must be at least 1; got 0"):
        measures.batch_sharpness(problem, params, problem.data, batch_size=0, key=key)
    with pytest.raises(InputError, match="num of a mean over batches must be at least 2; got 1"):
        measures.batch_sharpness(problem, params, problem.data, batch_size=2, num=1, key=key)
    with pytest.raises(InputError, match="size of a chunk must be at least 1; got 0"):
        measures.gradient_noise_scale(problem, params, problem.data, chunk=0)
    with pytest.raises(InputError, match="large must be at least 5; got 4"):
        measures.gradient_noise_scale_two_batch(problem, params, problem.data, small=4, large=4, key=key)
