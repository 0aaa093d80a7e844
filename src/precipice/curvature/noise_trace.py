"""The trace of the loss-weighted kernel in one pass over the data: exact, by random signs, and by sampled targets.

The trace of the Gram matrix of a mean training loss, tr(J^T H_out J) = (1/n) sum_i tr(J_i^T H_i J_i), with J_i the
Jacobian of example i and H_i the Hessian of its own loss in its outputs. For a mean of half squared errors it is
tr(J J^T)/n. The noise kernel norm's trace form is lr/(2 B) times it for one output an example, lr/(2 B C) for C
(agarwala2024, eq. 11; SEOS-9, 14, 25, 26).

| function | passes | gradients an example | error | memory besides the parameters |
|---|---|---|---|---|
| `gram_trace` | 1 | C | none | chunk x parameters, at worst |
| `gram_trace_hutchinson` | 1 | num | cross terms within a chunk | activations of a chunk, one gradient |
| `gram_trace_bartlett` | 1 | num | the same, and of the targets | activations of a chunk, one gradient |

None depends on the number of examples, if the data come as `Chunks`. All take an example's outputs to depend on that
example alone.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from precipice._checks import at_least
from precipice._types import Params, PRNGKey, Scalar
from precipice.curvature.chunks import Chunks, in_chunks, num_examples, paired, total_examples, weighted_mean
from precipice.curvature.coupled import check_uncoupled
from precipice.curvature.ntk import output_roots
from precipice.curvature.trace import Estimate


def gram_trace(
    outputs: Callable[..., Any], loss_of_outputs: Callable[..., Scalar], params: Params, data: Any
) -> Estimate:
    """tr(J^T H_out J) from the gradient of every output of every example; its standard error is 0.

    (1/n) sum_i sum_c |J_i^T r_ic|^2, with r_ic the columns of the root of H_i. Costs C gradients of each example.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``.
        loss_of_outputs: ``loss_of_outputs(outputs, batch) -> scalar``, convex in the outputs, a **mean over examples**.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it: gradients of one chunk are held at a time. On
            a CPU few examples a chunk, whose gradients stay in the cache, are fastest (5 of 267,009 parameters).

    Raises:
        InputError: outputs of a problem with BatchNorm.

    References: agarwala2024, eqs. 11 and 18 (SEOS-9, SEOS-14).

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[3.0], [4.0]])
        >>> loss = lambda f, x: jnp.mean(f**2) / 2
        >>> estimate = gram_trace(lambda w, x: w * x, loss, jnp.array(1.0), x)
        >>> float(estimate.value), float(estimate.sem)
        (12.5, 0.0)
    """
    check_uncoupled(outputs, "a trace of per-example gradients")
    value = _exact(outputs, loss_of_outputs, params, data)
    return Estimate(value, jnp.zeros_like(value))


@eqx.filter_jit
def _exact(outputs: Callable[..., Any], loss_of_outputs: Callable[..., Scalar], params: Params, data: Any) -> Array:
    def one(example, cotangent):
        single = jax.tree.map(lambda a: a[None], example)
        return _squared_norm(jax.vjp(lambda p: outputs(p, single)[0], params)[1](cotangent)[0])

    def mean(batch):
        roots = output_roots(loss_of_outputs, outputs(params, batch), batch)
        columns = jax.lax.map(lambda column: jnp.mean(jax.vmap(one)(batch, column)), jnp.moveaxis(roots, 2, 0))
        return jnp.sum(columns)

    return weighted_mean(mean, in_chunks(data))


def gram_trace_hutchinson(
    outputs: Callable[..., Any],
    loss_of_outputs: Callable[..., Scalar],
    params: Params,
    data: Any,
    *,
    key: PRNGKey,
    num: int = 10,
) -> Estimate:
    """tr(J^T H_out J) by random signs on the outputs: the mean of (1/n) sum_chunks |J_c^T R_c s_c|^2.

    R_c is the root of the output Hessian of the chunk's examples, s_c are signs. Unbiased; the variance of a sample is
    twice the sum of the squared off-diagonal entries of the Gram matrix **within chunks**, so that smaller chunks err
    less (chunks of one example with one output not at all). Costs num gradients in one pass. `trace` of the operator
    `gram` has the same mean, at a pass a sample and with the cross terms of all pairs.

    Args:
        outputs: as for `gram_trace`.
        loss_of_outputs: as for `gram_trace`.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it.
        key: for the signs.
        num: samples; at least 2, for the standard error, which itself is off by 1/sqrt(2 (num - 1)).

    Raises:
        InputError: `num` below 2, or outputs of a problem with BatchNorm.

    References: Hutchinson 1989.
    """
    check_uncoupled(outputs, "a trace of per-example gradients")
    at_least("num of a trace", num, 2)
    return _estimate(_hutchinson(outputs, loss_of_outputs, params, data, key, num))


@eqx.filter_jit
def _hutchinson(
    outputs: Callable[..., Any], loss_of_outputs: Callable[..., Scalar], params: Params, data: Any, key: Array, num: int
) -> Array:
    def signs(batch, f):
        roots = output_roots(loss_of_outputs, f, batch)

        def draw(one_key, root):
            return root @ jax.random.rademacher(one_key, root.shape[:1], root.dtype)

        return lambda keys: jax.vmap(draw)(keys, roots)

    return _samples(outputs, params, data, key, num, signs)


def gram_trace_bartlett(
    outputs: Callable[..., Any],
    output_loss: Callable[..., Scalar],
    sample_targets: Callable[..., Array],
    params: Params,
    data: Any,
    *,
    key: PRNGKey,
    num: int = 10,
) -> Estimate:
    """tr(J^T H_out J) by targets drawn from the model: the mean of (1/n) sum_chunks |sum_{i in c} grad l(f_i, y_i)|^2.

    With y drawn from the distribution whose negative log likelihood the loss is, output gradients have mean 0 and
    covariance H_i (Bartlett's second identity). Needs no Hessian of the loss and no square root, only gradients of the
    loss with other targets, which is why agarwala2024 use it on ImageNet. Its variance has the terms of
    `gram_trace_hutchinson` and those of one example's own draws. Costs num gradients in one pass.

    Args:
        outputs: as for `gram_trace`.
        output_loss: ``output_loss(outputs [m, C], targets [m, C]) -> scalar``, a **mean over examples**: a function of
            `problems.losses`.
        sample_targets: ``sample_targets(key, outputs [C]) -> targets [C]`` of one example: `problems.target_sampler`.
        params: the point.
        data: a batch with a leading axis of examples, or `Chunks` of it; its targets do not enter.
        key: for the targets.
        num: samples; at least 2, for the standard error, which itself is off by 1/sqrt(2 (num - 1)).

    Raises:
        InputError: `num` below 2, or outputs of a problem with BatchNorm.

    References: agarwala2024, eq. 130 (SEOS-25); Bartlett 1953; Martens 2020, section 5.
    """
    check_uncoupled(outputs, "a trace of per-example gradients")
    at_least("num of a trace", num, 2)
    return _estimate(_bartlett(outputs, output_loss, sample_targets, params, data, key, num))


@eqx.filter_jit
def _bartlett(
    outputs: Callable[..., Any],
    output_loss: Callable[..., Scalar],
    sample_targets: Callable[..., Array],
    params: Params,
    data: Any,
    key: Array,
    num: int,
) -> Array:
    def gradients(batch, f):  # noqa: ARG001
        def draw(keys):
            targets = jax.lax.stop_gradient(jax.vmap(sample_targets)(keys, f))
            return f.shape[0] * jax.grad(output_loss)(f, targets)

        return draw

    return _samples(outputs, params, data, key, num, gradients)


def _samples(
    outputs: Callable[..., Any], params: Params, data: Any, key: Array, num: int, cotangents: Callable[..., Any]
) -> Float[Array, "num"]:
    """Samples of (1/n) sum_c |J_c^T u_c|^2 with u_c = cotangents(batch, outputs)(keys), one key an example."""
    chunks: Chunks = in_chunks(data)
    keys = jax.random.split(key, total_examples(chunks))  # of each example, so that the cut does not change the draws

    def mean(batch_and_keys):
        batch, own = batch_and_keys
        f, pull = jax.vjp(lambda p: outputs(p, batch), params)
        draw = cotangents(batch, f)

        def sample(number):
            numbered = jax.vmap(lambda k: jax.random.fold_in(k, number))(own)
            return _squared_norm(pull(draw(numbered))[0]) / num_examples(batch)

        return jax.lax.map(sample, jnp.arange(num))

    return weighted_mean(mean, paired(chunks, keys))


def _estimate(samples: Float[Array, "num"]) -> Estimate:
    return Estimate(jnp.mean(samples), jnp.std(samples, ddof=1) / samples.shape[0] ** 0.5)


def _squared_norm(tree: PyTree) -> Array:
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree))  # pyright: ignore[reportReturnType]
