"""What fixes a run of shapira2023/fig1: its scales, its control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, at_most, positive


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: cifar10, mnist or digits.
        num_examples: the first so many training images.
        preprocess: see `problems.data`; statistics over the images used.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: tanh in the paper.
        initialisation: torch is PyTorch's default for linear layers, which the original code uses.
        lr: learning rate.
        lr_other: a second learning rate, half or twice the first, for the claim that compares heights.
        num_steps: the most steps at `lr`.
        num_steps_other: the most steps at `lr_other`.
        every: steps between measurements.
        stop_accuracy: training accuracy at which a training ends, asked at each measurement; 0 for none.
        seeds: trainings at `lr`, with different initialisations.
        seeds_other: trainings at `lr_other`; 0 leaves it out.
        num_eigenvalues: how many of each spectrum are measured.
        rtol: asked relative error of each.
        precision: float32 or float64.
    """

    dataset: str
    num_examples: int
    preprocess: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lr: float
    lr_other: float
    num_steps: int
    num_steps_other: int
    every: int
    stop_accuracy: float
    seeds: int
    seeds_other: int
    num_eigenvalues: int
    rtol: float
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The experiment itself; float32 as in the original code."""
    return Settings(
        dataset="cifar10",
        num_examples=5000,
        preprocess="standardise_channels",
        width=200,
        depth=2,
        activation="tanh",
        initialisation="torch",
        lr=0.01,
        lr_other=0.02,
        num_steps=30_000,
        num_steps_other=30_000,
        every=50,
        stop_accuracy=0.99,
        seeds=1,
        seeds_other=1,
        num_eigenvalues=2,
        rtol=1e-3,
        precision="float32",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """600 images and a narrower network; scikit-learn's digits where no CIFAR-10 is found.

    The images are centred, not standardised: with so few of them standardised inputs start at a sharpness of 75 to 95,
    and sharpness then has no room to grow before training ends.
    """
    from precipice.problems import found

    if "data_batch_1.bin" not in {Path(name).name for name in found(data_dir)["cifar10"].present}:
        return digits_settings()
    return dataclasses.replace(
        paper_settings(),
        num_examples=600,
        preprocess="centre_channels",
        width=64,
        lr=0.06,
        lr_other=0.03,
        num_steps=800,
        num_steps_other=2000,
        every=20,
        stop_accuracy=0.0,
        seeds=3,
        num_eigenvalues=1,
        precision="float64",
    )


def digits_settings() -> Settings:
    """The same phenomenon on data that scikit-learn carries."""
    return dataclasses.replace(
        paper_settings(),
        dataset="digits",
        num_examples=1000,
        preprocess="standardise_pixels",
        width=64,
        lr=0.4,
        lr_other=0.2,
        num_steps=800,
        num_steps_other=2000,
        every=20,
        stop_accuracy=0.0,
        seeds=3,
        num_eigenvalues=1,
        precision="float64",
    )


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.networks import check_network

    check_network(settings, settings.num_eigenvalues)
    positive("lr_other", settings.lr_other)
    if settings.lr_other == settings.lr:
        raise InputError(f"lr_other must differ from lr; both are {settings.lr:g}.")
    check_schedule(settings.num_steps, settings.every)
    check_schedule(settings.num_steps_other, settings.every)
    at_least("seeds", settings.seeds, 1)
    at_least("seeds_other", settings.seeds_other, 0)
    at_most("seeds_other", settings.seeds_other, settings.seeds, "the number of seeds")
    at_least("rtol", settings.rtol, 1e-12)
    at_least("stop_accuracy", settings.stop_accuracy, 0)
    at_most("stop_accuracy", settings.stop_accuracy, 1)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate for the same number of steps: the edge is ten times as high and is not reached."""
    return dataclasses.replace(
        settings, lr=settings.lr / 10, lr_other=settings.lr, seeds=1, seeds_other=0, every=_coarser(settings)
    )


def _coarser(settings: Settings) -> int:
    """Five times fewer measurements, where the number of steps allows it."""
    return settings.every * 5 if settings.num_steps % (settings.every * 5) == 0 else settings.every
