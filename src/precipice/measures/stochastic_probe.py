"""A probe of the stochastic measures along a training."""

from typing import Any

import equinox as eqx
import jax

from precipice._checks import at_least, check_batch_size
from precipice._types import PRNGKey, Values
from precipice.measures.batch_sharpness import batch_sharpness, gradient_noise_scale
from precipice.measures.layerwise_kernel import layerwise_gram_trace
from precipice.problems import Supervised


class _StochasticMeasures(eqx.Module):
    problem: Supervised
    key: PRNGKey
    batch_size: int = eqx.field(static=True)
    num: int = eqx.field(static=True)
    chunk: int = eqx.field(static=True)

    def __call__(self, state: Any) -> Values:
        problem, data = self.problem, self.problem.data
        sharpness = batch_sharpness(
            problem,
            state.params,
            data,
            batch_size=self.batch_size,
            num=self.num,
            key=jax.random.fold_in(self.key, state.step),
        )
        return {
            "batch_sharpness": sharpness.value,
            "batch_sharpness_sem": sharpness.sem,
            "gradient_noise_scale": gradient_noise_scale(problem, state.params, data, chunk=self.chunk).value,
            "ntk_trace": layerwise_gram_trace(problem, state.params).value,
        }


def stochastic_measures(
    problem: Supervised, *, batch_size: int, num: int = 100, chunk: int = 5, key: PRNGKey
) -> _StochasticMeasures:
    """Probe ``batch_sharpness`` and its ``_sem``, ``gradient_noise_scale`` and ``ntk_trace``.

    `batch_sharpness` over `num` batches (fresh ones at each step), `gradient_noise_scale` from every example's
    gradient, and the trace of the Gram matrix of the loss, of which lr/(2 B) is the trace form of the noise kernel norm
    for one output an example. Costs 2.5 num gradients of a batch, the gradients of all examples, and one more.

    Args:
        problem: a network, data and a loss that is a mean over examples.
        batch_size: B.
        num: batches; at least 2.
        chunk: examples whose gradients are held at a time.
        key: for the batches.

    Raises:
        InputError: a batch larger than the data, `num` below 2, or a chunk below 1.
    """
    check_batch_size(batch_size, problem.data.num_examples)
    at_least("num of a mean over batches", num, 2)
    at_least("chunk", chunk, 1)
    return _StochasticMeasures(problem, key, batch_size, num, chunk)
