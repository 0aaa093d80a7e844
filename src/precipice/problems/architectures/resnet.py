"""Residual networks: ResNet-18 for small images and ResNet-50, with BatchNorm or LayerNorm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import at_least
from precipice._types import Params, PRNGKey
from precipice.problems.abstract_network import AbstractNetwork
from precipice.problems.activations import relu
from precipice.problems.architectures.layers import (
    check_images,
    check_standard,
    convolution,
    convolution_weight,
    linear,
    linear_params,
    max_pool,
    widened,
)
from precipice.problems.architectures.norms import batch_norm, norm_params
from precipice.problems.initialisations import HE, Initialisation


class Stem(NamedTuple):
    """The first convolution: its kernel and stride, and whether a 3 x 3 maximum of stride 2 follows."""

    kernel: int
    stride: int
    pool: bool


SMALL_IMAGES = Stem(3, 1, False)
LARGE_IMAGES = Stem(7, 2, True)


class ResNet(AbstractNetwork):
    """Stages of residual blocks, s(h + N(C ... s(N(C h)))), mean over places, linear head; see `resnet18`, `resnet50`.

    C is a convolution without bias, N the norm and s the activation. The first block of each stage but the first halves
    height and width, in its 3 x 3 convolution; where the shape changes, h goes through a 1 x 1 convolution and a norm.

    With `batch_norm` the statistics of the batch are part of the function (`many`, and so every loss and curvature):
    derivatives go through them. Statistics for evaluation are explicit: `statistics`, `running` and `evaluate`.

    Args:
        image: (channels, height, width).
        num_classes: outputs.
        depths: blocks of each stage.
        channels: width of each stage, before `expansion`.
        kernels: the convolutions of a block.
        expansion: channels out of a block over `channels`.
        stem: the first convolution.
        norm: `batch_norm` or `layer_norm`.
        activation: elementwise.
        initialisation: of convolutions and head, of the standard parametrisation.
        remat: recompute the inside of each block in the backward pass; without effect on a CPU, where XLA merges the
            two computations again (for a GPU; not measured there).

    Raises:
        InputError: no stage, or an initialisation in the NTK parametrisation.

    References: He et al. 2016.
    """

    image: tuple[int, int, int] = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)
    depths: tuple[int, ...] = eqx.field(static=True)
    channels: tuple[int, ...] = eqx.field(static=True)
    kernels: tuple[int, ...] = eqx.field(static=True)
    expansion: int = eqx.field(static=True)
    stem: Stem = eqx.field(static=True)
    norm: Callable = eqx.field(static=True, default=batch_norm)
    activation: Callable = eqx.field(static=True, default=relu)
    initialisation: Initialisation = HE
    remat: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        at_least("number of stages", len(self.depths), 1)
        at_least("num_classes", self.num_classes, 1)
        check_standard(self.initialisation)

    @property
    def couples_examples(self) -> bool:
        """With BatchNorm."""
        return self.norm is batch_norm

    def check(self, shape: tuple[int, ...], outputs: int) -> None:
        """Refuse data of another shape."""
        check_images(self.image, self.num_classes, shape, outputs)

    def init(self, key: PRNGKey, dtype) -> Params:
        """Parameters drawn with `key` in precision `dtype`; scales 1 and biases of norms 0."""
        stem, head, *keys = jax.random.split(key, 2 + sum(self.depths))
        stages, c_in = [], self.channels[0]
        for depth, c in zip(self.depths, self.channels, strict=True):
            blocks = []
            for number in range(depth):
                blocks.append(self._block_params(keys.pop(), c_in, c, _stride(len(stages), number), dtype))
                c_in = c * self.expansion
            stages.append(tuple(blocks))
        return {
            "stem": self._layer_params(stem, self.stem.kernel, self.image[0], self.channels[0], dtype),
            "stages": tuple(stages),
            "head": linear_params(self.initialisation, head, c_in, self.num_classes, dtype),
        }

    def _layer_params(self, key: PRNGKey, kernel: int, c_in: int, c_out: int, dtype) -> Params:
        weight = convolution_weight(self.initialisation, key, kernel, c_in, c_out, dtype)
        return {"weight": weight, "norm": norm_params(c_out, dtype)}

    def _block_params(self, key: PRNGKey, c_in: int, c: int, stride: int, dtype) -> Params:
        last = c * self.expansion
        ends = [c_in, *[c] * (len(self.kernels) - 1), last]
        *keys, shortcut = jax.random.split(key, len(self.kernels) + 1)
        layers = zip(keys, self.kernels, ends[:-1], ends[1:], strict=True)
        params: Params = {"layers": tuple(self._layer_params(k, size, i, o, dtype) for k, size, i, o in layers)}
        if stride != 1 or c_in != last:
            params["shortcut"] = self._layer_params(shortcut, 1, c_in, last, dtype)
        return params

    def many(self, params: Params, x: Float[Array, "n c h w"]) -> Float[Array, "n outputs"]:
        """The outputs for n images; with BatchNorm under the statistics of these n."""
        return self._pass(params, x, None)[0]

    def statistics(self, params: Params, x: Float[Array, "n c h w"]) -> Any:
        """Mean and (biased) variance of each channel of each BatchNorm over these images; empty with LayerNorm."""
        return self._pass(params, x, None)[1]

    def with_statistics(self, params: Params, x: Float[Array, "n c h w"]) -> tuple[Float[Array, "n outputs"], Any]:
        """`many` and `statistics` of one pass."""
        return self._pass(params, x, None)

    def evaluate(self, params: Params, statistics: Any, x: Float[Array, "n c h w"]) -> Float[Array, "n outputs"]:
        """The outputs under fixed `statistics` of the BatchNorms: each image's are its own."""
        return self._pass(params, x, statistics)[0]

    def features(
        self, params: Params, x: Float[Array, "n c h w"], statistics: Any = None
    ) -> Float[Array, "n channels"]:
        """What the head sees: the last activations, averaged over their places; statistics as for `evaluate`."""
        return self._body(params, x, statistics)[0]

    def _pass(self, params: Params, x: Array, given: Any) -> tuple[Array, Any]:
        features, statistics = self._body(params, x, given)
        return linear(params["head"], features), statistics

    def _body(self, params: Params, x: Array, given: Any) -> tuple[Array, Any]:
        given = given or {"stem": None, "stages": [[None] * depth for depth in self.depths]}
        h, stem = self._layer(params["stem"], x.transpose(0, 2, 3, 1), self.stem.stride, given["stem"])
        h = self.activation(h)
        h, stages = max_pool(h) if self.stem.pool else h, []
        for number, (blocks, of_stage) in enumerate(zip(params["stages"], given["stages"], strict=True)):
            made = []
            for place, (block, of_block) in enumerate(zip(blocks, of_stage, strict=True)):
                h, statistics = self._rematerialised(_stride(number, place))(block, h, of_block)
                made.append(statistics)
            stages.append(tuple(made))
        return jnp.mean(h, (1, 2)), {"stem": stem, "stages": tuple(stages)}

    def _layer(self, params: Params, h: Array, stride: int, given: Any) -> tuple[Array, Any]:
        return self.norm(params["norm"], convolution(params["weight"], h, stride), given)

    def _rematerialised(self, stride: int) -> Callable:
        def block(params, h, given):
            return self._block(params, h, stride, given)

        return jax.checkpoint(block) if self.remat else block

    def _block(self, params: Params, h: Array, stride: int, given: Any) -> tuple[Array, Any]:
        given = given or {"layers": [None] * len(self.kernels), "shortcut": None}
        strided, out, layers, shortcut = self.kernels.index(3), h, [], None
        for number, layer in enumerate(params["layers"]):
            out = self.activation(out) if number else out
            out, statistics = self._layer(layer, out, stride if number == strided else 1, given["layers"][number])
            layers.append(statistics)
        if "shortcut" in params:
            h, shortcut = self._layer(params["shortcut"], h, stride, given["shortcut"])
        return self.activation(out + h), {"layers": tuple(layers), "shortcut": shortcut}


