"""What fixes a run of precipice/mnist-second-moment: its scales, its control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, positive
from precipice.papers.agarwala2024 import mnist
from precipice.papers.settings import numbers


@dataclass(frozen=True)
class Settings:
    """What fixes a run; recorded with it.

    Args:
        dataset: mnist or digits.
        num_examples: the first so many training images, labelled +1 (odd) and -1 (even).
        zca_epsilon: added to the variances of pixels when they are whitened.
        width: units in each of two hidden layers.
        batch_sizes: for which K and T are computed, ascending.
        relative_lrs: learning rates over that at which the radius of T is 1, ascending.
        train_batch: batch size of the training whose end gives the second kernel.
        train_lr: its learning rate.
        epochs: its passes over the data.
        seeds: draws of the start and of the batches.
        precision: of the training; the kernels are studied in float64.
    """

    dataset: str
    num_examples: int
    zca_epsilon: float
    width: int
    batch_sizes: str
    relative_lrs: str
    train_batch: int
    train_lr: float
    epochs: int
    seeds: int
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The network and the images of agarwala2024's MNIST experiments."""
    return Settings(
        dataset="mnist",
        num_examples=2500,
        zca_epsilon=0.1,
        width=256,
        batch_sizes="1, 32, 512",
        relative_lrs="0.5, 0.9, 1, 1.1",
        train_batch=16,
        train_lr=0.2,
        epochs=40,
        seeds=1,
        precision="float32",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """200 images and a quarter of the width."""
    changed = mnist.smaller(mnist.PAPER, data_dir)
    return dataclasses.replace(
        paper_settings(),
        dataset=changed.dataset,
        num_examples=200,
        width=64,
        batch_sizes="1, 8, 32, 100",
        relative_lrs="0.5, 0.9, 1, 1.1",
        seeds=2,
    )


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    mnist.validate(sweep_of(settings))
    numbers(settings.relative_lrs, "relative_lrs", ascending=True)
    positive("train_lr", settings.train_lr)
    at_least("train_batch", settings.train_batch, 1)
    for batch in numbers(settings.batch_sizes, "batch_sizes"):
        if batch >= settings.num_examples:
            raise InputError(
                f"each of batch_sizes must be below num_examples ({settings.num_examples}), where there is no noise; "
                f"got {batch:g}."
            )


def control(settings: Settings) -> Settings:
    """Batches of half the data: the mean turns unstable first, and K is 1 where T's radius is."""
    return dataclasses.replace(settings, batch_sizes=str(settings.num_examples // 2), seeds=1)


def sweep_of(settings: Settings) -> mnist.Settings:
    """The data, the network and the batch sizes as settings of an MNIST sweep."""
    shared = {f.name for f in dataclasses.fields(mnist.Settings)} & {f.name for f in dataclasses.fields(Settings)}
    return dataclasses.replace(
        mnist.PAPER, num_measurements=1, **{name: getattr(settings, name) for name in sorted(shared)}
    )
