"""MNIST, from its official gzipped IDX files."""

import gzip
import struct
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import jax
import numpy as np

from precipice._checks import InputError, one_of
from precipice.problems.data.dataset import Dataset
from precipice.problems.data.files import DataDir, locate
from precipice.problems.data.images import NUM_CLASSES, Chunk, Preprocess, Targets, image_dataset
from precipice.problems.data.layouts import flat
from precipice.problems.data.preprocess import standardise_channels
from precipice.problems.data.releases import MNIST, Release
from precipice.problems.data.targets import one_hot

MAGIC = {1: 2049, 3: 2051}
"""First number of an IDX file of bytes, by its number of axes."""

CHUNK = 5000
"""Images decompressed at a time."""


def mnist(
    n: int | None = None,
    *,
    split: str = "train",
    data_dir: DataDir = None,
    classes: tuple[int, ...] | None = None,
    targets: Targets = one_hot,
    preprocess: Preprocess = standardise_channels,
    layout: Preprocess = flat,
    dtype: jax.typing.DTypeLike | None = None,
    release: Release = MNIST,
) -> Dataset:
    """The first n images of MNIST: 1 x 28 x 28 pixels, digits 0 to 9; 60,000 train, 10,000 test.

    Preprocessing statistics are taken over the n images used, not over the whole release. The stochastic-edge
    experiments of Agarwala and Pennington use ``mnist(2500, targets=parity, preprocess=zca(epsilon=...))``.
    Cost: 20 ms for the md5s, and decompression only as far as needed.

    Args:
        n: number of images, of the chosen classes; by default all.
        split: "train" or "test".
        data_dir: the data directory; by default ``PRECIPICE_DATA``, else a cache into which the files are
            downloaded.
        classes: classes kept, renumbered 0, 1, ... in this order; by default all ten.
        targets: makes y from the classes: `one_hot`, `binary_pair`, `parity`.
        preprocess: acts on pixels in [0, 1]: a function of `preprocess.py`.
        layout: `flat` for x [n, 784], `channels_first` for [n, 1, 28, 28].
        dtype: float32 or float64; by default JAX's.
        release: the files and their md5s; other than the official ones only in tests.

    Raises:
        InputError: a file that is missing, has a wrong md5 or cannot be downloaded, n larger than there are
            images, unknown split or classes.

    References:
        LeCun, Cortes and Burges, The MNIST database of handwritten digits (CC BY-SA 3.0).
    """
    one_of("split", split, release.splits)
    return image_dataset(
        _chunks(release, split, data_dir),
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


def _chunks(release: Release, split: str, data_dir: DataDir) -> Iterator[Chunk]:
    """Images [m, 1, height, width] and digits [m], a chunk at a time."""
    images_path, labels_path = (locate(release, file, data_dir) for file in release.splits[split])
    pairs = zip_longest(_blocks(images_path, 3), _blocks(labels_path, 1), fillvalue=np.zeros(0))
    for images, labels in pairs:
        if len(images) != len(labels):
            raise InputError(f"{labels_path} must have one label for each image of {images_path.name}.")
        if labels.max() >= NUM_CLASSES:
            raise InputError(f"{labels_path} must hold digits up to {NUM_CLASSES - 1}; got {labels.max()}.")
        yield images[:, None], labels


def _blocks(path: Path, axes: int) -> Iterator[np.ndarray]:
    """The items of an IDX file, `CHUNK` at a time, each of axes - 1 axes."""
    with gzip.open(path) as stream:
        (magic,) = struct.unpack(">I", _bytes(stream, 4, path))
        if magic != MAGIC[axes]:
            raise InputError(f"{path} must begin with the magic number {MAGIC[axes]}; got {magic}.")
        count, *shape = struct.unpack(f">{axes}I", _bytes(stream, 4 * axes, path))
        size = int(np.prod(shape))
        for start in range(0, count, CHUNK):
            num = min(CHUNK, count - start)
            yield np.frombuffer(_bytes(stream, num * size, path), np.uint8).reshape(num, *shape)
        _end(stream, path)


def _bytes(stream: gzip.GzipFile, size: int, path: Path) -> bytes:
    """Exactly `size` bytes."""
    got = _read(stream, size, path)
    if len(got) != size:
        raise InputError(f"{path} is cut short: its header asks for {size} more bytes; got {len(got)}.")
    return got


def _end(stream: gzip.GzipFile, path: Path) -> None:
    """Refuse bytes after the last item; reading to the end also makes gzip check its checksum."""
    if _read(stream, 1, path):
        raise InputError(f"{path} must end after the number of items in its header; got more bytes.")


def _read(stream: gzip.GzipFile, size: int, path: Path) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} must be a whole gzip file; got one that is damaged or cut short.") from error
