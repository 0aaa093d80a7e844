"""The tables that the tests run over: a new operator, loss or process gets a row here, and with it the battery.

Each row carries its reference, computed by another route than the library's (`oracles.py`).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax
import scipy.special

from oracles import Dense, dense, point, root_of
from precipice import curvature, dynamics, problems

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


OPERATORS = {
    "hessian": OperatorRow(_hessian, lambda d: d.hessian),
    "gauss-newton": OperatorRow(
        lambda problem, params, data: curvature.GaussNewton(problem.outputs, problem.loss_of_outputs, params, data),
        lambda d: d.jacobian.T @ d.output_hessian @ d.jacobian,
    ),
    "ntk": OperatorRow(
        lambda problem, params, data: curvature.NTK(problem.outputs, params, data), lambda d: d.jacobian @ d.jacobian.T
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
    """A loss, its value and its gradient in the outputs by numpy."""

    loss: Callable
    value: Callable[[np.ndarray, np.ndarray], float]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]


LOSSES = {
    "half squared": LossRow(
        problems.mean_half_squared_error,
        lambda f, y: sum(0.5 * (a - b) ** 2 for a, b in zip(f.flat, y.flat, strict=True)) / len(f),
        lambda f, y: (f - y) / len(f),
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
