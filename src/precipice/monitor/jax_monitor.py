"""The monitor of an optax loop over any pytree model: plain functions, equinox, flax."""

import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from precipice._checks import NonFiniteError
from precipice._types import PRNGKey, Scalar
from precipice.measures import check_known
from precipice.monitor.advice import Advice, advice
from precipice.monitor.history import History
from precipice.monitor.jax_loss import Held, Probe, SplitLoss, check_mean_loss, mean_loss, probe_of, trained_part
from precipice.monitor.jax_measures import Measure, Point, hessian_top, noise_trace
from precipice.monitor.jax_optimiser import name_of, rates_of, refuse_traced, root_scale, stands_still
from precipice.monitor.lines import EdgeWarning, Line, crossed, default_lines
from precipice.monitor.picture import picture, save_picture
from precipice.monitor.reading import Reading
from precipice.monitor.scalars import Sink, scalars
from precipice.monitor.setting import LossKind, Setting
from precipice.monitor.spacing import Spacing, first_step
from precipice.monitor.summary import print_summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class JaxMonitor:
    """Watches a training without touching it: ``monitor.step(params, opt_state)`` after each update.

    The training's arrays are read and never kept, so a loop may donate them. Measurements run on a fixed probe set, in
    float32 or wider (16-bit parameters are measured as float32 copies), as seldom as the budget asks (`Spacing`).

    Args:
        loss: ``loss(params, batch) -> scalar``, a mean over the examples of the batch; a `SplitLoss` for traces of the
            Gauss-Newton matrix. Evaluate it as in training; randomness such as dropout must be fixed inside it.
        data: the probe set, a pytree of arrays with a leading axis of examples: a fixed, representative part of the
            training data.
        optimiser: a `dynamics.Optimiser` with the loop's optax function and its numbers; numbers that
            ``optax.inject_hyperparams`` keeps in the state go before.
        batch_size: B, examples of a training step.
        kind: of the loss, for the advice: "squared", "cross-entropy" or "other".
        num_outputs: C, see `Setting`; by default counted for a `SplitLoss` of kind squared, else 1.
        num_training: D, the examples of the training set (not of `data`), for the factor (1 - B/D) of K; None leaves it
            out.
        measures: what is measured, by default ``(hessian_top(), noise_trace())``.
        every: least number of steps between measurements.
        first: no measurement by `step` before so many; None: 0 for sgd, the larger of `every` and 100 for an adaptive
            optimiser, whose preconditioner begins at nearly nothing where the first gradients are small.
        budget: seconds of measuring a second of training; None measures every `every` steps.
        chunk_size: probe examples held at a time; by default `batch_size`, so that memory stays near that of a
            training step. One as large as the probe set takes it at once, which is faster.
        trainable: which leaves are trained, as `equinox.partition` takes it.
        lines: limits that are warned of (`default_lines` if None): at once for sgd, for an adaptive optimiser when two
            successive readings lie beyond.
        sinks: called with ``(scalars, step)`` after each measurement, as ``wandb.log``.
        mode: how the loss evaluates the model, in words.
        key: for random vectors; `jax.random.key(0)` if None.
        clock: seconds; for tests.

    Raises:
        InputError: data that are no fixed arrays, an optimiser whose threshold is unknown; at the first measurement: a
            loss that is no mean, no trained parameters. One sentence each.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from precipice import dynamics
        >>> x, y = jnp.array([[1.0], [3.0]]), jnp.array([[1.0], [1.0]])
        >>> sgd = dynamics.Optimiser(optax.sgd, {"learning_rate": 0.1})
        >>> loss = SplitLoss(lambda w, batch: batch[0] * w, lambda f, batch: jnp.mean((f - batch[1]) ** 2) / 2)
        >>> monitor = JaxMonitor(loss, (x, y), sgd, batch_size=2, kind="squared")
        >>> reading = monitor.step(jnp.array(0.0))
        >>> round(reading["sharpness"], 5), round(reading["normalised_sharpness"], 5)
        (5.0, 0.25)
    """

    def __init__(
        self,
        loss: Callable[[PyTree, Any], Scalar],
        data: Any,
        optimiser: Any,
        *,
        batch_size: int,
        kind: LossKind = "other",
        num_outputs: int | None = None,
        num_training: int | None = None,
        measures: Sequence[Measure] | None = None,
        every: int = 10,
        first: int | None = None,
        budget: float | None = 0.05,
        chunk_size: int | None = None,
        trainable: Any = eqx.is_inexact_array,
        lines: Sequence[Line] | None = None,
        sinks: Sequence[Sink] = (),
        mode: str = "as in training",
        key: PRNGKey | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        check_known(optimiser)
        setting = Setting(
            loss=kind,
            optimiser=name_of(optimiser),
            batch_size=batch_size,
            num_examples=1,
            num_outputs=1 if num_outputs is None else num_outputs,
            trace_of="Gauss-Newton" if isinstance(loss, SplitLoss) else "Hessian",
            mode=mode,
            num_training=num_training,
        )
        self._probe = probe_of(data, batch_size if chunk_size is None else chunk_size)
        setting = replace(setting, num_examples=jax.tree.leaves(self._probe.data)[0].shape[0])
        self._loss, self._optimiser, self._trainable = loss, optimiser, trainable
        self._measures = (hessian_top(), noise_trace()) if measures is None else tuple(measures)
        self._counts_outputs = num_outputs is None and kind == "squared"
        self._memories: list[Any] = [None] * len(self._measures)
        self._checked = False
        self._lines = default_lines(setting) if lines is None else tuple(lines)
        self._sinks, self._key, self._clock = tuple(sinks), jax.random.key(0) if key is None else key, clock
        self._adaptive = setting.optimiser != "sgd"
        first = first_step(every, adaptive=self._adaptive, first=first)
        self._history = History(setting, spacing=Spacing(budget, every, first))
        self._step, self._since = 0, clock()

    @property
    def history(self) -> History:
        """All readings so far; ``history.dataset()`` is labelled, ``history.save(path)`` writes it."""
        return self._history

    @property
    def probe(self) -> Probe:
        """The examples that it measures on."""
        return self._probe

    def step(self, params: PyTree, opt_state: PyTree = None) -> Reading | None:
        """Count a step, and measure if it is time.

        Args:
            params: the model after the update.
            opt_state: the optax state after it (may be left out for sgd with a constant learning rate).

        Returns:
            The reading, or None where nothing was measured: it is not time, or the learning rate is 0.

        Raises:
            InputError: what the first measurement finds (see the class), or a call inside of a compiled function.
            NonFiniteError: a first reading at the first step that is not finite; later it is a result.
        """
        self._step += 1
        if self._step == 1:
            refuse_traced(params)
        spacing = self._spacing()
        if self._step < spacing.last_step + spacing.every and spacing.num:  # without a look at the clock
            return None
        if not spacing.due(self._step, more=self._clock() - self._since):
            return None
        if stands_still(self._optimiser, opt_state):
            return None
        jax.block_until_ready((params, opt_state))  # queued training counts as training
        return self.measure(params, opt_state)

    def measure(self, params: PyTree, opt_state: PyTree = None) -> Reading:
        """Measure now, whatever the budget says; at most once a step. Raises as `step`."""
        refuse_traced(params)
        begun = self._clock()
        spacing = self._spacing().trained(begun - self._since)
        values, errors, rates = self._measured(params, opt_state)
        expected = None
        if spacing.num == 0 and spacing.budget is not None:  # once more, compiled and warm: what the next will cost
            again = self._clock()
            values, errors, rates = self._measured(params, opt_state)
            expected = self._clock() - again
        spacing = spacing.measured(self._step, seconds=self._clock() - begun, expected=expected)
        seconds = (spacing.training_seconds, spacing.setup_seconds + spacing.measuring_seconds)
        reading = Reading(self._step, (rates,), values, errors, *seconds)
        self._history = replace(self._history.appended(reading), spacing=spacing)
        self._report(reading)
        self._since = self._clock()
        return reading

    def advice(self) -> tuple[Advice, ...]:
        """What follows from the readings."""
        return advice(self._history)

    def summary(self) -> None:
        """Print the latest state as a table."""
        print_summary(self._history)

    def plot(self, path: str | os.PathLike | None = None) -> "Figure":
        """The readings over the steps as a figure, written to `path` if there is one."""
        if path is not None:
            save_picture(self._history, path)
        return picture(self._history)

    def _spacing(self) -> Spacing:
        spacing = self._history.spacing
        assert spacing is not None
        return spacing

    def _measured(self, model: PyTree, opt_state: PyTree) -> tuple[dict[str, Any], dict[str, Any], Any]:
        point = self._point(model, opt_state)
        if not self._checked:  # a training may have diverged before its first reading, where nothing can be told
            self._checked = check_mean_loss(point.loss, point.params, point.probe)
            self._count_outputs(model)
            point = point._replace(setting=self._history.setting)
        values: dict[str, Any] = {"probe_loss": float(mean_loss(point.loss, point.params, point.probe))}
        errors: dict[str, Any] = {}
        broken = "" if math.isfinite(values["probe_loss"]) else f"loss must be finite; got {values['probe_loss']}."
        begins = self._step <= 1 and not self._history.readings
        if broken and begins:
            raise NonFiniteError(f"loss must be finite at the first step; got {values['probe_loss']}.")
        for i, measure in enumerate(self._measures):
            try:
                found = measure(point._replace(key=jax.random.fold_in(point.key, i)), self._memories[i])
            except NonFiniteError as error:
                if begins:
                    raise
                broken = broken or str(error)
                self._memories[i] = None  # a run that diverges is a result
                values["normalised_sharpness"] = float("nan")
                continue
            values |= found.values
            errors |= found.errors
            self._memories[i] = found.memory
        if broken:
            warnings.warn(f"step {self._step}: {broken}", EdgeWarning, stacklevel=4)
        return values, errors, point.rates

    def _count_outputs(self, model: PyTree) -> None:
        if self._counts_outputs and isinstance(self._loss, SplitLoss):
            outputs = eqx.filter_eval_shape(self._loss.outputs, model, self._probe.data)
            setting = replace(self._history.setting, num_outputs=max(outputs.size // outputs.shape[0], 1))
            self._history = replace(self._history, setting=setting)

    def _point(self, model: PyTree, opt_state: PyTree) -> Point:
        params, rest = trained_part(model, self._trainable)
        rates, threshold = rates_of(self._optimiser, opt_state)
        setting = replace(self._history.setting, precision=str(jnp.result_type(*jax.tree.leaves(params))))
        self._history = replace(self._history, setting=setting)
        return Point(
            step=self._step,
            loss=Held(self._loss, rest),
            params=params,
            probe=self._probe,
            threshold=threshold,
            rates=rates,
            root=root_scale(threshold, params),
            setting=setting,
            key=jax.random.fold_in(self._key, self._step),
        )

    def _report(self, reading: Reading) -> None:
        for sentence in crossed(self._history, self._lines, num=2 if self._adaptive else 1):
            warnings.warn(sentence, EdgeWarning, stacklevel=4)
        for sink in self._sinks:
            sink(scalars(reading, self._history.setting), reading.step)
