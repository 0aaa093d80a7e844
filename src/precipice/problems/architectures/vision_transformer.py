"""The vision transformer: self-attention over the patches of an image."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least
from precipice._types import Params, PRNGKey
from precipice.problems.abstract_network import AbstractNetwork
from precipice.problems.activations import gelu
from precipice.problems.architectures.attention import attention, attention_params
from precipice.problems.architectures.layers import (
    check_images,
    check_patches,
    check_standard,
    linear,
    linear_params,
    patches,
    widened,
)
from precipice.problems.architectures.mixer import perceptron, perceptron_params
from precipice.problems.architectures.norms import layer_norm, norm_params
from precipice.problems.initialisations import LECUN, Initialisation


class VisionTransformer(AbstractNetwork):
    """Patches and a class token plus positions; blocks h + A(N(h)), then h + M(N(h)); norm and head of the class token.

    A is multi-head self-attention, M a perceptron of one hidden layer, N LayerNorm before each. Per example: no outputs
    depend on the rest of the batch.

    Args:
        image: (channels, height, width).
        num_classes: outputs.
        patch: side of a patch in pixels.
        dim: size of a token.
        depth: blocks.
        heads: attention heads; they divide `dim`.
        hidden: hidden units of the perceptrons.
        activation: elementwise.
        initialisation: of all weights, of the standard parametrisation. Positions are normal with standard deviation
            0.02, the class token starts at 0.
        remat: recompute the inside of each block in the backward pass: memory of one block and the tokens between.

    Raises:
        InputError: a patch that does not divide the image, heads that do not divide `dim`, no block, or an
            initialisation in the NTK parametrisation.

    The blocks are one compiled body, run `depth` times: leaves of ``params["blocks"]`` have a leading axis [depth].

    References: Dosovitskiy et al. 2021.
    """

    image: tuple[int, int, int] = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)
    patch: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    hidden: int = eqx.field(static=True)
    activation: Callable = eqx.field(static=True, default=gelu)
    initialisation: Initialisation = LECUN
    remat: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        at_least("depth", self.depth, 1)
        check_patches(self.image, self.patch)
        check_standard(self.initialisation)
        if self.dim % self.heads:
            raise InputError(f"heads must divide dim, {self.dim}; got {self.heads}.")

    @property
    def couples_examples(self) -> bool:
        """Never."""
        return False

    def check(self, shape: tuple[int, ...], outputs: int) -> None:
        """Refuse data of another shape."""
        check_images(self.image, self.num_classes, shape, outputs)

    def init(self, key: PRNGKey, dtype) -> Params:
        """Parameters drawn with `key` in precision `dtype`; scales 1 and biases of norms 0."""
        stem, head, positions, blocks = jax.random.split(key, 4)
        tokens = self.image[1] * self.image[2] // self.patch**2
        return {
            "stem": linear_params(self.initialisation, stem, self.image[0] * self.patch**2, self.dim, dtype),
            "token": jnp.zeros((1, self.dim), dtype),
            "positions": 0.02 * jax.random.normal(positions, (tokens + 1, self.dim), dtype),
            "blocks": jax.vmap(self._block_params, (0, None))(jax.random.split(blocks, self.depth), dtype),
            "norm": norm_params(self.dim, dtype),
            "head": linear_params(self.initialisation, head, self.dim, self.num_classes, dtype),
        }

    def _block_params(self, key: PRNGKey, dtype) -> Params:
        heads, mixer = jax.random.split(key)
        return {
            "norms": (norm_params(self.dim, dtype), norm_params(self.dim, dtype)),
            "attention": attention_params(self.initialisation, heads, self.dim, dtype),
            "perceptron": perceptron_params(self.initialisation, mixer, self.dim, self.hidden, dtype),
        }

    def many(self, params: Params, x: Float[Array, "n c h w"]) -> Float[Array, "n outputs"]:
        """The outputs for n images."""
        return jax.vmap(self._one, (None, 0))(params, x)

    def _one(self, params: Params, x: Float[Array, "c h w"]) -> Float[Array, "outputs"]:
        tokens = linear(params["stem"], patches(x, self.patch))
        h = jnp.concatenate([params["token"], tokens]) + params["positions"]
        block = jax.checkpoint(self._block) if self.remat else self._block
        h = jax.lax.scan(lambda h, of_block: (block(of_block, h), None), h, params["blocks"])[0]
        return linear(params["head"], layer_norm(params["norm"], h)[0][0])

    def _block(self, params: Params, h: Float[Array, "tokens c"]) -> Float[Array, "tokens c"]:
        first, second = params["norms"]
        h = h + attention(params["attention"], layer_norm(first, h)[0], self.heads)
        return h + perceptron(params["perceptron"], layer_norm(second, h)[0], self.activation)


def vit_s16(
    num_classes: int = 1000,
    *,
    image: tuple[int, int, int] = (3, 224, 224),
    width: float = 1.0,
    patch: int = 16,
    depth: int = 12,
    remat: bool = False,
) -> VisionTransformer:
    """ViT S/16: 12 blocks of 6 heads of 64; 22,050,664 parameters on 224 x 224 images with 1,000 classes.

    Args:
        num_classes: outputs.
        image: (channels, height, width).
        width: multiplies the 64 units of a head (so 384 and, in the perceptrons, 1,536 units).
        patch: side of a patch.
        depth: blocks.
        remat: see `VisionTransformer`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = vit_s16(10, image=(3, 32, 32), width=1 / 32, depth=1)
        >>> params = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.float32))
        >>> jax.eval_shape(network.many, params, jnp.ones((2, 3, 32, 32), jnp.float32)).shape
        (2, 10)
    """
    dim = 6 * widened(64, width)
    return VisionTransformer(image, num_classes, patch, dim, depth, 6, 4 * dim, remat=remat)
