"""The neural tangent kernel of a fully connected network in closed form: no Jacobian, no block of it.

The gradient of output c of example i in a layer's weights is the outer product of the layer's input and of the signal
that backpropagation brings to its pre-activations, so that with h the inputs, b the signals, w and v the factors that
the initialisation puts before weights and biases,

    K_(ic)(jd) = sum over layers of (w^2 h_i . h_j + v^2) (b_ic . b_jd).

Signals that begin with the roots of the output Hessian instead of the identity give the Gram matrix of the loss.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import Params
from precipice.curvature import Estimate
from precipice.curvature.kernel_matrix import check_rows
from precipice.curvature.ntk import output_roots
from precipice.problems import FullyConnected, Supervised
from precipice.problems.losses import check_mean


class _Layer(NamedTuple):
    """A layer's inputs, the signals at its pre-activations, and the squared factors before weights and biases."""

    inputs: Float[Array, "n fan_in"]
    signals: Float[Array, "n C fan_out"]
    weight_factor: float
    bias_factor: float


def layerwise_kernel(network: FullyConnected, params: Params, x: Float[Array, "n inputs"]) -> Float[Array, "N N"]:
    """The raw kernel J J^T of a fully connected network on n examples, [n C, n C], in the precision of the inputs.

    Row i C + c belongs to output c of example i, as in `curvature.kernel_matrix`, with which it agrees to rounding.
    Costs n^2 times the sum of the widths multiplications (C^2 times for the hidden ones), against n^2 times the number
    of parameters for the product of Jacobians: about a hundred times less at widths of hundreds. Memory: the result
    three times, and the activations.

    Args:
        network: the network, any widths, activation and initialisation.
        params: the point, as ``network.init`` makes it.
        x: inputs.

    Raises:
        InputError: more than 20,000 rows, or inputs that do not fit the network.

    References: Jacot et al. 2018; agarwala2024, section 2.1 (the NTK is this over the number of examples).

    Example:
        >>> network = FullyConnected((2, 1), bias=False)
        >>> params = ({"weight": jnp.array([[0.5], [0.5]])},)
        >>> layerwise_kernel(network, params, jnp.array([[1.0, 0.0], [1.0, 2.0]])).tolist()
        [[1.0, 1.0], [1.0, 5.0]]
    """
    _check(network, x)
    return _kernel(network, params, x)


def layerwise_gram(problem: Supervised, params: Params, batch: Any = None) -> Float[Array, "N N"]:
    """The Gram matrix of the training loss of a fully connected network, [n C, n C]: its edge is 2/lr.

    R J J^T R with R the root of the output Hessian of the mean loss; J J^T/n for a mean of half squared errors, where
    it is agarwala2024's kernel Theta. Cost as `layerwise_kernel`, and n eigendecompositions of C x C blocks.

    Args:
        problem: a network, data and a loss that is a **mean over examples**.
        params: the point.
        batch: any object with fields x and y, by default all the data.

    Raises:
        InputError: more than 20,000 rows.

    References: agarwala2024, section 2.1 and appendix A.7 (SEOS-1, SEOS-14, SEOS-26).

    Example:
        >>> from precipice import problems
        >>> data = problems.chebyshev(3, 20)
        >>> problem = Supervised(FullyConnected((1, 8, 1)), data, problems.mean_half_squared_error)
        >>> layerwise_gram(problem, problem.init(jax.random.key(0))).shape
        (20, 20)
    """
    x = (problem.data if batch is None else batch).x
    _check(_fully_connected(problem), x)
    check_mean(problem)
    return _gram(problem, params, batch)


