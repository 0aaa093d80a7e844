"""When a training ends early: functions of the latest probe results that return a reason, or None to go on."""

from collections.abc import Callable

import numpy as np

from precipice._checks import InputError
from precipice._types import Values
from precipice.results import StopReason

Stop = Callable[[Values], StopReason | None]


def accuracy_at_least(value: float) -> Stop:
    """End when the probe result ``accuracy`` reaches `value` (a fraction)."""
    if not 0 < value <= 1:
        raise InputError(f"accuracy to stop at must lie in (0, 1]; got {value}.")

    def stop(values: Values) -> StopReason | None:
        return StopReason.ACCURACY_REACHED if float(_named(values, "accuracy")) >= value else None

    return stop


def at_least(name: str, value: float) -> Stop:
    """End when the (first entry of the) probe result `name` reaches `value`; the reason is `VALUE_REACHED`."""

    def stop(values: Values) -> StopReason | None:
        return StopReason.VALUE_REACHED if float(np.ravel(_named(values, name))[0]) >= value else None

    return stop


def loss_at_most(value: float) -> Stop:
    """End when the loss before the latest step is `value` or less."""

    def stop(values: Values) -> StopReason | None:
        return StopReason.LOSS_REACHED if float(_named(values, "loss")) <= value else None

    return stop


def _named(values: Values, name: str):
    if name not in values:
        raise InputError(f"a stop needs a probe that returns {name!r}; the probes return {sorted(values)}.")
    return values[name]
