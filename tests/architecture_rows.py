"""The architectures at tiny width, at a point and on images that NumPy draws, for scripts/torch_architectures.py."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from precipice import problems

NUM_EXAMPLES = 6
NUM_CLASSES = 3


class NetworkRow(NamedTuple):
    """A network at its published size, the parameters published for it, the same narrow, and the same shallow too."""

    published: Callable[[], problems.AbstractNetwork]
    num_params: int
    tiny: Any
    shallow: Any


def remade(network, **changed):
    """A network with other fields."""
    fields = {name: getattr(network, name) for name in network.__dataclass_fields__}
    return type(network)(**{**fields, **changed})


def _residual(make, num_params, image, **choice):
    tiny = make(NUM_CLASSES, image=image, width=1 / 32, **choice)
    return NetworkRow(lambda: make(**choice), num_params, tiny, remade(tiny, depths=(1, 1), channels=(2, 3)))


def _of_patches(make, num_params):
    tiny = make(NUM_CLASSES, image=(3, 8, 12), width=1 / 64, patch=4)
    return NetworkRow(make, num_params, tiny, remade(tiny, depth=1))


LAYERED = {"norm": problems.layer_norm, "activation": problems.gelu}

# Counts of kuangliu/pytorch-cifar, torchvision's resnet50, timm's mixer_s16_224 and vit_small_patch16_224.
NETWORKS = {
    "resnet18": _residual(problems.resnet18, 11_173_962, (3, 8, 8)),
    "resnet18 layered": _residual(problems.resnet18, 11_173_962, (3, 8, 8), **LAYERED),
    "resnet50": _residual(problems.resnet50, 25_557_032, (3, 33, 36)),
    "mixer": _of_patches(problems.mixer_s16, 18_528_264),
    "vit": _of_patches(problems.vit_s16, 22_050_664),
}


def like(network: problems.AbstractNetwork):
    """The shapes of the parameters, in float64."""
    return jax.eval_shape(lambda key: network.init(key, np.float64), jax.random.key(0))


def point(network: problems.AbstractNetwork, seed: int = 0):
    """Parameters no special point of the network: matrices of variance 1/fan_in, vectors near 1."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        fan_in = leaf.size // leaf.shape[-1]
        return rng.normal(size=leaf.shape) / fan_in**0.5 if leaf.ndim > 1 else 1 + 0.3 * rng.normal(size=leaf.shape)

    return jax.tree.map(draw, like(network))


def direction(network: problems.AbstractNetwork):
    """A vector of the parameters."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), like(network))


def images(image: tuple[int, ...]) -> np.ndarray:
    """Random images."""
    return np.random.default_rng(2).normal(size=(NUM_EXAMPLES, *image))
