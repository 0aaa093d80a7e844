"""Preprocessing: functions of images [n, channels, height, width] in [0, 1], float64, that keep the shape.

Every mean, standard deviation and covariance is taken **over the images handed in**: the n images a data set
keeps, not the whole release, and for the test split over the test images. Variances divide by n.

To add one: write it here in the same form, export it, add it to the table in `tests/test_data.py`.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from precipice._checks import InputError, positive

Images = Float64[np.ndarray, "n c h w"]


def scale_only(images: Images) -> Images:
    """Pixels in [0, 1] and nothing else."""
    return images


def scale_symmetric(images: Images) -> Images:
    """Pixels in [-1, 1]: twice the value less 1."""
    return 2 * images - 1


def centre(images: Images) -> Images:
    """Each pixel of each channel less its mean over the images."""
    return images - images.mean(axis=0, keepdims=True)


def centre_channels(images: Images) -> Images:
    """Each channel less its mean over the images and their pixels."""
    return images - images.mean(axis=(0, 2, 3), keepdims=True)


def standardise_channels(images: Images) -> Images:
    """Each channel with mean 0 and variance 1 over the images and their pixels.

    Raises:
        InputError: a channel that has the same value everywhere.

    Example:
        >>> images = np.arange(24.0).reshape(2, 3, 2, 2) / 24
        >>> np.allclose(standardise_channels(images).std(axis=(0, 2, 3)), 1)
        True
    """
    varying = np.ptp(images, axis=(0, 2, 3)) > 0
    if not varying.all():
        raise InputError(f"standardise_channels needs channels that vary; channel {np.argmin(varying)} is constant.")
    centred = centre_channels(images)
    return centred / centred.std(axis=(0, 2, 3), keepdims=True)


def standardise_pixels(images: Images) -> Images:
    """Each pixel of each channel with mean 0 and variance 1 over the images; one that never varies becomes 0.

    The published code of Cohen et al. 2021 does this to CIFAR-10, but with statistics over all 50,000
    training images. A pixel that is lit in few images gets large values in those: on MNIST take
    `standardise_channels`.
    """
    varying = np.ptp(images, axis=0, keepdims=True) > 0
    centred = centre(images)
    return np.where(varying, centred / np.where(varying, centred.std(axis=0, keepdims=True), 1.0), 0.0)


def zca(*, epsilon: float) -> Callable[[Images], Images]:
    """ZCA whitening of the flattened, centred images: z = V (S + epsilon)^(-1/2) V^T x.

    V S V^T is the covariance of the p = channels * height * width pixels over the n images. The result has
    covariance V S/(S + epsilon) V^T: directions of variance far above epsilon are whitened, those far below
    are left small. Curvature depends on epsilon, so it has no default. Cost: an eigendecomposition of size
    min(n, p) and products of n p min(n, p): seconds for 784, half a minute for 3072 on two shared cores.

    Args:
        epsilon: added to each variance of pixels in [0, 1], so in units of squared intensity.

    Returns:
        A preprocessing function named ``zca(epsilon=...)``, which provenance records.

    Raises:
        InputError: epsilon not positive and finite.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images, appendix A.
    """
    positive("epsilon", epsilon)

    def whiten(images: Images) -> Images:
        rows = centre(images).reshape(len(images), -1)
        return _whiten_rows(rows, epsilon).reshape(images.shape)

    whiten.__name__ = whiten.__qualname__ = f"zca(epsilon={epsilon:g})"
    return whiten


def _whiten_rows(rows: Float64[np.ndarray, "n p"], epsilon: float) -> Float64[np.ndarray, "n p"]:
    """X (X^T X/n + epsilon)^(-1/2), or the equal (X X^T/n + epsilon)^(-1/2) X where that is smaller."""
    n, p = rows.shape
    gram = (rows.T @ rows if p <= n else rows @ rows.T) / n
    variances, vectors = np.linalg.eigh(gram)
    factor = (vectors / np.sqrt(np.maximum(variances, 0.0) + epsilon)) @ vectors.T  # [min(n, p), min(n, p)]
    return rows @ factor if p <= n else factor @ rows
