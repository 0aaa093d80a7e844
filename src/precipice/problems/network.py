"""Fully connected networks of any depth and width."""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least
from precipice._types import Params, PRNGKey
from precipice.problems.abstract_network import AbstractNetwork
from precipice.problems.activations import tanh
from precipice.problems.initialisations import LECUN, Initialisation


class FullyConnected(AbstractNetwork):
    """f(x) = W_L s(W_{L-1} ... s(W_1 x + b_1) ...) + b_L, with s the activation; none follows the last layer.

    Parameters are a tuple of dictionaries, one a layer: ``weight`` [fan_in, fan_out] and, with biases, ``bias``
    [fan_out].

    Args:
        widths: (inputs, hidden..., outputs); two entries make a linear model.
        activation: a function of `problems.activations`, or any elementwise function.
        bias: whether the layers have biases.
        initialisation: see `problems.initialisations`.

    Raises:
        InputError: fewer than two widths, or one below 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = FullyConnected((3, 8, 2))
        >>> params = network.init(jax.random.key(0), jnp.float32)
        >>> [layer["weight"].shape for layer in params], network(params, jnp.ones(3, jnp.float32)).shape
        ([(3, 8), (8, 2)], (2,))
    """

    widths: tuple[int, ...] = eqx.field(static=True)
    activation: Callable = eqx.field(static=True, default=tanh)
    bias: bool = eqx.field(static=True, default=True)
    initialisation: Initialisation = LECUN

    def __check_init__(self):
        if len(self.widths) < 2:
            raise InputError(f"widths must hold at least the inputs and the outputs; got {self.widths}.")
        for width in self.widths:
            at_least("each of widths", width, 1)

    @property
    def couples_examples(self) -> bool:
        """Never."""
        return False

    def check(self, shape: tuple[int, ...], outputs: int) -> None:
        """Refuse data of another shape."""
        if len(shape) != 2:
            raise InputError(f"x must have shape [n, features] (layout=flat for images); got {shape}.")
        ends, shapes = (self.widths[0], self.widths[-1]), (shape[1], outputs)
        if ends != shapes:
            raise InputError(f"widths must begin and end with the data's (inputs, outputs) {shapes}; got {ends}.")

    def init(self, key: PRNGKey, dtype) -> Params:
        """Parameters drawn with `key` in precision `dtype`."""
        layers = []
        for fan_in, fan_out, layer_key in zip(
            self.widths[:-1], self.widths[1:], jax.random.split(key, len(self.widths) - 1), strict=True
        ):
            weight_key, bias_key = jax.random.split(layer_key)
            layer = {"weight": self.initialisation.weight(weight_key, fan_in, fan_out, dtype)}
            if self.bias:
                layer["bias"] = self.initialisation.bias(bias_key, fan_in, fan_out, dtype)
            layers.append(layer)
        return tuple(layers)

    def many(self, params: Params, x: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
        """The outputs for n examples."""
        return jax.vmap(self, in_axes=(None, 0))(params, x)

    def __call__(self, params: Params, x: Float[Array, "inputs"]) -> Float[Array, "outputs"]:
        """The outputs for one example [inputs]; vmap it for many."""
        h = x
        for number, layer in enumerate(params):
            h = self._affine(layer, h if number == 0 else self.activation(h))
        return h

    def _affine(self, layer: dict[str, Array], h: Float[Array, "fan_in"]) -> Float[Array, "fan_out"]:
        weight_factor, bias_factor = self.initialisation.factors(h.shape[-1])
        out = _scaled(weight_factor, h @ layer["weight"])
        return out + _scaled(bias_factor, layer["bias"]) if self.bias else out


def _scaled(factor: float, value: Array) -> Array:
    return value if factor == 1.0 else factor * value
