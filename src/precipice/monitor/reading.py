"""One measurement: at which step, under which learning rates, what was found and how well it is known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from precipice._checks import InputError, at_least, one_of, positive, whole
from precipice.results import VARIABLES, monitor_vocabulary

_SUFFIXES = ("_bound", "_sem", "_residual")
_SHARED = (
    "probe_loss",
    "gradient_norm",
    "hessian_eigenvalue",
    "hessian_eigenvalue_bound",
    "hessian_products",
    "hessian_converged",
    "sharpness",
    "hessian_trace",
    "hessian_trace_sem",
    "batch_sharpness",
    "batch_sharpness_sem",
    "gradient_noise_scale",
)
_TELLING = ("probe_loss", "normalised_sharpness", "noise_kernel_norm_estimate")
_BY_HISTORY = ("current_lr", "group_lr", "group_edge", "training_seconds", "measuring_seconds")
NAMES = (*_SHARED, *(v.name for v in monitor_vocabulary.VARIABLES if v.name not in _BY_HISTORY))
"""What a reading may hold: names of `results.vocabulary`."""


@dataclass(frozen=True)
class Rates:
    """The numbers of one parameter group's optimiser at a measurement.

    Args:
        lr: learning rate; 0 for a group that stands still.
        edge: of the group's (preconditioned) curvature, as `measures.Threshold` has it.
        momentum: mu; Adam's beta1.
        dampening: d; Adam's beta1.
        weight_decay: coupled, added to the gradient.
        decoupled_weight_decay: w, shrinks parameters by lr w.

    Raises:
        InputError: a learning rate that is negative or not finite, an edge that is not positive and finite (inf belongs
            to learning rate 0 alone), or momentum outside [0, 1).

    Example:
        >>> Rates(0.1, 20.0).noise_lr, round(Rates(0.001, 38000.0, momentum=0.9, dampening=0.9).noise_lr, 9)
        (0.1, 0.001)
    """

    lr: float
    edge: float
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    decoupled_weight_decay: float = 0.0

    def __post_init__(self):
        if self.lr or self.edge != math.inf:
            positive("lr", self.lr)
            positive("edge", self.edge)
        for name in ("momentum", "dampening"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1); got {getattr(self, name)}.")
        at_least("weight_decay", self.weight_decay, 0)
        at_least("decoupled_weight_decay", self.decoupled_weight_decay, 0)

    @property
    def noise_lr(self) -> float:
        """The number lr (1 - d)/(1 - mu), which takes the place of lr in the trace form of K (agarwala2024, eq. 18)."""
        return self.lr * (1 - self.dampening) / (1 - self.momentum)


@dataclass(frozen=True)
class Reading:
    """What a monitor found at one step.

    Args:
        step: optimiser steps taken before it.
        rates: one a group, in the order of `Setting.groups`.
        values: names of `NAMES` to numbers; rows for names with the dimension ``group`` or ``eigenvalue``. NaN is a
            result (a run that diverged), a name that was not measured is left out.
        errors: the same names to their error bound, or standard error where the value is a mean over samples.
        training_seconds: of the training so far, measurements left out.
        measuring_seconds: of all measurements so far, this one included.

    Raises:
        InputError: an unknown name, a value of the wrong shape, an error without a value, no rates, a step below 0.

    Example:
        >>> reading = Reading(3, (Rates(0.1, 20.0),), {"sharpness": 15.0}, {"sharpness": 0.1})
        >>> reading.lr, reading["sharpness"], reading.error("sharpness"), reading.get("hessian_trace")
        (0.1, 15.0, 0.1, None)
    """

    step: int
    rates: tuple[Rates, ...]
    values: Mapping[str, Any]
    errors: Mapping[str, Any] = field(default_factory=dict)
    training_seconds: float = 0.0
    measuring_seconds: float = 0.0

    def __post_init__(self):
        whole("step", self.step, 0)
        if not self.rates:
            raise InputError("rates must hold the numbers of at least one group; got none.")
        if not any(group.lr for group in self.rates):
            raise InputError("lr of at least one group must be positive; got 0 in all.")
        for name in self.errors:
            if name not in self.values:
                raise InputError(f"errors must belong to values; got {name!r} without a value.")
            error_name(name)
        for name, value in self.values.items():
            _check_value(name, value, len(self.rates))
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "errors", MappingProxyType(dict(self.errors)))

    @property
    def lr(self) -> float:
        """The learning rate of the first group that has one above 0."""
        return self.rates[self.first].lr

    @property
    def first(self) -> int:
        """The place of that group."""
        return next(i for i, group in enumerate(self.rates) if group.lr)

    @property
    def finite(self) -> bool:
        """Whether the loss, the normalised sharpness and K are, as far as they were measured."""
        return all(np.isfinite(self.values[name]) for name in _TELLING if name in self.values)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str) -> Any:
        """The value, or None where it was not measured."""
        return self.values.get(name)

    def error(self, name: str) -> Any:
        """The error of the value, or None where there is none."""
        return self.errors.get(name)


def error_name(name: str) -> str:
    """The variable that holds the error of `name`: its bound, standard error or residual, as the vocabulary has it.

    Raises:
        InputError: the vocabulary has no error of this name.

    Example:
        >>> error_name("hessian_trace"), error_name("normalised_sharpness")
        ('hessian_trace_sem', 'normalised_sharpness_bound')
    """
    for suffix in _SUFFIXES:
        if name + suffix in VARIABLES:
            return name + suffix
    raise InputError(f"errors must be of a value that has one in the vocabulary; got {name!r}.")


def _check_value(name: str, value: Any, num_groups: int) -> None:
    one_of("measured value", name, NAMES)
    own, shape = VARIABLES[name].dims[1:], np.shape(value)
    if len(shape) != len(own) or (own == ("group",) and shape != (num_groups,)):
        raise InputError(f"{name} must have the axes ({', '.join(own)}), one entry a group; got shape {shape}.")
