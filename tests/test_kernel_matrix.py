"""The neural tangent kernel as a matrix: layer by layer, from blocks of rows and by products, against dense J J^T."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import PROBLEMS, dense_case, supervised
from long_rows import some
from oracles import dense, point, root_of
from precipice import curvature, measures, problems
from precipice._checks import InputError

ROUNDING = 200 * float(np.finfo(np.float64).eps)


def close(got, wanted, eps=ROUNDING):
    assert got.shape == wanted.shape
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=0, atol=eps * np.abs(wanted).max())


def fully_connected(problem):
    assert isinstance(problem.network, problems.FullyConnected)
    return problem.network


def gram_of(d):
    root = root_of(d.output_hessian)
    return root @ d.jacobian @ d.jacobian.T @ root


def operator_of(problem, params):
    return curvature.gram(problem.outputs, problem.loss_of_outputs, params, problem.data)


# Three routes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", some(PROBLEMS, "cross-entropy"))
def test_three_routes_to_the_raw_kernel(name):
    problem = PROBLEMS[name]()
    params, d = point(problem), dense_case(name)
    wanted = d.jacobian @ d.jacobian.T
    close(measures.layerwise_kernel(fully_connected(problem), params, problem.data.x), wanted)
    close(curvature.kernel_matrix(problem.outputs, params, problem.data, chunk=3), wanted)
    close(curvature.NTK(problem.outputs, params, problem.data).dense(), wanted)


@pytest.mark.parametrize("name", some(PROBLEMS, "cross-entropy", "squared"))
def test_three_routes_to_the_kernel_of_the_loss(name):
    problem = PROBLEMS[name]()
    params, wanted, operator = point(problem), gram_of(dense_case(name)), operator_of(PROBLEMS[name](), point(problem))
    close(measures.layerwise_gram(problem, params), wanted)
    raw = curvature.kernel_matrix(problem.outputs, params, problem.data, chunk=2)
    close(curvature.weighted_kernel(raw, operator.root), wanted)
    close(operator.dense(), wanted)


@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7, 100])
def test_the_cut_into_blocks_does_not_matter(chunk):
    problem = PROBLEMS["cross-entropy"]()
    params, d = point(problem), dense_case("cross-entropy")
    kernel = curvature.kernel_matrix(problem.outputs, params, problem.data, chunk=chunk)
    close(kernel, d.jacobian @ d.jacobian.T)
    assert bool(jnp.all(kernel == kernel.T))


@pytest.mark.parametrize("bias", some([True, False], True))
@pytest.mark.parametrize("initialisation", [problems.TORCH, problems.ntk(1.5, 0.3)], ids=["torch", "ntk"])
@pytest.mark.parametrize(
    "activation", some([problems.erf, problems.relu, problems.gelu, problems.identity], problems.erf, problems.gelu)
)
def test_layerwise_for_every_kind_of_layer(activation, initialisation, bias):
    problem = supervised(
        problems.mean_half_squared_error, (3, 5, 4, 2), activation, bias=bias, initialisation=initialisation
    )
    params = point(problem)
    d = dense(problem, params)
    close(measures.layerwise_kernel(fully_connected(problem), params, problem.data.x), d.jacobian @ d.jacobian.T)
    close(measures.layerwise_gram(problem, params), d.jacobian @ d.jacobian.T / 7)


def test_a_linear_model_has_its_inputs_for_kernel():
    x = np.random.default_rng(0).normal(size=(6, 4))
    network = problems.FullyConnected((4, 1))
    params = network.init(jax.random.key(0), jnp.float64)
    close(measures.layerwise_kernel(network, params, jnp.array(x)), x @ x.T + 1)


def test_the_kernel_of_a_batch():
    problem = PROBLEMS["half squared"]()
    params, batch = point(problem), jax.tree.map(lambda a: a[2:5], problem.data)
    raw = curvature.kernel_matrix(problem.outputs, params, batch, chunk=2)
    close(measures.layerwise_gram(problem, params, batch), np.asarray(raw) / 3)


def test_the_chunked_route_takes_any_problem():
    rows = problems.gaussian_rows(5, 4, output_scale=1.0, jacobian_scale=1.0, key=jax.random.key(0))
    model, theta = problems.QuadraticModel(rows), jnp.array([0.3, -1.0, 0.5, 2.0])
    close(curvature.kernel_matrix(model.outputs, theta, model.data, chunk=2), np.asarray(model.kernel(theta)))


def test_the_top_eigenvalue_is_that_of_the_gauss_newton_matrix():
    problem = PROBLEMS["cross-entropy"]()
    params, d = point(problem), dense_case("cross-entropy")
    top = curvature.kernel_spectrum(measures.layerwise_gram(problem, params)).values[0]
    wanted = np.linalg.eigvalsh(d.jacobian.T @ d.output_hessian @ d.jacobian)[-1]
    np.testing.assert_allclose(float(top), wanted, rtol=1e-12)


def by_hand_norm(jacobians, lr, batch_size):
    """K from C outputs an example by the second moment's formula (ERR-S13), in loops; jacobians weighted [n, C, p]."""
    n, c = jacobians.shape[:2]
    flat = jacobians.reshape(n * c, -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    kept = values > 1e-12 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    sampling = (n - batch_size) / (batch_size * (n - 1))
    coupled = np.zeros((len(values),) * 2)
    for example in range(n):
        block = vectors[example * c : (example + 1) * c]
        coupled += (block.T @ block) ** 2
    noise = lr * values / (2 - (1 - sampling) * lr * values)
    return sampling * n * np.linalg.eigvals(noise[:, None] * coupled).real.max()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_noise_kernel_norm_of_a_network(name):
    """K from the network by the library's kernel and measure, and from the dense Jacobian by other code."""
    problem, d = PROBLEMS[name](), dense_case(name)
    params = point(problem)
    kernel = measures.layerwise_gram(problem, params)
    lr = 1 / float(curvature.kernel_spectrum(kernel).values[0])
    outputs = fully_connected(problem).widths[-1]
    got = measures.block_noise_kernel_norm(kernel, num_outputs=outputs, lr=lr, batch_size=2)
    jacobians = (root_of(d.output_hessian) @ d.jacobian).reshape(7, outputs, -1)
    np.testing.assert_allclose(float(got), by_hand_norm(jacobians, lr, 2), rtol=1e-9)


# Spectrum -------------------------------------------------------------------------------------------------------------


def test_spectrum_is_descending_float64_and_rebuilds_the_kernel():
    half = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    kernel = half @ half.T
    found = curvature.kernel_spectrum(jnp.array(kernel))
    values, vectors = np.asarray(found.values), np.asarray(found.vectors)
    assert values.dtype == vectors.dtype == np.float64
    assert (np.diff(values) <= 0).all()
    close((vectors * values) @ vectors.T, kernel.astype(np.float64))
    close(values, np.linalg.eigvalsh(kernel.astype(np.float64))[::-1])


def test_float32_stays_float32():
    problem = PROBLEMS["half squared"](dtype=np.float32)
    params, d = point(problem), dense_case("half squared")
    wanted = (d.jacobian @ d.jacobian.T).astype(np.float32)
    for kernel in (
        measures.layerwise_kernel(fully_connected(problem), params, problem.data.x),
        curvature.kernel_matrix(problem.outputs, params, problem.data, chunk=4),
    ):
        assert kernel.dtype == jnp.float32
        close(kernel, wanted, 200 * float(np.finfo(np.float32).eps))


def test_memory_of_the_chunked_route_does_not_grow_with_the_examples():
    """Temporaries of the compiled program beside the kernel: a constant number of blocks of rows."""
    network = problems.FullyConnected((30, 40, 1))
    params = network.init(jax.random.key(0), jnp.float64)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))

    def temporaries(num):
        x = jnp.zeros((num, 30))
        compiled = jax.jit(
            lambda p, x: curvature.kernel_matrix(lambda q, b: jax.vmap(network, (None, 0))(q, b), p, x, chunk=10)
        )
        memory: Any = compiled.lower(params, x).compile().memory_analysis()
        return memory.temp_size_in_bytes - 3 * 8 * num**2

    block = 8 * 10 * size
    assert temporaries(200) < 6 * block
    assert temporaries(400) - temporaries(200) < block


