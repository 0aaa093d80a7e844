"""Stochastic measures to set beside the noise kernel norm: batch sharpness, gradient noise scale, Hessian trace.

| measure | definition | error |
|---|---|---|
| `batch_sharpness` | mean over batches of g_B^T H_B g_B/|g_B|^2 | standard error over sampled batches |
| `gradient_noise_scale` | tr(Sigma)/|G|^2, from every example's gradient | none |
| `gradient_noise_scale_two_batch` | the same, from gradients of small and large batches | jackknife over pairs |
| `hessian_trace` | sum of the Hessian's eigenvalues, with l2 per parameter | standard error over random signs |

Loss means the mean over examples throughout, and a batch is of whole examples.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from precipice._checks import at_least, check_batch_size
from precipice._types import Number, Params, PRNGKey, Scalar
from precipice.curvature import Chunks, Estimate, Hessian, chunked, trace
from precipice.curvature.chunks import num_examples, weighted_mean
from precipice.curvature.coupled import check_uncoupled
from precipice.problems import AbstractProblem
from precipice.problems.losses import check_mean


def batch_sharpness(
    problem: AbstractProblem, params: Params, data: Any, *, batch_size: int, num: int = 100, key: PRNGKey
) -> Estimate:
    """E_B[g_B^T H_B g_B/|g_B|^2]: the mean over batches of the batch Hessian's Rayleigh quotient along its gradient.

    g_B and H_B are gradient and Hessian of the mean loss of a batch of `batch_size` different examples, every such set
    equally likely. For the full batch it is the curvature along the gradient, at most the sharpness. It is a mean of
    ratios; the ratio of means is another number. Under SGD it is what settles at 2/lr, says its source. NaN where a
    batch has no gradient. Costs about 2.5 gradients of a batch for each of `num` batches, one after the other.

    Args:
        problem: its ``loss(params, batch)`` is a mean over the batch.
        params: the point.
        data: all examples, a pytree with a leading axis, such as ``problem.data``.
        batch_size: examples in a batch.
        num: sampled batches; at least 2, for the standard error.
        key: for the batches.

    Raises:
        InputError: a batch larger than the data, or `num` below 2.

    References: Andreyev and Beneventano 2024, Edge of stochastic stability (arXiv 2412.20553).

    Example:
        >>> from precipice import problems
        >>> problem = problems.Supervised(
        ...     problems.FullyConnected((1, 1), bias=False), problems.chebyshev(3, 8), problems.mean_half_squared_error
        ... )
        >>> params = ({"weight": jnp.array([[0.3]])},)
        >>> whole = batch_sharpness(problem, params, problem.data, batch_size=8, key=jax.random.key(0))
        >>> bool(jnp.abs(whole.value - jnp.mean(problem.data.x**2)) < 1e-6)  # one parameter: the Hessian itself
        True
    """
    check_batch_size(batch_size, num_examples(data))
    check_mean(problem)
    at_least("num of a mean over batches", num, 2)
    samples = _quotients(problem, params, data, jax.random.split(key, num), batch_size)
    return Estimate(jnp.mean(samples), jnp.std(samples, ddof=1) / num**0.5)


@eqx.filter_jit
def _quotients(problem: AbstractProblem, params: Params, data: Any, keys: Array, batch_size: int) -> Array:
    total = num_examples(data)

    def one(key):
        rows = jax.random.choice(key, total, (batch_size,), replace=False)
        batch = _rows(data, rows)
        gradient, curved = _gradient_and_product(problem, params, batch)
        return _dot(gradient, curved) / _dot(gradient, gradient)

    return jax.lax.map(one, keys)


def _gradient_and_product(problem: AbstractProblem, params: Params, batch: Any) -> tuple[PyTree, PyTree]:
    """A batch's gradient and its Hessian's product with it."""
    gradient, product = jax.linearize(jax.grad(lambda p: problem.loss(p, batch)), params)
    return gradient, product(gradient)


def gradient_noise_scale(problem: AbstractProblem, params: Params, data: Any, *, chunk: int) -> Estimate:
    """B_simple = tr(Sigma)/|G|^2 from every example's gradient: exact, so that its standard error is 0.

    G is the full gradient and Sigma = (1/n) sum_i (g_i - G)(g_i - G)^T the covariance of the gradient of an example
    drawn at random from the n. In units of examples: at a batch this large, drawn with replacement, noise and signal of
    the gradient are equal. Costs the gradient of each example; memory of `chunk` gradients at worst.

    Args:
        problem: its ``loss(params, batch)`` is a mean over the batch.
        params: the point.
        data: all examples, a pytree with a leading axis, such as ``problem.data``.
        chunk: examples whose gradients are held at a time.

    Raises:
        InputError: a chunk below 1, or a problem with BatchNorm.

    References: McCandlish et al. 2018, An empirical model of large-batch training, eq. 2.9.

    Example:
        >>> from precipice import problems
        >>> data = problems.from_arrays(jnp.ones((2, 1)), jnp.array([[1.0], [3.0]]))
        >>> network = problems.FullyConnected((1, 1), bias=False)
        >>> problem = problems.Supervised(network, data, problems.mean_half_squared_error)
        >>> params = ({"weight": jnp.zeros((1, 1))},)  # gradients -1 and -3: mean -2, variance 1
        >>> float(gradient_noise_scale(problem, params, data, chunk=1).value)
        0.25
    """
    check_uncoupled(problem.loss, "the gradient noise scale")
    value = _noise_scale(problem, params, chunked(data, chunk))
    return Estimate(value, jnp.zeros_like(value))


@eqx.filter_jit
def _noise_scale(problem: AbstractProblem, params: Params, chunks: Chunks) -> Array:
    def one(example):
        single = jax.tree.map(lambda a: a[None], example)
        return jax.grad(lambda p: problem.loss(p, single))(params)

    def means(batch):
        gradients = jax.vmap(one)(batch)
        return jax.tree.map(lambda g: jnp.mean(g, axis=0), gradients), _dot(gradients, gradients) / num_examples(batch)

    full, squares = weighted_mean(means, chunks)
    signal = _dot(full, full)
    return (squares - signal) / signal


def gradient_noise_scale_two_batch(
    problem: AbstractProblem, params: Params, data: Any, *, small: int, large: int, num: int = 100, key: PRNGKey
) -> Estimate:
    """tr(Sigma)/|G|^2 from `num` pairs of a small and a large batch, where every example's gradient is too much.

    E|g_B|^2 = |G|^2 + tr(Sigma)/B for batches drawn **with** replacement, so two sizes give unbiased estimates of both,
    which are averaged over the pairs. The ratio of the two means is biased at order 1/num; the standard error is the
    jackknife's. Costs a gradient of both batches for each pair.

    Args:
        problem: its ``loss(params, batch)`` is a mean over the batch.
        params: the point.
        data: all examples, a pytree with a leading axis.
        small: examples of the small batch.
        large: examples of the large batch, more.
        num: pairs; at least 2.
        key: for the batches.

    Raises:
        InputError: `large` not above `small`, `num` below 2, or a problem with BatchNorm.

    References: McCandlish et al. 2018, appendix A.1.
    """
    check_uncoupled(problem.loss, "the gradient noise scale")
    at_least("small", small, 1)
    at_least("large", large, small + 1)
    at_least("num of a mean over batches", num, 2)
    squares = _squared_gradients(problem, params, data, jax.random.split(key, num), small, large)
    signal = (large * squares[1] - small * squares[0]) / (large - small)
    noise = (squares[0] - squares[1]) / (1 / small - 1 / large)
    left_out = (jnp.sum(noise) - noise) / (jnp.sum(signal) - signal)
    sem = jnp.std(left_out) * (num - 1) ** 0.5
    return Estimate(jnp.mean(noise) / jnp.mean(signal), sem)


@eqx.filter_jit
def _squared_gradients(
    problem: AbstractProblem, params: Params, data: Any, keys: Array, small: int, large: int
) -> tuple[Array, Array]:
    total = num_examples(data)

    def squared(key, size):
        batch = _rows(data, jax.random.randint(key, (size,), 0, total))
        gradient = jax.grad(lambda p: problem.loss(p, batch))(params)
        return _dot(gradient, gradient)

    def one(key):
        first, second = jax.random.split(key)
        return squared(first, small), squared(second, large)

    return jax.lax.map(one, keys)


def hessian_trace(
    problem: AbstractProblem,
    params: Params,
    *,
    key: PRNGKey,
    num: int = 30,
    l2: Number = 0.0,
    chunks: Chunks | None = None,
) -> Estimate:
    """The trace of the Hessian of L + (l2/2)|theta|^2: that of L by random signs, and l2 for each parameter.

    With ``l2=0`` the trace of the loss alone. The L2 term adds l2 x (number of parameters) exactly, which leaves the
    standard error as it is and, at many parameters, can be most of the trace. Costs `num` Hessian-vector products.

    Args:
        problem: its loss is what is differentiated; any L2 term stays outside it.
        params: the point.
        key: for the signs.
        num: samples; at least 2.
        l2: coefficient of |theta|^2/2 (weight decay of plain SGD).
        chunks: the data in chunks (`curvature.chunked`), to bound memory at one chunk.

    Raises:
        InputError: `num` below 2.

    References: Hutchinson 1989; agarwala2024, appendix A.6 for the L2 term (SEOS-13).

    Example:
        >>> from precipice import problems
        >>> problem = problems.ScalarNetwork((1, 1))
        >>> plain = hessian_trace(problem, jnp.array([2.0, 1.0]), key=jax.random.key(0))
        >>> decayed = hessian_trace(problem, jnp.array([2.0, 1.0]), key=jax.random.key(0), l2=0.5)
        >>> round(float(decayed.value - plain.value), 5)
        1.0
    """
    loss = _hessian_trace(problem, params, key, num, chunks)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return Estimate(loss.value + jnp.asarray(l2, loss.value.dtype) * size, loss.sem)


@eqx.filter_jit
def _hessian_trace(problem: AbstractProblem, params: Params, key: Array, num: int, chunks: Chunks | None) -> Estimate:
    return trace(Hessian(problem.loss, params, chunks), key=key, num=num)


def _rows(data: Any, rows: Int[Array, "m"]) -> Any:
    return jax.tree.map(lambda a: a[rows], data)


def _dot(a: PyTree, b: PyTree) -> Scalar:
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jnp.sum(jnp.stack(jax.tree.leaves(products)))
