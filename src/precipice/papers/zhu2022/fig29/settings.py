"""The settings of zhu2022/fig29 at each scale, and its control."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, positive
from precipice.papers.settings import numbers
from precipice.papers.zhu2022.fifty_images.settings import PAPER as NETWORK
from precipice.papers.zhu2022.fifty_images.settings import there


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: cifar10 or digits.
        num_examples: images, the first half of them of class 0 and the others of class 1; even.
        preprocess: see `problems.data`.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: see `papers.networks.ACTIVATIONS`.
        initialisation: as in `fifty_images`.
        lrs: learning rates, ascending.
        batch_sizes: ascending divisors of the number of images; all of them is gradient descent.
        epochs: the most passes over the images.
        check_epochs: epochs between looks at the loss over all images.
        stop_loss: a run ends once that loss is this small: what is left to move is below what is drawn.
        draws: starts and orders of the images, of each learning rate and batch size.
        precision: float64 or float32.
    """

    dataset: str
    num_examples: int
    preprocess: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lrs: str
    batch_sizes: str
    epochs: int
    check_epochs: int
    stop_loss: float
    draws: int
    precision: str

    @property
    def lr(self) -> float:
        """The largest learning rate."""
        return numbers(self.lrs, "lrs")[-1]


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rates, starts and epochs; its batch sizes are not given: ours divide the fifty images."""
    return Settings(
        dataset="cifar10",
        num_examples=NETWORK.num_examples,
        preprocess=NETWORK.preprocess,
        width=NETWORK.width,
        depth=NETWORK.depth,
        activation="elu",
        initialisation=NETWORK.initialisation,
        lrs="0.005, 0.01, 0.02",
        batch_sizes="1, 2, 5, 10, 25, 50",
        epochs=20_000,
        check_epochs=50,
        stop_loss=1e-12,
        draws=10,
        precision="float64",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """A narrower network, one learning rate, and pixels in [-1, 1], with which training is over ten times sooner.

    Digits where no CIFAR-10 is found.
    """
    return dataclasses.replace(
        paper_settings(),
        dataset=there(data_dir),
        preprocess="scale_symmetric",
        width=64,
        lrs="0.02",
        epochs=4000,
        stop_loss=1e-10,
        draws=3,
    )


def control(settings: Settings) -> Settings:
    """A twentieth of the learning rates, one start: edges lie far above what the networks reach."""
    slower = ", ".join(f"{lr / 20:g}" for lr in numbers(settings.lrs, "lrs"))
    return dataclasses.replace(settings, lrs=slower, draws=1)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.papers.zhu2022.fifty_images.settings import check_images

    numbers(settings.lrs, "lrs", ascending=True)
    check_images(settings)
    for batch in numbers(settings.batch_sizes, "batch_sizes", ascending=True):
        if batch != int(batch) or settings.num_examples % int(batch):
            raise InputError(f"each of batch_sizes must divide num_examples ({settings.num_examples}); got {batch:g}.")
    for name in ("epochs", "check_epochs", "draws"):
        at_least(name, getattr(settings, name), 1)
    if settings.epochs % settings.check_epochs:
        raise InputError(f"epochs must be a multiple of check_epochs ({settings.check_epochs}); got {settings.epochs}.")
    positive("stop_loss", settings.stop_loss)
