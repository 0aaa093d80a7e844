"""The handwritten digits that come with scikit-learn."""

from collections.abc import Iterator

import jax
import numpy as np

from precipice.problems.data.dataset import Dataset
from precipice.problems.data.images import Chunk, Preprocess, Targets, image_dataset
from precipice.problems.data.layouts import flat
from precipice.problems.data.preprocess import standardise_channels
from precipice.problems.data.targets import one_hot


def digits(
    n: int | None = None,
    *,
    classes: tuple[int, ...] | None = None,
    targets: Targets = one_hot,
    preprocess: Preprocess = standardise_channels,
    layout: Preprocess = flat,
    dtype: jax.typing.DTypeLike | None = None,
) -> Dataset:
    """The first n of the 1797 images of handwritten digits in scikit-learn: 1 x 8 x 8 pixels, digits 0 to 9.

    They need no file and no network. Preprocessing statistics are taken over the n images used. Cost: a
    second, once, to import scikit-learn.

    Args:
        n: number of images, of the chosen classes; by default all.
        classes: classes kept, renumbered 0, 1, ... in this order; by default all ten.
        targets: makes y from the classes: `one_hot`, `binary_pair`, `parity`.
        preprocess: acts on pixels in [0, 1] (sixteenths): a function of `preprocess.py`.
        layout: `flat` for x [n, 64], `channels_first` for [n, 1, 8, 8].
        dtype: float32 or float64; by default JAX's.

    Raises:
        InputError: n larger than there are images, or unknown classes.

    References:
        Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI repository (its test set).

    Example:
        >>> data = digits(4)
        >>> data.labels.tolist(), data.x.shape, data.y.shape
        ([0, 1, 2, 3], (4, 64), (4, 10))
    """
    return image_dataset(
        _chunks(),
        title="scikit-learn digits",
        top=16,
        count=1797,
        n=n,
        classes=classes,
        targets=targets,
        preprocess=preprocess,
        layout=layout,
        dtype=dtype,
    )


def _chunks() -> Iterator[Chunk]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    yield np.asarray(pixels).reshape(-1, 1, 8, 8), np.asarray(labels)
