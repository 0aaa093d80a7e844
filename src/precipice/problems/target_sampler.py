"""Targets drawn from the distribution a loss is the negative log likelihood of (Bartlett sampling).

| loss | targets of one example, given its outputs f |
|---|---|
| `mean_half_squared_error` | normal about f, variance 1 |
| `mean_squared_error` | normal about f, variance 1/2 |
| `mean_logistic` | +1 with probability 1/(1 + exp(-f)), else -1, for each output |
| `mean_softmax_cross_entropy` | one class, with the probabilities softmax(f), one-hot |

To add one: write its sampler, and a line in `target_sampler`; the test compares the covariance of its output gradients
with the output Hessian.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import PRNGKey
from precipice.problems.losses import (
    mean_half_squared_error,
    mean_logistic,
    mean_softmax_cross_entropy,
    mean_squared_error,
)

Outputs = Float[Array, "C"]


def target_sampler(output_loss: Callable[..., Array]) -> Callable[[PRNGKey, Outputs], Outputs]:
    """``sample(key, outputs [C]) -> targets [C]`` of one example, for a loss of `problems.losses`.

    The gradients of the loss in the outputs at these targets have mean 0, and for covariance the Hessian of the loss in
    the outputs: what `curvature.gram_trace_bartlett` needs.

    Raises:
        InputError: a loss that no distribution is known for here.

    Example:
        >>> from precipice import problems
        >>> sample = target_sampler(problems.mean_softmax_cross_entropy)
        >>> sample(jax.random.key(0), jnp.array([0.0, 50.0, 0.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    samplers = {
        mean_half_squared_error: _normal,
        mean_squared_error: _narrow_normal,
        mean_logistic: _signs,
        mean_softmax_cross_entropy: _class,
    }
    if output_loss not in samplers:
        known = ", ".join(sorted(loss.__name__ for loss in samplers))
        raise InputError(
            f"output_loss must be the negative log of a known distribution ({known}); got "
            f"{getattr(output_loss, '__name__', output_loss)}."
        )
    return samplers[output_loss]


def _normal(key: PRNGKey, outputs: Outputs) -> Outputs:
    return outputs + jax.random.normal(key, outputs.shape, outputs.dtype)


def _narrow_normal(key: PRNGKey, outputs: Outputs) -> Outputs:
    return outputs + 0.5**0.5 * jax.random.normal(key, outputs.shape, outputs.dtype)


def _signs(key: PRNGKey, outputs: Outputs) -> Outputs:
    positive = jax.random.bernoulli(key, jax.nn.sigmoid(outputs))
    return jnp.where(positive, jnp.ones_like(outputs), -jnp.ones_like(outputs))


def _class(key: PRNGKey, outputs: Outputs) -> Outputs:
    return jax.nn.one_hot(jax.random.categorical(key, outputs), outputs.shape[0], dtype=outputs.dtype)
