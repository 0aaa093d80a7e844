"""Stochastic descent as networks are trained at size: shuffled epochs, coupled L2, augmentation, many devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from precipice._checks import InputError, at_least
from precipice._types import Params, PRNGKey, Scalar
from precipice.curvature import chunked
from precipice.curvature.chunks import weighted_mean
from precipice.curvature.mesh import kept_spread
from precipice.dynamics.descent import Descent, updated
from precipice.dynamics.minibatch import check_batches
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems.architectures import running
from precipice.problems.lowered import with_statistics


class EpochMemory(NamedTuple):
    """What `EpochDescent` carries beside the parameters.

    Args:
        optimiser: the optimiser's state.
        statistics: running statistics of the BatchNorms, for `ResNet.evaluate`; () without BatchNorm.
        order: the examples in the order of the present epoch.
    """

    optimiser: PyTree
    statistics: PyTree
    order: Int[Array, "n"]


def epoch_order(key: PRNGKey, epoch: int | Int[Array, ""], num_examples: int) -> Int[Array, "num_examples"]:
    """The examples in the order of an epoch (from 0): each permutation equally likely, a function of key and epoch.

    Example:
        >>> sorted(epoch_order(jax.random.key(0), 2, 4).tolist())
        [0, 1, 2, 3]
    """
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)


class EpochDescent(AbstractProcess):
    """theta' = theta + update(grad L_B(theta) + l2 theta), where B runs through the data in a new order each epoch.

    An epoch has n // batch_size steps; what is left over of its order is not used in it. Step, key and order are in the
    state, so that a training resumed from any step goes on as if it had never stopped. `loss` is that of the batch,
    without the L2 term.

    With BatchNorm each gradient uses the statistics of its own batch (of its chunk, and their mean is kept, where
    there are chunks; of the whole batch, on any number of devices).

    Args:
        problem: what is trained: it has `data`, a pytree with a leading axis of examples, and ``loss(params, batch)``
            takes rows of it. For mixed precision give its network as `problems.Lowered`, and probe the problem with the
            network itself.
        optimiser: as for `Descent`; heavy ball on a schedule is ``Optimiser(optax.sgd, {"learning_rate":
            WarmUpCosine(0.1, num_steps, warmup_steps), "momentum": 0.9})``.
        batch_size: B; with all the examples, in their own order, no permutation is drawn.
        l2: the coupled penalty (l2/2) |theta|^2 on all parameters; enters the momentum, as PyTorch's weight_decay.
        augment: ``augment(key, x) -> x``, such as `problems.CropAndFlip`; drawn from key and step.
        chunk_size: examples whose activations are held at a time; the gradient is the mean over the chunks.
        momentum_of_statistics: see `problems.running`.
        mesh: devices that share each batch (chunk), over the mesh's first axis; place the data on all of them with
            ``curvature.copied(data, mesh)``. Equal to one device to the rounding of a sum.
        start: parameters to start from; by default ``problem.init(key)``.

    Raises:
        InputError: a problem without data, a batch below 1 or larger than the data, a chunk that does not divide the
            batch, devices that do not divide the chunk, a negative l2, or an optimiser that is none.

    References: agarwala2024, appendix E; Sutskever et al. 2013 for heavy ball.

    Example:
        >>> from precipice import dynamics, problems
        >>> data = problems.chebyshev(2, 10)
        >>> problem = problems.Supervised(problems.FullyConnected((1, 4, 1)), data, problems.mean_half_squared_error)
        >>> process = EpochDescent(problem, dynamics.gradient_descent(0.1), 3, l2=1e-3)
        >>> state = process.step(process.init(jax.random.key(0)))
        >>> int(state.step), process.epoch_steps
        (1, 3)
    """

    problem: Any
    optimiser: Any
    batch_size: int = eqx.field(static=True)
    l2: Any = eqx.field(converter=jnp.asarray, default=0.0)
    augment: Callable | None = None
    chunk_size: int | None = eqx.field(static=True, default=None)
    momentum_of_statistics: float = eqx.field(static=True, default=0.1)
    mesh: Mesh | None = eqx.field(static=True, default=None)
    start: Params | None = None

    def __check_init__(self):
        check_batches(self.problem, self.batch_size)
        Descent(self.problem, self.optimiser)
        if not isinstance(self.l2, Tracer):
            at_least("l2", float(self.l2), 0.0)
        if self.chunk_size is not None:
            at_least("chunk_size", self.chunk_size, 1)
            if self.batch_size % self.chunk_size:
                raise InputError(f"chunk_size must divide the batch of {self.batch_size}; got {self.chunk_size}.")
        share = 1 if self.mesh is None else self.mesh.shape[self.mesh.axis_names[0]]
        if (self.chunk_size or self.batch_size) % share:
            raise InputError(
                f"batch_size (chunk_size where given) must be a multiple of the {share} devices; got "
                f"{self.chunk_size or self.batch_size}."
            )

    @property
    def num_examples(self) -> int:
        """How many examples the data hold."""
        return jax.tree.leaves(self.problem.data)[0].shape[0]

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return self.num_examples // self.batch_size

    def init(self, key: PRNGKey) -> State:
        """The state at the start; running statistics begin with those of the first batch (chunk)."""
        first = Descent(self.problem, self.optimiser, self.start).init(key)
        memory = EpochMemory(first.memory, (), self._order(first.key, jnp.zeros((), int)))
        first = first._replace(memory=memory)
        batch = jax.tree.map(lambda leaf: leaf[: self.chunk_size], self._batch(first, memory.order))
        return first._replace(memory=memory._replace(statistics=self._loss(first.params, batch)[1]))

    def step(self, state: State) -> State:
        """One step; `loss` is the loss of its batch before it."""
        memory, order = state.memory, self._order_at(state)
        loss, gradient, seen = self._gradient(state.params, self._batch(state, order))
        pull = jax.tree.map(lambda g, p: g + self.l2.astype(p.dtype) * p, gradient, state.params)
        params, optimiser = updated(self.optimiser, pull, memory.optimiser, state.params)
        statistics = running(memory.statistics, seen, momentum=self.momentum_of_statistics)
        return State(state.step + 1, params, EpochMemory(optimiser, statistics, order), state.key, loss)

    def _order(self, key: PRNGKey, epoch: Array) -> Array:
        if self.batch_size == self.num_examples:
            return jnp.arange(self.num_examples)
        return epoch_order(jax.random.fold_in(key, _ORDER), epoch, self.num_examples)

    def _order_at(self, state: State) -> Array:
        """The order of the epoch that the state's step is in, drawn where it begins."""
        epoch, place = jnp.divmod(state.step, self.epoch_steps)
        return jax.lax.cond(place == 0, lambda: self._order(state.key, epoch), lambda: state.memory.order)

    def _batch(self, state: State, order: Array) -> PyTree:
        data = self.problem.data
        if self.batch_size < self.num_examples:
            start = state.step % self.epoch_steps * self.batch_size
            chosen = jax.lax.dynamic_slice(order, (start,), (self.batch_size,))
            data = jax.tree.map(lambda leaf: leaf[chosen], data)
        if self.augment is None:
            return data
        key = jax.random.fold_in(jax.random.fold_in(state.key, _AUGMENT), state.step)
        return eqx.tree_at(lambda batch: batch.x, data, self.augment(key, data.x))

    def _gradient(self, params: Params, batch: PyTree) -> tuple[Scalar, Params, PyTree]:
        """Loss, gradient and statistics of a batch: the means over its chunks."""

        def one(piece):
            piece = piece if self.mesh is None else kept_spread(piece, self.mesh)
            (loss, seen), gradient = jax.value_and_grad(self._loss, has_aux=True)(params, piece)
            return loss, gradient, seen

        return one(batch) if self.chunk_size is None else weighted_mean(one, chunked(batch, self.chunk_size))

    def _loss(self, params: Params, batch: PyTree) -> tuple[Scalar, PyTree]:
        if not getattr(self.problem, "couples_examples", False):
            return self.problem.loss(params, batch), ()
        outputs, seen = with_statistics(self.problem.network, params, batch.x)
        return self.problem.loss_of_outputs(outputs, batch), jax.lax.stop_gradient(seen)


_ORDER, _AUGMENT = 0, 1
"""What the two streams of draws fold into the key of the state."""
