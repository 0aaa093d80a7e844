"""The shape in which images reach a network: a function of images [n, channels, height, width]."""

import numpy as np
from jaxtyping import Float


def flat(images: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n features"]:
    """One row for each image: all of channel 0 row by row, then channel 1, as in CIFAR-10's own files.

    Example:
        >>> flat(np.zeros((5, 3, 32, 32))).shape
        (5, 3072)
    """
    return images.reshape(len(images), -1)


def channels_first(images: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c h w"]:
    """Images as they are, [n, channels, height, width], for convolutions."""
    return images
