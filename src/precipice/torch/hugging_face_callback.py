"""The monitor as a callback of Hugging Face's Trainer. Needs the package `transformers`."""

from typing import Any

from transformers import TrainerCallback

from precipice.torch.losses import Loss, hugging_face_loss
from precipice.torch.monitor import Monitor
from precipice.torch.probe import num_labels


class HuggingFaceMonitor(TrainerCallback):
    """Measures a training of Hugging Face's Trainer after optimiser steps.

    The batches of the training's own loader are the probe set, unless `data` is given; they are weighted by their
    labels, as the loss is a mean over them. The monitor itself is `monitor`, from the training's start on. Mixed
    precision by ``bf16=True`` is taken off for the measurement.

    Args:
        loss: ``loss(model, batch)``.
        data: a list of batches or a loader; None for the training's own.
        options: of `Monitor`, by name; most models need ``dropout="off"`` or ``dropout="fixed"``.

    Raises:
        InputError: at the training's start: as `Monitor`.
    """

    def __init__(self, loss: Loss = hugging_face_loss, data: Any = None, **options: Any):
        self._loss, self._data, self._options = loss, data, options
        self.monitor: Monitor | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Build the monitor: model, loader and optimiser are there now."""
        loader = kwargs["train_dataloader"] if self._data is None else self._data
        data = getattr(loader, "base_dataloader", loader)  # accelerate's wrapper keeps count of who iterates it
        batch_size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        options = {"weight": num_labels, "batch_size": batch_size, **self._options}
        kwargs["model"].train()  # as the Trainer does before its first step: pretrained models come in eval mode
        self.monitor = Monitor(kwargs["model"], self._loss, data, kwargs["optimizer"], **options)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Count a step of the optimiser."""
        if self.monitor is not None:
            self.monitor.step()
