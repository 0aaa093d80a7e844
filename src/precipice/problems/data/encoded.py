"""The interface of image collections too large for memory: encoded images and their classes, read one at a time.

Implementations: `FolderImages` (image_folder.py), a folder of files for each class; `TableImages` (image_table.py),
shards of Parquet or Arrow; `ChosenImages` (here), some of another's. `ImageStream` (image_stream.py) decodes them.

To add one:
1. Write a final, frozen subclass of `AbstractImages` in a file of its own; `read` is called from several threads.
2. Write the function that makes it, which refuses what is missing with its name and the count.
3. Add its layout to `imagenet.py`, and a row to `LAYOUTS` in tests/test_image_stream.py.
"""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from precipice._checks import InputError


class AbstractImages(abc.ABC):
    """n encoded images, their classes, and which of them lie together.

    Args:
        labels: class of each image [n], whole numbers from 0.
        classes: names of the classes, in the order of their numbers.
        runs: how many consecutive images are read together (a row group), for each such run; they sum to n. An order
            that respects them reads each run once.
        provenance: one sentence.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    runs: np.ndarray
    provenance: str

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """What a sentence calls image `index`: its file, and its row where the file holds several."""

    @abc.abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded image `index`; called from several threads.

        Raises:
            InputError: it cannot be read; names it.
        """


@dataclass(frozen=True, eq=False)
class ChosenImages(AbstractImages):
    """Some images of another collection, in ascending order; make it with `chosen_images`.

    Args:
        labels: as for `AbstractImages`; of those kept.
        classes: all classes of `images`, so that numbers keep their meaning.
        runs: what is left of the runs of `images`.
        provenance: one sentence.
        images: the other collection.
        kept: indices into it.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    runs: np.ndarray
    provenance: str
    images: AbstractImages
    kept: np.ndarray

    def name(self, index: int) -> str:
        """As in the whole collection."""
        return self.images.name(int(self.kept[index]))

    def read(self, index: int) -> bytes:
        """As in the whole collection."""
        return self.images.read(int(self.kept[index]))


def chosen_images(images: AbstractImages, kept: Sequence[int] | np.ndarray, words: str) -> ChosenImages:
    """The images `kept` (distinct indices, in any order) of a collection.

    Args:
        images: the collection.
        kept: indices of those that stay.
        words: what they are, for the provenance: "the first 1,000".

    Raises:
        InputError: no index, one that is out of range, or one that stands twice.
    """
    rows = np.sort(np.asarray(kept, np.int64))
    if not len(rows) or rows[0] < 0 or rows[-1] >= len(images) or np.any(rows[1:] == rows[:-1]):
        raise InputError(
            f"kept must hold distinct whole numbers from 0 to {len(images) - 1}, at least one; got {len(rows)} of them"
            f"{f' from {rows[0]} to {rows[-1]}' if len(rows) else ''}."
        )
    ends = np.cumsum(images.runs)
    left = np.bincount(np.searchsorted(ends, rows, side="right"), minlength=len(ends))
    provenance = f"{images.provenance.removesuffix('.')}; {words}: {len(rows):,} of {len(images):,}."
    return ChosenImages(images.labels[rows], images.classes, left[left > 0], provenance, images, rows)


def spread_images(images: AbstractImages, num: int) -> AbstractImages:
    """`num` images at equal distances through the collection, so that sorted classes are all there.

    Raises:
        InputError: more than there are; says how many are missing.
    """
    if num > len(images):
        raise InputError(
            f"{num:,} images were asked for and {len(images):,} are there, {num - len(images):,} too few "
            f"({images.provenance.removesuffix('.')})."
        )
    if num == len(images):
        return images
    return chosen_images(images, np.arange(num) * len(images) // num, "at equal distances")


def check_same_classes(one: AbstractImages, other: AbstractImages) -> None:
    """Refuse two collections whose classes differ, so that a number would mean two things.

    Raises:
        InputError: names the first class that one of them lacks, and how many differ.
    """
    if one.classes == other.classes:
        return
    lacking = sorted(set(one.classes) ^ set(other.classes))
    first = f"{lacking[0]!r} and {len(lacking) - 1} more are in one only" if lacking else "their order differs"
    raise InputError(
        f"training and validation images must have the same classes; got {len(one.classes)} and {len(other.classes)}: "
        f"{first}."
    )
