"""Operators against dense matrices, and the battery: chunks, jit, vmap, grad, pytrees, precision, traces."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from cases import CHUNKS, NUM_EXAMPLES, OPERATORS, PROBLEMS, dense_case, in_chunks
from long_rows import some
from oracles import TRACES, Counted, Quadratic, close, point
from precipice import curvature, problems
from precipice._checks import InputError
from precipice.curvature.operator import dtype_of, flat_product, linear_product, linearised, unflatten

compiled = eqx.filter_jit(flat_product)
each_problem = pytest.mark.parametrize("name", PROBLEMS)
each_operator = pytest.mark.parametrize("operator", OPERATORS)


def built(name, operator="hessian", *, size=None, dtype=np.float64):
    problem = PROBLEMS[name](dtype=dtype)
    return OPERATORS[operator].make(problem, point(problem), in_chunks(problem.data, size))


def flat_vectors(op, num, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(num, op.size))
    return jnp.asarray(vectors, dtype_of(op))


def for_all_operators(fn, name, size=None, dtype=np.float64):
    """`fn` of each operator of a problem, in one compiled program."""
    problem = PROBLEMS[name](dtype=dtype)

    @eqx.filter_jit
    def run(params, data):
        return {key: fn(row.make(problem, params, data)) for key, row in OPERATORS.items()}

    return run(point(problem), in_chunks(problem.data, size))


@functools.cache
def matrices(name):
    return for_all_operators(lambda op: op.dense(), name)


@functools.cache
def products(name, size, dtype):
    return for_all_operators(lambda op: flat_product(op, flat_vectors(op, 1)[0]), name, size, dtype)


@each_problem
@each_operator
def test_dense_equals_the_oracle(name, operator):
    close(matrices(name)[operator], OPERATORS[operator].oracle(dense_case(name)))


@each_operator
@pytest.mark.parametrize("row", some(CHUNKS, *((name, 3) for name in PROBLEMS), CHUNKS[-1]))
def test_products_in_chunks_of_any_size(row, operator):
    name, size = row
    wanted = OPERATORS[operator].oracle(dense_case(name))
    v = np.random.default_rng(0).normal(size=len(wanted))
    close(products(name, size, np.float64)[operator], wanted @ v)


@each_operator
@pytest.mark.parametrize("size", [None, 3])
def test_float32_stays_float32(operator, size):
    got = products("cross-entropy", size, np.float32)[operator]
    assert got.dtype == jnp.float32
    exact = products("cross-entropy", None, np.float64)[operator]
    np.testing.assert_allclose(got, exact, rtol=0, atol=2e-5 * float(jnp.abs(exact).max()))


@each_operator
def test_vmap_over_vectors(operator):
    matrix = OPERATORS[operator].oracle(dense_case("half squared"))
    vectors = np.random.default_rng(0).normal(size=(3, len(matrix)))
    close(vmapped()[0][operator], vectors @ matrix)


@each_operator
def test_vmap_over_points(operator):
    at_points = vmapped()[1][operator]
    close(at_points[0], products("half squared", None, np.float64)[operator])
    assert not np.allclose(at_points[1], at_points[0])


@functools.cache
def vmapped():
    """All operators vmapped over three vectors, and over two points."""
    problem = PROBLEMS["half squared"]()
    points = jax.tree.map(lambda a, b: jnp.stack([a, b]), point(problem), point(problem, 4))

    @jax.jit
    def run(points):
        def images(params, num):
            ops = {key: row.make(problem, params, problem.data) for key, row in OPERATORS.items()}
            return {k: jax.vmap(lambda v, o=op: flat_product(o, v))(flat_vectors(op, num)) for k, op in ops.items()}

        at_points = jax.vmap(lambda p: images(p, 1))(points)
        return images(jax.tree.map(lambda a: a[0], points), 3), {k: v[:, 0] for k, v in at_points.items()}

    return run(points)


@each_operator
def test_grad_of_a_product(operator):
    """In the vector against 2 A v; in the point along d, against central differences."""
    problem = PROBLEMS["half squared"]()
    make = OPERATORS[operator].make
    theta, unravel = ravel_pytree(point(problem))

    @jax.jit
    def form(t, v):
        return v @ flat_product(make(problem, unravel(t), problem.data), v)

    matrix = OPERATORS[operator].oracle(dense_case("half squared"))
    v = jnp.linspace(-1.0, 1.0, len(matrix))
    in_point, in_vector = jax.jit(jax.grad(form, (0, 1)))(theta, v)
    close(in_vector, 2 * matrix @ np.asarray(v))
    d, h = jnp.asarray(np.random.default_rng(8).normal(size=theta.shape)), 1e-5
    wanted = (form(theta + h * d, v) - form(theta - h * d, v)) / (2 * h)
    np.testing.assert_allclose(in_point @ d, wanted, rtol=1e-7)


@each_operator
def test_products_have_the_structure_of_like(operator):
    op = built("half squared", operator)
    image = jax.eval_shape(op.mv, unflatten(op.like, flat_vectors(op, 1)[0]))
    assert jax.tree.structure(image) == jax.tree.structure(op.like)
    assert [leaf.shape for leaf in jax.tree.leaves(image)] == [leaf.shape for leaf in jax.tree.leaves(op.like)]
    assert op.size == sum(leaf.size for leaf in jax.tree.leaves(op.like)) == len(matrices("half squared")[operator])


@each_operator
def test_an_operator_is_a_pytree(operator):
    op = built("half squared", operator)
    leaves, structure = jax.tree.flatten(op)
    v = flat_vectors(op, 1)[0]
    close(compiled(jax.tree.unflatten(structure, leaves), v), compiled(op, v), times=0)
    doubled = jax.tree.unflatten(
        structure, [2 * leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf for leaf in leaves]
    )
    assert not np.allclose(compiled(doubled, v), compiled(op, v))


def test_weights_of_uneven_chunks_are_their_shares():
    """Examples that differ by much: equal weights would be far off."""
    x = np.array([[1.0], [2.0], [3.0], [100.0]])
    data = problems.from_arrays(x, np.zeros((4, 1)))
    linear = problems.FullyConnected((1, 1), bias=False)
    problem = problems.Supervised(linear, data, problems.mean_half_squared_error)
    params = problem.init(jax.random.key(0))
    op = curvature.Hessian(problem.loss, params, curvature.chunked(data, 3))
    close(op.dense(), [[np.mean(x**2)]])


@functools.cache
def linear_products(size):
    def product(op):
        return linear_product(linearised(op), op.like, flat_vectors(op, 1)[0])

    return for_all_operators(product, "half squared", size)


@each_operator
@pytest.mark.parametrize("size", [None, 3])
def test_a_linearised_operator_is_the_operator(operator, size):
    wanted = OPERATORS[operator].oracle(dense_case("half squared"))
    close(linear_products(size)[operator], wanted @ np.random.default_rng(0).normal(size=len(wanted)))


@each_problem
def test_a_linearised_hessian_comes_with_the_gradient(name):
    op, problem = built(name), PROBLEMS[name]()
    gradient = jax.grad(problem.loss)(point(problem))
    close(ravel_pytree(linearised(op).direction)[0], ravel_pytree(gradient)[0])
    assert linearised(built(name, size=3)).direction is None


# Identities ---------------------------------------------------------------------------------------------------------


def spectrum(matrix, num):
    return np.sort(np.linalg.eigvalsh(np.asarray(matrix)))[::-1][:num]


@each_problem
def test_gram_and_gauss_newton_share_their_spectrum(name):
    gram, gauss_newton = matrices(name)["gram"], matrices(name)["gauss-newton"]
    num = min(len(gram), len(gauss_newton))
    close(spectrum(gram, num), spectrum(gauss_newton, num))


@each_problem
def test_both_products_of_the_jacobian_share_their_spectrum(name):
    problem = PROBLEMS[name]()
    op = curvature.Jacobian(problem.outputs, point(problem), problem.data)
    jacobian = eqx.filter_jit(lambda o: o.dense())(op)
    kernel = matrices(name)["ntk"]
    num = min(jacobian.shape)
    close(spectrum(kernel, num), spectrum(jacobian.T @ jacobian, num))


@each_problem
def test_gauss_newton_is_positive(name):
    values = np.linalg.eigvalsh(np.asarray(matrices(name)["gauss-newton"]))
    assert values[0] >= -50 * np.finfo(float).eps * values[-1]


@pytest.mark.parametrize(("name", "factor"), [("half squared", 1), ("squared", 2)])
def test_gram_of_squared_losses_is_the_scaled_kernel(name, factor):
    close(matrices(name)["gram"], factor * np.asarray(matrices(name)["ntk"]) / NUM_EXAMPLES)


# Jacobian -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), CHUNKS)
def test_jacobian_products(name, size):
    problem = PROBLEMS[name]()
    params = point(problem)
    op = curvature.Jacobian(problem.outputs, params, in_chunks(problem.data, size))
    matrix, rng = dense_case(name).jacobian, np.random.default_rng(1)
    theta, unravel = ravel_pytree(params)
    v = rng.normal(size=theta.shape)
    u = rng.normal(size=problem.data.y.shape)
    jv, uj = eqx.filter_jit(lambda o, a, b: (o.mv(a), o.rmv(b)))(op, unravel(jnp.array(v)), jnp.array(u))
    close(jv.ravel(), matrix @ v)
    close(ravel_pytree(uj)[0], u.ravel() @ matrix)


def test_dense_jacobian_in_float32():
    problem = PROBLEMS["half squared"](dtype=np.float32)
    op = curvature.Jacobian(problem.outputs, point(problem), problem.data)
    assert op.dense().dtype == jnp.float32
    np.testing.assert_allclose(op.dense(), dense_case("half squared").jacobian, atol=1e-5)


# Compilation --------------------------------------------------------------------------------------------------------


def test_new_points_and_new_data_do_not_recompile():
    problem = Counted(PROBLEMS["half squared"]())
    before = TRACES["loss"]
    for seed in range(5):
        other = eqx.tree_at(lambda p: p.problem.data.x, problem, problem.problem.data.x * (1.0 + seed))
        op = curvature.Hessian(other.loss, point(problem, seed))
        compiled(op, jnp.full(op.size, 1.0 + seed))
    assert TRACES["loss"] - before == 1


def test_eigs_at_new_points_compile_once():
    problem = Counted(PROBLEMS["squared"]())
    before = TRACES["loss"]
    for seed in range(5):
        curvature.eigs(curvature.Hessian(problem.loss, point(problem, seed)), key=jax.random.key(seed), num=2)
    assert TRACES["loss"] - before == 1


# Refusals -----------------------------------------------------------------------------------------------------------


def test_a_large_operator_is_not_made_dense():
    op = curvature.Hessian(Quadratic(jnp.ones(10_001)).loss, jnp.ones(10_001))
    with pytest.raises(InputError, match=r"^size of an operator made dense must be at most 10000 .*; got 10001\.$"):
        op.dense()


def test_a_chunk_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"^size of a chunk must be at least 1; got 0\.$"):
        curvature.chunked(jnp.ones(3), 0)


def test_a_batch_of_unequal_lengths_is_refused():
    with pytest.raises(InputError, match=r"same number of examples; got \[2, 3\]\.$"):
        curvature.chunked((jnp.ones(3), jnp.ones(2)), 2)
