"""ImageNet (or images in its layouts) in the data directory. No JAX here."""

from pathlib import Path

from precipice._checks import InputError, one_of
from precipice.problems.data.encoded import AbstractImages
from precipice.problems.data.files import DataDir, data_root
from precipice.problems.data.image_folder import image_folder
from precipice.problems.data.image_table import SPLITS, image_table, shards

FOLDER = "imagenet"
"""Under the data directory."""


def imagenet(split: str = "train", *, data_dir: DataDir = None) -> AbstractImages:
    """The images of a split of ``<data directory>/imagenet``: folders of classes, or shards of Parquet or Arrow.

    ``imagenet/train/<class>/*.JPEG`` and ``imagenet/val/<class>/*.JPEG`` are read by `image_folder`; otherwise shards
    anywhere under ``imagenet`` by `image_table`. ImageNet itself (ILSVRC 2012: 1,281,167 and 50,000 images of 1,000
    classes) has to be got from its owners; nothing is downloaded.

    Args:
        split: "train" or "val".
        data_dir: the data directory; by default ``PRECIPICE_DATA``, else the user's cache.

    Raises:
        InputError: an unknown split, or images that are not there, with where they were looked for.
    """
    one_of("split", split, SPLITS)
    root = data_root(data_dir) / FOLDER
    for name in SPLITS[split]:
        if _holds_folders(root / name):
            return image_folder(root / name)
    if root.is_dir() and shards(root, split):
        return image_table(root, split)
    raise InputError(
        f"ImageNet needs {root / split}/<class>/*.JPEG, or Parquet or Arrow shards of {split} under {root}; neither is "
        "there."
    )


def has_imagenet(data_dir: DataDir = None) -> bool:
    """Whether the data directory has a folder or shards of training images."""
    root = data_root(data_dir) / FOLDER
    return _holds_folders(root / "train") or (root.is_dir() and any(root.glob("**/train*.*")))


def _holds_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir())
