"""The settings of agarwala2024's MNIST sweeps, and how each batch size is trained."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from precipice._checks import InputError, at_least, at_most, one_of, positive
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np

DATA = "mnist (else digits)"


@dataclass(frozen=True)
class Settings:
    """What fixes a sweep; recorded with it.

    Args:
        dataset: mnist or digits.
        num_examples: the first so many training images, labelled +1 (odd) and -1 (even).
        zca_epsilon: added to the variances of pixels when they are whitened.
        width: units in each hidden layer.
        depth: hidden layers.
        batch_sizes: examples in a minibatch, ascending.
        lr_ratios: lr/B up to `small_batch`; above it learning rates are those of `small_batch`. Ascending.
        small_batch: up to it a training sees `epochs` of the data; above it the number of steps is that of this size.
        epochs: passes over the data.
        num_measurements: of loss and kernel along each training, after that of the start.
        seeds: draws of the start and of the batches.
        precision: of the training, float32 or float64, and of K: float32 changes it by 1e-6 of itself.
    """

    dataset: str
    num_examples: int
    zca_epsilon: float
    width: int
    depth: int
    batch_sizes: str
    lr_ratios: str
    small_batch: int
    epochs: int
    num_measurements: int
    seeds: int
    precision: str


PAPER = Settings(
    dataset="mnist",
    num_examples=2500,
    zca_epsilon=0.1,
    width=256,
    depth=2,
    batch_sizes="1, 2, 4, 8, 16, 32, 64, 128, 256, 512",
    lr_ratios="0.00125, 0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025, 0.03, 0.04",
    small_batch=32,
    epochs=480,
    num_measurements=24,
    seeds=1,
    precision="float32",
)
"""The paper's sweep; the learning rates are ours."""


def smaller(settings: Settings, data_dir: Path | None, **changes: Any) -> Settings:
    """`settings` with `changes`, on digits where no MNIST is found."""
    from precipice.problems import found

    there = {Path(name).name for name in found(data_dir)["mnist"].present}
    dataset = "mnist" if "train-images-idx3-ubyte.gz" in there else "digits"
    return dataclasses.replace(settings, dataset=dataset, **changes)


def slower(settings: Settings) -> Settings:
    """A tenth of the learning rates, one seed."""
    ratios = numbers(settings.lr_ratios, "lr_ratios", ascending=True)
    return dataclasses.replace(settings, lr_ratios=", ".join(f"{ratio / 10:g}" for ratio in ratios), seeds=1)


class Plan(NamedTuple):
    """How one batch size is trained: learning rates, steps, and steps between measurements."""

    batch_size: int
    lrs: "np.ndarray"
    num_steps: int
    every: int


def plans(settings: Settings) -> list[Plan]:
    """What is trained, a row for each batch size."""
    import numpy as np

    rows = []
    for number in numbers(settings.batch_sizes, "batch_sizes", ascending=True):
        batch = int(number)
        counted = min(batch, settings.small_batch)
        lrs = np.array(numbers(settings.lr_ratios, "lr_ratios", ascending=True)) * counted
        every = settings.epochs * settings.num_examples // counted // settings.num_measurements
        rows.append(Plan(batch, lrs, every * settings.num_measurements, every))
    return rows


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.papers.networks import DATASETS, PRECISIONS

    one_of("dataset", settings.dataset, ("mnist", "digits"))
    one_of("precision", settings.precision, PRECISIONS)
    positive("zca_epsilon", settings.zca_epsilon)
    for name in ("num_examples", "width", "depth", "small_batch", "epochs", "num_measurements", "seeds"):
        at_least(name, getattr(settings, name), 1)
    at_most("num_examples", settings.num_examples, DATASETS[settings.dataset].examples, "images of " + settings.dataset)
    numbers(settings.lr_ratios, "lr_ratios", ascending=True)
    for batch in numbers(settings.batch_sizes, "batch_sizes", ascending=True):
        if batch != int(batch):
            raise InputError(f"each of batch_sizes must be a whole number; got {batch:g}.")
        at_most("each of batch_sizes", int(batch), settings.num_examples, "num_examples")
    for plan in plans(settings):
        if plan.every < 1:
            raise InputError(
                f"epochs must leave a step between measurements; batches of {plan.batch_size} take "
                f"{settings.epochs * settings.num_examples // min(plan.batch_size, settings.small_batch)} steps for "
                f"{settings.num_measurements} measurements."
            )
