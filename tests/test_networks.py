"""Networks: activations by closed form, initialisations by their statistics, forward passes by hand, bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import ACTIVATIONS, INITIALISATIONS
from precipice import problems
from precipice._checks import InputError
from precipice.problems import FullyConnected, Supervised

POINTS = [-30.0, -3.0, -1.0, -1e-3, 0.0, 1e-3, 0.5, 1.0, 3.0, 30.0]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.float64, 1e-13), (jnp.float32, 1e-5)])
def test_activations(name, dtype, rtol):
    function, closed_form = ACTIVATIONS[name]
    got = function(jnp.array(POINTS, dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, [closed_form(x) for x in POINTS], rtol=rtol, atol=1e-17 if rtol < 1e-9 else 1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_the_derivative_of_their_closed_form(name):
    function, closed_form = ACTIVATIONS[name]
    for x in (-2.0, -0.7, 0.4, 1.5):
        wanted = (closed_form(x + 1e-6) - closed_form(x - 1e-6)) / 2e-6
        np.testing.assert_allclose(jax.grad(function)(x), wanted, atol=1e-8)


def test_relu_has_slope_zero_at_zero():
    assert float(jax.grad(problems.relu)(0.0)) == 0


# Initialisations ----------------------------------------------------------------------------------------------------

FAN_IN, FAN_OUT = 300, 500
NUM_BIASES = 200_000


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_variances_of_the_draws(name):
    """150,000 weights: the sample variance is within 5 of its standard errors (1.9 % for a normal, 1.2 % uniform)."""
    row = INITIALISATIONS[name]
    w = np.asarray(row.initialisation.weight(jax.random.key(0), FAN_IN, FAN_OUT, jnp.float64))
    assert w.shape == (FAN_IN, FAN_OUT)
    variance, excess = row.weight(FAN_IN, FAN_OUT), -1.2 if row.uniform else 0.0
    np.testing.assert_allclose(w.var(), variance, rtol=5 * np.sqrt((2 + excess) / w.size))
    assert abs(w.mean()) <= 5 * np.sqrt(variance / w.size)
    np.testing.assert_allclose(np.mean(w**4) / w.var() ** 2 - 3, excess, atol=0.1)
    if row.uniform:
        assert 0.999 < np.abs(w).max() / np.sqrt(3 * variance) <= 1


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_variances_of_the_biases(name):
    row = INITIALISATIONS[name]
    b = np.asarray(row.initialisation.bias(jax.random.key(1), FAN_IN, NUM_BIASES, jnp.float64))
    assert b.shape == (NUM_BIASES,)
    variance = row.bias(FAN_IN, NUM_BIASES)
    np.testing.assert_allclose(b.var(), variance, rtol=0.02)
    if row.uniform and variance:
        assert 0.999 < np.abs(b).max() / np.sqrt(3 * variance) <= 1


def test_torch_draws_within_one_over_the_root_of_the_fan_in():
    params = FullyConnected((100, 50, 10), initialisation=problems.TORCH).init(jax.random.key(0), jnp.float64)
    for layer, bound in zip(params, (0.1, 1 / np.sqrt(50)), strict=True):
        for array in layer.values():
            assert 0.8 * bound < np.abs(array).max() <= bound


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_factors_of_the_forward_pass(name):
    factors = INITIALISATIONS[name].initialisation.factors(50)
    wanted = (np.sqrt(1.5 / 50), np.sqrt(0.1)) if name == "ntk" else (1.0, 1.0)
    np.testing.assert_allclose(factors, wanted, rtol=1e-15)


@pytest.mark.parametrize(
    ("variances", "words"),
    [
        ((0.0, 0.0), r"^weight_variance must be positive and finite; got 0\.0\.$"),
        ((1.0, -0.1), r"^bias_variance must be at least 0; got -0\.1\.$"),
    ],
)
def test_ntk_variances_out_of_range(variances, words):
    with pytest.raises(InputError, match=words):
        problems.ntk(*variances)


# Networks -----------------------------------------------------------------------------------------------------------


def by_hand(params, x, activation, weight=lambda fan_in: 1.0, bias=1.0):
    """The forward pass in numpy, one entry at a time."""
    h = list(np.asarray(x))
    for number, layer in enumerate(params):
        w, b = np.asarray(layer["weight"]), np.asarray(layer.get("bias", np.zeros(layer["weight"].shape[1])))
        h = [activation(float(a)) for a in h] if number else h
        h = [sum(weight(len(h)) * w[i, j] * h[i] for i in range(len(h))) + bias * b[j] for j in range(w.shape[1])]
    return h


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("widths", "bias"), [((3, 2), True), ((3, 4, 2), False), ((2, 3, 4, 1), True)])
def test_forward_pass(name, widths, bias):
    function, closed_form = ACTIVATIONS[name]
    network = FullyConnected(widths, activation=function, bias=bias, initialisation=problems.TORCH)
    params = network.init(jax.random.key(1), jnp.float64)
    assert [("bias" in layer) for layer in params] == [bias] * (len(widths) - 1)
    x = np.linspace(-1, 2, widths[0])
    np.testing.assert_allclose(network(params, jnp.array(x)), by_hand(params, x, closed_form), rtol=1e-13)


def test_forward_pass_of_the_ntk_parametrisation():
    network = FullyConnected((3, 5, 2), initialisation=problems.ntk(1.5, 0.1))
    params = network.init(jax.random.key(1), jnp.float64)
    x = np.array([0.3, -1.0, 2.0])
    wanted = by_hand(params, x, np.tanh, lambda fan_in: np.sqrt(1.5 / fan_in), np.sqrt(0.1))
    np.testing.assert_allclose(network(params, jnp.array(x)), wanted, rtol=1e-13)


@pytest.mark.parametrize("name", INITIALISATIONS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_precision_of_the_parameters_decides_that_of_the_outputs(name, dtype):
    network = FullyConnected((3, 4, 2), initialisation=INITIALISATIONS[name].initialisation)
    params = network.init(jax.random.key(0), dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    assert network(params, jnp.ones(3, dtype)).dtype == dtype


def test_layers_draw_from_independent_keys():
    first, second, _ = FullyConnected((4, 4, 4, 4)).init(jax.random.key(0), jnp.float64)
    assert abs(np.corrcoef(first["weight"].ravel(), second["weight"].ravel())[0, 1]) < 0.6
    again = FullyConnected((4, 4, 4, 4)).init(jax.random.key(0), jnp.float64)
    np.testing.assert_array_equal(first["weight"], again[0]["weight"])


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ((3,), r"^widths must hold at least the inputs and the outputs; got \(3,\)\.$"),
        ((3, 0, 1), r"^each of widths must be at least 1; got 0\.$"),
    ],
)
def test_widths_out_of_range(widths, words):
    with pytest.raises(InputError, match=words):
        FullyConnected(widths)


# Problems -----------------------------------------------------------------------------------------------------------


def small_data(x_shape=(4, 3), y=None):
    return problems.from_arrays(np.ones(x_shape), np.ones((4, 2)) if y is None else np.asarray(y, float))


def test_loss_is_the_loss_of_the_outputs():
    rng = np.random.default_rng(0)
    data = problems.from_arrays(rng.normal(size=(4, 3)), rng.normal(size=(4, 2)))
    network = FullyConnected((3, 5, 2))
    problem = Supervised(network, data, problems.mean_squared_error)
    params = problem.init(jax.random.key(0))
    outputs = np.array([by_hand(params, x, np.tanh) for x in np.asarray(data.x)])
    np.testing.assert_allclose(problem.outputs(params), outputs, rtol=1e-13)
    np.testing.assert_allclose(problem.loss(params), np.sum((outputs - np.asarray(data.y)) ** 2) / 4, rtol=1e-13)
    half = jax.tree.map(lambda a: a[:2], data)
    wanted = np.sum((outputs[:2] - np.asarray(data.y)[:2]) ** 2) / 2
    np.testing.assert_allclose(problem.loss(params, half), wanted, rtol=1e-13)
    np.testing.assert_allclose(problem.predict(params, data.x[2:]), outputs[2:], rtol=1e-13)


def test_a_problem_under_vmap_over_data_is_not_checked():
    """Targets of a traced problem are not looked at: several data sets can be stacked."""
    data = small_data(y=np.array([[1.0, -1.0]] * 4))
    stacked = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), data)
    network = FullyConnected((3, 2))
    params = network.init(jax.random.key(0), jnp.float64)
    losses = jax.jit(jax.vmap(lambda d: Supervised(network, d, problems.mean_logistic).loss(params)))(stacked)
    assert losses.shape == (2,)


@pytest.mark.parametrize("widths", [(2, 2), (3, 1)])
def test_a_network_that_does_not_fit_the_data(widths):
    with pytest.raises(InputError, match=r"^widths must begin and end with the data's \(inputs, outputs\) \(3, 2\)"):
        Supervised(FullyConnected(widths), small_data(), problems.mean_squared_error)


def test_images_that_were_not_flattened_are_refused():
    with pytest.raises(InputError, match=r"^x must have shape \[n, features\] .*got \(4, 1, 2, 2\)\.$"):
        Supervised(FullyConnected((4, 2)), small_data((4, 1, 2, 2)), problems.mean_squared_error)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (problems.mean_logistic, r"^mean_logistic needs targets \+1 or -1; got values from 0 to 1\.$"),
        (problems.mean_softmax_cross_entropy, r"^mean_softmax_cross_entropy needs targets that sum to 1 "),
    ],
)
def test_targets_that_do_not_fit_the_loss(loss, words):
    with pytest.raises(InputError, match=words):
        Supervised(FullyConnected((3, 2)), small_data(y=[[0, 1], [1, 1], [0, 0], [1, 0]]), loss)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["x", "y"])
def test_data_that_are_not_finite_are_refused(bad, which):
    x, y = np.ones((4, 3)), np.ones((4, 2))
    (x if which == "x" else y)[1, 1] = bad
    with pytest.raises(InputError, match=rf"^{which} must be finite in float64; got 1 values that are NaN or infinite"):
        problems.from_arrays(x, y)


def test_a_problem_is_a_pytree():
    problem = Supervised(FullyConnected((3, 2)), small_data(), problems.mean_squared_error)
    leaves, structure = jax.tree.flatten(problem)
    assert len(leaves) == 3
    assert bool(eqx.tree_equal(jax.tree.unflatten(structure, leaves), problem))
