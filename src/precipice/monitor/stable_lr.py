"""Before any training: the largest stable learning rate of a model at its initialisation."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from precipice._checks import at_least
from precipice._types import Params, PRNGKey, Scalar
from precipice.curvature.chunks import num_examples
from precipice.dynamics.descent import gradient_descent
from precipice.monitor.advice import Advice
from precipice.monitor.jax_loss import Held, trained_part
from precipice.monitor.jax_measures import hessian_top, noise_trace
from precipice.monitor.jax_monitor import JaxMonitor
from precipice.monitor.limits import curvature_factor
from precipice.monitor.reading import Reading
from precipice.monitor.setting import LossKind


class StableLr(NamedTuple):
    """The largest stable learning rates at a point.

    Args:
        lr: by curvature: where the optimiser is marginal on the quadratic approximation; inf where no curvature is
            positive.
        error: of it, from the error bound of the eigenvalue.
        noise_lr: by the noise of batches: where the trace estimate of K is 1; NaN where that is not positive (0
            for the full batch).
        noise_error: its standard error.
        reading: what was measured.
        advice: in words, with reasons and caveats.
    """

    lr: float
    error: float
    noise_lr: float
    noise_error: float
    reading: Reading
    advice: tuple[Advice, ...]


def largest_stable_lr(
    loss: Callable[[PyTree, Any], Scalar],
    params: PyTree,
    data: Any,
    *,
    batch_size: int,
    optimiser: Any = None,
    kind: LossKind = "other",
    num_outputs: int | None = None,
    num_training: int | None = None,
    num: int = 10,
    num_batches: int = 100,
    rtol: float = 1e-4,
    chunk_size: int | None = None,
    trainable: Any = eqx.is_inexact_array,
    key: PRNGKey | None = None,
) -> StableLr:
    """The learning rate beyond which the first steps of a training are unstable, from a fixed set of examples.

    The edge of gradient descent is 2/sharpness; of any other known optimiser by `measures.optax_threshold`. The
    preconditioner of an adaptive one is what the gradients of `num_batches` random batches at this point would make of
    it: after its first step alone it would be nearly nothing wherever that gradient is small.

    Later in a training the sharpness rises towards the edge whatever the learning rate (progressive sharpening), and
    trainings begun above it are often caught again at lower sharpness (catapult): the number is a scale, not a promise.

    Args:
        loss: as for `JaxMonitor`.
        params: the model at its initialisation.
        data: a fixed, representative part of the training data.
        batch_size: B, of the training.
        optimiser: a `dynamics.Optimiser`, whose learning rate is a placeholder; gradient descent if None.
        kind: of the loss, for the advice.
        num_outputs: C, as for `JaxMonitor`.
        num_training: D, as for `JaxMonitor`.
        num: random vectors of the trace.
        num_batches: gradients of batches of `batch_size` that an adaptive optimiser's state is made of.
        rtol: asked relative error of the sharpness.
        chunk_size: examples held at a time, by default `batch_size`.
        trainable: which leaves are trained.
        key: for random vectors; `jax.random.key(0)` if None.

    Cost: about 20 Hessian-vector products and `num` backward passes on `data`; for an adaptive optimiser `num_batches`
    gradients of a batch.

    Raises:
        InputError: as `JaxMonitor`.

    References: Cohen et al. 2021, equation 1; agarwala2024, eq. 11, for the noise.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0], [3.0]])
        >>> loss = lambda w, x: jnp.mean((x * w) ** 2) / 2
        >>> round(largest_stable_lr(loss, jnp.array(0.5), x, batch_size=2).lr, 5)  # 2 over the mean of x^2
        0.4
    """
    at_least("num_batches", num_batches, 1)
    optimiser = gradient_descent(1.0) if optimiser is None else optimiser
    monitor = JaxMonitor(
        loss,
        data,
        optimiser,
        batch_size=batch_size,
        kind=kind,
        num_outputs=num_outputs,
        num_training=num_training,
        measures=[hessian_top(rtol=rtol), noise_trace(num=num)],
        chunk_size=chunk_size,
        trainable=trainable,
        lines=(),
        key=key,
    )
    arrays, rest = trained_part(params, trainable)
    keys = jax.random.split(jax.random.key(0) if key is None else key, num_batches)
    size = min(batch_size, num_examples(monitor.probe.data))
    opt_state = _state_at(optimiser, Held(loss, rest), arrays, monitor.probe.data, keys, size)
    reading = monitor.measure(params, opt_state)
    return _result(reading, monitor.advice())


@eqx.filter_jit
def _state_at(optimiser: Any, loss: Held, params: Params, data: Any, keys: Array, size: int) -> PyTree:
    """The optimiser's state after gradients of random batches, one a key, all at the same parameters."""

    def once(state, key):
        rows = jax.random.choice(key, num_examples(data), (size,), replace=False)
        gradient = jax.grad(loss)(params, jax.tree.map(lambda a: a[rows], data))
        with jax.numpy_dtype_promotion("standard"):
            return optimiser.update(gradient, state, params)[1], None

    return jax.lax.scan(once, optimiser.init(params), keys)[0]


def _result(reading: Reading, advice: tuple[Advice, ...]) -> StableLr:
    sharpness, bound = reading["normalised_sharpness"], reading.error("normalised_sharpness")
    lr = reading.lr * curvature_factor(sharpness, reading.rates)
    error = lr * bound / abs(sharpness) if math.isfinite(lr) else math.inf
    norm, sem = reading["noise_kernel_norm_estimate"], reading.error("noise_kernel_norm_estimate")
    noise_lr = reading.lr / norm if norm > 0 else math.nan
    return StableLr(lr, error, noise_lr, noise_lr * sem / abs(norm) if norm else math.nan, reading, advice)
