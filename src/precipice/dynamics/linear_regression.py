"""Linear regression under minibatch SGD, followed in its outputs: the model in which the noise kernel norm is exact."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from precipice._checks import InputError, at_least, check_batch_size, positive, symmetric
from precipice._types import Number, PRNGKey, floating
from precipice.dynamics.minibatch import draw_batch
from precipice.dynamics.process import AbstractProcess, State


class OutputVelocity(NamedTuple):
    """Outputs and what the optimiser's velocity does to them.

    Args:
        z: outputs less targets [n].
        velocity: J v, the velocity v of the parameters seen in the outputs [n]; 0 without momentum before a step.
    """

    z: Float[Array, "n"]
    velocity: Float[Array, "n"]


class LinearSgd(AbstractProcess):
    """v' = mu v - (D/B) Th P z - rho z and z' = z + lr v': SGD on |z|^2/(2D) with z = J theta, seen in the outputs.

    Each step draws B of the D examples without replacement, afresh; P keeps their outputs. Th = J J^T/D is the Gram
    matrix of the mean loss, so that with the full batch z' = (1 - lr Th) z, whose edge is 2/lr. In parameters the same
    steps are v' = mu v - J^T P z/B - rho theta and theta' = theta + lr v', the heavy ball with (rho/2)|theta|^2 beside
    the loss; the targets are 0 where rho is not.

    Parameters are an `OutputVelocity`; the loss of a state is |z|^2/(2D) over all D examples before the step.

    Args:
        kernel: Th [n, n]; its rows are ordered by example, the `num_outputs` of one example side by side.
        lr: learning rate.
        batch_size: B.
        start: z at the start [n]; the velocity starts at 0.
        momentum: mu.
        l2: rho.
        num_outputs: C outputs an example, so that n = D C and a batch is B whole examples.

    Cost: B C n multiplications a step, of the n^2 that a full-batch step takes.

    Raises:
        InputError: a kernel that is not square and symmetric, a start of another length or not finite, lr not positive,
            momentum outside [0, 1), l2 below 0, a batch below 1 or larger than the data.

    References: agarwala2024, eqs. 4 to 6, 54 and 77 (SEOS-1 to SEOS-3, SEOS-11, SEOS-13; ERR-S7, ERR-S11).

    Example:
        >>> process = LinearSgd(jnp.diag(jnp.array([1.0, 3.0])), 0.5, 2, start=jnp.array([1.0, 1.0]))
        >>> process.step(process.init(jax.random.key(0))).params.z.tolist()
        [0.5, -0.5]
    """

    kernel: Float[Array, "n n"]
    lr: Array
    momentum: Array
    l2: Array
    start: Float[Array, "n"]
    batch_size: int = eqx.field(static=True)
    num_outputs: int = eqx.field(static=True)

    def __init__(
        self,
        kernel: Float[Array, "..."] | Float[np.ndarray, "..."],
        lr: Number,
        batch_size: int,
        start: Float[Array, "..."] | Float[np.ndarray, "..."],
        momentum: Number = 0.0,
        l2: Number = 0.0,
        num_outputs: int = 1,
    ):
        first = floating(start)
        if jnp.ndim(kernel) != 2 or jnp.shape(kernel) != jnp.shape(first) * 2:
            raise InputError(
                f"kernel must be square with a row for each entry of start ({first.size}); got {jnp.shape(kernel)}."
            )
        at_least("num_outputs", num_outputs, 1)
        if first.size % num_outputs:
            raise InputError(f"num_outputs must divide the size of start ({first.size}); got {num_outputs}.")
        check_batch_size(batch_size, first.size // num_outputs)
        _check_numbers(lr, momentum, l2)
        if not isinstance(first, Tracer) and not np.isfinite(np.asarray(first)).all():
            raise InputError("start must be finite; got NaN or inf.")
        if not isinstance(kernel, Tracer):
            symmetric("kernel", np.asarray(kernel))
        self.start, self.batch_size, self.num_outputs = first, batch_size, num_outputs
        self.kernel = jnp.asarray(kernel, first.dtype)
        self.lr, self.momentum, self.l2 = (jnp.asarray(v, first.dtype) for v in (lr, momentum, l2))

    @property
    def num_examples(self) -> int:
        """D."""
        return self.start.size // self.num_outputs

    def init(self, key: PRNGKey) -> State:
        """The state at the start, at rest."""
        params = OutputVelocity(self.start, jnp.zeros_like(self.start))
        return State(jnp.zeros((), int), params, (), key, jnp.full((), jnp.nan, self.start.dtype))

    def step(self, state: State) -> State:
        """Draw a batch and take one step on it."""
        key, use = jax.random.split(state.key)
        batch = draw_batch(use, self.num_examples, self.batch_size)
        loss = jnp.sum(state.params.z**2) / (2 * self.num_examples)
        return State(state.step + 1, self.moved(state.params, batch), state.memory, key, loss)

    def moved(self, params: OutputVelocity, batch: Int[Array, "b"]) -> OutputVelocity:
        """One step on the examples whose numbers are given: b different ones, a batch of b."""
        rows = (batch[:, None] * self.num_outputs + jnp.arange(self.num_outputs)[None]).ravel()
        pull = params.z[rows] @ self.kernel[rows] * (self.num_examples / batch.size)  # [b C] @ [b C, n]
        velocity = self.momentum * params.velocity - pull - self.l2 * params.z
        return OutputVelocity(params.z + self.lr * velocity, velocity)


def _check_numbers(lr: Number, momentum: Number, l2: Number) -> None:
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    if not isinstance(momentum, Tracer) and not 0 <= float(momentum) < 1:
        raise InputError(f"momentum must lie in [0, 1); got {float(momentum)}.")
    if not isinstance(l2, Tracer) and not (float(l2) >= 0 and math.isfinite(float(l2))):
        raise InputError(f"l2 must be at least 0 and finite; got {float(l2)}.")
