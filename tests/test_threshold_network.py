"""Sparse coding data and the two ReLU networks: against dense numpy, the reference runs, the mean model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oracles import close
from precipice import problems
from precipice._checks import InputError
from precipice.curvature import Hessian
from precipice.dynamics import Descent, gradient_descent, simulate
from precipice.problems import SparseCodingNetwork, ThresholdNetwork, from_arrays, sparse_coding

# Data ---------------------------------------------------------------------------------------------------------------


def test_the_data_are_a_spike_in_noise():
    """Means over labels and places, and the noise that is left, as far as chance allows (five standard errors)."""
    n, d, signal = 4000, 20, 50.0
    data = sparse_coding(d, n, signal, key=jax.random.key(1))
    x, y = np.asarray(data.x), np.asarray(data.y)[:, 0]
    place = np.abs(x).argmax(axis=1)
    noise = x.copy()
    noise[np.arange(n), place] -= signal * y
    assert set(y) == {-1.0, 1.0}
    assert abs(y.mean()) < 5 / np.sqrt(n)
    assert np.abs(np.bincount(place, minlength=d) / n - 1 / d).max() < 5 * np.sqrt(1 / d / n)
    assert abs(np.mean(y * place) - np.mean(y) * np.mean(place)) < 5 * d / np.sqrt(12 * n)
    assert np.abs(noise).max() < 6
    np.testing.assert_allclose([noise.mean(), noise.var()], [0, 1], atol=5 * np.sqrt(2 / (n * d)))


def test_the_data_depend_on_the_key_alone():
    first, again = (sparse_coding(5, 9, 3.0, key=jax.random.key(1)) for _ in range(2))
    np.testing.assert_array_equal(first.x, again.x)
    other = sparse_coding(5, 9, 3.0, key=jax.random.key(2))
    assert np.abs(np.asarray(first.x) - other.x).max() > 0.1
    assert first.provenance != other.provenance
    single = sparse_coding(5, 9, 3.0, key=jax.random.key(1), dtype=jnp.float32)
    np.testing.assert_array_equal(single.x, np.asarray(first.x).astype(np.float32))


# The network with a known basis -------------------------------------------------------------------------------------


def drawn(seed, d, n, signal):
    """The draws behind the reference cases: labels, places, noise."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    place = rng.integers(0, d, n)
    x = rng.standard_normal((n, d))
    x[np.arange(n), place] += signal * y
    return x, y


def dense_loss(params, x, y):
    """The definition, in d n operations."""
    minus, plus, bias = params
    sums = minus * jax.nn.relu(-x + bias).sum(axis=1) + plus * jax.nn.relu(x + bias).sum(axis=1)
    return jnp.mean(jax.nn.softplus(-y * sums))


POINTS = [[0.03, -0.02, 0.0], [0.4, 0.1, -0.7], [-0.2, 0.3, 0.9], [0.1, 0.2, -9.0], [0.1, -0.2, 9.0]]


@pytest.mark.parametrize("params", POINTS)
def test_loss_gradient_and_hessian_are_those_of_the_definition(params):
    x, y = drawn(3, 12, 30, 3.0)
    network, point = ThresholdNetwork(from_arrays(x, y[:, None])), jnp.array(params)
    close(network.loss(point), dense_loss(point, x, y))
    close(jax.grad(network.loss)(point), jax.grad(dense_loss)(point, x, y), times=200)
    close(Hessian(network.loss, point).dense(), jax.hessian(dense_loss)(point, x, y), times=200)


def test_a_bias_at_a_corner_counts_it_as_off():
    """Inputs equal to -b and to b: ReLU and its derivative are 0 there, as in `problems.relu`."""
    x, y = np.array([[1.0, -1.0, 1.0, 2.0]]), np.ones(1)
    network = ThresholdNetwork(from_arrays(x, y[:, None]))
    for bias in (1.0, -1.0):
        point = jnp.array([0.3, 0.2, bias])
        close(network.loss(point), dense_loss(point, x, y))
        close(jax.grad(network.loss)(point), jax.grad(dense_loss)(point, x, y))


@pytest.mark.parametrize(
    ("factor", "bias", "loss", "rises"),
    [(0.9, -0.00555835906704432, 0.6485776079150566, 0), (1.5, -0.1293929268704783, 0.6586083116500038, 200)],
)
def test_descent_is_the_reference(factor, bias, loss, rises):
    """Case TN-C15: d 200, n 300, signal 3; the loss is that before the last of 400 steps."""
    x, y = drawn(0, 200, 300, 3.0)
    weights = np.random.Generator(np.random.PCG64(1)).normal(0, np.sqrt(1 / 400), 2)
    network = ThresholdNetwork(from_arrays(x, y[:, None]))
    process = Descent(
        network, gradient_descent(factor * 8 * np.pi / 200**2), start=jnp.array([weights[0], weights[1], 0.0])
    )
    run = simulate(process, key=jax.random.key(0), num_steps=400, every=1, probes=(lambda s: {"loss": s.loss},))
    np.testing.assert_allclose(run.state.params[2], bias, rtol=0, atol=1e-6)
    np.testing.assert_allclose(run.state.loss, loss, rtol=0, atol=1e-6)
    assert abs(int(np.sum(np.diff(run.saved["loss"][1:]) > 0)) - rises) <= 3


