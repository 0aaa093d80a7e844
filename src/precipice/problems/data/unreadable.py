"""Images of a collection that cannot be decoded: counted and named, refused or left out. No JAX here."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from precipice._checks import InputError
from precipice.problems.data.encoded import AbstractImages, chosen_images
from precipice.problems.data.image_folder import shortened
from precipice.problems.data.image_views import CentreCrop, pixels_of

PIECE = 4096
"""Images handed to the threads at a time."""


def unreadable(images: AbstractImages, *, workers: int | None = None) -> dict[int, str]:
    """Why each image that cannot be decoded cannot, by index, in ascending order. Costs a decoding of them all.

    Args:
        images: the collection.
        workers: threads; by default one a core.
    """
    view, nothing = CentreCrop(1, 1), np.random.default_rng(0)

    def reason(index: int) -> str:
        try:
            pixels_of(view, images, index, nothing)
        except InputError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        pieces = (range(len(images))[start : start + PIECE] for start in range(0, len(images), PIECE))
        found = (
            (index, words) for piece in pieces for index, words in zip(piece, pool.map(reason, piece), strict=True)
        )
        return {index: words for index, words in found if words}


def refuse_unreadable(images: AbstractImages) -> AbstractImages:
    """`images` as they are.

    Raises:
        InputError: some cannot be decoded; counts them and names the first.
    """
    if bad := unreadable(images):
        names = shortened([images.name(index) for index in bad])
        raise InputError(f"all {len(images):,} images must be readable; {len(bad):,} are not: {names}.")
    return images


def skip_unreadable(images: AbstractImages) -> AbstractImages:
    """`images` without those that cannot be decoded; their number stands in the provenance.

    Raises:
        InputError: none can be decoded.
    """
    bad = unreadable(images)
    if not bad:
        return images
    if len(bad) == len(images):
        raise InputError(f"some of the {len(images):,} images must be readable; none is, the first: {bad[0]}")
    kept = np.delete(np.arange(len(images)), list(bad))
    return chosen_images(images, kept, f"without {len(bad):,} that cannot be decoded")
