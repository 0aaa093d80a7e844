"""Layers as functions of their parameters; signals have their channels last."""

import functools
import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError, positive
from precipice._types import Params, PRNGKey
from precipice.problems.initialisations import Initialisation


def along_last(vector: Float[Array, "c"], h: Array) -> Array:
    """A vector of the last axis, with as many axes as `h`."""
    return vector.reshape((1,) * (h.ndim - 1) + vector.shape)


def linear(params: Params, h: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
    """H W + b."""
    out = h @ params["weight"]
    return out + along_last(params["bias"], out)


def linear_params(initialisation: Initialisation, key: PRNGKey, fan_in: int, fan_out: int, dtype) -> Params:
    """Weight [fan_in, fan_out] and bias [fan_out]."""
    weight, bias = jax.random.split(key)
    return {
        "weight": initialisation.weight(weight, fan_in, fan_out, dtype),
        "bias": initialisation.bias(bias, fan_in, fan_out, dtype),
    }


def convolution(
    weight: Float[Array, "k k c_in c_out"], h: Float[Array, "n h w c_in"], stride: int
) -> Float[Array, "n hh ww c_out"]:
    """A convolution without bias, padded by half of its kernel (cross-correlation, as everywhere)."""
    pad = weight.shape[0] // 2
    return jax.lax.conv_general_dilated(
        h, weight, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolution_weight(
    initialisation: Initialisation, key: PRNGKey, kernel: int, c_in: int, c_out: int, dtype
) -> Float[Array, "k k c_in c_out"]:
    """A kernel whose fan_in is kernel^2 c_in."""
    return initialisation.weight(key, kernel**2 * c_in, c_out, dtype).reshape(kernel, kernel, c_in, c_out)


def max_pool(h: Float[Array, "n h w c"]) -> Float[Array, "n hh ww c"]:
    """The maximum over 3 x 3 places, stride 2, padded by one: of shifted copies, which any derivative goes through."""
    padded = jnp.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    height, width = ((length - 1) // 2 * 2 + 1 for length in h.shape[1:3])
    shifts = itertools.product(range(3), range(3))
    return functools.reduce(jnp.maximum, [padded[:, i : i + height : 2, j : j + width : 2] for i, j in shifts])


def patches(x: Float[Array, "c h w"], size: int) -> Float[Array, "tokens pixels"]:
    """Squares of `size` x `size` pixels, row by row; in each, rows, then columns, then channels."""
    c, h, w = x.shape
    cut = x.reshape(c, h // size, size, w // size, size)
    return cut.transpose(1, 3, 2, 4, 0).reshape(-1, size * size * c)


def widened(count: int, width: float) -> int:
    """`count` times a width multiplier, rounded, at least 1."""
    positive("width", width)
    return max(1, round(count * width))


def check_images(image: tuple[int, int, int], num_classes: int, shape: tuple[int, ...], outputs: int) -> None:
    """Refuse data of another shape than the network's."""
    if shape[1:] != image:
        raise InputError(
            f"image must be the data's (channels, height, width) {shape[1:]} (layout=channels_first); got {image}."
        )
    if outputs != num_classes:
        raise InputError(f"num_classes must be the data's number of outputs, {outputs}; got {num_classes}.")


def check_patches(image: tuple[int, int, int], patch: int) -> None:
    """Refuse images that are not a whole number of patches."""
    if image[1] % patch or image[2] % patch:
        raise InputError(f"patch must divide the height and width of the image, {image[1:]}; got {patch}.")


def check_standard(initialisation: Initialisation) -> None:
    """Refuse the NTK parametrisation, whose factors these layers do not apply."""
    if initialisation.forward_variance is not None:
        raise InputError(f"initialisation must be of the standard parametrisation; got {initialisation.name}.")