# Bad input ------------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused_by_its_words():
    problem = PROBLEMS["half squared"]()
    params, x = point(problem), problem.data.x
    with pytest.raises(InputError, match="chunk must be at least 1; got 0"):
        curvature.kernel_matrix(problem.outputs, params, problem.data, chunk=0)
    with pytest.raises(InputError, match=r"x must have shape \[n, 3\].*got \(7, 2\)"):
        measures.layerwise_kernel(fully_connected(problem), params, x[:, :2])
    with pytest.raises(InputError, match=r"kernel must have shape \(14, 14\).*got \(7, 7\)"):
        curvature.weighted_kernel(jnp.eye(7), operator_of(problem, params).root)
    with pytest.raises(InputError, match="kernel must be symmetric"):
        curvature.kernel_spectrum(jnp.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(InputError, match="kernel must be finite"):
        curvature.kernel_spectrum(jnp.array([[1.0, jnp.nan], [jnp.nan, 1.0]]))


def test_a_kernel_too_large_names_its_need_and_the_way_without_it():
    problem = PROBLEMS["half squared"]()
    params, x = point(problem), jnp.zeros((10_001, 3))
    wanted = r"at most 20000; got 20002, which need 3\.2 GB \(products need no matrix: curvature\.NTK"
    with pytest.raises(InputError, match=wanted):
        measures.layerwise_kernel(fully_connected(problem), params, x)
    with pytest.raises(InputError, match=wanted):
        curvature.kernel_matrix(lambda p, b: problem.predict(p, b), params, x, chunk=100)


def test_a_float64_spectrum_needs_64_bits():
    with jax.enable_x64(False), pytest.raises(InputError, match="jax_enable_x64 must be on"):
        curvature.kernel_spectrum(jnp.eye(2))
