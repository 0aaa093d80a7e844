"""Measures of a JAX monitor from the gradients of batches and of single examples."""

from typing import Any

from precipice._checks import InputError, at_least
from precipice._types import Params, PRNGKey, Scalar
from precipice.measures import batch_sharpness, gradient_noise_scale
from precipice.monitor.jax_loss import Held
from precipice.monitor.jax_measures import Found, Measure, Point
from precipice.problems import AbstractProblem


def batch_curvature(*, num: int = 20) -> Measure:
    """Batch sharpness at the training batch size, over `num` batches drawn from the probe set.

    NaN where a batch's gradient is zero, as it then has no direction. Costs 2.5 gradients of a batch for each. See
    `measures.batch_sharpness`.

    Args:
        num: batches; at least 2.
    """
    at_least("num of a mean over batches", num, 2)

    def measure(point: Point, memory: Any) -> Found:
        size = point.setting.batch_size
        found = batch_sharpness(
            _problem(point), point.params, point.probe.data, batch_size=size, num=num, key=point.key
        )
        return Found({"batch_sharpness": float(found.value)}, {"batch_sharpness": float(found.sem)}, memory)

    return measure


def gradient_noise(*, chunk: int = 5) -> Measure:
    """The gradient noise scale tr(Sigma)/|G|^2 from every probe example's gradient: exact on the probe set.

    See `measures.gradient_noise_scale`. Needs a loss whose examples are not coupled.

    Args:
        chunk: examples whose gradients are held at a time.
    """
    at_least("chunk", chunk, 1)

    def measure(point: Point, memory: Any) -> Found:
        found = gradient_noise_scale(_problem(point), point.params, point.probe.data, chunk=chunk)
        return Found({"gradient_noise_scale": float(found.value)}, {}, memory)

    return measure


class _LossProblem(AbstractProblem):
    """A monitored loss as a problem, for measures that take one."""

    function: Held

    def init(self, key: PRNGKey) -> Params:  # noqa: ARG002
        """Refused: the parameters are the training's."""
        raise InputError("a monitored loss has no initialisation of its own; give its parameters.")

    def loss(self, params: Params, batch: Any = None) -> Scalar:
        """The loss on a batch."""
        return self.function(params, batch)


def _problem(point: Point) -> AbstractProblem:
    return _LossProblem(point.loss)
