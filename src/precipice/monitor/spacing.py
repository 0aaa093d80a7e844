"""When to measure: so seldom that all measurements together stay within a share of the training time."""

import math
from dataclasses import dataclass, replace

from precipice._checks import InputError, positive, whole

ADAPTIVE_START = 100
"""Steps that an adaptive optimiser takes before its first measurement."""


def first_step(every: int, *, adaptive: bool, first: int | None = None) -> int:
    """The step of the first measurement: 0, or of an adaptive optimiser the larger of `every` and 100.

    Its preconditioner begins at nearly nothing wherever the first gradients are small, and the preconditioned sharpness
    is then large and means little. For the same reason a line counts as crossed only after two readings beyond it.

    Args:
        every: least number of steps between two measurements.
        adaptive: whether the optimiser is (anything but SGD).
        first: the caller's own choice, or None.

    Example:
        >>> first_step(10, adaptive=False), first_step(10, adaptive=True), first_step(10, adaptive=True, first=3)
        (0, 100, 3)
    """
    if first is not None:
        return first
    return max(every, ADAPTIVE_START) if adaptive else 0


@dataclass(frozen=True)
class Spacing:
    """The rule and the times so far; pure, so that it is tested with made-up clocks.

    The first measurement begins cold (it may compile and allocate): its time is the set-up. A later one is due as soon
    as all of them and the next, at the larger of its expected cost and the mean, fit into
    ``budget * training_seconds``. The set-up counts there too, but never more than the others together: half of the
    budget pays it off, and the second measurement need not wait for all of it. Set-up included, the budget is kept
    from ``2 setup_seconds/budget`` seconds of training on. What proves dearer than foreseen is repaid by waiting.

    Args:
        budget: allowed seconds of measuring a second of training, as 0.05; None measures every `every` steps.
        every: least number of steps between two measurements.
        first: no measurement before this step.
        training_seconds: of training, measurements left out.
        measuring_seconds: of measurements, the first left out.
        setup_seconds: of the first measurement, and of what was prepared before it.
        last_seconds: what the next one is expected to cost, by the last one.
        num: measurements so far.
        last_step: step of the last one.

    Raises:
        InputError: a budget outside (0, 1), `every` below 1.

    Example:
        >>> spacing = Spacing(0.1, every=10).measured(0, seconds=7.0, expected=0.2)
        >>> spacing.needed_seconds  # of training: 0.2 ahead, and as much of the set-up
        4.0
        >>> spacing.due(10, more=3.9), spacing.due(10, more=4.1)
        (False, True)
        >>> spacing = spacing.trained(4.1).measured(10, seconds=0.2).trained(3.8)
        >>> spacing.due(30), spacing.due(40, more=0.2), round(spacing.overhead, 3)
        (False, True, 0.025)
    """

    budget: float | None = 0.05
    every: int = 10
    first: int = 0
    training_seconds: float = 0.0
    measuring_seconds: float = 0.0
    setup_seconds: float = 0.0
    last_seconds: float = 0.0
    num: int = 0
    last_step: int = 0

    def __post_init__(self):
        if self.budget is not None:
            positive("budget", self.budget)
            if self.budget >= 1:
                raise InputError(f"budget must be below 1, a share of the training's time; got {self.budget}.")
        whole("every", self.every, 1)
        whole("first", self.first, 0)

    def trained(self, seconds: float) -> "Spacing":
        """After that much more training."""
        return replace(self, training_seconds=self.training_seconds + max(seconds, 0.0))

    def measured(self, step: int, *, seconds: float, expected: float | None = None) -> "Spacing":
        """After a measurement at `step` that took so long; `expected` is what the next will, where that is known.

        Raises:
            InputError: a step before the last measurement's.
        """
        if step < self.last_step:
            raise InputError(f"step must not go back; got {step} after {self.last_step}.")
        seconds = max(seconds, 0.0)
        first = self.num == 0
        return replace(
            self,
            setup_seconds=self.setup_seconds + (seconds if first else 0.0),
            measuring_seconds=self.measuring_seconds + (0.0 if first else seconds),
            last_seconds=seconds if expected is None else expected,
            num=self.num + 1,
            last_step=step,
        )

    def due(self, step: int, *, more: float = 0.0) -> bool:
        """Whether to measure at `step`, before it is taken, after `more` seconds of training. A few comparisons."""
        if self.num == 0:
            return step >= self.first
        if step - self.last_step < self.every:
            return False
        return self.budget is None or self.training_seconds + more >= self.needed_seconds

    @property
    def expected_seconds(self) -> float:
        """What the next one will cost: the larger of what is expected of it and the mean, the first left out."""
        counted = max(self.num - 1, 1)
        return max(self.last_seconds, self.measuring_seconds / counted)

    @property
    def needed_seconds(self) -> float:
        """The seconds of training at which the next measurement fits into the budget; 0 without a budget."""
        if self.budget is None:
            return 0.0
        spent = self.measuring_seconds + self.expected_seconds
        return (spent + min(self.setup_seconds, spent)) / self.budget

    @property
    def overhead(self) -> float:
        """Seconds of measuring (set-up left out) a second of training; NaN before any."""
        return self.measuring_seconds / self.training_seconds if self.training_seconds > 0 else math.nan

    @property
    def total_overhead(self) -> float:
        """The same with the set-up."""
        spent = self.setup_seconds + self.measuring_seconds
        return spent / self.training_seconds if self.training_seconds > 0 else math.nan

    def next_step(self, step: int) -> int:
        """The step at which the next measurement is due if training goes on at its mean speed since step 0.

        Args:
            step: the present step.
        """
        soonest = self.last_step + self.every
        if self.num == 0:
            return max(step, self.first)
        if not (step and self.training_seconds):
            return max(step, soonest)
        missing = self.needed_seconds - self.training_seconds
        return max(step + math.ceil(max(missing, 0.0) * step / self.training_seconds), soonest)
