"""Activation functions under the field's names; each maps an array elementwise and keeps its dtype.

`erf` is the error function itself, as in agarwala2022; `gelu` is the exact form x Phi(x); `elu` has alpha = 1.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """max(x, 0); the derivative at 0 is taken as 0."""
    return jax.nn.relu(x)


def elu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """X for x > 0 and exp(x) - 1 below."""
    return jax.nn.elu(x)


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """X times the standard normal distribution function of x (exact, not the tanh approximation)."""
    return jax.nn.gelu(x, approximate=False)


def erf(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The error function (2/sqrt(pi)) int_0^x exp(-s^2) ds."""
    return jax.scipy.special.erf(x)


def softplus(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(1 + exp(x))."""
    return jax.nn.softplus(x)


def identity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """X itself: a linear network."""
    return x
