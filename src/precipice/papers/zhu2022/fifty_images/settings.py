"""The settings of zhu2022's figures 7 and 23 to 26 at each scale, and their control."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError, at_least, at_most, one_of

if TYPE_CHECKING:
    from precipice.papers.networks import NetworkSettings

DATA = "cifar10 (else digits)"

INITIALISATIONS = ("torch", "lecun", "xavier", "he")
"""Those without factors in the forward pass, which would depend on the number of inputs."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: cifar10 or digits.
        num_examples: images, the first half of them of class 0 and the others of class 1; even.
        preprocess: see `problems.data`.
        width: units in each hidden layer.
        depth: hidden layers, one fewer than layers of weights.
        activation: elu or tanh in the paper.
        initialisation: not given in the paper; torch is PyTorch's default.
        lr: learning rate.
        num_steps: steps of gradient descent.
        every: steps between measurements of the sharpness.
        projection_step: the movement direction leads from the midpoint of this step and the next to that of the last
            two.
        window: steps after the projection step at each of which the sharpness is measured.
        plane_step: from here on the trajectory is to lie in the plane of movement and oscillation.
        tip_step: the local trajectory, to which a parabola is fitted, begins here.
        seeds: trainings from different starts.
        rtol: asked relative error of the sharpness.
        precision: float64, for losses down to rounding.
    """

    dataset: str
    num_examples: int
    preprocess: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lr: float
    num_steps: int
    every: int
    projection_step: int
    window: int
    plane_step: int
    tip_step: int
    seeds: int
    rtol: float
    precision: str


PAPER = Settings(
    dataset="cifar10",
    num_examples=50,
    preprocess="scale_only",
    width=200,
    depth=4,
    activation="elu",
    initialisation="torch",
    lr=0.01,
    num_steps=18_500,
    every=50,
    projection_step=5000,
    window=30,
    plane_step=3000,
    tip_step=5000,
    seeds=1,
    rtol=1e-6,
    precision="float64",
)
"""The paper's ELU training; its initialisation and the range of its pixels are not given.

With pixels in [0, 1] the sharpness still oscillates around 2/lr at step 5,000, as in figure 23b; with pixels in [-1, 1]
training is over by step 1,500 (loss 1e-12), which leaves nothing of the paper's later steps."""


def at_paper(activation: str):
    """The paper's settings of one activation, as a function of the data directory."""

    def settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
        return dataclasses.replace(PAPER, activation=activation)

    return settings


QUICKER: dict[str, dict[str, Any]] = {
    "elu": {"lr": 0.03, "num_steps": 10_000, "projection_step": 2000, "plane_step": 1200, "tip_step": 4000},
    "tanh": {},
}
"""What scale quick changes beside the width: the narrow tanh network leaves the edge at any larger learning rate
(at 0.03 it ends at 25 of 67, at 0.02 at 50 of 100, at 0.015 at 120 of 133)."""


def at_quick(activation: str):
    """A narrower network, in fewer steps where it can; scikit-learn's digits where no CIFAR-10 is found."""

    def settings(data_dir: Path | None = None) -> Settings:
        return dataclasses.replace(
            PAPER,
            dataset=there(data_dir),
            activation=activation,
            width=100,
            every=100,
            **QUICKER[activation],
        )

    return settings


def there(data_dir: Path | None) -> str:
    """The data set of scale quick: cifar10 where it is found, else digits."""
    from precipice.problems import found

    present = {Path(name).name for name in found(data_dir)["cifar10"].present}
    return "cifar10" if "data_batch_1.bin" in present else "digits"


def control(settings: Settings) -> Settings:
    """A hundredth of the learning rate: the edge is a hundred times as high and is not reached in as many steps."""
    return dataclasses.replace(settings, lr=settings.lr / 100, seeds=1)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.settings import check_precision

    check_images(settings)
    check_precision(settings.precision)
    check_schedule(settings.projection_step, settings.every)
    check_schedule(settings.num_steps, settings.every)
    at_most("projection_step", settings.projection_step, settings.num_steps - settings.every, "before the last steps")
    for name in ("plane_step", "tip_step"):
        at_least(name, getattr(settings, name), 1)
        at_most(name, getattr(settings, name), settings.num_steps - 10, "before the last steps")
    at_least("window", settings.window, 1)
    at_most("window", settings.window, settings.num_steps - settings.projection_step, "what is left of the steps")
    at_least("seeds", settings.seeds, 1)
    at_least("rtol", settings.rtol, 1e-12)


def check_images(settings: "NetworkSettings") -> None:
    """Refuse settings that describe no network on the images of two classes.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.papers.networks import check_network

    one_of("dataset", settings.dataset, ("cifar10", "digits"))
    one_of("initialisation", settings.initialisation, INITIALISATIONS)
    check_network(settings)
    if settings.num_examples % 2:
        raise InputError(f"num_examples must be even, half of each class; got {settings.num_examples}.")
