"""Learning rates that change along a training, as numbers of an `Optimiser`."""

import equinox as eqx
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from precipice._checks import at_least, at_most, positive
from precipice._types import Scalar


class WarmUpCosine(eqx.Module):
    """lr_t: from 0 to `peak` in `warmup_steps` equal steps, then peak (1 + cos(pi s))/2 with s from 0 to 1.

    ``Optimiser(optax.sgd, {"learning_rate": WarmUpCosine(0.1, num_steps), "momentum": 0.9})``; the peak may be traced,
    and another one does not compile anew. Without warm-up the first step has the peak.

    Args:
        peak: the largest learning rate.
        num_steps: of the whole training; the step after the last would have lr 0.
        warmup_steps: how many of them rise.

    Raises:
        InputError: a peak that is not positive, or warm-up that leaves no step to fall.

    References: Loshchilov and Hutter 2017, eq. 5; `optax.warmup_cosine_decay_schedule`, which does the work.

    Example:
        >>> schedule = WarmUpCosine(0.5, 10, 2)
        >>> [round(float(schedule(t)), 3) for t in (0, 1, 2, 6, 10)]
        [0.0, 0.25, 0.5, 0.25, 0.0]
    """

    peak: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    num_steps: int = eqx.field(static=True)
    warmup_steps: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if not isinstance(self.peak, Tracer):
            positive("peak", float(self.peak))
        at_least("num_steps", self.num_steps, 1)
        at_least("warmup_steps", self.warmup_steps, 0)
        at_most("warmup_steps", self.warmup_steps, self.num_steps - 1, "num_steps less one to fall")

    def __call__(self, step: int | Int[Array, ""]) -> Scalar:
        """The learning rate of step number `step`, from 0."""
        rise_and_fall = optax.warmup_cosine_decay_schedule(0.0, 1.0, self.warmup_steps, self.num_steps)
        return self.peak * rise_and_fall(jnp.asarray(step, self.peak.dtype))
