"""MLP-Mixer: perceptrons across the tokens of an image and across their channels in turn."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import at_least
from precipice._types import Params, PRNGKey
from precipice.problems.abstract_network import AbstractNetwork
from precipice.problems.activations import gelu
from precipice.problems.architectures.layers import (
    check_images,
    check_patches,
    check_standard,
    linear,
    linear_params,
    patches,
    widened,
)
from precipice.problems.architectures.norms import layer_norm, norm_params
from precipice.problems.initialisations import LECUN, Initialisation


class Mixer(AbstractNetwork):
    """Patches to tokens [T, C]; blocks h + M_T(N(h)^T)^T, then h + M_C(N(h)); norm, mean over tokens, linear head.

    M are perceptrons of one hidden layer, N LayerNorm. Per example: no outputs depend on the rest of the batch.

    Args:
        image: (channels, height, width).
        num_classes: outputs.
        patch: side of a patch in pixels.
        dim: channels C of a token.
        depth: blocks.
        hidden_tokens: hidden units across tokens.
        hidden_channels: hidden units across channels.
        activation: elementwise.
        initialisation: of all weights, of the standard parametrisation.
        remat: recompute the inside of each block in the backward pass: memory of one block and the tokens between.

    Raises:
        InputError: a patch that does not divide the image, no block, or an initialisation in the NTK parametrisation.

    The blocks are one compiled body, run `depth` times: leaves of ``params["blocks"]`` have a leading axis [depth].

    References: Tolstikhin et al. 2021.
    """

    image: tuple[int, int, int] = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)
    patch: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    hidden_tokens: int = eqx.field(static=True)
    hidden_channels: int = eqx.field(static=True)
    activation: Callable = eqx.field(static=True, default=gelu)
    initialisation: Initialisation = LECUN
    remat: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        at_least("depth", self.depth, 1)
        check_patches(self.image, self.patch)
        check_standard(self.initialisation)

    @property
    def couples_examples(self) -> bool:
        """Never."""
        return False

    @property
    def num_tokens(self) -> int:
        """Patches of an image."""
        return self.image[1] * self.image[2] // self.patch**2

    def check(self, shape: tuple[int, ...], outputs: int) -> None:
        """Refuse data of another shape."""
        check_images(self.image, self.num_classes, shape, outputs)

    def init(self, key: PRNGKey, dtype) -> Params:
        """Parameters drawn with `key` in precision `dtype`; scales 1 and biases of norms 0."""
        stem, head, blocks = jax.random.split(key, 3)
        pixels = self.image[0] * self.patch**2
        return {
            "stem": linear_params(self.initialisation, stem, pixels, self.dim, dtype),
            "blocks": jax.vmap(self._block_params, (0, None))(jax.random.split(blocks, self.depth), dtype),
            "norm": norm_params(self.dim, dtype),
            "head": linear_params(self.initialisation, head, self.dim, self.num_classes, dtype),
        }

    def _block_params(self, key: PRNGKey, dtype) -> Params:
        tokens, channels = jax.random.split(key)
        return {
            "norms": (norm_params(self.dim, dtype), norm_params(self.dim, dtype)),
            "tokens": perceptron_params(self.initialisation, tokens, self.num_tokens, self.hidden_tokens, dtype),
            "channels": perceptron_params(self.initialisation, channels, self.dim, self.hidden_channels, dtype),
        }

    def many(self, params: Params, x: Float[Array, "n c h w"]) -> Float[Array, "n outputs"]:
        """The outputs for n images."""
        return jax.vmap(self._one, (None, 0))(params, x)

    def _one(self, params: Params, x: Float[Array, "c h w"]) -> Float[Array, "outputs"]:
        h = linear(params["stem"], patches(x, self.patch))
        block = jax.checkpoint(self._block) if self.remat else self._block
        h = jax.lax.scan(lambda h, of_block: (block(of_block, h), None), h, params["blocks"])[0]
        return linear(params["head"], jnp.mean(layer_norm(params["norm"], h)[0], axis=0))

    def _block(self, params: Params, h: Float[Array, "tokens c"]) -> Float[Array, "tokens c"]:
        first, second = params["norms"]
        h = h + perceptron(params["tokens"], layer_norm(first, h)[0].T, self.activation).T
        return h + perceptron(params["channels"], layer_norm(second, h)[0], self.activation)


def perceptron_params(initialisation: Initialisation, key: PRNGKey, size: int, hidden: int, dtype) -> Params:
    """Two linear layers, to `hidden` units and back."""
    first, second = jax.random.split(key)
    return (
        linear_params(initialisation, first, size, hidden, dtype),
        linear_params(initialisation, second, hidden, size, dtype),
    )


def perceptron(params: Params, h: Float[Array, "m c"], activation: Callable) -> Float[Array, "m c"]:
    """One hidden layer."""
    return linear(params[1], activation(linear(params[0], h)))


def mixer_s16(
    num_classes: int = 1000,
    *,
    image: tuple[int, int, int] = (3, 224, 224),
    width: float = 1.0,
    patch: int = 16,
    depth: int = 8,
    remat: bool = False,
) -> Mixer:
    """MLP-Mixer S/16: 8 blocks, 512 channels; 18,528,264 parameters on 224 x 224 images with 1,000 classes.

    Args:
        num_classes: outputs.
        image: (channels, height, width).
        width: multiplies the channels 512 and the hidden units 256 (tokens) and 2,048 (channels).
        patch: side of a patch; 32 x 32 images have four of 16.
        depth: blocks.
        remat: see `Mixer`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = mixer_s16(10, image=(3, 32, 32), width=1 / 64, depth=1)
        >>> params = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.float32))
        >>> jax.eval_shape(network.many, params, jnp.ones((2, 3, 32, 32), jnp.float32)).shape
        (2, 10)
    """
    dim, tokens, channels = (widened(size, width) for size in (512, 256, 2048))
    return Mixer(image, num_classes, patch, dim, depth, tokens, channels, remat=remat)
