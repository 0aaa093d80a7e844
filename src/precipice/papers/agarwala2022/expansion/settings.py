"""What fixes a run of agarwala2022/fig7 and fig14: scales, control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, positive
from precipice.papers.agarwala2022.fig6.settings import check_layout
from precipice.papers.settings import check_precision


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: cifar10, mnist or digits.
        num_examples: the first so many training images of two classes.
        classes: two class numbers such as "0,1"; targets +1 and -1.
        preprocess: see `problems.data`; statistics over the images used. Not given in the paper.
        layout: flat, or span: the same training in fewer inputs (`problems.span`).
        width: units in each hidden layer.
        depth: hidden layers.
        activation: erf in the paper.
        initialisation: ntk, weight variance 1 and bias variance 0 (`problems.span` needs it).
        lr: learning rate of the **sum** of half squares; of the mean it is `num_examples` times as large.
        max_steps_before: the most steps until the second point of expansion.
        every_before: steps between measurements until then, and along the models that start at the initialisation.
        onset: the second point is where the network's top kernel eigenvalue reaches this fraction of 2/lr.
        window: steps from there, each measured; a multiple of `every_before`.
        orders_at_start: Taylor orders of the models that start at the initialisation, such as "1, 2, 3" ...
        orders_near_edge: ... and of those that start near the edge.
        seeds: trainings with different initialisations.
        rtol: asked relative error of the kernel's eigenvalues in the window; z1 has about its square root.
        precision: float64.
    """

    dataset: str
    num_examples: int
    classes: str
    preprocess: str
    layout: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lr: float
    max_steps_before: int
    every_before: int
    onset: float
    window: int
    orders_at_start: str
    orders_near_edge: str
    seeds: int
    rtol: float
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's network, data, learning rate and precision."""
    return Settings(
        dataset="cifar10",
        num_examples=5000,
        classes="0,1",
        preprocess="centre_channels",
        layout="flat",
        width=256,
        depth=2,
        activation="erf",
        initialisation="ntk",
        lr=0.003204,
        max_steps_before=4000,
        every_before=20,
        onset=0.97,
        window=400,
        orders_at_start="1, 2, 3",
        orders_near_edge="1, 2, 3",
        seeds=1,
        rtol=1e-8,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """100 images and 64 units, at a learning rate whose edge comes after some hundred steps."""
    return dataclasses.replace(
        paper_settings(),
        num_examples=100,
        layout="span",
        width=64,
        lr=0.05,
        max_steps_before=600,
        onset=0.98,
        window=400,
    )


def control(settings: Settings) -> Settings:
    """Linear models alone, whose kernel stays as it was: what is said of the quadratic one must fail of them."""
    return dataclasses.replace(settings, orders_at_start="1", orders_near_edge="1")


def mean_lr(settings: Settings) -> float:
    """The learning rate of the mean of half squares that takes the steps of the sum at `lr`."""
    return settings.lr * settings.num_examples


def orders(text: str, name: str) -> tuple[int, ...]:
    """Taylor orders written as "1, 2, 3".

    Raises:
        InputError: another form, or an order that is not 1, 2 or 3, or none, or one twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(set(parts)) != len(parts) or not set(parts) <= {"1", "2", "3"}:
        raise InputError(f"{name} must be different orders among 1, 2, 3, such as '1, 2, 3'; got {text!r}.")
    return tuple(int(part) for part in parts)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.networks import check_network, class_pair

    check_precision(settings.precision)
    check_network(settings)
    if class_pair(settings.classes) is None:
        raise InputError("classes must be two class numbers such as '0,1': the models have one output; got 'all'.")
    check_layout(settings.layout, settings.initialisation)
    check_schedule(settings.max_steps_before, settings.every_before)
    check_schedule(settings.window, settings.every_before)
    positive("onset", settings.onset)
    at_least("window", settings.window, 20)
    at_least("seeds", settings.seeds, 1)
    positive("rtol", settings.rtol)
    orders(settings.orders_at_start, "orders_at_start")
    orders(settings.orders_near_edge, "orders_near_edge")
