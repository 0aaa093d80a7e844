"""The trace of the loss-weighted kernel, exact and sampled, against the dense Gram matrix."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import NUM_EXAMPLES, PROBLEMS, dense_case
from long_rows import some
from oracles import point, root_of
from precipice import curvature, measures, problems
from precipice._checks import InputError

SAMPLES = 400


def gram_of(name):
    d = dense_case(name)
    root = root_of(d.output_hessian)
    return root @ d.jacobian @ d.jacobian.T @ root


def cut(problem, size):
    return problem.data if size is None else curvature.chunked(problem.data, size)


def exact(problem, params, data):
    return curvature.gram_trace(problem.outputs, problem.loss_of_outputs, params, data)


def hutchinson(problem, params, data, key, num=SAMPLES):
    return curvature.gram_trace_hutchinson(problem.outputs, problem.loss_of_outputs, params, data, key=key, num=num)


def bartlett(problem, params, data, key, num=SAMPLES):
    sample = problems.target_sampler(problem.output_loss)
    return curvature.gram_trace_bartlett(problem.outputs, problem.output_loss, sample, params, data, key=key, num=num)


@pytest.mark.parametrize("size", some([None, 3, 7], 3))
@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_trace(name, size):
    problem = PROBLEMS[name]()
    found = exact(problem, point(problem), cut(problem, size))
    np.testing.assert_allclose(float(found.value), np.trace(gram_of(name)), rtol=1e-13)
    assert float(found.sem) == 0


@pytest.mark.parametrize("name", PROBLEMS)
def test_layerwise_trace(name):
    problem = PROBLEMS[name]()
    found = measures.layerwise_gram_trace(problem, point(problem))
    np.testing.assert_allclose(float(found.value), np.trace(gram_of(name)), rtol=1e-13)
    assert float(found.sem) == 0


@pytest.mark.parametrize("estimate", [hutchinson, bartlett])
@pytest.mark.parametrize("size", some([None, 3], 3))
@pytest.mark.parametrize("name", PROBLEMS)
def test_sampled_traces_within_their_error(name, size, estimate):
    problem, wanted = PROBLEMS[name](), np.trace(gram_of(name))
    params, data = point(problem), cut(problem, size)
    for seed in range(3):
        value, sem = (float(v) for v in estimate(problem, params, data, jax.random.key(seed)))
        assert abs(value - wanted) < 5 * sem
        assert 0 < sem < 0.2 * wanted


def in_chunk_of(size, num_outputs):
    """Whether two outputs belong to examples of one chunk [n C, n C]."""
    owner = np.repeat(np.arange(NUM_EXAMPLES) // size, num_outputs)
    return owner[:, None] == owner[None]


@pytest.mark.parametrize("size", [2, NUM_EXAMPLES])
def test_the_variance_of_random_signs_is_that_of_the_entries_within_chunks(size):
    problem, gram = PROBLEMS["half squared"](), gram_of("half squared")
    num = 4000
    sem = float(hutchinson(problem, point(problem), cut(problem, size), jax.random.key(4), num).sem)
    crossing = np.where(in_chunk_of(size, 2), gram, 0) - np.diag(np.diag(gram))
    np.testing.assert_allclose(sem**2 * num, 2 * np.sum(crossing**2), rtol=0.2)  # 4 errors of a variance, with tails


@pytest.mark.parametrize("size", [2, NUM_EXAMPLES])
def test_the_variance_of_normal_targets_has_the_diagonal_too(size):
    problem, gram = PROBLEMS["half squared"](), gram_of("half squared")
    num = 4000
    sem = float(bartlett(problem, point(problem), cut(problem, size), jax.random.key(4), num).sem)
    np.testing.assert_allclose(sem**2 * num, 2 * np.sum(np.where(in_chunk_of(size, 2), gram, 0) ** 2), rtol=0.25)


def test_random_signs_on_single_examples_with_one_output_are_exact():
    problem = PROBLEMS["logistic"]()
    found = hutchinson(problem, point(problem), curvature.chunked(problem.data, 1), jax.random.key(0), 2)
    np.testing.assert_allclose(float(found.value), np.trace(gram_of("logistic")), rtol=1e-12)
    assert float(found.sem) < 1e-12 * float(found.value)


@pytest.mark.parametrize("name", some(PROBLEMS, "cross-entropy", "logistic"))
def test_sampled_targets_have_the_hessian_for_covariance(name):
    problem = PROBLEMS[name]()
    outputs = problem.outputs(point(problem))[0]
    sample = problems.target_sampler(problem.output_loss)
    num = 20_000
    targets = jax.vmap(sample, (0, None))(jax.random.split(jax.random.key(1), num), outputs)
    gradient = jax.grad(lambda f, y: problem.output_loss(f[None], y[None]))
    drawn = np.asarray(jax.vmap(gradient, (None, 0))(outputs, targets))
    products = drawn[:, :, None] * drawn[:, None]
    hessian = jax.hessian(lambda f: problem.output_loss(f[None], targets[:1]))(outputs)
    for samples, wanted in ((drawn, 0.0), (products, np.asarray(hessian))):
        sem = np.std(samples, axis=0) / num**0.5
        assert (np.abs(samples.mean(axis=0) - wanted) <= 5 * sem + 1e-12).all()


@pytest.mark.parametrize("estimate", some([exact, hutchinson, bartlett], bartlett))
def test_memory_does_not_grow_with_the_examples(estimate):
    network = problems.FullyConnected((30, 40, 1))

    def temporaries(num, size=10):
        data = problems.from_arrays(np.ones((num, 30)), np.ones((num, 1)))
        problem = problems.Supervised(network, data, problems.mean_half_squared_error)
        params = problem.init(jax.random.key(0))
        extra = () if estimate is exact else (jax.random.key(0), 4)
        compiled = jax.jit(lambda p, c: estimate(problem, p, c, *extra)).lower(params, curvature.chunked(data, size))
        memory: Any = compiled.compile().memory_analysis()
        return memory.temp_size_in_bytes

    keys_alone = 8 * 2 * 900
    few = temporaries(100)
    assert temporaries(1000) - few <= 3 * keys_alone
    assert temporaries(1000, size=1000) > 2 * few


@pytest.mark.parametrize("estimate", [exact, hutchinson, bartlett])
def test_float32_stays_float32(estimate):
    problem = PROBLEMS["cross-entropy"](dtype=np.float32)
    extra = () if estimate is exact else (jax.random.key(0), 50)
    found = estimate(problem, point(problem), curvature.chunked(problem.data, 3), *extra)
    assert found.value.dtype == found.sem.dtype == jnp.float32
    assert abs(float(found.value) - np.trace(gram_of("cross-entropy"))) < 5 * float(found.sem) + 1e-5


def test_bad_input_is_refused_by_its_words():
    problem = PROBLEMS["half squared"]()
    params, key = point(problem), jax.random.key(0)
    for estimate in (hutchinson, bartlett):
        with pytest.raises(InputError, match="num of a trace must be at least 2; got 1"):
            estimate(problem, params, problem.data, key, 1)
    with pytest.raises(InputError, match=r"output_loss must be the negative log .*; got accuracy\."):
        problems.target_sampler(problems.accuracy)
