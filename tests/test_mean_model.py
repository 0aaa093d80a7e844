"""The mean model: the smoothed ReLU, the map against gradient descent, the flow's invariant, thresholds and bounds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from long_rows import some
from precipice import measures
from precipice._checks import InputError
from precipice.curvature import Hessian
from precipice.dynamics import Descent, MeanModelMap, flow, gradient_descent, settle, simulate
from precipice.problems import MeanModel, smoothed_relu, symmetric_logistic
from precipice.results import Status, StopReason

D = 200


def numpy_step(a, b, lr, d):
    """Equation 5."""
    g = scipy.stats.norm.pdf(b) + b * scipy.stats.norm.cdf(b)
    slope = np.tanh(a * g / 2) / 2
    return a - 2 * d**2 * lr * slope * g, b - lr * slope * a * scipy.stats.norm.cdf(b)


# The smoothed ReLU --------------------------------------------------------------------------------------------------


def test_smoothed_relu_and_its_slope_are_the_reference():
    """Case TN-C11."""
    b = jnp.array([-2.0, -1.0, -0.5, 0.0, 1.0])
    wanted = [
        [0.008490702616829625, 0.02275013194817922],
        [0.08331547058768629, 0.15865525393145707],
        [0.19779655740130608, 0.3085375387259869],
        [0.3989422804014327, 0.5],
        [1.0833154705876864, 0.8413447460685429],
    ]
    got = jax.vmap(jax.value_and_grad(smoothed_relu))(b)
    np.testing.assert_allclose(np.stack(got, axis=1), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("b", [-3.0, -0.4, 0.0, 2.5])
def test_smoothed_relu_is_the_mean_of_relu(b):
    wanted, _ = scipy.integrate.quad(lambda z: (z + b) * scipy.stats.norm.pdf(z), -b, 12, epsabs=1e-14)
    np.testing.assert_allclose(smoothed_relu(jnp.array(b)), wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(jax.grad(smoothed_relu))(jnp.array(b)), scipy.stats.norm.pdf(b), rtol=1e-13)


@pytest.mark.parametrize("b", [-20.0, -10.0, -5.0])
def test_far_below_zero_the_slope_keeps_its_digits(b):
    np.testing.assert_allclose(jax.grad(smoothed_relu)(jnp.array(b)), scipy.stats.norm.cdf(b), rtol=1e-12)


def test_symmetric_logistic():
    s = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(symmetric_logistic(jnp.array(s)), np.log(2 * np.cosh(s / 2)), rtol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(symmetric_logistic))(jnp.array(s)), np.tanh(s / 2) / 2, atol=1e-15)


# Inverse, invariant, threshold --------------------------------------------------------------------------------------


def test_the_edge_bias_is_the_reference():
    """Case TN-C12."""
    k = np.array([8.1, 9, 10, 12])
    wanted = [-0.004950285369781723, -0.046494018455671735, -0.08727145408038739, -0.15611822434164135]
    got = [measures.smoothed_relu_inverse(2 / np.sqrt(each * np.pi)) for each in k]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)
    edges = jax.vmap(measures.mean_model_edge_bias, (0, None))(jnp.array(k * np.pi / D**2), D)
    np.testing.assert_allclose(edges, wanted, rtol=0, atol=1e-12)


def test_the_inverse_inverts():
    b = jnp.concatenate([-jnp.geomspace(20, 1e-9, 40), jnp.zeros(1), jnp.geomspace(1e-9, 1e3, 40)])
    got = jax.jit(jax.vmap(measures.smoothed_relu_inverse))(smoothed_relu(b))
    np.testing.assert_allclose(got, b, rtol=1e-12, atol=1e-15)


def test_the_inverse_has_the_slope_of_an_inverse():
    for value in (1e-6, 0.2, 0.5, 3.0):
        b = float(measures.smoothed_relu_inverse(value))
        slope = 1 / scipy.stats.norm.cdf(b)
        second = jax.grad(jax.grad(measures.smoothed_relu_inverse))(jnp.array(value))
        np.testing.assert_allclose(second, -scipy.stats.norm.pdf(b) * slope**3, rtol=1e-9)
        np.testing.assert_allclose(jax.grad(measures.smoothed_relu_inverse)(jnp.array(value)), slope, rtol=1e-10)


def test_the_inverse_keeps_its_precision():
    assert measures.smoothed_relu_inverse(jnp.float32(0.2)).dtype == jnp.float32
    np.testing.assert_allclose(float(measures.smoothed_relu_inverse(1)), measures.smoothed_relu_inverse(1.0))


@pytest.mark.parametrize("b", [-6.0, -1.5, -0.5, -1e-6, 1e-3, 2.0])
def test_kappa_is_the_integral(b):
    def integrand(s):
        return s + scipy.stats.norm.pdf(s) / scipy.stats.norm.cdf(s)

    wanted, _ = scipy.integrate.quad(integrand, 0, b, epsabs=1e-15, epsrel=1e-13)
    np.testing.assert_allclose(measures.mean_model_kappa(b), wanted, rtol=1e-11)


@pytest.mark.parametrize("weight_sum", some([-14.0, 1e-3, 1.0, 100.0], -14.0))
def test_the_flow_keeps_the_invariant_and_ends_at_the_predicted_bias(weight_sum):
    def flow(_, point):
        a, b = point
        g = scipy.stats.norm.pdf(b) + b * scipy.stats.norm.cdf(b)
        slope = np.tanh(a * g / 2) / 2
        return [-2 * D**2 * slope * g, -slope * a * scipy.stats.norm.cdf(b)]

    found = scipy.integrate.solve_ivp(flow, (0, 0.1), [weight_sum, 0], method="Radau", rtol=1e-11, atol=1e-15)
    a, b = jnp.array(found.y)
    levels = jax.vmap(measures.mean_model_invariant, (0, 0, None))(a, b, D)
    np.testing.assert_allclose(levels, weight_sum**2 / 2, rtol=1e-6)
    assert abs(found.y[0, -1]) < 1e-6
    np.testing.assert_allclose(found.y[1, -1], measures.mean_model_flow_bias(weight_sum, D), rtol=1e-6)


def test_the_flow_bias_solves_its_equation():
    a = jnp.linspace(-800, 800, 41)
    got = jax.vmap(lambda each: measures.mean_model_kappa(measures.mean_model_flow_bias(each, D)))(a)
    np.testing.assert_allclose(got, -((a / (2 * D)) ** 2), rtol=1e-9)


@pytest.mark.parametrize("b", [-0.7, 0.0])
def test_sharpness_is_the_top_eigenvalue_at_the_minima(b):
    hessian = Hessian(MeanModel(D).loss, jnp.array([-0.3, 0.3, b])).dense()
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian)[-1], measures.mean_model_sharpness(b, D), rtol=1e-12)


def test_the_threshold_is_where_the_edge_is_at_zero_bias():
    threshold = measures.mean_model_threshold(D)
    np.testing.assert_allclose(threshold, 8 * np.pi / D**2)
    np.testing.assert_allclose(measures.mean_model_sharpness(0.0, D), 2 / threshold, rtol=1e-14)
    assert abs(measures.mean_model_edge_bias(threshold, D)) < 1e-15
    assert measures.mean_model_edge_bias(10 * np.pi / D**2, D) < -0.087


# The map ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1e-4, 7e-4, 2.5e-3])
def test_the_map_is_gradient_descent_on_the_problem(lr):
    start = jnp.array([0.03, -0.02, 0.0])
    descent = Descent(MeanModel(D), gradient_descent(lr), start=start)
    reduced = MeanModelMap(lr, D, weight_sum=D * jnp.sum(start[:2]))
    state, small, (a, b) = descent.init(jax.random.key(0)), reduced.init(jax.random.key(0)), (D * 0.01, 0.0)
    step, small_step = eqx.filter_jit(descent.step), eqx.filter_jit(reduced.step)
    for _ in range(60):
        state, small = step(state), small_step(small)
        a, b = numpy_step(a, b, lr, D)
        minus, plus, bias = state.params
        np.testing.assert_allclose(small.params, [a, b], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose([D * (minus + plus), bias], [a, b], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(small.loss, state.loss, rtol=1e-12)
        np.testing.assert_allclose(plus - minus, -0.05, rtol=1e-12)


def test_the_problem_does_not_change_with_the_order_of_the_weights_or_their_sign():
    loss, params = MeanModel(50).loss, jnp.array([0.03, -0.05, -0.2])
    np.testing.assert_allclose(loss(params[jnp.array([1, 0, 2])]), loss(params), rtol=1e-15)
    np.testing.assert_allclose(loss(params * jnp.array([-1.0, -1.0, 1.0])), loss(params), rtol=1e-15)
    drawn = jax.vmap(MeanModel(50).init)(jax.random.split(jax.random.key(0), 2000))
    assert drawn.shape == (2000, 3)
    np.testing.assert_allclose(np.var(drawn[:, :2]) * 2 * 50**2, 1, atol=0.15)
    np.testing.assert_array_equal(drawn[:, 2], 0)


class Ended(eqx.Module):
    """Below 1e-13 in A, where it shrinks."""

    lr: jax.Array
    dimension: int = eqx.field(static=True)

    def __call__(self, state):
        a, b = state.params
        return (jnp.abs(a) < 1e-13) & (measures.mean_model_sharpness(b, self.dimension) < 2 / self.lr)


SCALED = [4, 7, 7.9, 8.1, 9, 10, 12]
FINAL = {
    1.0: [
        -1.5464568881571292e-05,
        -5.9169343448602154e-05,
        -0.0004119223360903821,
        -0.005550333806665409,
        -0.047173586596402216,
        -0.08804071282610881,
        -0.1570706345839229,
    ],
    14.0: [
        -0.0020048390023560364,
        -0.002607526762799737,
        -0.003549483282291851,
        -0.005727073718125357,
        -0.047173586596402035,
        -0.08804071282610877,
        -0.15707063458392317,
    ],
}


def final_bias(lr, weight_sum):
    process = MeanModelMap(lr, D, weight_sum=weight_sum)
    start = jnp.array([[weight_sum, 0.0]])
    ended = Ended(jnp.asarray(lr), D)
    found = settle(process, start, key=jax.random.key(0), converged=ended, num_steps=2**20, check_every=1)
    assert found.stop_reason[0] == StopReason.VALUE_REACHED
    return float(found.params[0, 1])


@pytest.mark.parametrize("weight_sum", [1.0, 14.0])
def test_final_biases_are_the_reference_and_obey_the_theorems(weight_sum):
    """Cases TN-C13; theorems 3 and 4 (TN-23, 24)."""
    got = [final_bias(k * np.pi / D**2, weight_sum) for k in SCALED]
    np.testing.assert_allclose(got, FINAL[weight_sum], rtol=0, atol=1e-9)
    for k, bias in zip(SCALED, got, strict=True):
        if k > 8:
            assert bias <= measures.mean_model_edge_bias(k * np.pi / D**2, D)
    for k in (4, 7)[: 2 if weight_sum == 1 else 0]:
        assert 0 >= got[SCALED.index(k)] >= measures.mean_model_flow_bound(k * np.pi / D**2, weight_sum, D)


def test_below_the_threshold_the_weight_sum_decays_at_the_rate():
    lr = 4 * np.pi / D**2
    rate = measures.mean_model_rate(lr, 1.0, D)
    np.testing.assert_allclose(rate, min(4, 4, 4 / 1.0) / 200, rtol=1e-12)
    process = MeanModelMap(lr, D, weight_sum=1.0)
    run = simulate(process, key=jax.random.key(0), num_steps=200, every=1, probes=(lambda s: {"bias": s.params[0]},))
    assert np.all(np.abs(run.saved["bias"]) <= np.exp(-rate * np.arange(201)))


def test_sweeps_by_vmap_in_one_compilation():
    @jax.jit
    def final(lrs):
        def one(lr):
            run = simulate(MeanModelMap(lr, D, weight_sum=1.0), key=jax.random.key(0), num_steps=50, every=50)
            return run.state.params, run.status

        return jax.vmap(one)(lrs)

    rates = np.array([1e-4, 7e-4, 2e-3])
    (params, status) = final(jnp.array(rates))
    assert np.all(status == Status.DONE)
    for lr, got in zip(rates, params, strict=True):
        point = (1.0, 0.0)
        for _ in range(50):
            point = numpy_step(*point, lr, D)
        np.testing.assert_allclose(got, point, rtol=1e-9, atol=1e-12)


def test_float32_stays_float32():
    process = MeanModelMap(1e-3, D, weight_sum=jnp.float32(1.0))
    state = process.step(process.init(jax.random.key(0)))
    assert (state.params.dtype, state.loss.dtype) == (jnp.float32, jnp.float32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: MeanModel(0), "dimension must be at least 1; got 0."),
        (lambda: MeanModelMap(0.0, 10, weight_sum=1.0), "lr must be positive and finite; got 0.0."),
        (lambda: MeanModelMap(0.1, -1, weight_sum=1.0), "dimension must be positive and finite; got -1.0."),
        (lambda: MeanModelMap(0.1, 1, weight_sum=np.nan), "weight_sum must be finite; got nan."),
        (lambda: MeanModelMap(0.1, 1, weight_sum=1.0, bias=np.inf), "bias must be finite; got inf."),
        (lambda: measures.smoothed_relu_inverse(0.0), "value must be positive and finite; got 0.0."),
        (lambda: measures.mean_model_edge_bias(-1.0, 10), "lr must be positive and finite; got -1.0."),
        (lambda: measures.mean_model_threshold(0), "dimension must be positive and finite; got 0."),
        (lambda: measures.mean_model_flow_bias(81.0, 20), "size of weight_sum must be at most 80.0 (4 d); got 81.0."),
        (lambda: measures.mean_model_rate(1.0, 1.0, 10), "lr must be below 8 pi/d^2 = 0.251327; got 1.0."),
        (
            lambda: measures.mean_model_rate(7.9 * np.pi / 200**2, 1.0, 200),
            "lr must be at most gamma/abs(A) = 0.0005 for theorem 3; got 0.00062",
        ),
    ],
)
def test_refuses(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(words)


def test_the_gradient_flow_of_the_loss_conserves_the_invariant():
    """TN-21, through diffrax on the parameters (a-, a+, b)."""
    dimension = 20
    found = flow(MeanModel(dimension), jnp.array([0.03, 0.05, 0.0]), [0.0, 0.01, 0.1, 1.0], rtol=1e-10)
    assert int(found.status) == Status.DONE
    minus, plus, bias = found.params.T
    sums = dimension * (minus + plus)
    invariant = [float(measures.mean_model_invariant(a, b, dimension)) for a, b in zip(sums, bias, strict=True)]
    np.testing.assert_allclose(invariant, invariant[0], rtol=1e-7)
    assert abs(float(sums[-1])) < 0.5 * abs(float(sums[0]))


@pytest.mark.parametrize("bias", [-40.0, -20.0, -5.0, -1.01, -0.99, -1e-3, 0.0, 2.0])
def test_kappa_is_accurate_to_rounding(bias):
    """Against log erfcx where the two large terms cancel, and b^2/2 + log(2 Phi) where they do not."""
    if bias < -0.5:
        exact = np.log(scipy.special.erfcx(-bias / np.sqrt(2)))
    else:
        exact = bias**2 / 2 + np.log1p(scipy.special.erf(bias / np.sqrt(2)))
    np.testing.assert_allclose(measures.mean_model_kappa(bias), exact, rtol=1e-13)