def _stride(stage: int, block: int) -> int:
    return 2 if stage and not block else 1


def resnet18(
    num_classes: int = 10,
    *,
    image: tuple[int, int, int] = (3, 32, 32),
    width: float = 1.0,
    norm: Callable = batch_norm,
    activation: Callable = relu,
    initialisation: Initialisation = HE,
    remat: bool = False,
    stem_stride: int = 1,
) -> ResNet:
    """ResNet-18 for CIFAR: 3 x 3 first convolution of stride 1, no pooling; 11,173,962 parameters with 10 classes.

    agarwala2024 use it with ``norm=layer_norm, activation=problems.gelu``.

    Args:
        num_classes: outputs.
        image: (channels, height, width).
        width: multiplies the channels 64, 128, 256, 512.
        norm: `batch_norm` or `layer_norm`.
        activation: elementwise.
        initialisation: of convolutions and head.
        remat: see `ResNet`.
        stem_stride: of the first convolution; 2 halves height and width of all that follows, for small runs.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = resnet18(width=1 / 32, image=(3, 8, 8))
        >>> params = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.float32))
        >>> jax.eval_shape(network.many, params, jnp.ones((2, 3, 8, 8), jnp.float32)).shape
        (2, 10)
    """
    channels = tuple(widened(c, width) for c in (64, 128, 256, 512))
    sizes = (2, 2, 2, 2), channels, (3, 3), 1, SMALL_IMAGES._replace(stride=stem_stride)
    return ResNet(image, num_classes, *sizes, norm, activation, initialisation, remat)


def resnet50(
    num_classes: int = 1000,
    *,
    image: tuple[int, int, int] = (3, 224, 224),
    width: float = 1.0,
    norm: Callable = batch_norm,
    activation: Callable = relu,
    initialisation: Initialisation = HE,
    remat: bool = False,
) -> ResNet:
    """ResNet-50 with the stride in the 3 x 3 convolutions ("v1.5"); 25,557,032 parameters with 1,000 classes.

    Args:
        num_classes: outputs.
        image: (channels, height, width).
        width: multiplies the channels 64, 128, 256, 512 (and with them 256 to 2,048).
        norm: `batch_norm` or `layer_norm`.
        activation: elementwise.
        initialisation: of convolutions and head.
        remat: see `ResNet`.

    Example:
        >>> resnet50(width=1 / 32).channels
        (2, 4, 8, 16)
    """
    channels = tuple(widened(c, width) for c in (64, 128, 256, 512))
    sizes = (3, 4, 6, 3), channels, (1, 3, 1), 4, LARGE_IMAGES
    return ResNet(image, num_classes, *sizes, norm, activation, initialisation, remat)
