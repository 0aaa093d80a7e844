"""Views: functions (encoded image, generator) -> pixels [size, size, 3] of whole numbers from 0 to 255. No JAX here.

| view | for |
|---|---|
| `RandomCrop` | training: a random part of the image, mirrored half of the time |
| `CentreCrop` | evaluation: the middle |

Decoding is Pillow's, which lets go of Python's lock while it decodes and resizes: threads use all cores.

To add one: a final, frozen dataclass here with `size`, in the same form, exported; test what part of an image it shows.
"""

import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from precipice._checks import InputError, at_least
from precipice.problems.data.encoded import AbstractImages


@runtime_checkable
class View(Protocol):
    """A function of this file."""

    @property
    def size(self) -> int:
        """Height and width of what it shows."""
        ...

    def __call__(self, encoded: bytes, random: np.random.Generator) -> np.ndarray:
        """The pixels [size, size, 3]."""
        ...


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the image."""


@dataclass(frozen=True)
class RandomCrop:
    """A part of random area, shape and place, resized to size x size, and mirrored half of the time.

    Area uniform in `area` (of the image), the logarithm of width over height uniform in that of `ratio`; ten tries to
    fit it into the image, then the largest middle part of an allowed shape.

    Args:
        size: of what is shown.
        area: smallest and largest share of the image.
        ratio: smallest and largest width over height.
        mirror: whether half of them are mirrored left to right.

    References: Szegedy et al. 2015, section 6; the numbers are those usual for ImageNet.
    """

    size: int = 224
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: bool = True

    def __post_init__(self):
        at_least("size", self.size, 1)
        for name in ("area", "ratio"):
            low, high = getattr(self, name)
            if not 0 < low <= high or (name == "area" and high > 1):
                raise InputError(f"{name} must be ascending and positive (area at most 1); got {(low, high)}.")

    def __call__(self, encoded: bytes, random: np.random.Generator) -> np.ndarray:
        """The pixels [size, size, 3]."""
        pixels = _shown(encoded, self.size, lambda width, height: self.box(width, height, random))
        return pixels[:, ::-1] if self.mirror and random.random() < 0.5 else pixels

    def box(self, width: int, height: int, random: np.random.Generator) -> Box:
        """The part of a width x height image that is shown."""
        for _ in range(10):
            area = random.uniform(*self.area) * width * height
            ratio = float(np.exp(random.uniform(*np.log(self.ratio))))
            w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                left, top = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
                return left, top, left + w, top + h
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        return _middle(width, height, min(width, height * ratio), min(height, width / ratio))


@dataclass(frozen=True)
class CentreCrop:
    """The middle size x size pixels after resizing the shorter side to `shorter`; draws nothing.

    Args:
        size: of what is shown.
        shorter: of the shorter side before the cut; 256 for 224 pixels is usual.
    """

    size: int = 224
    shorter: int = 256

    def __post_init__(self):
        at_least("size", self.size, 1)
        at_least("shorter", self.shorter, self.size)

    def __call__(self, encoded: bytes, random: np.random.Generator) -> np.ndarray:  # noqa: ARG002
        """The pixels [size, size, 3]."""
        return _shown(encoded, self.size, self.box)

    def box(self, width: int, height: int) -> Box:
        """The part of a width x height image that is shown."""
        side = min(width, height) * self.size / self.shorter
        return _middle(width, height, side, side)


def _middle(width: int, height: int, w: float, h: float) -> Box:
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2


def _shown(encoded: bytes, size: int, box_of: Callable[[int, int], Box]) -> np.ndarray:
    """The part of the image that `box_of` chooses, resized (antialiased, bilinear) to size x size."""
    pillow: Any = importlib.import_module("PIL.Image")
    with pillow.open(io.BytesIO(encoded)) as image:
        width, height = image.size
        left, top, right, bottom = box_of(width, height)
        # A JPEG is decoded at 1/2, 1/4 or 1/8 where that still has more pixels than are shown: several times faster.
        image.draft("RGB", (int(width * size / (right - left)), int(height * size / (bottom - top))))
        x, y = image.size[0] / width, image.size[1] / height
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        part = (left * x, top * y, min(right * x, rgb.size[0]), min(bottom * y, rgb.size[1]))
        return np.asarray(rgb.resize((size, size), pillow.Resampling.BILINEAR, box=part))


def pixels_of(view: View, images: AbstractImages, index: int, random: np.random.Generator) -> np.ndarray:
    """What `view` shows of image `index`, its shape checked.

    Raises:
        InputError: bytes that are no image, or one that ends too early; with its name and the reason. Bytes changed
            within a JPEG often still decode, to other pixels: no decoder can tell.
    """
    encoded = images.read(index)
    try:
        pixels = view(encoded, random)
    except Exception as error:  # whatever a decoder meets in damaged bytes: OSError, SyntaxError, zlib.error, ...
        reason = "no bytes" if not encoded else (str(error).split("<")[0].strip() or type(error).__name__)
        raise InputError(f"image {images.name(index)} must be one that Pillow can decode; got: {reason}.") from error
    if pixels.shape != (view.size, view.size, 3):
        raise InputError(f"a view must show {(view.size, view.size, 3)}; got {pixels.shape}.")
    return pixels
