"""A probe of examples that were not trained on, under the running statistics of a network with BatchNorm."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from precipice import problems
from precipice._checks import at_least
from precipice._types import Values
from precipice.curvature import Chunks, chunked
from precipice.curvature.chunks import weighted_mean
from precipice.problems.losses import check_mean


class _Evaluation(eqx.Module):
    problem: problems.Supervised
    data: Chunks

    def __call__(self, state: Any) -> Values:
        def one(batch):
            outputs = self._outputs(state, batch.x)
            return jnp.stack([self.problem.loss_of_outputs(outputs, batch), problems.accuracy(outputs, batch.y)])

        loss, accuracy = weighted_mean(one, self.data)
        return {"held_out_loss": loss, "held_out_accuracy": accuracy}

    def _outputs(self, state: Any, x: Any) -> Any:
        if not self.problem.couples_examples:
            return self.problem.predict(state.params, x)
        network: Any = self.problem.network
        return network.evaluate(state.params, state.memory.statistics, x)


def evaluation(problem: problems.Supervised, data: problems.Dataset, *, chunk_size: int = 500) -> _Evaluation:
    """Probe ``held_out_loss`` and ``held_out_accuracy`` on `data`; one forward pass over it.

    With BatchNorm the state must be that of a `dynamics.EpochDescent`, whose running statistics stand in for those of
    a batch: an example's output then depends on no other.

    Args:
        problem: the network (itself, not `problems.Lowered`) and the loss, a mean over examples.
        data: examples that were not trained on.
        chunk_size: examples held at a time.

    Raises:
        InputError: a chunk below 1, or a loss that is a sum.
    """
    at_least("chunk_size", chunk_size, 1)
    check_mean(problem)
    return _Evaluation(problem, chunked(data, chunk_size))
