"""Batches of images that do not fit into memory, made in threads ahead of the training that asks for them."""

import os
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from precipice._checks import at_least, check_batch_size, whole
from precipice.problems.data.dataset import Dataset, float_dtype
from precipice.problems.data.encoded import AbstractImages
from precipice.problems.data.image_order import MIX, stream_order
from precipice.problems.data.image_views import View, pixels_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue over ImageNet's training images, in [0, 1]."""

IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Their standard deviations."""

PIECE = 8
"""Images that a thread decodes at a time."""


class _Decoder(NamedTuple):
    """What a thread needs: it writes pixels of some images into their places in a batch."""

    images: AbstractImages
    view: View
    seed: int

    def fill(self, pixels: np.ndarray, chosen: np.ndarray, epoch: int) -> None:
        """Decode the images `chosen` into `pixels`; draws depend on seed, epoch and image alone."""
        for place, index in enumerate(chosen.tolist()):
            random = np.random.default_rng((self.seed, epoch, index))
            pixels[place] = pixels_of(self.view, self.images, index, random)


class _Begun(NamedTuple):
    """A batch in the making: parts that threads decode, and the whole that waits for them."""

    parts: list[Future]
    whole: Future


class ImageStream:
    """The batch of each step as a `Dataset`: what `dynamics.train` takes as its `feed`, and whole passes for measuring.

    ``stream(step)`` is a function of images, view, seed and step alone, whatever the threads do, so that a training
    resumed at any step, mid-epoch too, sees the batches it would have seen. An epoch has n // batch_size steps in the
    order `stream_order`; what is left over of its order is not used in it.

    While a batch is used the next `ahead` are decoded, brought to the device as bytes and normalised there. Held at a
    time, of (ahead + 1) batch_size images: 3 size^2 bytes on the host, four times that on the device in float32 (1024
    images of 224 x 224, two ahead: 0.46 and 1.8 GB); and the encoded groups of a table (`image_table`).

    Args:
        images: `image_folder`, `image_table`, `imagenet`, or some of them.
        view: `RandomCrop` for training, `CentreCrop` for evaluation.
        batch_size: B.
        seed: of orders and views.
        mean: subtracted from red, green and blue in [0, 1].
        deviation: divides them then.
        dtype: of x and y; by default JAX's.
        mix: see `stream_order`.
        workers: threads that decode; by default one a core.
        ahead: batches decoded in advance.

    Raises:
        InputError: a batch that the images do not hold, or a number below its least. From a step or a pass: an image
            that cannot be read, by name (`unreadable` finds them all).
    """

    def __init__(
        self,
        images: AbstractImages,
        view: View,
        batch_size: int,
        *,
        seed: int = 0,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        deviation: tuple[float, float, float] = IMAGENET_DEVIATION,
        dtype: jax.typing.DTypeLike | None = None,
        mix: int = MIX,
        workers: int | None = None,
        ahead: int = 2,
    ):
        check_batch_size(batch_size, len(images))
        whole("seed", seed, 0)
        at_least("ahead", ahead, 0)
        workers = len(os.sched_getaffinity(0)) if workers is None else workers
        at_least("workers", workers, 1)
        self.images, self.batch_size, self.seed, self.mix, self.ahead = images, batch_size, seed, mix, ahead
        self._decoder, self._dtype = _Decoder(images, view, seed), float_dtype(dtype)
        self._scale = (np.asarray(mean, self._dtype), np.asarray(deviation, self._dtype))
        self._pool, self._last = ThreadPoolExecutor(workers, "images"), ThreadPoolExecutor(1, "batches")
        self._begun: dict[int, _Begun] = {}
        self._orders: dict[int, np.ndarray] = {}
        self.close = weakref.finalize(self, _shut_down, self._pool, self._last)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return len(self.images) // self.batch_size

    def __call__(self, step: int) -> Dataset:
        """The batch of this step (from 0); the next ones are begun."""
        at_least("step", step, 0)
        if step not in self._begun:  # the first step, or one that was not foreseen
            self._cancel()
        for later in range(step, step + self.ahead + 1):
            if later not in self._begun:
                self._begun[later] = self._begin(self.chosen(later), later // self.epoch_steps)
        return self._begun.pop(step).whole.result()

    def chosen(self, step: int) -> Int[np.ndarray, "batch_size"]:
        """Which images the batch of this step holds."""
        epoch, place = divmod(step, self.epoch_steps)
        if epoch not in self._orders:
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = stream_order(self.images.runs, epoch, seed=self.seed, mix=self.mix)
        return self._orders[epoch][place * self.batch_size :][: self.batch_size]

    def one_pass(self) -> Iterator[Dataset]:
        """All images once, in their own order, in batches and a rest; random views as in the first epoch."""
        cuts = range(0, len(self.images), self.batch_size)
        rows = [np.arange(start, min(start + self.batch_size, len(self.images))) for start in cuts]
        begun = [self._begin(chosen, 0) for chosen in rows[: self.ahead]]
        for number in range(len(rows)):
            begun.extend(self._begin(chosen, 0) for chosen in rows[number + self.ahead :][:1])
            yield begun.pop(0).whole.result()

    def _begin(self, chosen: np.ndarray, epoch: int) -> _Begun:
        size = self._decoder.view.size
        pixels = np.empty((len(chosen), size, size, 3), np.uint8)
        cuts = range(0, len(chosen), PIECE)
        fill = self._decoder.fill
        parts = [self._pool.submit(fill, pixels[i : i + PIECE], chosen[i : i + PIECE], epoch) for i in cuts]
        labels, wide = self.images.labels[chosen].astype(np.int32), self._dtype == np.float64
        classes = (len(self.images.classes), self.images.provenance)
        return _Begun(parts, self._last.submit(_finished, parts, pixels, labels, self._scale, classes, wide))

    def _cancel(self) -> None:
        for batch in self._begun.values():
            for part in (batch.whole, *batch.parts):
                part.cancel()
        self._begun = {}


def _shut_down(*pools: ThreadPoolExecutor) -> None:
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)


def _finished(
    parts: list[Future],
    pixels: np.ndarray,
    labels: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray],
    classes: tuple[int, str],
    wide: bool,
) -> Dataset:
    """The batch when all its parts are there, on the device and normalised; it holds nothing of the stream."""
    for part in parts:
        part.result()
    with jax.enable_x64(wide):  # of this thread, which does not have its caller's
        x, y, mean, deviation = map(jnp.asarray, (pixels, labels, *scale))
        return jax.block_until_ready(_dataset(x, y, mean, deviation, *classes))


@eqx.filter_jit
def _dataset(
    pixels: UInt8[Array, "n h w 3"],
    labels: Int[Array, "n"],
    mean: Float[Array, "3"],
    deviation: Float[Array, "3"],
    num_classes: int,
    provenance: str,
) -> Dataset:
    wide = (1, 1, 1, 3)
    x = (pixels.astype(mean.dtype) / 255 - mean.reshape(wide)) / deviation.reshape(wide)
    return Dataset(x.transpose(0, 3, 1, 2), jax.nn.one_hot(labels, num_classes, dtype=mean.dtype), labels, provenance)
