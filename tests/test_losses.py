"""Losses against numpy: value, gradient, normalisation, extreme outputs; accuracy for one output and for several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import DTypeLike

from cases import LOSSES
from oracles import close
from precipice import problems

each_loss = pytest.mark.parametrize("name", LOSSES)


def example(name, num=6, seed=0, dtype: DTypeLike = np.float64):
    """Outputs and targets [num, C] that fit the loss."""
    rng = np.random.default_rng(seed)
    num_outputs = 1 if name == "logistic" else 3
    f = 2 * rng.normal(size=(num, num_outputs))
    y = rng.normal(size=f.shape)
    if name == "logistic":
        y = np.sign(y)
    if name == "cross-entropy":
        y = np.eye(3)[rng.integers(0, 3, num)]
    return f.astype(dtype), y.astype(dtype)


@each_loss
def test_value_and_gradient(name):
    row, (f, y) = LOSSES[name], example(name)
    value, gradient = jax.value_and_grad(row.loss)(jnp.array(f), jnp.array(y))
    assert value.shape == ()
    close(value, row.value(f, y))
    close(gradient, row.gradient(f, y))


@each_loss
def test_gradient_formula_by_differences(name):
    """The numpy formulas agree with one another."""
    row, (f, y) = LOSSES[name], example(name)
    for index in np.ndindex(f.shape):
        step = np.zeros_like(f)
        step[index] = 1e-6
        wanted = (row.value(f + step, y) - row.value(f - step, y)) / 2e-6
        np.testing.assert_allclose(row.gradient(f, y)[index], wanted, atol=1e-8)


@each_loss
def test_the_reduction_is_over_examples_and_the_sum_over_outputs(name):
    loss, (f, y), mean = LOSSES[name].loss, example(name), LOSSES[name].mean
    one_by_one = [loss(jnp.array(f[i : i + 1]), jnp.array(y[i : i + 1])) for i in range(len(f))]
    close(loss(jnp.array(f), jnp.array(y)), (np.mean if mean else np.sum)(one_by_one))
    twice = (jnp.array(np.concatenate([f, f])), jnp.array(np.concatenate([y, y])))
    close(loss(*twice), (1 if mean else 2) * loss(jnp.array(f), jnp.array(y)))
    if name != "cross-entropy":
        wide = (jnp.array(np.concatenate([f, f], axis=1)), jnp.array(np.concatenate([y, y], axis=1)))
        close(loss(*wide), 2 * loss(jnp.array(f), jnp.array(y)))


def test_a_factor_of_two_lies_between_the_squared_losses():
    f, y = map(jnp.array, example("squared"))
    close(problems.mean_squared_error(f, y), 2 * problems.mean_half_squared_error(f, y))


def test_logistic_of_one_output_is_cross_entropy_of_two():
    f, y = example("logistic")
    two = jnp.array(np.concatenate([f / 2, -f / 2], axis=1))
    one_hot = jnp.array(np.concatenate([(y + 1) / 2, (1 - y) / 2], axis=1))
    close(problems.mean_softmax_cross_entropy(two, one_hot), problems.mean_logistic(jnp.array(f), jnp.array(y)))


@pytest.mark.parametrize("size", [1e3, 1e8])
def test_large_outputs_do_not_overflow(size):
    f, y = jnp.array([[size], [-size]]), jnp.array([[1.0], [1.0]])
    close(problems.mean_logistic(f, y), size / 2)
    f, y = jnp.array([[size, 0.0], [0.0, size]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    close(problems.mean_softmax_cross_entropy(f, y), size / 2)
    assert np.all(np.isfinite(jax.grad(problems.mean_softmax_cross_entropy)(f, y)))


@each_loss
def test_float32_stays_float32(name):
    f, y = example(name, dtype=np.float32)
    got = LOSSES[name].loss(jnp.array(f), jnp.array(y))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, LOSSES[name].value(f.astype(float), y.astype(float)), rtol=1e-5)


# Accuracy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "targets", "wanted"),
    [
        ([[0.2], [-3.0], [1.0], [-1.0]], [[1.0], [-1.0], [-1.0], [-1.0]], 0.75),
        ([[0.0]], [[1.0]], 0.0),
        ([[1, 2, 0], [5, 1, 1], [0, 0, 3]], [[0, 1, 0], [0, 1, 0], [0, 0, 1]], 2 / 3),
        ([[-5.0, -4.0]], [[0.0, 1.0]], 1.0),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_accuracy(outputs, targets, wanted, dtype):
    got = problems.accuracy(jnp.array(outputs, dtype), jnp.array(targets, dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_accuracy_of_one_output_against_a_loop():
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(40, 1)), rng.choice([-1.0, 1.0], size=(40, 1))
    wanted = sum((a > 0) == (b > 0) for a, b in zip(f[:, 0], y[:, 0], strict=True)) / 40
    np.testing.assert_allclose(problems.accuracy(jnp.array(f), jnp.array(y)), wanted)
