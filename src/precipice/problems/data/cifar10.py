"""CIFAR-10, from its official binary files."""

from pathlib import Path

import jax
import numpy as np

from precipice._checks import InputError, one_of
from precipice.problems.data.dataset import Dataset
from precipice.problems.data.files import DataDir, locate
from precipice.problems.data.images import NUM_CLASSES, Chunk, Preprocess, Targets, image_dataset
from precipice.problems.data.layouts import flat
from precipice.problems.data.preprocess import standardise_channels
from precipice.problems.data.releases import CIFAR10, Release
from precipice.problems.data.targets import one_hot

SHAPE = (3, 32, 32)
"""Channels (red, green, blue), rows, columns."""

RECORD = 1 + 3 * 32 * 32
"""Bytes of one example: its class, then its pixels, all of red row by row, then green, then blue."""


def cifar10(
    n: int | None = None,
    *,
    split: str = "train",
    data_dir: DataDir = None,
    classes: tuple[int, ...] | None = None,
    targets: Targets = one_hot,
    preprocess: Preprocess = standardise_channels,
    layout: Preprocess = flat,
    dtype: jax.typing.DTypeLike | None = None,
    release: Release = CIFAR10,
) -> Dataset:
    """The first n images of CIFAR-10: 3 x 32 x 32 pixels, 10 classes; 50,000 train, 10,000 test.

    Only the batches needed are read: n up to 10,000 needs data_batch_1.bin alone. Preprocessing statistics
    are taken over the n images used, not over the whole release; the published code of Cohen et al. 2021
    takes them over all 50,000, pixel by pixel (`standardise_pixels`). Cost: 50 ms for the md5 of each batch;
    about a second for n = 5000.

    Args:
        n: number of images, of the chosen classes; by default all.
        split: "train" or "test".
        data_dir: the data directory; by default ``PRECIPICE_DATA``, else a cache into which the files are
            downloaded.
        classes: classes kept, renumbered 0, 1, ... in this order; by default all ten.
        targets: makes y from the classes: `one_hot`, `binary_pair`, `parity`.
        preprocess: acts on pixels in [0, 1]: a function of `preprocess.py`.
        layout: `flat` for x [n, 3072], `channels_first` for [n, 3, 32, 32].
        dtype: float32 or float64; by default JAX's.
        release: the files and their md5s; other than the official ones only in tests.

    Raises:
        InputError: a file that is missing, has a wrong md5 or cannot be downloaded, n larger than there are
            images, unknown split or classes.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    one_of("split", split, release.splits)
    return image_dataset(
        (_read(locate(release, file, data_dir)) for file in release.splits[split]),
        title=f"{release.title} {split} split",
        top=255,
        count=release.counts[split],
        n=n,
        classes=classes,
        targets=targets,
        preprocess=preprocess,
        layout=layout,
        dtype=dtype,
    )


def _read(path: Path) -> Chunk:
    """Every image [m, 3, 32, 32] and class [m] of one batch file."""
    raw = np.fromfile(path, np.uint8)
    if raw.size == 0 or raw.size % RECORD:
        raise InputError(f"{path} must hold whole records of {RECORD} bytes; got {raw.size} bytes.")
    records = raw.reshape(-1, RECORD)
    if records[:, 0].max() >= NUM_CLASSES:
        raise InputError(f"{path} must hold classes from 0 to {NUM_CLASSES - 1}; got {records[:, 0].max()}.")
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0]
