"""What fixes a run of shapira2023/fig2: its scale, its control, and what is refused."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from precipice._checks import InputError, at_least, one_of, positive


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        lr: learning rate.
        alpha: rate of progressive sharpening.
        beta: strength of self-stabilization.
        x: displacement at the start; the excess sharpness starts at 0.
        num_steps: steps of the map.
        precision: float64 or float32.
    """

    lr: float
    alpha: float
    beta: float
    x: float
    num_steps: int
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper gives no numbers; these are ours."""
    return Settings(lr=0.01, alpha=1.0, beta=1.0, x=1e-3, num_steps=6000, precision="float64")


def control(settings: Settings) -> Settings:
    """Hardly any progressive sharpening: the excess sharpness does not come back within the run."""
    return dataclasses.replace(settings, alpha=settings.alpha * 1e-4)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for name in ("lr", "alpha", "beta"):
        positive(name, getattr(settings, name))
    if not (np.isfinite(settings.x) and settings.x != 0):
        raise InputError(f"x must be finite and not 0; got {settings.x}.")
    at_least("num_steps", settings.num_steps, 10)
    one_of("precision", settings.precision, ("float32", "float64"))
