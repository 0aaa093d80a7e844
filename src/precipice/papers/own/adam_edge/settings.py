"""What fixes a run of precipice/adam-edge: its scales, its control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from precipice._checks import InputError, at_least, positive


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: digits, mnist or cifar10.
        num_examples: the first so many training images.
        preprocess: see `problems.data`.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: tanh.
        initialisation: torch is PyTorch's default for linear layers.
        lr: learning rate of the first training.
        lr_other: of the second, whose edge lies higher by lr/lr_other.
        beta1: of Adam's first moment in both; 0.9 makes the edge 38/lr.
        lr_other_beta1: learning rate of the third training.
        other_beta1: of Adam's first moment in it.
        beta2: of Adam's second moment in all.
        num_steps: full-batch steps of each training.
        every: steps between measurements.
        seeds: trainings of each kind with different initialisations.
        rtol: asked relative error of the eigenvalues.
        precision: float64 or float32.
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
    beta1: float
    lr_other_beta1: float
    other_beta1: float
    beta2: float
    num_steps: int
    every: int
    seeds: int
    rtol: float
    precision: str


class Run(NamedTuple):
    """One training: its learning rate and the beta1 of its Adam."""

    lr: float
    beta1: float


def runs(settings: Settings) -> tuple[Run, ...]:
    """The three trainings, in the order of the dataset."""
    return (
        Run(settings.lr, settings.beta1),
        Run(settings.lr_other, settings.beta1),
        Run(settings.lr_other_beta1, settings.other_beta1),
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A network on digits, with a second moment that remembers 100 steps, so that 1,000 steps are many."""
    return Settings(
        dataset="digits",
        num_examples=500,
        preprocess="standardise_pixels",
        width=32,
        depth=2,
        activation="tanh",
        initialisation="torch",
        lr=0.004,
        lr_other=0.002,
        beta1=0.9,
        lr_other_beta1=0.001,
        other_beta1=0.5,
        beta2=0.99,
        num_steps=1200,
        every=20,
        seeds=3,
        rtol=1e-3,
        precision="float32",
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """A wider network on MNIST, more steps."""
    return dataclasses.replace(
        quick_settings(data_dir),
        dataset="mnist",
        num_examples=2000,
        preprocess="centre",
        width=128,
        lr=0.001,
        lr_other=0.0005,
        lr_other_beta1=0.0003,
        num_steps=2000,
    )


def control(settings: Settings) -> Settings:
    """A fiftieth of the learning rates: within these steps nothing comes near the edge."""
    rates = {name: getattr(settings, name) / 50 for name in ("lr", "lr_other", "lr_other_beta1")}
    return dataclasses.replace(settings, **rates, seeds=1)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.networks import check_network

    check_network(settings, 1)
    check_schedule(settings.num_steps, settings.every)
    for name in ("lr_other", "lr_other_beta1", "rtol"):
        positive(name, getattr(settings, name))
    for name in ("beta1", "other_beta1", "beta2"):
        if not 0 <= getattr(settings, name) < 1:
            raise InputError(f"{name} must lie in [0, 1); got {getattr(settings, name)}.")
    rates = [run.lr for run in runs(settings)]
    if len(set(rates)) < len(rates):
        raise InputError(f"lr, lr_other and lr_other_beta1 must differ, as they name the trainings; got {rates}.")
    at_least("seeds", settings.seeds, 1)
