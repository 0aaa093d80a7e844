"""Descent on minibatches drawn without replacement, afresh at each step."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from precipice._checks import InputError, check_batch_size
from precipice._types import Params, PRNGKey, Scalar
from precipice.dynamics.descent import Descent
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems import AbstractProblem

FEW = 32
"""Up to this size a batch is drawn one by one, at a cost that does not grow with the data."""


def draw_batch(key: PRNGKey, num_examples: int, batch_size: int) -> Int[Array, "batch_size"]:
    """Which examples a batch holds: a subset of this size, each equally likely, in no particular order.

    Small batches by Floyd's algorithm, in batch_size^2 operations whatever the data; larger ones by a permutation. A
    batch of all the data is all the data in order, and draws nothing.

    Args:
        key: for the draw.
        num_examples: n.
        batch_size: 1 to n.

    Raises:
        InputError: a batch below 1, or larger than the data.

    References: Bentley and Floyd 1987.

    Example:
        >>> sorted(draw_batch(jax.random.key(0), 4, 4).tolist())
        [0, 1, 2, 3]
    """
    check_batch_size(batch_size, num_examples)
    if batch_size == num_examples:
        return jnp.arange(num_examples)
    if batch_size > FEW:
        return jax.random.choice(key, num_examples, (batch_size,), replace=False)
    lasts = jnp.arange(num_examples - batch_size, num_examples)
    draws = jax.random.randint(key, (batch_size,), 0, lasts + 1)
    chosen = jnp.full(batch_size, -1)
    for i in range(batch_size):
        chosen = chosen.at[i].set(jnp.where(jnp.any(chosen == draws[i]), lasts[i], draws[i]))
    return chosen


def batch_of(problem: Any, key: PRNGKey, batch_size: int) -> PyTree:
    """The rows of the problem's data that `draw_batch` chooses."""
    chosen = draw_batch(key, jax.tree.leaves(problem.data)[0].shape[0], batch_size)
    return jax.tree.map(lambda leaf: leaf[chosen], problem.data)


def check_batches(problem: Any, batch_size: int) -> None:
    """Refuse a problem without data, data without one axis of examples, or a batch that they do not hold."""
    if not hasattr(problem, "data"):
        raise InputError(f"problem must have data to be cut into batches; got {type(problem).__name__}.")
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(problem.data) if jnp.ndim(leaf)}
    if len(lengths) != 1:
        raise InputError(f"data must have one leading axis of examples; got lengths {sorted(lengths)}.")
    check_batch_size(batch_size, lengths.pop())


class MinibatchDescent(AbstractProcess):
    """theta' = theta + update(grad L_B(theta)), with a fresh batch of B examples at each step.

    Args:
        problem: what is trained: it has `data`, a pytree with a leading axis of examples, and ``loss(params, batch)``
            takes rows of it (`Supervised`, `QuadraticModel`, `TaylorModel`).
        optimiser: as for `Descent`.
        batch_size: B; with all the examples it is `Descent`, to rounding.
        start: parameters to start from; by default ``problem.init(key)``.

    Raises:
        InputError: a problem without data, a batch below 1 or larger than the data, an optimiser that is none.

    References: agarwala2024, section 2.1 (SEOS-1).

    Example:
        >>> from precipice import dynamics, problems
        >>> data = problems.chebyshev(2, 10)
        >>> problem = problems.Supervised(problems.FullyConnected((1, 4, 1)), data, problems.mean_half_squared_error)
        >>> process = MinibatchDescent(problem, dynamics.gradient_descent(0.1), 3)
        >>> int(process.step(process.init(jax.random.key(0))).step)
        1
    """

    problem: Any
    optimiser: Any
    batch_size: int = eqx.field(static=True)
    start: Params | None = None

    def __check_init__(self):
        check_batches(self.problem, self.batch_size)

    def init(self, key: PRNGKey) -> State:
        """The state at the start: parameters, the optimiser's state, and the key that batches are drawn with."""
        return Descent(self.problem, self.optimiser, self.start).init(key)

    def step(self, state: State) -> State:
        """One step; `loss` is the loss of its batch before it."""
        key, use = jax.random.split(state.key)
        batch = batch_of(self.problem, use, self.batch_size)
        return Descent(_OnBatch(self.problem, batch), self.optimiser).step(state._replace(key=key))


class _OnBatch(AbstractProblem):
    """A problem whose loss is that of one batch."""

    problem: AbstractProblem
    batch: Any

    def init(self, key: PRNGKey) -> Params:
        return self.problem.init(key)

    def loss(self, params: Params, batch: Any = None) -> Scalar:
        return self.problem.loss(params, self.batch if batch is None else batch)
