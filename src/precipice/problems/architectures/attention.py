"""Multi-head self-attention over the tokens of one example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._types import Params, PRNGKey
from precipice.problems.architectures.layers import linear, linear_params
from precipice.problems.initialisations import Initialisation


def attention_params(initialisation: Initialisation, key: PRNGKey, dim: int, dtype) -> Params:
    """Queries, keys, values and output: four linear layers [dim, dim]."""
    names = ("query", "key", "value", "out")
    keys = jax.random.split(key, len(names))
    return {name: linear_params(initialisation, k, dim, dim, dtype) for name, k in zip(names, keys, strict=True)}


def attention(params: Params, h: Float[Array, "tokens dim"], heads: int) -> Float[Array, "tokens dim"]:
    """softmax(q k^T / sqrt(dim/heads)) v for each head, joined and through a linear layer.

    Plain products, which derivatives of any order go through; memory heads x tokens^2 an example.

    References: Vaswani et al. 2017, eqs. 1 and 2.
    """
    size = h.shape[1] // heads
    q, k, v = (linear(params[name], h).reshape(-1, heads, size) for name in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("ihd,jhd->hij", q, k) / size**0.5, axis=-1)
    return linear(params["out"], jnp.einsum("hij,jhd->ihd", weights, v).reshape(h.shape))
