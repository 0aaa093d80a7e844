"""Many trainings on minibatches as one program: they share start and batches and differ in the optimiser's numbers."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from precipice._checks import InputError
from precipice._types import Params, PRNGKey
from precipice.dynamics.advance import all_finite
from precipice.dynamics.descent import Optimiser
from precipice.dynamics.minibatch import MinibatchDescent, batch_of
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems import AbstractProblem


class SweepMemory(NamedTuple):
    """What a sweep carries beside the parameters, each with a leading axis of runs.

    Args:
        optimiser: the optimiser's states.
        alive: whether a run still moves.
        taken: steps that it has taken.
    """

    optimiser: PyTree
    alive: Bool[Array, "runs"]
    taken: Int[Array, "runs"]


class MinibatchSweep(AbstractProcess):
    """`MinibatchDescent` for each of several learning rates (or other numbers of the optimiser) at once.

    All runs start from the same parameters and see the same batches, so that what differs between them is the number.
    Sharing the batch makes the first layer one large product. Parameters have a leading axis of runs. A run whose next
    step would not be finite stays where it is (`SweepMemory.alive`); `loss` is the mean over those that move. A run
    agrees with `MinibatchDescent` alone to rounding. Steps on batches of one example are bound by memory: a
    step of a run reads and writes all its parameters.

    Args:
        problem: as for `MinibatchDescent`.
        optimiser: its array numbers have one axis, of runs, or none.
        batch_size: B.
        start: parameters to start from; by default ``problem.init(key)``.

    Raises:
        InputError: numbers of unequal lengths or none with an axis, and as `MinibatchDescent`.

    References: agarwala2024, appendix C.1.

    Example:
        >>> import optax
        >>> from precipice import problems
        >>> data = problems.chebyshev(2, 10)
        >>> problem = problems.Supervised(problems.FullyConnected((1, 4, 1)), data, problems.mean_half_squared_error)
        >>> sweep = MinibatchSweep(problem, Optimiser(optax.sgd, {"learning_rate": jnp.array([0.1, 0.2])}), 3)
        >>> sweep.step(sweep.init(jax.random.key(0))).memory.taken.tolist()
        [1, 1]
    """

    problem: AbstractProblem
    optimiser: Optimiser
    batch_size: int = eqx.field(static=True)
    start: Params | None = None

    def __check_init__(self):
        if not isinstance(self.optimiser, Optimiser):
            kind = type(self.optimiser).__name__
            raise InputError(f"optimiser must be a dynamics.Optimiser, whose numbers have an axis of runs; got {kind}.")
        lengths = {leaf.shape[0] for leaf in jax.tree.leaves(self.optimiser.numbers) if jnp.ndim(leaf)}
        if len(lengths) != 1:
            raise InputError(f"optimiser must have numbers with one axis, of runs; got lengths {sorted(lengths)}.")
        MinibatchDescent(self.problem, self.optimiser, self.batch_size)

    @property
    def num_runs(self) -> int:
        """How many run side by side."""
        return next(leaf.shape[0] for leaf in jax.tree.leaves(self.optimiser.numbers) if jnp.ndim(leaf))

    def init(self, key: PRNGKey) -> State:
        """The state at the start: the same parameters for each run."""
        first = MinibatchDescent(self.problem, self.optimiser, self.batch_size, self.start).init(key)
        n = self.num_runs
        params, optimiser = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), (first.params, first.memory))
        memory = SweepMemory(optimiser, jnp.ones(n, bool), jnp.zeros(n, int))
        return first._replace(params=params, memory=memory)

    def step(self, state: State) -> State:
        """One step of every run that still moves."""
        key, use = jax.random.split(state.key)
        batch = batch_of(self.problem, use, self.batch_size)
        along = jax.tree.map(lambda leaf: 0 if eqx.is_array(leaf) and leaf.ndim else None, self.optimiser)
        one = eqx.filter_vmap(self._one, in_axes=(along, 0, 0, None))
        params, memory, losses = one(self.optimiser, state.params, state.memory, batch)
        num = jnp.sum(memory.alive)
        loss = jnp.sum(jnp.where(memory.alive, losses, 0)) / num.astype(losses.dtype)
        return State(state.step + 1, params, memory, key, loss)

    def _one(self, optimiser: Optimiser, params: Params, memory: SweepMemory, batch: PyTree):
        loss, gradient = jax.value_and_grad(self.problem.loss)(params, batch)
        with jax.numpy_dtype_promotion("standard"):
            update, kept = optimiser.update(gradient, memory.optimiser, params)
        new = jax.tree.map(jnp.add, params, update)
        alive = memory.alive & all_finite(new)
        params, kept = jax.tree.map(lambda a, b: jnp.where(alive, a, b), (new, kept), (params, memory.optimiser))
        return params, SweepMemory(kept, alive, memory.taken + alive.astype(memory.taken.dtype)), loss
