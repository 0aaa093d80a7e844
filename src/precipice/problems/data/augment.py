"""Augmentation: functions ``(key, images [n, channels, height, width]) -> images`` of the same shape.

To add one: write a final `Module` here in the same form, export it, and test what it may and may not do to an image.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import at_least
from precipice._types import PRNGKey


class CropAndFlip(eqx.Module):
    """Each image padded with zeros, cut to its size at a random place, and mirrored left to right half of the time.

    Zeros are the mean colour of images that were centred; pad such images.

    Args:
        pad: pixels on each side; 4 is usual for 32 x 32 pixels, 0 leaves the mirror alone.

    Raises:
        InputError: a negative pad.

    References: He et al. 2016, section 4.2.

    Example:
        >>> CropAndFlip(0)(jax.random.key(3), jnp.arange(2.0).reshape(1, 1, 1, 2)).ravel().tolist() in ([0, 1], [1, 0])
        True
    """

    pad: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        at_least("pad", self.pad, 0)

    def __call__(self, key: PRNGKey, images: Float[Array, "n c h w"]) -> Float[Array, "n c h w"]:
        """`images`, each moved and mirrored by its own draw."""
        places, mirrors = jax.random.split(key)
        corners = jax.random.randint(places, (images.shape[0], 2), 0, 2 * self.pad + 1)
        mirrored = jax.random.bernoulli(mirrors, 0.5, (images.shape[0],))
        return jax.vmap(self._one)(images, corners, mirrored)

    def _one(self, image: Array, corner: Array, mirrored: Array) -> Array:
        padded = jnp.pad(image, ((0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        start = (jnp.zeros((), corner.dtype), corner[0], corner[1])
        cut = jax.lax.dynamic_slice(padded, start, image.shape)
        return jnp.where(mirrored, cut[:, :, ::-1], cut)
