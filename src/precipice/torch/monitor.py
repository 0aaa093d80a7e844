"""The monitor of a PyTorch training loop: how far each step is from instability, at a stated share of the time."""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from precipice._checks import InputError, NonFiniteError
from precipice.monitor import (
    Advice,
    EdgeWarning,
    History,
    Line,
    Reading,
    Spacing,
    advice,
    crossed,
    default_lines,
    first_step,
    picture,
    print_summary,
    save_picture,
    scalars,
)
from precipice.torch.facts import read_setting
from precipice.torch.losses import Loss
from precipice.torch.measures import DEFAULT, Measure
from precipice.torch.moment import Accuracy, Memory, Moment
from precipice.torch.objective import Objective
from precipice.torch.optimizer import ADAPTIVE, is_ready, plain_optimizer, read_rule
from precipice.torch.probe import num_examples, probe_batches
from precipice.torch.quiet import Dropout, own_precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Monitor:
    """Measures a training in any PyTorch loop: call `step` once after each step of the optimiser.

    A measurement differentiates the loss on a fixed probe set and leaves the model, its buffers, gradients, mode and
    random state, the optimiser and the training's order of data exactly as they are. Measurements are so far apart that
    all together stay within `budget` of the training's time; the first one (set-up) is paid off by half of it
    (`Spacing`). Memory is planned from what a training step takes (`plan.py`). Nothing is measured while all learning
    rates are 0; a group whose learning rate is 0 counts as frozen.

    Args:
        model: any module. DDP is looked through and products are averaged over its ranks, on each of which the monitor
            must be called alike; FSDP is refused.
        loss: ``loss(model, batch)``, a mean over the batch's examples: `supervised(criterion)`, `hugging_face_loss`, or
            a function of your own. K needs `supervised` or an `OutputLoss`, else it is made of the Hessian's trace.
        data: a list of batches or a loader; its first `num_batches` batches are the probe set, taken once. The first
            axis of a batch's tensors counts as its examples (batch first).
        optimizer: the training's: SGD, Adam, AdamW, RMSprop, Adagrad; schedules are followed.
        every: least number of steps between two measurements.
        first: no measurement by `step` before so many; None: 0 for SGD, the larger of `every` and 100 for an adaptive
            optimiser, whose preconditioner begins at nearly nothing where the first gradients are small.
        budget: share of the training time for measurements; None measures every `every` steps.
        measures: functions of `measures.py`, or of your own.
        num_batches: of the probe set.
        accuracy: of the solves; its `basis` and `keep_graph` trade memory for time.
        batch_size: examples of one training step, accumulated parts and all ranks together; by default those of the
            first batch on all ranks. Say it where gradients are accumulated, which cannot be seen from here.
        num_training: D, the examples of the training set, for the factor (1 - B/D) of K; by default those of `data`
            where it is a loader without replacement, else the factor is left out.
        sinks: callables ``(scalars, step)`` that get each reading: ``wandb.log``, `monitor.to_tensorboard(writer)`.
        lines: limits to warn of; by default the optimiser's edge and the stochastic edge. With SGD at once, with an
            adaptive optimiser when two successive readings lie beyond.
        dropout: 'off' (it lets everything through in measurements) or 'fixed' (one mask); needed where there is any.
        dtype: of the measurement; by default float32, or float64 where the model has it.
        weight: what a batch counts in the mean, `num_labels` for losses that are means over tokens.
        chunk: examples that pass at once in a measurement, for memory; needs a model without BatchNorm in training.

    Raises:
        InputError: what could not be measured rightly, in one sentence with the way out.

    Example:
        >>> from precipice.torch import Monitor, supervised
        >>> model, x = nn.Linear(2, 1, bias=False), torch.eye(2) * torch.tensor([2.0, 1.0])
        >>> optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.1), supervised(nn.MSELoss())
        >>> monitor = Monitor(model, loss, [(x, torch.zeros(2, 1))], optimizer)
        >>> monitor.step()  # after optimizer.step(); the Hessian here is x^T x
        >>> round(monitor.history.last["normalised_sharpness"], 5)  # 4 of 2/lr = 20
        0.2
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Iterable[Any],
        optimizer: torch.optim.Optimizer,
        *,
        every: int = 10,
        first: int | None = None,
        budget: float | None = 0.05,
        measures: Sequence[Measure] = DEFAULT,
        num_batches: int = 4,
        accuracy: Accuracy = Accuracy(),  # noqa: B008 frozen
        batch_size: int | None = None,
        num_training: int | None = None,
        sinks: Sequence[Callable[[Mapping[str, float], int], object]] = (),
        lines: Sequence[Line] | None = None,
        dropout: Dropout = None,
        dtype: torch.dtype | None = None,
        weight: Callable[[Any], float] = num_examples,
        chunk: int | None = None,
    ):
        begun = time.perf_counter()
        if not measures:
            raise InputError("measures must hold at least one function; got none.")
        self._optimizer = plain_optimizer(optimizer)
        self._measures, self._accuracy, self._sinks = tuple(measures), accuracy, tuple(sinks)
        batches, self._memory = probe_batches(data, num_batches), Memory()
        self._objective = Objective(model, loss, batches, dropout=dropout, dtype=dtype, weight=weight, chunk=chunk)
        if is_ready(self._optimizer):  # an unknown optimiser is refused now, not at the first measurement
            read_rule(self._optimizer, self._objective)
        setting = read_setting(
            self._objective, batches, self._optimizer, batch_size=batch_size, num_training=num_training, data=data
        )
        self._lines = default_lines(setting) if lines is None else tuple(lines)
        self._adaptive = type(self._optimizer).__name__ in ADAPTIVE
        first = first_step(every, adaptive=self._adaptive, first=first)
        self._steps, self._clock = 0, time.perf_counter()
        self._now = self._clock  # of the last step: the time since `_clock` is training that is not counted yet
        spacing = Spacing(budget, every, first, setup_seconds=self._clock - begun)
        self._history = History(setting, spacing=spacing)

    @property
    def history(self) -> History:
        """All readings so far; ``.dataset()`` makes a labelled dataset of them, ``.save(path)`` a store."""
        return replace(self._history, spacing=self._spacing.trained(self._now - self._clock))

    def step(self) -> None:
        """Count one step of the optimiser, and measure if it is time. Costs about a microsecond where it is not."""
        self._steps += 1
        self._now = time.perf_counter()
        if self._is_due() and is_ready(self._optimizer):
            self.measure()

    def measure(self) -> Reading:
        """Measure now, whatever the budget says; of two readings at one step the later one stays.

        Raises:
            InputError: as the constructor; before an adaptive optimiser's first step.
        """
        self._wait()
        start = time.perf_counter()
        with own_precision(frozenset([self._objective.device])):
            rates, values, errors, spared = self._found()
        self._wait()
        took = time.perf_counter() - start
        trained = self._spacing.trained(start - self._clock)
        spacing = trained.measured(self._steps, seconds=took, expected=max(took - spared, 0.0))
        seconds = spacing.setup_seconds + spacing.measuring_seconds
        reading = Reading(self._steps, rates, values, errors, spacing.training_seconds, seconds)
        earlier = tuple(r for r in self._history.readings if r.step < self._steps)
        self._history = replace(self._history, readings=(*earlier, reading), spacing=spacing)
        self._tell(reading)
        self._clock = self._now = time.perf_counter()
        return reading

    def advice(self) -> tuple[Advice, ...]:
        """What follows from the readings: learning rates and batch sizes, each with its reason and caveat."""
        return advice(self.history)

    def summary(self) -> None:
        """Print a table of where the training is."""
        print_summary(self.history)

    def plot(self, path: str | os.PathLike | None = None) -> "Figure":
        """The readings over the steps as a figure, written to `path` if there is one."""
        if path is not None:
            save_picture(self.history, path)
        return picture(self.history)

    @property
    def _spacing(self) -> Spacing:
        assert self._history.spacing is not None
        return self._history.spacing

    def _found(self) -> tuple[Any, dict[str, Any], dict[str, Any], float]:
        """Rates, values (NaN where loss or curvature is not finite), errors, seconds that warm starts will spare."""
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        try:
            names = self._objective.names
            objective = self._objective = self._objective.now(copied=self._objective.writes_params)
            if objective.names != names:  # layers were frozen or freed: what was known is of other parameters
                self._memory = Memory(counts=self._memory.counts)
            rule = read_rule(self._optimizer, objective)
            setting, memory = self._history.setting, self._memory
            moment = Moment(objective, rule, self._optimizer, setting, memory, self._accuracy, self._steps)
            values["probe_loss"] = moment.hessian.loss
            for measure in self._measures:
                found = measure(moment)
                values.update(found.values)
                errors.update(found.errors)
        except NonFiniteError as error:
            self._memory.vectors.clear()
            warnings.warn(f"step {self._steps}: {error}", EdgeWarning, stacklevel=4)
            rates = read_rule(self._optimizer, self._objective).rates
            return rates, {"probe_loss": float("nan")}, {}, 0.0
        return rule.rates, values, errors, moment.spared_seconds

    def _tell(self, reading: Reading) -> None:
        for sentence in crossed(self._history, self._lines, num=2 if self._adaptive else 1):
            warnings.warn(sentence, EdgeWarning, stacklevel=4)
        for sink in self._sinks:
            sink(scalars(reading, self._history.setting), self._steps)

    def _is_due(self) -> bool:
        """Whether to measure; with several ranks the first decides, and is asked at every `every`th step alone."""
        ranks, spacing = self._objective.ranks, self._spacing
        if not ranks.many:
            return spacing.due(self._steps, more=self._now - self._clock)
        if (self._steps - spacing.last_step) % spacing.every and spacing.num:
            return False
        return ranks.first(spacing.due(self._steps, more=self._now - self._clock))

    def _wait(self) -> None:
        """Let queued work of a device end, so that its time is counted to whom it belongs."""
        kind = self._objective.device.type
        if kind == "cuda":
            torch.cuda.synchronize()
        elif kind == "mps":
            torch.mps.synchronize()
