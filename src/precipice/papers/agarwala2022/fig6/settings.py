"""What fixes a run of agarwala2022/fig6 and fig13, which look at figure 5's training more closely."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import InputError, at_least, one_of
from precipice.papers.agarwala2022 import fig5
from precipice.papers.agarwala2022.fig5.settings import check_training

LAYOUTS = ("flat", "span")


@dataclass(frozen=True)
class Settings:
    """Figure 5's settings, and those of the spectra.

    Args:
        dataset: cifar10, mnist or digits.
        num_examples: the first so many training images.
        classes: "all", or two class numbers such as "0,1": then one output with targets +1 and -1.
        preprocess: see `problems.data`; statistics over the images used.
        layout: flat, or span: the same training in fewer inputs, for the NTK parametrisation (`problems.span`).
        width: units in each hidden layer.
        depth: hidden layers.
        activation: tanh in the paper.
        initialisation: not given in the paper.
        lr: learning rate of the mean loss.
        max_steps_before: the most steps until the window begins.
        every_before: steps between measurements until then.
        onset: the window begins when the top kernel eigenvalue reaches this fraction of the edge.
        window: steps in the window; the kernel is measured at each.
        seeds: trainings with different initialisations.
        rtol: asked relative error of the kernel's eigenvalues; z1 cannot be seen below its square root of the residual.
        vectors: random vectors of the spectra of v . Q ...
        nodes: ... and Lanczos steps of each.
        precision: float32 or float64.
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
    seeds: int
    rtol: float
    vectors: int
    nodes: int
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:
    """Figure 5's."""
    base = dataclasses.asdict(fig5.paper_settings(data_dir))
    return Settings(**base, layout="flat", vectors=4, nodes=80)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """200 images of two classes.

    So few images sharpen fast, and the excess y over the edge grows with the square root of that speed: for the small y
    of the paper the learning rate is such that the edge comes after 2,000 steps, and the window begins a little above
    the edge, shortly before z1 has grown. The NTK parametrisation allows the layout span, with 15 times fewer weights.
    """
    return dataclasses.replace(
        paper_settings(),
        num_examples=200,
        classes="0,1",
        preprocess="centre_channels",
        layout="span",
        width=64,
        initialisation="ntk",
        lr=3.0,
        max_steps_before=2800,
        every_before=20,
        onset=1.03,
        window=500,
        seeds=2,
        rtol=1e-8,
        nodes=40,
        precision="float64",
    )


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate: the edge is far, and z1 decays without oscillating."""
    return dataclasses.replace(settings, lr=settings.lr / 10, max_steps_before=settings.every_before * 5, window=100)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_training(settings)
    check_layout(settings.layout, settings.initialisation)
    at_least("vectors", settings.vectors, 2)
    at_least("nodes", settings.nodes, 2)


def check_layout(layout: str, initialisation: str) -> None:
    """Refuse a layout that is unknown, or span where it would change the training.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    one_of("layout", layout, LAYOUTS)
    if layout == "span" and initialisation != "ntk":
        raise InputError(f"initialisation must be ntk with layout span; got {initialisation!r}.")
