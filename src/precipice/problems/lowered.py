"""A network computed in another precision than its parameters are kept in."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import Params, PRNGKey
from precipice.problems.abstract_network import AbstractNetwork


class Lowered(AbstractNetwork):
    """Mixed precision: `network` with parameters and inputs rounded to `dtype`, outputs returned in the inputs' own.

    Parameters stay in the precision they have (the master weights), and so do gradients with respect to them, loss and
    optimiser; products and convolutions run in `dtype`. Norms take their statistics in float32. Measure curvature with
    the network itself: a product in bfloat16 is off by some 0.1 % and more, whatever tolerance is asked of it.

    Args:
        network: what is computed.
        dtype: ``jnp.bfloat16`` or ``jnp.float16`` (whose gradients may underflow: nothing here rescales the loss).

    Raises:
        InputError: a dtype that is not floating.

    References: Micikevicius et al. 2018.

    Example:
        >>> from precipice import problems
        >>> network = problems.FullyConnected((3, 8, 2))
        >>> params = network.init(jax.random.key(0), jnp.float32)
        >>> low = Lowered(network, jnp.bfloat16).many(params, jnp.ones((1, 3), jnp.float32))
        >>> low.dtype.name, bool(jnp.allclose(low, network.many(params, jnp.ones((1, 3), jnp.float32)), atol=0.02))
        ('float32', True)
    """

    network: AbstractNetwork
    dtype: Any = eqx.field(static=True)

    def __check_init__(self):
        if not jnp.issubdtype(self.dtype, jnp.floating):
            raise InputError(f"dtype must be floating; got {jnp.dtype(self.dtype)}.")

    @property
    def couples_examples(self) -> bool:
        """As the network."""
        return self.network.couples_examples

    def check(self, shape: tuple[int, ...], outputs: int) -> None:
        """As the network."""
        self.network.check(shape, outputs)

    def init(self, key: PRNGKey, dtype) -> Params:
        """The network's parameters in precision `dtype`."""
        return self.network.init(key, dtype)

    def many(self, params: Params, x: Float[Array, "n ..."]) -> Float[Array, "n outputs"]:
        """The outputs for n examples."""
        return self.network.many(self._low(params), x.astype(self.dtype)).astype(x.dtype)

    def with_statistics(self, params: Params, x: Float[Array, "n ..."]) -> tuple[Float[Array, "n outputs"], Any]:
        """As `ResNet.with_statistics`; the statistics are float32 or wider."""
        outputs, statistics = with_statistics(self.network, self._low(params), x.astype(self.dtype))
        return outputs.astype(x.dtype), statistics

    def _low(self, params: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf.astype(self.dtype), params)


def with_statistics(network: Any, params: Params, x: Float[Array, "n ..."]) -> tuple[Float[Array, "n outputs"], Any]:
    """The outputs for n examples, and the statistics of the network's BatchNorms over them; () where it has none."""
    return network.with_statistics(params, x) if network.couples_examples else (network.many(params, x), ())
