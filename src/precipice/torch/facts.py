"""The fixed facts of a monitored training, read off its model, probe set and optimiser."""

from collections.abc import Sequence
from typing import Any

import torch

from precipice._checks import InputError
from precipice.monitor import Setting
from precipice.torch.losses import OutputLoss
from precipice.torch.objective import Objective
from precipice.torch.optimizer import group_names
from precipice.torch.probe import num_examples, training_size


def read_setting(
    objective: Objective,
    batches: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    *,
    batch_size: int | None = None,
    num_training: int | None = None,
    data: Any = None,
) -> Setting:
    """What the numbers refer to: loss, optimiser, sizes, precision and mode.

    Args:
        objective: the loss on the probe set.
        batches: of the probe set.
        optimizer: of the training.
        batch_size: of the training; by default the first batch's on all ranks.
        num_training: of the training; by default those of `data` where it tells and they are no fewer than a batch.
        data: where the batches come from.

    Raises:
        InputError: batches whose examples cannot be counted and no `batch_size`; fewer `num_training` than a batch.
    """
    ranks, split = objective.ranks, isinstance(objective.loss, OutputLoss)
    examples = ranks.sum(float(sum(_examples(batch) for batch in batches)))
    first = ranks.sum(float(_examples(batches[0])))
    if batch_size is None and not first:
        raise InputError("batch_size must be given where a batch's examples cannot be counted; got None.")
    batch_size = int(first) if batch_size is None else batch_size
    if num_training is None:
        told = training_size(data)
        num_training = told if told is not None and told >= batch_size else None
    return Setting(
        loss=objective.loss.kind if isinstance(objective.loss, OutputLoss) else "other",
        optimiser=type(optimizer).__name__,
        batch_size=batch_size,
        num_examples=max(int(examples), 1),
        num_outputs=_outputs(objective),
        trace_of="Gauss-Newton" if split else "Hessian",
        groups=group_names(optimizer),
        precision=str(objective.dtype).removeprefix("torch."),
        mode=_mode(objective),
        num_training=num_training,
    )


def _examples(batch: Any) -> int:
    try:
        return num_examples(batch)
    except InputError:
        return 0


def _outputs(objective: Objective) -> int:
    """C: the outputs of an example under a squared loss, else 1 (see `Setting`)."""
    if not (isinstance(objective.loss, OutputLoss) and objective.loss.kind == "squared"):
        return 1
    outputs = objective.chunk_outputs(0)
    return outputs.numel() // len(outputs)


def _mode(objective: Objective) -> str:
    modes = {module.training for module in objective.model.modules()}
    words = "in mixed modes" if len(modes) > 1 else "in training mode" if True in modes else "in eval mode"
    dropout = {"off": ", dropout off", "fixed": ", one fixed dropout mask", None: ""}[objective.dropout]
    return words + dropout
