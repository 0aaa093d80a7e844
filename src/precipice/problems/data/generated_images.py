"""Images made from a formula and written as files, in the layout of ImageNet: to try a training without its data."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from precipice._checks import at_least


def write_generated_images(root: Path, num: int, num_classes: int, *, seed: int = 0, side: int = 48) -> None:
    """Write ``root/<class>/<number>.JPEG``: gratings whose direction and colour are the class's, in noise.

    Direction, colour and wavelength vary about the class's own by image; sides vary by a quarter. They are there to be
    learnt by small networks in seconds and say nothing of photographs.

    Args:
        root: the folder of a split, made here.
        num: of images, as many in each class as goes.
        num_classes: of classes, named ``class000`` and on.
        seed: of all draws; another for the validation images.
        side: mean height and width in pixels.

    Example:
        >>> import tempfile
        >>> from precipice.problems import image_folder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_generated_images(Path(folder) / "train", 6, 2)
        ...     image_folder(Path(folder) / "train").labels
        array([0, 0, 0, 1, 1, 1])
    """
    at_least("num_classes", num_classes, 1)
    at_least("num", num, num_classes)
    at_least("side", side, 4)
    pillow: Any = importlib.import_module("PIL.Image")
    for index in range(num):
        number = index % num_classes
        folder = root / f"class{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = _image(number / num_classes, side, np.random.default_rng((seed, index)))
        pillow.fromarray(pixels).save(folder / f"{index:06d}.JPEG", quality=90)


def _image(turn: float, side: int, random: np.random.Generator) -> np.ndarray:
    """One image [height, width, 3]; `turn` in [0, 1) sets direction and colour."""
    height, width = random.integers(side * 3 // 4, side * 5 // 4 + 1, 2)
    angle = np.pi * (turn + 0.02 * random.standard_normal())
    y, x = np.mgrid[:height, :width] / side
    along = x * np.cos(angle) + y * np.sin(angle)
    wave = np.sin(2 * np.pi * (random.uniform(3, 5) * along + random.random()))
    phase = 2 * np.pi * (turn + 0.03 * random.standard_normal() + np.arange(3) / 3)
    colour = 0.5 + 0.3 * np.cos(phase)
    noise = 0.15 * random.standard_normal((height, width, 3))
    return np.clip(255 * (colour + 0.25 * wave[:, :, None] + noise), 0, 255).astype(np.uint8)
