"""Initialisations of fully connected layers, and the NTK parametrisation.

A layer maps h to ``weight_factor * h @ weight + bias_factor * bias``. Under the standard parametrisation both factors
are 1 and the variance sits in the draw; under the NTK parametrisation the draw has unit variance and the factors
carry it, which changes the learning dynamics (the same step moves the function differently).

| name | weights | biases |
|---|---|---|
| `LECUN` | normal, variance 1/fan_in | zero |
| `XAVIER` | uniform, variance 2/(fan_in + fan_out) (gain 1) | zero |
| `HE` | normal, variance 2/fan_in | zero |
| `TORCH` | uniform within 1/sqrt(fan_in), variance 1/(3 fan_in) | the same as the weights |
| `ntk(weight, bias)` | normal, variance 1, times sqrt(weight/fan_in) | normal, variance 1, times sqrt(bias) |

To add one: write its two variance functions and one `Initialisation` below, export it, add it to the table in
`tests/test_networks.py`.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float

from precipice._checks import at_least, positive
from precipice._types import PRNGKey


class Initialisation(eqx.Module):
    """How a layer's weights and biases are drawn, and the factors its forward pass applies to them.

    Args:
        name: recorded with results.
        draw: ``draw(key, shape, dtype)`` of unit variance.
        weight_variance: variance of a weight as a function of (fan_in, fan_out).
        bias_variance: variance of a bias as a function of (fan_in, fan_out).
        forward_variance: (weight, bias) variances moved into the forward pass (NTK parametrisation), or None.
    """

    name: str = eqx.field(static=True)
    draw: Callable = eqx.field(static=True)
    weight_variance: Callable[[int, int], float] = eqx.field(static=True)
    bias_variance: Callable[[int, int], float] = eqx.field(static=True)
    forward_variance: tuple[float, float] | None = eqx.field(static=True, default=None)

    def factors(self, fan_in: int) -> tuple[float, float]:
        """(weight_factor, bias_factor) of the forward pass."""
        if self.forward_variance is None:
            return 1.0, 1.0
        weight, bias = self.forward_variance
        return math.sqrt(weight / fan_in), math.sqrt(bias)

    def weight(self, key: PRNGKey, fan_in: int, fan_out: int, dtype) -> Float[Array, "fan_in fan_out"]:
        """A weight matrix [fan_in, fan_out]."""
        return math.sqrt(self.weight_variance(fan_in, fan_out)) * self.draw(key, (fan_in, fan_out), dtype)

    def bias(self, key: PRNGKey, fan_in: int, fan_out: int, dtype) -> Float[Array, "fan_out"]:
        """A bias vector [fan_out]."""
        return math.sqrt(self.bias_variance(fan_in, fan_out)) * self.draw(key, (fan_out,), dtype)


def _unit_uniform(key: PRNGKey, shape: tuple[int, ...], dtype) -> Array:
    return jax.random.uniform(key, shape, dtype, minval=-math.sqrt(3), maxval=math.sqrt(3))


def _zero(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 0.0


def _one(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 1.0


def _lecun(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 1 / fan_in


def _xavier(fan_in: int, fan_out: int) -> float:
    return 2 / (fan_in + fan_out)


def _he(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 2 / fan_in


def _torch(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 1 / (3 * fan_in)


LECUN = Initialisation("lecun", jax.random.normal, _lecun, _zero)
XAVIER = Initialisation("xavier", _unit_uniform, _xavier, _zero)
HE = Initialisation("he", jax.random.normal, _he, _zero)
TORCH = Initialisation("torch", _unit_uniform, _torch, _torch)


def ntk(weight_variance: float = 1.0, bias_variance: float = 0.0) -> Initialisation:
    """The NTK parametrisation: unit normal draws, variances applied in the forward pass.

    Args:
        weight_variance: the forward pass multiplies weights by sqrt(weight_variance / fan_in).
        bias_variance: the forward pass multiplies biases by sqrt(bias_variance).

    Raises:
        InputError: a variance is out of range.

    References: Jacot et al. 2018; agarwala2022 appendix D.2 uses (1, 0).
    """
    positive("weight_variance", weight_variance)
    at_least("bias_variance", bias_variance, 0)
    name = f"ntk({float(weight_variance)}, {float(bias_variance)})"
    return Initialisation(name, jax.random.normal, _one, _one, (float(weight_variance), float(bias_variance)))
