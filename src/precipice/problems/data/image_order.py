"""The order in which images that do not fit into memory are trained on. No JAX here."""

import numpy as np
from jaxtyping import Integer

from precipice._checks import at_least

MIX = 8192
"""Images that are mixed with each other: of ImageNet's 110 KB, twice 0.9 GB are held while windows change."""


def stream_order(
    runs: Integer[np.ndarray, "runs"], epoch: int, *, seed: int, mix: int = MIX
) -> Integer[np.ndarray, "n"]:
    """The images in the order of an epoch (from 0), a permutation that is a function of seed and epoch.

    Runs (images that are read together) are permuted, cut into windows of about `mix` images, and the images of each
    window permuted. Where every run is one image each permutation is equally likely; where a run is a row group of
    Parquet, each is read once an epoch and those of one window are held at a time.

    Args:
        runs: how many consecutive images each run holds.
        epoch: number of the epoch.
        seed: of the order.
        mix: images in a window; the last of its runs may exceed it.

    Example:
        >>> stream_order(np.array([2, 2, 2]), 0, seed=0, mix=2).reshape(3, 2) // 2  # one run after the other
        array([[2, 2],
               [0, 0],
               [1, 1]])
    """
    at_least("mix", mix, 1)
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(runs))
    sizes, starts = runs[order], (np.cumsum(runs) - runs)[order]
    before = np.cumsum(sizes) - sizes
    images = np.repeat(starts - before, sizes) + np.arange(runs.sum())
    windows = np.repeat(before // mix, sizes)
    return images[np.lexsort((random.random(len(images)), windows))]
