"""A probe of the last layer of a residual network: its bias, its activations, the logits."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from precipice import problems
from precipice._types import Values
from precipice.curvature import chunked
from precipice.curvature.chunks import weighted_mean

CHUNK = 500
"""Examples held at a time where they do not act on each other."""


class _LastLayer(eqx.Module):
    problem: problems.Supervised
    whole: bool = eqx.field(static=True)

    def __call__(self, state: Any) -> Values:
        bias = state.params["stages"][-1][-1]["layers"][-1]["norm"]["bias"]
        data = self.problem.data
        if self.whole:
            means = self._means(state.params, None, data)
        else:
            given = state.memory.statistics
            means = weighted_mean(lambda batch: self._means(state.params, given, batch), chunked(data, CHUNK))
        names = ("mean_activation", "mean_logit", "epoch_loss")
        return dict(zip(names, means, strict=True)) | {"last_bias_median": jnp.median(bias)}

    def _means(self, params: Any, given: Any, batch: Any) -> Any:
        network: Any = self.problem.network
        features = network.features(params, batch.x, given)
        outputs = features @ params["head"]["weight"] + params["head"]["bias"][None, :]
        return jnp.stack([jnp.mean(features), jnp.mean(outputs), self.problem.loss_of_outputs(outputs, batch)])


def last_layer(problem: problems.Supervised, *, whole: bool) -> _LastLayer:
    """Probe ``last_bias_median``, ``mean_activation``, ``mean_logit``, ``epoch_loss``, over all training examples.

    The last BatchNorm of the last block stands for the last convolution's bias: the convolutions have none of their
    own. Its sum with the shortcut goes through the last ReLU, whose outputs are the activations. One forward pass.

    Args:
        problem: a `ResNet` with BatchNorm and its data.
        whole: under the statistics of all the examples, as full-batch descent sees them, all held at once; else under
            the running statistics of a `dynamics.EpochDescent`.

    References: ahn2022, appendix B.2.
    """
    return _LastLayer(problem, whole)
