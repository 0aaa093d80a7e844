"""Inputs that gave a wrong number, a traceback or a misleading sentence: found by a review, and refused since."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray

from precipice import curvature, dynamics, measures, problems
from precipice._checks import InputError

VALUES = np.array([1.0, 2.0, 3.0])
KERNEL = np.diag(VALUES)
ROWS = (np.ones(2), np.ones((2, 3)), np.random.default_rng(0).normal(size=(2, 3, 3)))
SUMMED = problems.Supervised(
    problems.FullyConnected((1, 4, 1)), problems.chebyshev(3, 6), problems.sum_half_squared_error
)
PARAMS = SUMMED.init(jax.random.key(0))
NUMBERS = {"lr": 0.1, "batch_size": 1}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: measures.nesterov_noise_kernel_norm(VALUES, lr=0.5, batch_size=1, num_examples=3, momentum=0.9),
            r"^lr must be below 0\.452381, .*; got 0\.5\.$",
        ),
        (
            lambda: measures.momentum_noise_kernel_norm_series(
                VALUES, lr=100, batch_size=1, num_examples=3, momentum=0.5
            ),
            r"^lr must be below 1, .*; got 100\.$",
        ),
        (lambda: measures.trace_edge_lr(1.0, batch_size=1, num_outputs=-2), "^num_outputs must be at least 1; got -2"),
        (
            lambda: measures.noise_kernel_norm(KERNEL, lr=0.1, batch_size=1.5),
            r"^batch_size must be a whole number; got 1\.5",
        ),
        (
            lambda: measures.noise_kernel_norm(KERNEL, lr=np.array([0.1, 0.2]), batch_size=1),
            r"^lr must be one number \(map over several, or label them with xarray\)",
        ),
        (
            lambda: measures.noise_kernel_norm_finite_size(np.ones(10), num_examples=4, **NUMBERS),
            "^num_examples must be at least the number of eigenvalues above 0, 10, .* use block_noise_kernel_norm",
        ),
        (
            lambda: measures.noise_kernel_norm_trace(-1.0, **NUMBERS),
            r"^trace must be positive and finite; got -1\.0",
        ),
        (
            lambda: measures.noise_kernel_norm(KERNEL - 2.5 * np.eye(3), **NUMBERS),
            "^kernel must have no negative eigenvalue beyond rounding; got -1.5 beside 0.5",
        ),
        (lambda: measures.dense_second_moment(KERNEL + 0j, **NUMBERS), "^kernel must be real; got .*complex"),
        (
            lambda: measures.dense_second_moment(-KERNEL, **NUMBERS),
            "^kernel must have an eigenvalue above 0; got -1 as",
        ),
        (lambda: measures.noise_kernel_norm(KERNEL, lr="a", batch_size=1), "^lr must be a number; got 'a'"),
        (
            lambda: measures.second_moment_step(np.eye(2), KERNEL, **NUMBERS),
            r"^moment must have the kernel's shape \(3, 3\); got \(2, 2\)",
        ),
        (
            lambda: measures.second_moment_step(np.triu(np.ones((3, 3))), KERNEL, **NUMBERS),
            "^moment must be symmetric; got entries that differ from their mirror images by 1",
        ),
        (
            lambda: jax.jit(lambda k: measures.second_moment_radius(k, **NUMBERS))(jnp.asarray(KERNEL)),
            "^second_moment_radius must be called outside of jit, vmap and grad",
        ),
        (
            lambda: jax.vmap(lambda lr: measures.second_moment_norm(KERNEL, lr=lr, batch_size=1))(jnp.ones(2)),
            "^second_moment_norm must be called outside of jit, vmap and grad",
        ),
        (
            lambda: jax.jit(lambda k: measures.stochastic_edge_lr(k, batch_size=1))(jnp.asarray(KERNEL)),
            "^stochastic_edge_lr must be called outside of jit, vmap and grad",
        ),
        (
            lambda: jax.jit(lambda k: measures.second_moment_edge_lr(k, batch_size=1))(jnp.asarray(KERNEL)),
            "^second_moment_edge_lr must be called outside of jit, vmap and grad",
        ),
        (
            lambda: dynamics.Optimiser(optax.sgd, {"learning_rate": 0.1, "momentum": 1.5}),
            r"^momentum must lie in \[0, 1\); got 1\.5",
        ),
        (
            lambda: problems.QuadraticModel((np.ones(2), np.ones((2, 0)), np.ones((2, 0, 0)))),
            r"d and p at least 1; got \(2,\), \(2, 0\), \(2, 0, 0\)",
        ),
        (
            lambda: problems.QuadraticModel((1j * np.ones(2), np.ones((2, 3)), np.ones((2, 3, 3)))),
            "^data of a quadratic model must be real; got complex",
        ),
        (
            lambda: problems.QuadraticModel((np.ones(2), np.ones((2, 3)), np.ones((2, 3, 3)))).loss(jnp.ones(4)),
            r"^params of this quadratic model must have shape \(3,\); got \(4,\)",
        ),
        (
            lambda: problems.expand(SUMMED, jnp.ones(3), order=1),
            "^params must be parameters of the problem to be expanded; got Type",
        ),
        (
            lambda: problems.gaussian_rows(2, 3, output_scale=-1, jacobian_scale=1, key=jax.random.key(0)),
            "^output_scale must be at least 0; got -1",
        ),
        (
            lambda: problems.structured_rows(
                2, 3, lambda s: -s, output_scale=1, jacobian_scale=1, key=jax.random.key(0)
            ),
            "^variance must give numbers of at least 0; got -",
        ),
        (
            lambda: problems.QuadraticModel(ROWS),
            r"^q must be symmetric in its last two axes; got entries that differ by \d",
        ),
        (
            lambda: dynamics.FunctionSpaceDescent(
                jnp.asarray(ROWS[2]), dynamics.OutputJacobian(*map(jnp.asarray, ROWS[:2])), 0.1
            ),
            "^q must be symmetric in its last two axes",
        ),
        (
            lambda: curvature.ModelCurvature(SUMMED.outputs, PARAMS, SUMMED.data, jnp.ones((5, 1))),
            r"^direction must have the shape of the outputs, \(6, 1\); got \(5, 1\)",
        ),
        (lambda: measures.layerwise_gram(SUMMED, PARAMS), "^output_loss must be a mean over examples"),
        (lambda: measures.layerwise_gram_trace(SUMMED, PARAMS), "^output_loss must be a mean over examples"),
        (
            lambda: measures.batch_sharpness(SUMMED, PARAMS, SUMMED.data, batch_size=2, key=jax.random.key(0)),
            "^output_loss must be a mean over examples",
        ),
        (
            lambda: problems.expand(SUMMED, jax.tree.map(lambda leaf: leaf * jnp.nan, PARAMS), order=2),
            "^params must be finite to be expanded about",
        ),
    ],
)
def test_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_a_full_batch_has_no_edge_in_either_precision():
    for dtype in (np.float32, np.float64):
        kernel = KERNEL.astype(dtype)
        assert np.isnan(measures.stochastic_edge_lr(kernel, batch_size=3))
        assert np.isnan(measures.second_moment_edge_lr(kernel, batch_size=3))


def test_edges_in_float32_are_those_in_float64():
    jacobian = np.random.default_rng(1).normal(size=(20, 30))
    kernel = jacobian @ jacobian.T / 20
    for edge in (measures.stochastic_edge_lr, measures.second_moment_edge_lr):
        np.testing.assert_allclose(edge(kernel.astype(np.float32), batch_size=2), edge(kernel, batch_size=2), rtol=1e-3)


def test_a_kernel_of_low_rank_computed_in_float32_is_one():
    jacobian = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32)
    kernel = (jacobian @ jacobian.T).astype(np.float64)
    exact = jacobian.astype(np.float64) @ jacobian.T.astype(np.float64)
    found, wanted = (measures.noise_kernel_norm(k, lr=1e-4, batch_size=5) for k in (kernel, exact))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_labelled_learning_rates_with_a_plain_kernel():
    lrs = xarray.DataArray([0.1, 0.2, 0.3], dims="lr")
    for function, plain in (
        (measures.noise_kernel_norm, KERNEL),
        (measures.noise_kernel_norm_high_dimensional, VALUES),
    ):
        found = function(plain, lr=lrs, batch_size=1)
        assert found.dims == ("lr",)
        np.testing.assert_allclose(found, [function(plain, lr=float(lr), batch_size=1) for lr in lrs])


def test_t_takes_any_kind_of_array():
    labelled = xarray.DataArray(KERNEL, dims=("a", "b"))
    wanted = measures.dense_second_moment(jnp.asarray(KERNEL), **NUMBERS)
    for kernel in (KERNEL, labelled, KERNEL.astype(int)):
        np.testing.assert_array_equal(measures.dense_second_moment(kernel, **NUMBERS), wanted)
        np.testing.assert_allclose(
            measures.second_moment_step(np.eye(3), kernel, **NUMBERS),
            measures.second_moment_step(jnp.eye(3), jnp.asarray(KERNEL), **NUMBERS),
        )
        assert measures.SecondMoment(kernel, **NUMBERS).size == 9


def test_whole_numbers_make_a_quadratic_model():
    model = problems.QuadraticModel((np.array([1]), np.array([[1, 2]]), np.array([[[1, 0], [0, 1]]])))
    assert model.data.q.dtype == float
    np.testing.assert_allclose(model.outputs(jnp.array([1.0, 1.0])), [[5.0]])
