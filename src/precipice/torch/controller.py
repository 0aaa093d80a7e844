"""An experiment: a scheduler that holds a stability number at a target. `monitor.hold` is the same rule for optax."""

import math
from typing import Any

import torch

from precipice._checks import InputError, one_of
from precipice.monitor import held_factor
from precipice.monitor.held import check_rule
from precipice.monitor.reading import Reading
from precipice.torch.monitor import Monitor
from precipice.torch.optimizer import plain_optimizer

HELD = ("normalised_sharpness", "noise_kernel_norm_estimate")
"""Numbers that grow with the learning rate and are 1 at an edge."""


class HoldLR:
    """Multiplies the learning rates of all groups so that a number of the monitor stays at its target.

    Call `step` after ``monitor.step()``, as any scheduler: each new reading moves the factor once, by `held_factor`. So
    the monitor says what a measurement is and how often there is one (``budget=None``: every `every` steps).
    While curvature and preconditioner stay, the fixed point is the target for every optimiser that the monitor knows.

    Args:
        optimizer: the training's; no other scheduler may move its learning rates.
        monitor: of this optimiser.
        name: `normalised_sharpness` or `noise_kernel_norm_estimate` (K).
        target: 1 is the edge.
        gain: see `held_factor`; for each reading.
        max_factor: limit of the factor and of its inverse.

    Raises:
        InputError: numbers out of range, another name; at a step: learning rates that something else has changed, a
            monitor of another optimiser or one that does not measure this number.

    References: agarwala2024, section 5 (asked for there); `held_factor` for the rule.

    Example:
        >>> from precipice.torch import Monitor, supervised
        >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.eye(2) * torch.tensor([2.0, 1.0])
        >>> optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.1), supervised(torch.nn.MSELoss())
        >>> monitor = Monitor(model, loss, [(x, torch.zeros(2, 1))], optimizer, every=1, budget=None)
        >>> scheduler = HoldLR(optimizer, monitor, target=0.5, gain=1.0)
        >>> monitor.step()  # after optimizer.step(); 4 of 2/lr = 20
        >>> scheduler.step()
        >>> [round(lr, 5) for lr in scheduler.get_last_lr()]
        [0.25]
    """

    def __init__(
        self,
        optimizer: Any,
        monitor: Monitor,
        *,
        target: float,
        name: str = "normalised_sharpness",
        gain: float = 0.1,
        max_factor: float = 100.0,
    ):
        one_of("name of a number to hold", name, HELD)
        check_rule(target, gain, max_factor)
        self._optimizer, self._monitor, self._name = plain_optimizer(optimizer), monitor, name
        self._rule = {"target": target, "gain": gain, "max_factor": max_factor}
        self.factor = 1.0
        self._base = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._followed = monitor.history.latest(name)

    def step(self) -> None:
        """Follow the monitor's latest reading, once; where there is no new one, or it is not finite, nothing moves."""
        self._check_rates()
        history = self._monitor.history
        reading = history.latest(self._name)
        if reading is None and history.readings and history.last.finite:
            raise InputError(f"monitor must measure {self._name}; its readings have {', '.join(history.last.values)}.")
        if reading is None or reading is self._followed:
            return
        self._check_monitor(reading)
        self._followed = reading
        factor = held_factor(self.factor, reading[self._name] / self.factor, **self._rule)
        if math.isfinite(factor):
            self.factor = factor
            self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups."""
        return [base * self.factor for base in self._base]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from."""
        return {"factor": self.factor, "base_lrs": list(self._base)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; the optimiser's learning rates become what they were.

        Raises:
            InputError: a state of another number of groups.
        """
        if len(state["base_lrs"]) != len(self._base):
            raise InputError(f"state must be of {len(self._base)} groups; got one of {len(state['base_lrs'])}.")
        self.factor, self._base = float(state["factor"]), [float(lr) for lr in state["base_lrs"]]
        self._set()

    def _set(self) -> None:
        for group, lr in zip(self._optimizer.param_groups, self.get_last_lr(), strict=True):
            if isinstance(group["lr"], torch.Tensor):  # kept as it is: a captured graph reads it
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _check_rates(self) -> None:
        rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        if not _close(rates, self.get_last_lr()):
            raise InputError(
                f"lr must be left to HoldLR, without another scheduler or new groups; got {rates} where it has set "
                f"{self.get_last_lr()}."
            )

    def _check_monitor(self, reading: Reading) -> None:
        """A reading is of the present learning rates, since they have not moved after it."""
        rates = [rates.lr for rates in reading.rates]
        if not _close(rates, self.get_last_lr()):
            raise InputError(
                f"monitor must be that of the optimizer and measure after its steps; got a reading at lr {rates} where "
                f"the optimizer has {self.get_last_lr()}."
            )


def _close(rates: list[float], expected: list[float]) -> bool:
    """Equal but for the rounding of learning rates that are float32 tensors."""
    return len(rates) == len(expected) and all(
        math.isclose(a, b, rel_tol=1e-6) for a, b in zip(rates, expected, strict=True)
    )
