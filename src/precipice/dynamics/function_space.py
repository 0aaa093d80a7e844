"""Quadratic models followed in their outputs and Jacobian (z, J), without parameters."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, check_batch_size, positive
from precipice._types import Number, PRNGKey, floating
from precipice.dynamics.minibatch import draw_batch
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems.quadratic_model import Rows, check_rows, contracted


class OutputJacobian(NamedTuple):
    """Where a quadratic model is: its residuals and their Jacobian.

    Args:
        z: residuals [d].
        jacobian: J [d, p].
    """

    z: Float[Array, "d"]
    jacobian: Float[Array, "d p"]


def quadratic_move(q: Float[Array, "d p p"], at: OutputJacobian, step: Float[Array, "p"]) -> OutputJacobian:
    """(z + J step + Q(step, step)/2, J + Q(step, .)): the model after its parameters have moved by `step`, exactly.

    Reads Q once.

    References: agarwala2022, eqs. 25 and 26 (QR-32).

    Example:
        >>> at = OutputJacobian(jnp.array([1.0]), jnp.array([[2.0]]))
        >>> [leaf.tolist() for leaf in quadratic_move(jnp.ones((1, 1, 1)), at, jnp.array([-1.0]))]
        [[-0.5], [[1.0]]]
    """
    jacobian = at.jacobian + contracted(q, step)
    return OutputJacobian(at.z + (at.jacobian @ step + jacobian @ step) / 2, jacobian)


class FunctionSpaceDescent(AbstractProcess):
    """z' = z - lr J v + lr^2 Q(v, v)/2 and J' = J - lr Q(v, .), with v the gradient or its heavy-ball average.

    The gradient is J^T z, of the sum of half squares, or J^T P z/B of the mean over a batch of B rows where a batch
    size is given. It is `Descent` on a `QuadraticModel` with `sum_half_squared_error`, or `MinibatchDescent` with
    `mean_half_squared_error` and the same batches from the same key, to rounding. Params are (z, J). A step reads Q
    once, as the parameter form does; that one moves p numbers and not d (p + 1).

    Args:
        q: the model curvature Q, symmetric in the last two axes [d, p, p].
        start: z [d] and J [d, p] at the start.
        lr: learning rate.
        batch_size: rows of a batch, drawn without replacement; None for all and the sum loss.
        momentum: mu in v' = mu v + gradient.

    Raises:
        InputError: shapes that do not fit, numbers that are not finite, a q that is not symmetric, lr not positive,
            momentum outside [0, 1), a batch larger than the data.

    References: agarwala2022, eqs. 24 to 26 (QR-32); agarwala2024, eq. 12 (SEOS-20).

    Example:
        >>> start = OutputJacobian(jnp.array([1.0]), jnp.array([[2.0]]))
        >>> process = FunctionSpaceDescent(jnp.ones((1, 1, 1)), start, 0.5)
        >>> [leaf.tolist() for leaf in process.step(process.init(jax.random.key(0))).params]
        [[-0.5], [[1.0]]]
    """

    q: Float[Array, "d p p"]
    start: OutputJacobian
    lr: Array
    momentum: Array
    batch_size: int | None = eqx.field(static=True)

    def __init__(
        self,
        q: Float[Array, "d p p"],
        start: OutputJacobian,
        lr: Number,
        *,
        batch_size: int | None = None,
        momentum: Number = 0.0,
    ):
        z, jacobian, q = (floating(part) for part in (*start, q))
        check_rows("z, jacobian and q", Rows(z, jacobian, q))
        if not isinstance(lr, Tracer):
            positive("lr", float(lr))
        if not isinstance(momentum, Tracer) and not 0 <= float(momentum) < 1:
            raise InputError(f"momentum must be in [0, 1); got {float(momentum)}.")
        if batch_size is not None:
            check_batch_size(batch_size, z.shape[0])
        self.q, self.start, self.batch_size = q, OutputJacobian(z, jacobian), batch_size
        self.lr, self.momentum = jnp.asarray(lr, z.dtype), jnp.asarray(momentum, z.dtype)

    def init(self, key: PRNGKey) -> State:
        """The state at the start, at rest, with the key that batches are drawn with: as `MinibatchDescent` does."""
        z, jacobian = self.start
        velocity = jnp.zeros(jacobian.shape[1], z.dtype)
        run_key = jax.random.split(key)[1]
        return State(jnp.zeros((), int), self.start, velocity, run_key, jnp.full((), jnp.nan, z.dtype))

    def step(self, state: State) -> State:
        """One step; `loss` is that of all rows (a sum), or of the batch (a mean), before it."""
        (z, jacobian), key = state.params, state.key
        if self.batch_size is None:
            loss, gradient = z @ z / 2, z @ jacobian
        else:
            key, use = jax.random.split(key)
            rows = draw_batch(use, z.shape[0], self.batch_size)
            loss, gradient = z[rows] @ z[rows] / (2 * self.batch_size), z[rows] @ jacobian[rows] / self.batch_size
        velocity = self.momentum * state.memory + gradient
        moved = quadratic_move(self.q, state.params, -self.lr * velocity)
        return State(state.step + 1, moved, velocity, key, loss)
