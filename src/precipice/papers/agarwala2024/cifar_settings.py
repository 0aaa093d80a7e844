"""The settings of agarwala2024's CIFAR-10 sweeps, and how each batch size is trained."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from precipice._checks import InputError, at_least, at_most, one_of, positive
from precipice.papers.settings import numbers

DATA = "cifar10"
NUM_OUTPUTS = 10
"""C: outputs an example."""

NETWORKS = ("resnet18", "mixer_s16")


@dataclass(frozen=True)
class Settings:
    """What fixes a sweep; recorded with it.

    Args:
        dataset: cifar10.
        num_examples: the first so many training images.
        held_out: the first so many test images, never trained on.
        network: resnet18 (LayerNorm, GELU) or mixer_s16.
        width: multiplies its channels and hidden units.
        blocks: of each stage of the ResNet ("2, 2, 2, 2" is ResNet-18), or all of the Mixer ("8").
        head_scale: multiplies the initial weights of the last layer; 0 starts with all outputs 0.
        norm_scale: of each LayerNorm at the start; 1 is the usual.
        stride: of the first layer: of the ResNet's first convolution (1), or the side of the Mixer's patches (16).
        batch_sizes: examples in a minibatch, ascending.
        lr_ratios: peak learning rate over batch size, ascending.
        lr_batch: the batch size that multiplies `lr_ratios` for all; 0: each its own.
        momentum: of the heavy ball.
        l2: (l2/2) |theta|^2, coupled.
        epochs: passes over the data.
        warmup_epochs: how many of them the learning rate rises.
        num_measurements: along each training, after that of the start; divides `epochs`.
        kernel_examples: the first so many training images, whose part of the kernel's trace is measured.
        kernel_chunk: of them whose gradients are held at a time; each chunk's mean is a sample of the trace.
        hessian_examples: the first so many training images, over which the Hessian is taken.
        hessian_products: of one measurement of the sharpness, at most; 0 measures none.
        hessian_rtol: asked relative error of the sharpness.
        trace_samples: random vectors of one measurement of the Hessian's trace; 0 measures none.
        chunk_size: examples whose activations are held at a time in measurements.
        seeds: draws of the start and of the batches.
        precision: float32 or float64.
    """

    dataset: str
    num_examples: int
    held_out: int
    network: str
    width: float
    blocks: str
    head_scale: float
    norm_scale: float
    stride: int
    batch_sizes: str
    lr_ratios: str
    lr_batch: int
    momentum: float
    l2: float
    epochs: int
    warmup_epochs: int
    num_measurements: int
    kernel_examples: int
    kernel_chunk: int
    hessian_examples: int
    hessian_products: int
    hessian_rtol: float
    trace_samples: int
    chunk_size: int
    seeds: int
    precision: str


RATIOS = "0.00009765625, 0.0001953125, 0.000390625, 0.00078125, 0.0015625, 0.003125, 0.00625, 0.0125"
"""lr/B of the ResNet: at B = 128 learning rates from 0.0125 to 1.6."""

PAPER = Settings(
    dataset="cifar10",
    num_examples=50_000,
    held_out=10_000,
    network="resnet18",
    width=1.0,
    blocks="2, 2, 2, 2",
    head_scale=0.0,
    norm_scale=0.3,
    stride=1,
    batch_sizes="128",
    lr_ratios=RATIOS,
    lr_batch=0,
    momentum=0.9,
    l2=5e-4,
    epochs=200,
    warmup_epochs=0,
    num_measurements=100,
    kernel_examples=50_000,
    kernel_chunk=50,
    hessian_examples=50_000,
    hessian_products=0,
    hessian_rtol=1e-2,
    trace_samples=0,
    chunk_size=500,
    seeds=1,
    precision="float32",
)
"""The paper's ResNet-18 at batch size 128; measurements every other epoch and the start are ours.

The paper gives no initialisation, but K starts low in it. With a last layer of He's variance the outputs of a narrow
network begin near 1, and their fall shrinks the kernel tenfold within two epochs (measured: 423 to 43), before any
rise; ours is a last layer of 0, as in the published MLP-Mixer. With norms of scale 1 what GELU leaves of any image's
mean makes one large eigenvalue, 440 at the paper's size: 705 = lr lambda_max at its largest learning rate, whose edge
is 3.8, and K = 28. With 0.3, under which GELU is nearly linear, these are 18 and 0.8 (measured on 16 images).
"""

QUICK = dataclasses.replace(
    PAPER,
    num_examples=128,
    held_out=128,
    width=1 / 4,
    blocks="1, 1",
    stride=4,
    batch_sizes="8",
    lr_ratios="0.0001953125, 0.00078125, 0.003125, 0.0125",
    epochs=40,
    num_measurements=20,
    kernel_examples=16,
    kernel_chunk=1,
    hessian_examples=32,
    chunk_size=128,
)
"""128 images, two of the eight blocks at a quarter of the width, the paper's smallest batch, every other lr/B of its.

