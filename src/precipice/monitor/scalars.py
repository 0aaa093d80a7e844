"""The latest reading as plain numbers by name, for TensorBoard, Weights & Biases or any callable."""

from collections.abc import Callable, Mapping

import numpy as np

from precipice.monitor.reading import Reading, error_name
from precipice.monitor.setting import Setting

Sink = Callable[[Mapping[str, float], int], object]
"""``sink(scalars, step)``: ``wandb.log`` is one; `to_tensorboard` makes one of a SummaryWriter."""


def scalars(reading: Reading, setting: Setting, *, prefix: str = "precipice/") -> dict[str, float]:
    """Names to numbers; rows give one entry a group (its name) or a rank.

    Example:
        >>> from precipice.monitor.reading import Rates
        >>> reading = Reading(3, (Rates(0.1, 20.0),), {"sharpness": 15.0, "hessian_eigenvalue": (15.0, 9.0)})
        >>> setting = Setting("squared", "sgd", batch_size=8, num_examples=100)
        >>> scalars(reading, setting)["precipice/hessian_eigenvalue/1"]
        9.0
    """
    rows = {"lr": [rates.lr for rates in reading.rates], "edge": [rates.edge for rates in reading.rates]}
    named = {**reading.values, **{error_name(name): error for name, error in reading.errors.items()}}
    out = {f"{prefix}{name}": float(value) for name, value in named.items() if np.ndim(value) == 0}
    grouped = rows | {name: value for name, value in named.items() if name.startswith("group_")}
    for name, values in grouped.items():
        for group, value in zip(setting.groups, values, strict=True):
            out[f"{prefix}{name}" + ("" if len(setting.groups) == 1 else f"/{group}")] = float(value)
    ranked = {name: value for name, value in named.items() if np.ndim(value) == 1 and name not in grouped}
    return out | {f"{prefix}{name}/{i}": float(v) for name, value in ranked.items() for i, v in enumerate(value)}


def to_tensorboard(writer: object) -> Sink:
    """A sink for a ``SummaryWriter`` of torch.utils.tensorboard or tensorboardX."""

    def sink(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)  # pyright: ignore[reportAttributeAccessIssue]

    return sink
