"""Losses as functions of a model and a batch; one that is split at the outputs has a Gauss-Newton matrix too."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from precipice._checks import InputError

Kind = Literal["squared", "cross-entropy", "other"]

_SQUARED = (nn.MSELoss, nn.functional.mse_loss)
_ENTROPIES = (
    nn.CrossEntropyLoss,
    nn.BCEWithLogitsLoss,
    nn.functional.cross_entropy,
    nn.functional.binary_cross_entropy_with_logits,
)

Loss = Callable[[nn.Module, Any], Any]
"""``loss(model, batch)``: a scalar, the mean over the batch's examples, or an output object with a ``.loss``."""


class OutputLoss(NamedTuple):
    """A loss split at the model's outputs, which Gauss-Newton products and the noise kernel norm need.

    Args:
        outputs: ``outputs(model, batch) -> [n, ...]``, one tensor whose first axis is the examples.
        criterion: ``criterion(outputs, batch) -> scalar``, the mean over examples of a function convex in the outputs.
        kind: what the ranges of the papers are chosen by.
    """

    outputs: Callable[[nn.Module, Any], torch.Tensor]
    criterion: Callable[[torch.Tensor, Any], torch.Tensor]
    kind: Kind = "other"

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The loss."""
        return self.criterion(self.outputs(model, batch), batch)


def check_loss(loss: Any) -> None:
    """Refuse a criterion of outputs and targets in the place of a loss of a model and a batch.

    Raises:
        InputError: one of PyTorch's criteria, or nothing that can be called.
    """
    name = getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, nn.modules.loss._Loss) or getattr(loss, "__module__", "") == nn.functional.__name__:
        raise InputError(
            f"loss must be a function of (model, batch); got the criterion {name} (wrap it: supervised(criterion))."
        )
    if not callable(loss):
        raise InputError(f"loss must be a function of (model, batch); got {name}.")


def supervised(criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> OutputLoss:
    """The loss ``criterion(model(x), y)`` of batches ``(x, y)``.

    Args:
        criterion: such as ``nn.CrossEntropyLoss()`` or ``torch.nn.functional.mse_loss``; a mean.

    Raises:
        InputError: a criterion whose `reduction` is not a mean.

    Example:
        >>> loss = supervised(nn.MSELoss())
        >>> float(loss(nn.Identity(), (torch.tensor([[1.0]]), torch.tensor([[3.0]]))))
        4.0
    """
    reduction = getattr(criterion, "reduction", "mean")
    if reduction != "mean":
        raise InputError(f"criterion must be a mean over the batch (reduction='mean'); got reduction={reduction!r}.")
    return OutputLoss(_of_inputs, lambda outputs, batch: criterion(outputs, batch[1]), _kind(criterion))


def _of_inputs(model: nn.Module, batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        raise InputError(
            "batch must be (inputs, targets) for a supervised loss; got one tensor (one batch is data=[(inputs, "
            "targets)], not [inputs, targets])."
        )
    return model(batch[0])


def hugging_face_loss(model: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """``model(**batch).loss``: Hugging Face models with `labels` in the batch; a mean over the labels that count.

    Weigh batches by `num_labels` where their numbers of labels differ.
    """
    return loss_value(model(**batch))


def loss_value(output: Any) -> torch.Tensor:
    """The scalar in what a loss returned: a tensor, or the ``loss`` of an output object or mapping.

    Raises:
        InputError: there is none, or it is not a scalar.
    """
    value = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", output)
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(
            f"loss must return a scalar tensor, the mean over the batch, or have one as .loss; got {shape}."
        )
    return value.reshape(())


def _kind(criterion: Any) -> Kind:
    if criterion in _SQUARED or type(criterion) in _SQUARED:
        return "squared"
    return "cross-entropy" if criterion in _ENTROPIES or type(criterion) in _ENTROPIES else "other"
