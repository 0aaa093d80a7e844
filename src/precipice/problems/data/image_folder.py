"""Images in the usual layout of ImageNet: ``<split>/<class>/<image>``. No JAX here."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from precipice._checks import InputError
from precipice.problems.data.encoded import AbstractImages

SUFFIXES = (".jpeg", ".jpg", ".png")
"""Of images, in upper or lower case; other files are passed over."""


@dataclass(frozen=True, eq=False)
class FolderImages(AbstractImages):
    """Image files in one folder a class; make it with `image_folder`.

    Args:
        labels: as for `AbstractImages`.
        classes: the folders' names, sorted.
        runs: each image alone.
        provenance: one sentence.
        root: the folder of the split.
        files: names, in the order of the labels.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    runs: np.ndarray
    provenance: str
    root: Path
    files: tuple[str, ...]

    def name(self, index: int) -> str:
        """The file."""
        return str(self._path(index))

    def read(self, index: int) -> bytes:
        """The file's bytes."""
        path = self._path(index)
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"image {path} must be readable; got: {error.strerror or error}.") from error

    def _path(self, index: int) -> Path:
        return self.root / self.classes[self.labels[index]] / self.files[index]


def image_folder(root: str | os.PathLike[str]) -> FolderImages:
    """The images of one split: ``root/<class>/*.JPEG`` (or .jpg, .png), classes and files in the order of their names.

    Only names are read here: ImageNet's 1,281,167 take seconds on a local disk.

    Args:
        root: the folder of the split, such as ``imagenet/train``.

    Raises:
        InputError: no such folder, no folder of a class in it, or class folders without an image, counted and named.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"images need the folder {folder}, which is not there.")
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise InputError(f"{folder} must hold a folder for each class; got none.")
    files = [sorted(e.name for e in os.scandir(folder / c) if e.name.lower().endswith(SUFFIXES)) for c in classes]
    empty = [c for c, names in zip(classes, files, strict=True) if not names]
    if empty:
        raise InputError(
            f"each class in {folder} must hold images; {len(empty)} of {len(classes)} hold none: {shortened(empty)}."
        )
    counts = [len(names) for names in files]
    labels = np.repeat(np.arange(len(classes)), counts)
    provenance = f"Images of {folder.name}: {len(labels):,} files in {len(classes):,} classes."
    every = tuple(name for names in files for name in names)
    return FolderImages(labels, tuple(classes), np.ones(len(labels), np.int64), provenance, folder, every)


def shortened(names: list[str], most: int = 3) -> str:
    """The first few names, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
