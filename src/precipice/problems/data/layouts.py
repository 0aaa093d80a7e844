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


def span(images: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n features"]:
    """Coordinates of n images in their own span, times sqrt(n/p): a network of n inputs in place of p pixels.

    For the NTK parametrisation with normal weights the training is the same as on the pixels: its weights enter as
    x W/sqrt(p), only their part in the span of the images acts or moves, and a rotation leaves their law. With any
    other parametrisation the first layer's share of the kernel changes by n/p. Where n is at least p, it is `flat`.

    Example:
        >>> images = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
        >>> x, pixels = span(images), flat(images)
        >>> x.shape, np.allclose(x @ x.T / 4, pixels @ pixels.T / 12)
        ((4, 4), True)
    """
    rows = flat(images)
    n, p = rows.shape
    if n >= p:
        return rows
    variances, vectors = np.linalg.eigh(rows @ rows.T / p)
    return vectors * np.sqrt(n * np.maximum(variances, 0.0))
