"""The settings of agarwala2024's figure 16: ResNet-50 and ViT S/16 on ImageNet, or reduced on generated images."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, at_most, one_of, positive
from precipice.papers.settings import numbers

NETWORKS = ("resnet50", "vit_s16")
"""By number, as the dimension ``network`` has them."""

DATASETS = ("imagenet", "generated")
UNREADABLE = ("refuse", "skip")


@dataclass(frozen=True)
class Settings:
    """What fixes the trainings; recorded with them.

    Args:
        dataset: imagenet, from the data directory, or generated, images made for the run.
        num_examples: training images, at equal distances through the classes.
        held_out: validation images, likewise.
        num_classes: classes that the images have.
        unreadable: what is done about images that cannot be decoded, before training: refuse or skip them.
        image_size: height and width of what the networks see.
        networks: some of resnet50 (LayerNorm, GELU) and vit_s16.
        width: multiplies the widths of both.
        blocks: of each stage of the ResNet; "3, 4, 6, 3" is ResNet-50.
        depth: blocks of the ViT; 12 is S/16.
        patch: side of its patches.
        batch_size: examples in a minibatch.
        chunk_size: of them whose activations are held at a time; divides batch_size.
        lrs: peak learning rates, ascending.
        momentum: of the heavy ball.
        epochs: passes over the data.
        warmup_epochs: how many of them the learning rate rises; a cosine follows.
        num_measurements: along each training, after that of the start; divides `epochs`.
        trace_examples: training images over which the trace is taken, at equal distances.
        trace_batch: of them that are decoded at a time.
        trace_chunk: of these whose gradients are summed; smaller ones err less.
        trace_samples: sampled targets an image and measurement.
        seeds: draws of the start, the batches and their views.
        precision: float32 or float64.
    """

    dataset: str
    num_examples: int
    held_out: int
    num_classes: int
    unreadable: str
    image_size: int
    networks: str
    width: float
    blocks: str
    depth: int
    patch: int
    batch_size: int
    chunk_size: int
    lrs: str
    momentum: float
    epochs: int
    warmup_epochs: int
    num_measurements: int
    trace_examples: int
    trace_batch: int
    trace_chunk: int
    trace_samples: int
    seeds: int
    precision: str


PAPER = Settings(
    dataset="imagenet",
    num_examples=1_281_167,
    held_out=50_000,
    num_classes=1_000,
    unreadable="refuse",
    image_size=224,
    networks="resnet50, vit_s16",
    width=1.0,
    blocks="3, 4, 6, 3",
    depth=12,
    patch=16,
    batch_size=1024,
    chunk_size=256,
    lrs="0.005, 0.0158, 0.05, 0.158, 0.5, 1.58, 5",
    momentum=0.9,
    epochs=90,
    warmup_epochs=5,
    num_measurements=30,
    trace_examples=1_281_167,
    trace_batch=256,
    trace_chunk=16,
    trace_samples=2,
    seeds=1,
    precision="float32",
)
"""Batch, momentum, loss, warm-up and cosine are the paper's.

Ours, as it does not say: learning rates (a factor of 1,000, as its caption has), 90 epochs, LayerNorm and GELU in the
ResNet as in its CIFAR figures (BatchNorm has no trace of one example's gradient), no weight decay, 2 draws a trace.
"""

QUICK = dataclasses.replace(
    PAPER,
    dataset="generated",
    num_examples=512,
    held_out=240,
    num_classes=20,
    image_size=32,
    width=1 / 16,
    blocks="1, 1",
    depth=2,
    patch=8,
    batch_size=16,
    chunk_size=16,
    lrs="0.001, 0.004, 0.015, 0.05, 0.15, 0.5, 2",
    epochs=10,
    warmup_epochs=1,
    num_measurements=10,
    trace_examples=64,
    trace_batch=64,
    trace_chunk=4,
    trace_samples=2,
)
"""512 generated images, two of sixteen blocks and two of twelve at a sixteenth of the width, rates 2,000-fold apart.

Twenty classes, since neighbours among them overlap: errors differ by learning rate, and the trace stays away from 0.
Batches of 16, at which noise and not the largest eigenvalue bounds the learning rate.
"""


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """`PAPER`."""
    return PAPER


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """`QUICK`."""
    return QUICK


def control(settings: Settings) -> Settings:
    """A thousandth of the smallest and largest learning rate, one seed: networks at rest, K a multiple of the rate."""
    lrs = [lrs_of(settings)[place] / 1000 for place in (0, -1)]
    return dataclasses.replace(settings, lrs=", ".join(f"{lr:g}" for lr in sorted(set(lrs))), seeds=1)


def at_size(settings: Settings) -> bool:
    """Whether images, networks and epochs are the paper's: what the claims that need them ask."""
    names = ("dataset", "num_examples", "image_size", "width", "blocks", "depth", "patch", "batch_size", "epochs")
    return all(getattr(settings, name) == getattr(PAPER, name) for name in names)


def lrs_of(settings: Settings) -> list[float]:
    """The peak learning rates."""
    return numbers(settings.lrs, "lrs", ascending=True)


def networks_of(settings: Settings) -> list[str]:
    """The networks."""
    return [name.strip() for name in settings.networks.split(",")]


def blocks_of(settings: Settings) -> tuple[int, ...]:
    """Blocks of each stage of the ResNet."""
    found = numbers(settings.blocks, "blocks")
    for number in found:
        if number != int(number) or number < 1:
            raise InputError(f"each of blocks must be a whole number of at least 1; got {number:g}.")
    return tuple(int(number) for number in found)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    one_of("dataset", settings.dataset, DATASETS)
    one_of("unreadable", settings.unreadable, UNREADABLE)
    one_of("precision", settings.precision, ("float32", "float64"))
    for name in networks_of(settings):
        one_of("network", name, NETWORKS)
    if len(set(networks_of(settings))) < len(networks_of(settings)):
        raise InputError(f"networks must be distinct; got {settings.networks!r}.")
    at_most("number of stages", len(blocks_of(settings)), 4, "those of resnet50")
    lrs_of(settings)
    _check_numbers(settings)
    _check_divisors(settings)


def _check_numbers(settings: Settings) -> None:
    for name in ("width", "momentum"):
        positive(name, getattr(settings, name))
    if settings.momentum >= 1:
        raise InputError(f"momentum must be below 1; got {settings.momentum:g}.")
    for name in ("held_out", "image_size", "depth", "patch", "batch_size", "chunk_size", "epochs", "num_measurements"):
        at_least(name, getattr(settings, name), 1)
    for name in ("trace_batch", "trace_chunk", "seeds"):
        at_least(name, getattr(settings, name), 1)
    at_least("trace_samples", settings.trace_samples, 2)
    at_least("num_classes", settings.num_classes, 2)
    at_least("warmup_epochs", settings.warmup_epochs, 0)
    at_most("warmup_epochs", settings.warmup_epochs, settings.epochs - 1, "epochs less one to fall")
    for name in ("batch_size", "trace_examples", "num_classes"):
        at_most(name, getattr(settings, name), settings.num_examples, "num_examples")
    at_least("trace_examples", settings.trace_examples, 1)


def _check_divisors(settings: Settings) -> None:
    pairs = (
        ("chunk_size", "batch_size"),
        ("num_measurements", "epochs"),
        ("patch", "image_size"),
    )
    for part, whole in pairs:
        if getattr(settings, whole) % getattr(settings, part):
            raise InputError(f"{part} must divide {whole} ({getattr(settings, whole)}); got {getattr(settings, part)}.")
