"""What fixes a run of shapira2023/sec5: its scale, its control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from precipice._checks import at_least, one_of, positive


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        width: hidden units m.
        inputs: dimension d of the inputs, which are standard normal.
        num_examples: examples n, with targets +1 and -1.
        output_scale: standard deviation of the output weights at the start; the hidden weights have variance 1/d.
        lr: learning rate, on the mean squared error.
        num_steps: steps of gradient descent.
        seeds: draws of data and weights.
        precision: float64.
    """

    width: int
    inputs: int
    num_examples: int
    output_scale: float
    lr: float
    num_steps: int
    seeds: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The section has no experiment; these numbers are ours."""
    return Settings(width=60, inputs=8, num_examples=6, output_scale=0.05, lr=0.05, num_steps=300, seeds=3)


def control(settings: Settings) -> Settings:
    """Output weights a hundred times as large: outputs begin beyond the targets, and the kernel falls."""
    return dataclasses.replace(settings, output_scale=100 * settings.output_scale, lr=settings.lr / 10)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for name in ("width", "inputs", "num_examples", "seeds"):
        at_least(name, getattr(settings, name), 1)
    at_least("num_steps", settings.num_steps, 20)
    positive("output_scale", settings.output_scale)
    positive("lr", settings.lr)
    one_of("precision", settings.precision, ("float64",))