def test_many_examples_of_many_inputs_follow_the_mean_model():
    """At the start, by concentration: gradients agree to the order of 1/sqrt(d) and 1/sqrt(n)."""
    d = 3000
    network = ThresholdNetwork(sparse_coding(d, 1000, 1.5, key=jax.random.key(0)))
    point = jnp.array([0.6, 0.3, -0.3]) / jnp.array([d, d, 1.0])
    got, wanted = jax.grad(network.loss)(point), jax.grad(problems.MeanModel(d).loss)(point)
    assert np.all(np.abs(np.asarray(got)[:2] / np.asarray(wanted)[:2] - 1) < 0.4)
    assert np.abs(float(got[0] + got[1]) / float(wanted[0] + wanted[1]) - 1) < 0.25


def test_a_batch_is_the_loss_on_other_data():
    x, y = drawn(0, 6, 10, 3.0)
    other_x, other_y = drawn(1, 6, 7, 3.0)
    point = jnp.array([0.3, -0.1, -0.2])
    network, other = (ThresholdNetwork(from_arrays(a, b[:, None])) for a, b in ((x, y), (other_x, other_y)))
    close(network.loss(point, other.inputs), dense_loss(point, other_x, other_y))
    assert network.outputs(point, other.inputs).shape == (7, 1)


def test_the_start_has_the_papers_variance():
    network = ThresholdNetwork(sparse_coding(30, 5, 3.0, key=jax.random.key(0)))
    starts = np.asarray(jax.vmap(network.init)(jax.random.split(jax.random.key(1), 4000)))
    np.testing.assert_array_equal(starts[:, 2], 0)
    np.testing.assert_allclose(starts[:, :2].mean(axis=0), 0, atol=5 / np.sqrt(60 * 4000))
    np.testing.assert_allclose(starts[:, :2].var(axis=0) * 60, 1, atol=5 * np.sqrt(2 / 4000))


def test_jit_vmap_and_float32():
    data = sparse_coding(8, 6, 3.0, key=jax.random.key(0), dtype=jnp.float32)
    network = ThresholdNetwork(data)
    points = jax.vmap(network.init)(jax.random.split(jax.random.key(1), 3))
    losses = jax.jit(jax.vmap(network.loss))(points)
    assert losses.dtype == jnp.float32
    for point, loss in zip(points, losses, strict=True):
        np.testing.assert_allclose(network.loss(point), loss, rtol=1e-5)


# The network that learns the basis ----------------------------------------------------------------------------------


def test_the_full_network_is_its_formula():
    x, y = drawn(2, 5, 9, 4.0)
    network = SparseCodingNetwork(from_arrays(x, y[:, None]), 7)
    params = {**network.init(jax.random.key(0)), "bias": jnp.array(-0.3)}
    w, a = np.asarray(params["weight"]), np.asarray(params["out"])
    wanted = [sum(a[i] * max(w[i] @ row - 0.3, 0) for i in range(7)) for row in x]
    close(network.outputs(params)[:, 0], wanted)
    close(network.loss(params), np.mean(np.log1p(np.exp(-y * wanted))))


def test_the_full_network_holds_the_small_one():
    """With w = +-e_i and equal weights it is the network with a known basis."""
    x, y = drawn(2, 5, 9, 4.0)
    data = from_arrays(x, y[:, None])
    minus, plus, bias = 0.3, -0.2, -0.4
    params = {
        "weight": jnp.concatenate([-jnp.eye(5), jnp.eye(5)]),
        "out": jnp.repeat(jnp.array([minus, plus]), 5),
        "bias": jnp.array(bias),
    }
    close(SparseCodingNetwork(data, 10).outputs(params), ThresholdNetwork(data).outputs(jnp.array([minus, plus, bias])))


def test_the_full_networks_start():
    network = SparseCodingNetwork(sparse_coding(30, 5, 3.0, key=jax.random.key(0)), 500)
    params = network.init(jax.random.key(1))
    np.testing.assert_allclose(np.var(params["weight"]) * 30, 1, atol=5 * np.sqrt(2 / 15_000))
    np.testing.assert_allclose(np.var(params["out"]) * 500, 1, atol=5 * np.sqrt(2 / 500))
    assert float(params["bias"]) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sparse_coding(0, 5, 3.0, key=jax.random.key(0)), "d must be at least 1; got 0."),
        (lambda: sparse_coding(5, 0, 3.0, key=jax.random.key(0)), "n must be at least 1; got 0."),
        (lambda: sparse_coding(5, 5, 0.0, key=jax.random.key(0)), "signal must be positive and finite; got 0.0."),
        (
            lambda: ThresholdNetwork(from_arrays(np.ones((3, 2)), np.full((3, 1), 0.5))),
            "labels must be +1 or -1; got values from 0.5 to 0.5.",
        ),
        (
            lambda: ThresholdNetwork(from_arrays(np.ones((3, 2)), np.ones((3, 2)))),
            "data must have x [n, d] and y [n, 1]; got (3, 2) and (3, 2).",
        ),
        (
            lambda: SparseCodingNetwork(from_arrays(np.ones((3, 2)), np.ones((3, 1))), 0),
            "width must be at least 1; got 0.",
        ),
    ],
)
def test_refuses(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == words
