"""What fixes a run of precipice/self-stabilization: its scales, its control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import at_least, positive


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: digits, mnist or cifar10.
        num_examples: the first so many training images.
        classes: two class numbers such as "3,8" (one output, targets +1 and -1), or "all".
        preprocess: see `problems.data`.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: tanh.
        initialisation: torch is PyTorch's default for linear layers.
        lr: learning rate; the point at which the theory begins has sharpness 2/lr.
        lr_factor: the descent from that point takes this times `lr`: 1, and less in the control.
        max_steps_before: the most steps until sharpness reaches 2/lr.
        every_before: steps between measurements until then.
        displacement: distance of the start along the top eigenvector, in units of sqrt(2 alpha/beta).
        window: steps of descent and of the prediction from there.
        seeds: trainings with different initialisations.
        rtol: asked relative error of the sharpness along the window.
        precision: float64 or float32.
    """

    dataset: str
    num_examples: int
    classes: str
    preprocess: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lr: float
    lr_factor: float
    max_steps_before: int
    every_before: int
    displacement: float
    window: int
    seeds: int
    rtol: float
    precision: str


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A network on two classes of digits, whose second eigenvalue is a third of the first at the edge."""
    return Settings(
        dataset="digits",
        num_examples=300,
        classes="3,8",
        preprocess="standardise_pixels",
        width=64,
        depth=2,
        activation="tanh",
        initialisation="torch",
        lr=0.3,
        lr_factor=1.0,
        max_steps_before=2000,
        every_before=5,
        displacement=0.3,
        window=100,
        seeds=3,
        rtol=1e-6,
        precision="float64",
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """The same with ten seeds."""
    return dataclasses.replace(quick_settings(data_dir), seeds=10)


def control(settings: Settings) -> Settings:
    """Descent from the same points at 0.8 of the learning rate: below the edge the displacement only decays."""
    return dataclasses.replace(settings, lr_factor=0.8, seeds=1)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.networks import check_network, class_pair

    check_network(settings)
    class_pair(settings.classes)
    check_schedule(settings.max_steps_before, settings.every_before)
    for name in ("lr_factor", "displacement", "rtol"):
        positive(name, getattr(settings, name))
    at_least("window", settings.window, 20)
    at_least("seeds", settings.seeds, 1)