At the start nearly all of tr(Theta) is C times lambda_max (each output's gradient of the last layer, which hardly
depends on the image), so that K = 1 lies at lr lambda_max = 2 (1 - mu) B: 1.6 for batches of 8, but 3.2 for 16, next to
the edge of the mean at 3.8. Norms of scale 1 would begin there (0.97) at the largest learning rate, and the noise takes
that eigenvalue away before any other has grown. The width gives 20,000 parameters for 1,280 targets.
"""


def slower(settings: Settings) -> Settings:
    """A thirtieth of the largest learning rate alone, one seed."""
    largest = numbers(settings.lr_ratios, "lr_ratios", ascending=True)[-1]
    return dataclasses.replace(settings, lr_ratios=f"{largest / 30:g}", seeds=1)


def at_size(settings: Settings) -> bool:
    """Whether network, images and epochs are the paper's: what the claims that need scale ask."""
    scale = settings.num_examples, settings.epochs, settings.width, settings.stride
    stride, blocks = (1, (2, 2, 2, 2)) if settings.network == "resnet18" else (16, (8,))
    return scale == (50_000, 200, 1.0, stride) and blocks_of(settings) == blocks


class Plan(NamedTuple):
    """How one cell is trained: batch, peak learning rate, steps, those of warm-up and those between measurements."""

    batch_size: int
    lr: float
    num_steps: int
    warmup_steps: int
    every: int


def plan_of(settings: Settings, batch_size: int, lr_ratio: float) -> Plan:
    """The plan of a batch size and learning-rate ratio."""
    steps = settings.num_examples // batch_size
    lr = lr_ratio * (settings.lr_batch or batch_size)
    every = settings.epochs // settings.num_measurements * steps
    return Plan(batch_size, lr, settings.epochs * steps, settings.warmup_epochs * steps, every)


def batches_of(settings: Settings) -> list[int]:
    """The batch sizes."""
    return _whole_numbers(settings.batch_sizes, "batch_sizes", ascending=True)


def blocks_of(settings: Settings) -> tuple[int, ...]:
    """Blocks of each stage."""
    return tuple(_whole_numbers(settings.blocks, "blocks"))


def ratios_of(settings: Settings) -> list[float]:
    """The learning-rate ratios."""
    return numbers(settings.lr_ratios, "lr_ratios", ascending=True)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.papers.networks import PRECISIONS

    one_of("dataset", settings.dataset, ("cifar10",))
    one_of("precision", settings.precision, PRECISIONS)
    one_of("network", settings.network, NETWORKS)
    _check_numbers(settings)
    _check_blocks(settings)
    ratios_of(settings)
    for batch in _whole_numbers(settings.batch_sizes, "batch_sizes", ascending=True):
        at_most("each of batch_sizes", batch, settings.num_examples, "num_examples")
    if settings.epochs % settings.num_measurements:
        raise InputError(
            f"num_measurements must divide epochs ({settings.epochs}), so that each falls on the end of one; got "
            f"{settings.num_measurements}."
        )
    if settings.kernel_examples % settings.kernel_chunk:
        raise InputError(
            f"kernel_chunk must divide kernel_examples ({settings.kernel_examples}); got {settings.kernel_chunk}."
        )


def _check_numbers(settings: Settings) -> None:
    for name in ("width", "norm_scale", "momentum", "hessian_rtol"):
        positive(name, getattr(settings, name))
    for name in ("num_examples", "held_out", "stride", "epochs", "num_measurements", "kernel_chunk", "chunk_size"):
        at_least(name, getattr(settings, name), 1)
    for name in ("head_scale", "lr_batch", "l2", "warmup_epochs", "hessian_products"):
        at_least(name, getattr(settings, name), 0)
    at_least("seeds", settings.seeds, 1)
    if settings.momentum >= 1:
        raise InputError(f"momentum must be below 1; got {settings.momentum:g}.")
    if settings.trace_samples == 1 or settings.trace_samples < 0:
        raise InputError(f"trace_samples must be 0 or at least 2, for a standard error; got {settings.trace_samples}.")
    at_most("num_examples", settings.num_examples, 50_000, "training images of cifar10")
    at_most("held_out", settings.held_out, 10_000, "test images of cifar10")
    at_most("warmup_epochs", settings.warmup_epochs, settings.epochs - 1, "epochs less one to fall")
    at_least("kernel_examples", settings.kernel_examples, 2 * settings.kernel_chunk)
    for name in ("kernel_examples", "hessian_examples"):
        at_most(name, getattr(settings, name), settings.num_examples, "num_examples")
    at_least("hessian_examples", settings.hessian_examples, 1)


def _check_blocks(settings: Settings) -> None:
    blocks = _whole_numbers(settings.blocks, "blocks")
    most = 4 if settings.network == "resnet18" else 1
    at_most("number of stages", len(blocks), most, f"those of {settings.network}")
    if settings.network == "mixer_s16" and 32 % settings.stride:
        raise InputError(f"stride of mixer_s16, its patch, must divide 32; got {settings.stride}.")


def _whole_numbers(text: str, name: str, *, ascending: bool = False) -> list[int]:
    found = numbers(text, name, ascending=ascending)
    for number in found:
        if number != int(number):
            raise InputError(f"each of {name} must be a whole number; got {number:g}.")
    return [int(number) for number in found]


def quick(data_dir: Path | None = None, **changes: Any) -> Settings:  # noqa: ARG001
    """`QUICK` with changes."""
    return dataclasses.replace(QUICK, **changes)
