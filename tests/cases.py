"""The tables that the tests run over: a new operator, loss or process gets a row here, and with it the battery.

Each row carries its reference, computed by another route than the library's (`oracles.py`).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special

import by_hand
from oracles import Dense, dense, point, root_of
from precipice import curvature, dynamics, problems
from precipice.problems import ScalarNetwork, SingleNeuron

# Problems -----------------------------------------------------------------------------------------------------------

NUM_EXAMPLES = 7


def _targets(loss, rng, shape):
    if loss is problems.mean_logistic:
        return rng.choice([-1.0, 1.0], size=shape)
    if loss is problems.mean_softmax_cross_entropy:
        return np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    return rng.normal(size=shape)


def supervised(loss, widths, activation=problems.tanh, *, bias=True, initialisation=problems.LECUN, dtype=np.float64):
    """A network on random data."""
    rng = np.random.default_rng(sum(widths))
    x, y = rng.normal(size=(NUM_EXAMPLES, widths[0])), _targets(loss, rng, (NUM_EXAMPLES, widths[-1]))
    network = problems.FullyConnected(widths, activation=activation, bias=bias, initialisation=initialisation)
    return problems.Supervised(network, problems.from_arrays(x, y, dtype=dtype), loss)


PROBLEMS: dict[str, Callable[..., problems.Supervised]] = {
    "half squared": functools.partial(
        supervised, problems.mean_half_squared_error, (3, 4, 2), initialisation=problems.TORCH
    ),
    "squared": functools.partial(supervised, problems.mean_squared_error, (2, 3, 3, 1), problems.elu, bias=False),
    "logistic": functools.partial(
        supervised, problems.mean_logistic, (3, 4, 1), problems.softplus, initialisation=problems.ntk(1.5, 0.1)
    ),
    "cross-entropy": functools.partial(supervised, problems.mean_softmax_cross_entropy, (2, 4, 3), problems.gelu),
}


# Operators ----------------------------------------------------------------------------------------------------------


@functools.cache
def dense_case(name: str) -> Dense:
    """`dense` of a row of `PROBLEMS` at `point`."""
    problem = PROBLEMS[name]()
    return dense(problem, point(problem))


class OperatorRow(NamedTuple):
    """An operator of a problem, its data whole or in chunks, and the same from dense matrices."""

    make: Callable[[Any, Any, Any], curvature.AbstractOperator]
    oracle: Callable[[Dense], np.ndarray]


def _hessian(problem, params, data):
    return curvature.Hessian(problem.loss, params, data if isinstance(data, curvature.Chunks) else None)


def _gram(d: Dense) -> np.ndarray:
    root = root_of(d.output_hessian)
    return root @ d.jacobian @ d.jacobian.T @ root


def _model_curvature(problem, params, data):
    direction = jax.grad(problem.loss_of_outputs)(problem.outputs(params))
    return curvature.ModelCurvature(problem.outputs, params, data, direction)


OPERATORS = {
    "hessian": OperatorRow(_hessian, lambda d: d.hessian),
    "gauss-newton": OperatorRow(
        lambda problem, params, data: curvature.GaussNewton(problem.outputs, problem.loss_of_outputs, params, data),
        lambda d: d.jacobian.T @ d.output_hessian @ d.jacobian,
    ),
    "ntk": OperatorRow(
        lambda problem, params, data: curvature.NTK(problem.outputs, params, data), lambda d: d.jacobian @ d.jacobian.T
    ),
    "model curvature": OperatorRow(
        _model_curvature, lambda d: d.hessian - d.jacobian.T @ d.output_hessian @ d.jacobian
    ),
    "gram": OperatorRow(
        lambda problem, params, data: curvature.gram(problem.outputs, problem.loss_of_outputs, params, data), _gram
    ),
}

CHUNKS: list[tuple[str, int | None]] = [
    *((name, size) for name in PROBLEMS for size in (None, 3)),
    *(("half squared", size) for size in (1, NUM_EXAMPLES, NUM_EXAMPLES + 1)),
    ("cross-entropy", NUM_EXAMPLES + 1),
]
"""Problems and chunk sizes: None is no chunks, 3 leaves a rest of 1; how the data are cut does not know the loss."""


def in_chunks(data, size):
    """The data whole or in chunks."""
    return data if size is None else curvature.chunked(data, size)


# Spectra ------------------------------------------------------------------------------------------------------------

SIZE = 120
"""Size of the matrices of the table: one compilation for all."""


def _below(*top: float) -> np.ndarray:
    """Random eigenvalues in [-1, 1] and these."""
    rest = np.random.default_rng(5).uniform(-1, 1, SIZE - len(top))
    return np.concatenate([rest, top])


class Spectrum(NamedTuple):
    """Eigenvalues, and how many are asked for."""

    values: np.ndarray
    num: int


SPECTRA = {
    "random": Spectrum(np.random.default_rng(4).normal(size=SIZE), 3),
    "gap of 1e-3": Spectrum(_below(2.0, 2.001), 2),
    "gap of 1e-6": Spectrum(_below(2.0, 2.000001), 2),
    "three within 1e-3": Spectrum(_below(2.0, 2.0005, 2.001), 3),
    "three within 1e-6": Spectrum(_below(2.0, 2.0000005, 2.000001), 2),
    "double top": Spectrum(_below(3.0, 3.0), 2),
    "triple top": Spectrum(_below(3.0, 3.0, 3.0), 3),
    "triple top and more": Spectrum(_below(3.0, 3.0, 3.0, 1.5), 4),
    "largest in size is negative": Spectrum(_below(-50.0, 2.0, 1.5), 2),
    "all negative": Spectrum(-1 - np.random.default_rng(6).uniform(size=SIZE), 2),
    "rank deficient": Spectrum(np.concatenate([np.zeros(SIZE - 4), [5.0, 3.0, 2.0, -1.0]]), 2),
    "more asked than the rank": Spectrum(np.concatenate([np.zeros(SIZE - 2), [5.0, 3.0]]), 4),
    "zero": Spectrum(np.zeros(SIZE), 2),
    "identity": Spectrum(np.ones(SIZE), 2),
    "far apart": Spectrum(np.geomspace(1e-8, 1e4, SIZE), 3),
    "size 1": Spectrum(np.array([-2.5]), 1),
    "all of them": Spectrum(np.array([4.0, 1.0, 1.0, 0.0, -3.0, -7.0]), 6),
}


# Networks and losses ------------------------------------------------------------------------------------------------

ACTIVATIONS: dict[str, tuple[Callable, Callable[[float], float]]] = {
    "tanh": (problems.tanh, math.tanh),
    "relu": (problems.relu, lambda x: max(x, 0.0)),
    "elu": (problems.elu, lambda x: x if x > 0 else math.expm1(x)),
    "gelu": (problems.gelu, lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
    "erf": (problems.erf, math.erf),
    "softplus": (problems.softplus, lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0)),
    "identity": (problems.identity, lambda x: x),
}


class InitialisationRow(NamedTuple):
    """An initialisation, variances of its draws as functions of the fans, and whether the draw is uniform."""

    initialisation: problems.Initialisation
    weight: Callable[[int, int], float]
    bias: Callable[[int, int], float]
    uniform: bool


INITIALISATIONS = {
    "lecun": InitialisationRow(problems.LECUN, lambda i, o: 1 / i, lambda i, o: 0, False),
    "xavier": InitialisationRow(problems.XAVIER, lambda i, o: 2 / (i + o), lambda i, o: 0, True),
    "he": InitialisationRow(problems.HE, lambda i, o: 2 / i, lambda i, o: 0, False),
    "torch": InitialisationRow(problems.TORCH, lambda i, o: 1 / (3 * i), lambda i, o: 1 / (3 * i), True),
    "ntk": InitialisationRow(problems.ntk(1.5, 0.1), lambda i, o: 1, lambda i, o: 1, False),
}


class LossRow(NamedTuple):
    """A loss, its value and its gradient in the outputs by numpy, and whether it is a mean or a sum over examples."""

    loss: Callable
    value: Callable[[np.ndarray, np.ndarray], float]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]
    mean: bool = True


LOSSES = {
    "half squared": LossRow(
        problems.mean_half_squared_error,
        lambda f, y: sum(0.5 * (a - b) ** 2 for a, b in zip(f.flat, y.flat, strict=True)) / len(f),
        lambda f, y: (f - y) / len(f),
    ),
    "sum of half squares": LossRow(
        problems.sum_half_squared_error,
        lambda f, y: sum(0.5 * (a - b) ** 2 for a, b in zip(f.flat, y.flat, strict=True)),
        lambda f, y: f - y,
        mean=False,
    ),
    "squared": LossRow(
        problems.mean_squared_error,
        lambda f, y: sum((a - b) ** 2 for a, b in zip(f.flat, y.flat, strict=True)) / len(f),
        lambda f, y: 2 * (f - y) / len(f),
    ),
    "logistic": LossRow(
        problems.mean_logistic,
        lambda f, y: sum(math.log1p(math.exp(-a * b)) for a, b in zip(f.flat, y.flat, strict=True)) / len(f),
        lambda f, y: -y * scipy.special.expit(-y * f) / len(f),
    ),
    "cross-entropy": LossRow(
        problems.mean_softmax_cross_entropy,
        lambda f, y: float(np.sum(y * (scipy.special.logsumexp(f, axis=1, keepdims=True) - f)) / len(f)),
        lambda f, y: (scipy.special.softmax(f, axis=1) - y) / len(f),
    ),
}


# Processes ----------------------------------------------------------------------------------------------------------


class ProcessRow(NamedTuple):
    """An optimiser at a learning rate, and one step of it in numpy: (params, gradient, memory, lr, step) to both."""

    optimiser: Callable[[Any], Any]
    step: Callable[[np.ndarray, np.ndarray, np.ndarray, float, int], tuple[np.ndarray, np.ndarray]]


def _adam(p, g, m, lr, t):
    first, second = 0.9 * m[0] + 0.1 * g, 0.999 * m[1] + 0.001 * g**2
    update = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return p - lr * update, np.stack([first, second])


def _momentum(p, g, m, lr, t):
    new = g + 0.9 * m[0]
    return p - lr * new, np.stack([new, m[1]])


def _nesterov(p, g, m, lr, t):
    new = g + 0.9 * m[0]
    return p - lr * (g + 0.9 * new), np.stack([new, m[1]])


def optimiser(make, **numbers) -> Callable[[Any], dynamics.Optimiser]:
    return lambda lr: dynamics.Optimiser(make, {"learning_rate": lr, **numbers})


PROCESSES = {
    "gradient descent": ProcessRow(dynamics.gradient_descent, lambda p, g, m, lr, t: (p - lr * g, m)),
    "bare optax": ProcessRow(optax.sgd, lambda p, g, m, lr, t: (p - lr * g, m)),
    "heavy ball": ProcessRow(optimiser(optax.sgd, momentum=0.9), _momentum),
    "nesterov": ProcessRow(optimiser(optax.sgd, momentum=0.9, nesterov=True), _nesterov),
    "adam": ProcessRow(optimiser(optax.adam), _adam),
}


# Minimal models -----------------------------------------------------------------------------------------------------


class ModelRow(NamedTuple):
    """A minimal model made of a number that may be traced, and its loss by hand from (flat parameters, number).

    `varies` says whether the number enters; `kinds` is the model's type; `drawn`, whether `init` draws.
    """

    make: Callable[[Any, Any], problems.AbstractProblem]
    loss: Callable[[np.ndarray, float], Any]
    kind: type
    varies: bool = True
    drawn: bool = True


def _examples(num, size):
    """Inputs and labels of a small task, the same in either precision and far from the corners at `points`."""
    rng = np.random.default_rng(num)
    return rng.normal(size=(num, size)), rng.choice([-1.0, 1.0], size=num)


def _scaled(num, size, scale, dtype) -> problems.Dataset:
    x, y = _examples(num, size)
    inputs = jnp.asarray(scale, dtype) * jnp.asarray(x, dtype)
    return problems.Dataset(inputs, jnp.asarray(y, dtype)[:, None], jnp.zeros(num, jnp.int32), "a small task")


def _scalar(*powers):
    return ModelRow(lambda n, _: problems.ScalarNetwork(powers, n), by_hand.scalar_network(*powers), ScalarNetwork)


def _neuron(output_loss, value):
    return ModelRow(lambda _, __: SingleNeuron(output_loss), by_hand.single_neuron(value), SingleNeuron, varies=False)


Q = np.array([[1.0, 0.5, -0.25], [0.5, -0.75, 0.1], [-0.25, 0.1, 0.3]])


def _rows(num, size):
    """y, G and Q of a small quadratic model."""
    rng = np.random.default_rng(7)
    y, g, r = rng.normal(size=num), rng.normal(size=(num, size)), rng.normal(size=(num, size, size))
    return y, g, (r + r.transpose(0, 2, 1)) / 2


def _quadratic_model(number, dtype, loss=problems.sum_half_squared_error):
    y, g, q = (jnp.asarray(a, dtype) for a in _rows(3, 4))
    return problems.QuadraticModel(problems.Rows(jnp.asarray(number, dtype) * y, g, q), loss)


def _tanh_unit(number, dtype):
    x, y = _examples(5, 1)
    data = problems.Dataset(
        jnp.asarray(number, dtype) * jnp.asarray(x, dtype), jnp.asarray(y, dtype)[:, None], jnp.zeros(5, jnp.int32), ""
    )
    network = problems.FullyConnected((1, 1, 1), bias=False)
    start = tuple({"weight": jnp.full((1, 1), w, dtype)} for w in START_OF_UNIT)
    return problems.expand(problems.Supervised(network, data, problems.mean_half_squared_error), start, order=2)


START_OF_UNIT = np.array([0.7, -0.4])

MODELS = {
    "scalar network": _scalar(1, 1, 1),
    "coupled scalar network": _scalar(2, 2),
    "scalar network of unlike powers": _scalar(1, 3),
    "single neuron, square root": _neuron(problems.SquareRootLoss(), by_hand.square_root),
    "single neuron, log cosh": _neuron(problems.LogCoshLoss(), by_hand.log_cosh),
    "single neuron, huber": _neuron(problems.HuberLoss(), by_hand.huber),
    "single neuron, power 1.5": _neuron(problems.PowerLoss(1.5), by_hand.power(1.5)),
    "single neuron, power 4": _neuron(problems.PowerLoss(4.0), by_hand.power(4.0)),
    "mean model": ModelRow(
        lambda _, __: problems.MeanModel(3), by_hand.mean_model(3), problems.MeanModel, varies=False
    ),
    "threshold network": ModelRow(
        lambda n, dtype: problems.ThresholdNetwork(_scaled(5, 3, n, dtype)),
        by_hand.threshold_network(*_examples(5, 3)),
        problems.ThresholdNetwork,
    ),
    "sparse coding network": ModelRow(
        lambda n, dtype: problems.SparseCodingNetwork(_scaled(4, 2, n, dtype), 3),
        by_hand.sparse_coding_network(*_examples(4, 2), 3),
        problems.SparseCodingNetwork,
    ),
    "two-layer linear network": ModelRow(
        lambda n, dtype: _two_layer_linear(_scaled(4, 3, n, dtype)),
        by_hand.two_layer_linear(*_examples(4, 3), 2),
        problems.TwoLayerLinear,
    ),
    "self-stabilizing": ModelRow(
        lambda n, _: problems.SelfStabilizing(n, 0.5, 3.0), by_hand.self_stabilizing(0.5, 3.0), problems.SelfStabilizing
    ),
    "quadratic regression": ModelRow(
        lambda n, dtype: problems.QuadraticRegression(jnp.asarray(Q, dtype), n),
        by_hand.quadratic_regression(Q),
        problems.QuadraticRegression,
    ),
    "quadratic model": ModelRow(
        _quadratic_model, by_hand.quadratic_model(*_rows(3, 4)), problems.QuadraticModel, drawn=False
    ),
    "taylor model": ModelRow(
        _tanh_unit,
        by_hand.tanh_unit(_examples(5, 1)[0][:, 0], _examples(5, 1)[1], START_OF_UNIT),
        problems.TaylorModel,
        drawn=False,
    ),
    "rank-one factorisation": ModelRow(
        lambda _, __: problems.RankOneFactorization(2), by_hand.rank_one, problems.RankOneFactorization, varies=False
    ),
}


def _two_layer_linear(data):
    return problems.TwoLayerLinear(data.x, data.y[:, 0], width=2)


# Reduced maps and noisy descent -------------------------------------------------------------------------------------


class MapRow(NamedTuple):
    """A process made of a number that may be traced and a start, and one step of it by hand, (theta, number, draw).

    `noise`, where there is any, gives the draws of a run in a precision.
    """

    make: Callable[[Any, np.ndarray, Any], dynamics.AbstractProcess]
    step: Callable[[np.ndarray, float, Any], tuple[np.ndarray, Any]]
    start: list[float]
    kind: type
    noise: Callable[..., list] | None = None


def _array(start, dtype):
    return jnp.asarray(start, dtype)


def _split(kind, start, dtype):
    return kind(jnp.asarray(start[0], dtype), jnp.asarray(start[1:], dtype))


def _output_jacobian(start, dtype):
    z, jacobian = np.split(start, [3])
    return dynamics.OutputJacobian(jnp.asarray(z, dtype), jnp.asarray(jacobian.reshape(3, 4), dtype))


W = np.array([1.0, 0.3, -0.5])
COUPLED = problems.ScalarNetwork((2, 2), 0.25)

J = np.random.default_rng(8).normal(size=(4, 4)) + 2 * np.eye(4)

MAPS = {
    "label noise": MapRow(
        lambda n, start, dtype: dynamics.LabelNoise(COUPLED, n, 0.1, start=_array(start, dtype)),
        by_hand.label_noise,
        [1.3, 0.6],
        dynamics.LabelNoise,
        functools.partial(by_hand.noise, shape=(), leaves=False),
    ),
    "gradient noise": MapRow(
        lambda n, start, dtype: dynamics.GradientNoise(COUPLED, n, 0.1, start=_array(start, dtype)),
        by_hand.gradient_noise,
        [1.3, 0.6],
        dynamics.GradientNoise,
        functools.partial(by_hand.noise, shape=(2,), leaves=True),
    ),
    "minibatch descent": MapRow(
        lambda n, start, dtype: dynamics.MinibatchDescent(
            _quadratic_model(1.0, dtype, problems.mean_half_squared_error),
            dynamics.gradient_descent(n),
            2,
            start=_array(start, dtype),
        ),
        by_hand.minibatch_descent(*_rows(3, 4)),
        [0.3, -0.1, 0.2, 0.4],
        dynamics.MinibatchDescent,
        functools.partial(by_hand.rows_drawn, num_examples=3, batch_size=2),
    ),
    "minibatch sweep": MapRow(
        lambda n, start, dtype: dynamics.MinibatchSweep(
            _quadratic_model(1.0, dtype, problems.mean_half_squared_error),
            dynamics.Optimiser(optax.sgd, {"learning_rate": jnp.stack([jnp.asarray(n), jnp.asarray(n) / 2])}),
            2,
            start=_array(start[:4], dtype),
        ),
        by_hand.minibatch_sweep(*_rows(3, 4)),
        [0.3, -0.1, 0.2, 0.4] * 2,
        dynamics.MinibatchSweep,
        functools.partial(by_hand.rows_drawn, num_examples=3, batch_size=2),
    ),
    "function space descent": MapRow(
        lambda n, s, dtype: dynamics.FunctionSpaceDescent(
            jnp.asarray(_rows(3, 4)[2], dtype), _output_jacobian(s, dtype), n, batch_size=2
        ),
        by_hand.function_space_descent(_rows(3, 4)[2]),
        [*(0.5 * _rows(3, 4)[0]), *_rows(3, 4)[1].ravel()],
        dynamics.FunctionSpaceDescent,
        functools.partial(by_hand.rows_drawn, num_examples=3, batch_size=2),
    ),
    "self-stabilization": MapRow(
        lambda n, s, dtype: dynamics.SelfStabilization(n, 0.5, 3.0, x=_array(s[0], dtype), y=float(s[1])),
        by_hand.self_stabilization,
        [0.3, -0.1],
        dynamics.SelfStabilization,
    ),
    "mean model": MapRow(
        lambda n, s, dtype: dynamics.MeanModelMap(n, 3.0, weight_sum=_array(s[0], dtype), bias=float(s[1])),
        by_hand.mean_model_map(3),
        [1.5, 0.2],
        dynamics.MeanModelMap,
    ),
    "cubic map": MapRow(
        lambda n, start, dtype: dynamics.CubicMap(_array(n, dtype), start=_array(start[0], dtype)),
        lambda t, n, draw: by_hand.cubic_map(t, n, draw),
        [0.2],
        dynamics.CubicMap,
    ),
    "quadratic modes": MapRow(
        lambda n, s, dtype: dynamics.QuadraticModes(_array(n * W, dtype), _split(dynamics.Modes, s, dtype)),
        lambda t, n, draw: by_hand.quadratic_modes(n * W)(t, n, draw),
        [0.4, 0.5, -1.0, 0.7],
        dynamics.QuadraticModes,
    ),
    "quadratic moments": MapRow(
        lambda n, s, dtype: dynamics.QuadraticMoments(_array(n * W, dtype), _split(dynamics.Moments, s, dtype)),
        lambda t, n, draw: by_hand.quadratic_moments(n * W)(t, n, draw),
        [0.4, 1.95, 0.02, 0.01],
        dynamics.QuadraticMoments,
    ),
    "two eigenvalues": MapRow(
        lambda n, start, dtype: dynamics.TwoEigenvalueMap(-n, _array(start, dtype), 0.05),
        by_hand.two_eigenvalue_map(0.05),
        [0.2, 2.2],
        dynamics.TwoEigenvalueMap,
    ),
    "linear sgd": MapRow(
        lambda n, s, dtype: dynamics.LinearSgd(_array(J @ J.T / 4, dtype), n, 2, _array(s[:4], dtype), 0.5, 0.2),
        by_hand.linear_sgd(J, 0.5, 0.2, 2),
        [1.0, -0.5, 0.7, 0.3, 0.0, 0.0, 0.0, 0.0],
        dynamics.LinearSgd,
        functools.partial(by_hand.batches, num_examples=4, batch_size=2),
    ),
    "low order": MapRow(
        lambda n, start, dtype: dynamics.LowOrderMap(n, _array(start, dtype)),
        by_hand.low_order_map,
        [0.2, 0.05],
        dynamics.LowOrderMap,
    ),
}