def layerwise_gram_trace(problem: Supervised, params: Params, batch: Any = None) -> Estimate:
    """The trace of `layerwise_gram` without the matrix: (1/n) sum_i sum_l (w^2 |h_i|^2 + v^2) sum_c |b_ic|^2; exact.

    What agarwala2024's trace form of K needs, at C gradients of the data and the memory of their activations: no
    gradient of a single example is formed. `curvature.gram_trace` is the same for any problem.

    Args:
        problem: a network, data and a loss that is a **mean over examples**.
        params: the point.
        batch: any object with fields x and y, by default all the data.

    References: agarwala2024, eq. 11 (SEOS-9); Goodfellow 2015 for the norms of single gradients.

    Example:
        >>> from precipice import problems
        >>> data = problems.chebyshev(3, 20)
        >>> problem = Supervised(FullyConnected((1, 8, 1)), data, problems.mean_half_squared_error)
        >>> params = problem.init(jax.random.key(0))
        >>> difference = layerwise_gram_trace(problem, params).value - jnp.trace(layerwise_gram(problem, params))
        >>> bool(jnp.abs(difference) < 1e-6)
        True
    """
    check_mean(problem)
    value = _trace(problem, params, batch)
    return Estimate(value, jnp.zeros_like(value))


def _fully_connected(problem: Supervised) -> FullyConnected:
    if not isinstance(problem.network, FullyConnected):
        name = type(problem.network).__name__
        raise InputError(
            f"network must be FullyConnected (curvature.kernel_matrix and gram_trace take any); got {name}."
        )
    return problem.network


def _check(network: FullyConnected, x: Array) -> None:
    if x.ndim != 2 or x.shape[1] != network.widths[0]:
        raise InputError(f"x must have shape [n, {network.widths[0]}], as the network's widths say; got {x.shape}.")
    check_rows(x.shape[0] * network.widths[-1], x.dtype)


@eqx.filter_jit
def _kernel(network: FullyConnected, params: Params, x: Array) -> Array:
    identity = jnp.eye(network.widths[-1], dtype=x.dtype)
    return _summed(_layers(network, params, x, jnp.broadcast_to(identity, (len(x), *identity.shape))))


@eqx.filter_jit
def _gram(problem: Supervised, params: Params, batch: Any) -> Array:
    return _summed(_loss_layers(problem, params, batch))


@eqx.filter_jit
def _trace(problem: Supervised, params: Params, batch: Any) -> Array:
    parts = [
        (layer.weight_factor * jnp.sum(layer.inputs**2, axis=1) + layer.bias_factor)
        @ jnp.sum(layer.signals**2, axis=(1, 2))
        for layer in _loss_layers(problem, params, batch)
    ]
    return jnp.sum(jnp.stack(parts))


def _loss_layers(problem: Supervised, params: Params, batch: Any) -> list[_Layer]:
    """Layers whose signals begin with the root of the output Hessian of the mean loss."""
    data = problem.data if batch is None else batch
    roots = output_roots(problem.loss_of_outputs, problem.predict(params, data.x), data)
    return _layers(_fully_connected(problem), params, data.x, roots / roots.shape[0] ** 0.5)


def _layers(network: FullyConnected, params: Params, x: Array, signals: Float[Array, "n C C"]) -> list[_Layer]:
    """One pass forwards and, with C signals an example, one backwards; the last layer first."""
    inputs, slopes, h = [], [], x
    for number, layer in enumerate(params):
        inputs.append(h)
        weight, bias = network.initialisation.factors(h.shape[1])
        before = weight * (h @ layer["weight"])
        before = before + (bias * layer["bias"])[None] if network.bias else before
        if number + 1 < len(params):
            h, slope = jax.jvp(network.activation, (before,), (jnp.ones_like(before),))
            slopes.append(slope)
    layers = []
    for number in reversed(range(len(params))):
        weight, bias = network.initialisation.factors(inputs[number].shape[1])
        layers.append(_Layer(inputs[number], signals, weight**2, bias**2 if network.bias else 0.0))
        if number:
            signals = weight * (signals @ params[number]["weight"].T) * slopes[number - 1][:, None]
    return layers


def _summed(layers: list[_Layer]) -> Array:
    n, c = layers[0].signals.shape[:2]
    total = jnp.zeros((n, c, n, c), layers[0].signals.dtype)
    for layer in layers:
        flat = layer.signals.reshape(n * c, -1)
        of_inputs = layer.weight_factor * (layer.inputs @ layer.inputs.T) + layer.bias_factor
        total = total + of_inputs[:, None, :, None] * (flat @ flat.T).reshape(n, c, n, c)
    kernel = total.reshape(n * c, n * c)
    return (kernel + kernel.T) / 2
