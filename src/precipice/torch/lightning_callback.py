"""The monitor as a callback of Lightning's Trainer. Needs the package `lightning`."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from precipice._checks import InputError
from precipice.torch.losses import Loss
from precipice.torch.monitor import Monitor


class LightningMonitor(Callback):
    """Measures a Lightning training after optimiser steps and logs the readings to the trainer's loggers.

    The batches of the training's own loader are the probe set, unless `data` is given. The monitor itself is `monitor`,
    from the training's start on.

    Args:
        loss: ``loss(module, batch)``, the mean over the batch that `training_step` minimises: `supervised(criterion)`
            where ``module(x)`` gives the outputs. (`training_step` itself would log a second time.)
        data: a list of batches or a loader; None for the training's own.
        options: of `Monitor`, by name.

    Raises:
        InputError: at the training's start: as `Monitor`; manual optimisation with several optimisers,
            accumulated gradients without `batch_size`.
    """

    def __init__(self, loss: Loss, data: Any = None, **options: Any):
        self._loss, self._data, self._options = loss, data, options
        self.monitor: Monitor | None = None
        self._seen = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the monitor: model, loaders and optimiser are there now."""
        if len(trainer.optimizers) != 1:
            raise InputError(f"trainer must have one optimiser to be monitored; got {len(trainer.optimizers)}.")
        parts = trainer.accumulate_grad_batches
        if parts > 1 and self._options.get("batch_size") is None:
            raise InputError(f"batch_size must be given where gradients are accumulated; got None and {parts} parts.")
        model = trainer.strategy.model or pl_module
        data: Any = trainer.train_dataloader if self._data is None else self._data
        options = {"sinks": (self._log(trainer),), **self._options}
        self.monitor, self._seen = (
            Monitor(model, self._loss, data, trainer.optimizers[0], **options),
            trainer.global_step,
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Count the optimiser's steps: none where gradients are still accumulated."""
        if self.monitor is not None and trainer.global_step > self._seen:
            self._seen = trainer.global_step
            self.monitor.step()

    def _log(self, trainer: Trainer) -> Any:
        def sink(values: Any, step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(dict(values), step)

        return sink
