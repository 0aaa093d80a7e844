"""The interface of networks: what `Supervised` fits to data.

Implementations: `FullyConnected` (network.py); `ResNet`, `Mixer` and `VisionTransformer` (architectures/).

To add one:
1. Write a final, frozen subclass of `AbstractNetwork` in a file of its own; its sizes are static fields.
2. `init` draws the parameters, a pytree of arrays; `many` is a pure function of them and of a batch.
3. Say in `couples_examples` whether the outputs of one example depend on the others of its batch (BatchNorm).
4. Export it, and add a row to `NETWORKS` in tests/test_architectures.py with its published number of parameters.
"""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from precipice._types import Params, PRNGKey


class AbstractNetwork(eqx.Module):
    """A function of parameters and of a batch of inputs; the parameters live outside."""

    @property
    @abc.abstractmethod
    def couples_examples(self) -> bool:
        """Whether the outputs of an example depend on the rest of its batch."""

    @abc.abstractmethod
    def init(self, key: PRNGKey, dtype) -> Params:
        """Parameters drawn with `key` in precision `dtype`."""

    @abc.abstractmethod
    def many(self, params: Params, x: Float[Array, "n ..."]) -> Float[Array, "n outputs"]:
        """The outputs for n examples."""

    @abc.abstractmethod
    def check(self, shape: tuple[int, ...], outputs: int) -> None:
        """Refuse data whose x (of this shape, [n, ...]) or number of outputs does not fit the network."""
