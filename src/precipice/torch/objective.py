"""The mean loss of a model on a probe set, at copies of its parameters: what every measurement differentiates."""

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from precipice._checks import InputError, one_of
from precipice.torch.hazards import check_forward, check_mean
from precipice.torch.losses import Loss, OutputLoss, check_loss, loss_value
from precipice.torch.model import device_of, parts, precision_of, unwrapped
from precipice.torch.probe import Chunk, joined, num_examples, rows, tensors, weighted_chunks
from precipice.torch.quiet import Dropout, quiet
from precipice.torch.ranks import Ranks

T = TypeVar("T")

SAME = 2e-5
"""Relative difference of two losses, in float32, that counts as rounding."""


class Objective:
    """A model's mean loss on fixed batches, as it is at this moment.

    The parameters are copied, so that training may go on while the objective is in use, and the model itself, its
    buffers, gradients, mode and random state are left exactly as they are. The model keeps its mode: BatchNorm in
    training mode normalises each batch by its own statistics, as in training.

    Args:
        model: any module; wrappers of DDP, DataParallel and torch.compile are looked through.
        loss: ``loss(model, batch)``, the mean over the batch's examples; see `losses.py`.
        batches: the probe set, a list of batches.
        dtype: precision of the measurement: by default float32, or float64 where the model has it. Parameters, buffers
            and inputs are cast to it, and autocast is off.
        dropout: 'off', 'fixed' or None: see `quiet.Dropout`. With None, a model that draws random numbers is refused.
        weight: what a batch counts in the mean.
        chunk: examples that pass at once, for memory; None for whole batches.
        ranks: the processes over which the mean is taken; by default those of a DDP model.

    Raises:
        InputError: what could not be measured rightly, in one sentence (see `hazards.py`, `model.py`, `probe.py`).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Iterable[Any],
        *,
        dtype: torch.dtype | None = None,
        dropout: Dropout = None,
        weight: Callable[[Any], float] = num_examples,
        chunk: int | None = None,
        ranks: Ranks | None = None,
    ):
        if dropout is not None:
            one_of("dropout", dropout, ("off", "fixed"))
        check_loss(loss)
        self.ranks = Ranks.of(model) if ranks is None else ranks
        self.model, self.loss = unwrapped(model), loss
        self.dropout: Dropout = dropout
        self._chunk, self._weight = chunk, weight
        self._copy(dtype or precision_of(self.model))
        self._count()
        self.dtype, self.device = self.params[0].dtype, device_of(self.model)
        batches = list(batches)
        with torch.inference_mode(False):
            chunks = weighted_chunks(batches, device=self.device, dtype=self.dtype, weight=weight, chunk=chunk)
        self.cut = chunk is not None and any(num_examples(batch) > chunk for batch in batches)
        self.chunks = self.ranks.weighted(chunks, [weight(c.batch) for c in chunks])
        self._check()

    def now(self, *, copied: bool = True) -> "Objective":
        """The same objective at the model's present parameters. The probe set and its checks are kept.

        Checked anew if the model, or a part of it, has changed between training and eval mode since.

        Args:
            copied: False saves the memory of the copies where the precision allows it: no step may then be taken while
                the objective is in use.
        """
        new = copy.copy(self)
        new._copy(self.dtype, copied)
        new._count()
        if _modes(self.model) != self._checked:
            new._check()
        return new

    def _copy(self, dtype: torch.dtype, copied: bool = True) -> None:
        with torch.inference_mode(False):  # copies made inside it could never be differentiated
            self.parts = parts(self.model, dtype, copied=copied)
        self.params = list(self.parts.params.values())

    def _count(self) -> None:
        """Names and sizes of the trained parameters: layers are frozen and freed along a training."""
        self.names, self.sizes = list(self.parts.params), [p.numel() for p in self.params]
        self.size = sum(self.sizes)

    def inside(self, function: Callable[[nn.Module], T], point: list[torch.Tensor] | None = None) -> T:
        """``function(model)`` with the copies in the model's place, and new copies of the buffers.

        Args:
            function: may call the model and differentiate; it must not keep the model.
            point: other values of the parameters, in the order of `names`.
        """
        params = self.parts.params if point is None else dict(zip(self.names, point, strict=True))
        buffers = {name: buffer.clone() for name, buffer in self.parts.buffers.items()}
        tensors = {f"model.{name}": t for name, t in {**params, **self.parts.frozen, **buffers}.items()}
        with quiet(self.model, frozenset([self.device]), self.dropout):
            return torch.func.functional_call(_Caller(self.model), tensors, (function,))

    def chunk_loss(self, index: int, point: list[torch.Tensor] | None = None) -> torch.Tensor:
        """The loss of one chunk, with its graph."""
        return self.inside(lambda model: loss_value(self.loss(model, self._seeded(index))), point)

    def chunk_outputs(self, index: int) -> torch.Tensor:
        """The outputs of one chunk, with their graph; the loss must be an `OutputLoss`."""
        if not isinstance(self.loss, OutputLoss):
            raise InputError(
                "loss must be split at the model's outputs here (OutputLoss, or supervised(criterion)); got "
                f"{getattr(self.loss, '__name__', type(self.loss).__name__)}."
            )
        outputs = self.loss.outputs
        return self.inside(lambda model: outputs(model, self._seeded(index)))

    def value(self, point: list[torch.Tensor] | None = None) -> float:
        """The mean loss, without a graph."""
        return self.ranks.sum(self._own_value(point))

    def _own_value(self, point: list[torch.Tensor] | None = None) -> float:
        """This rank's part of the mean loss."""
        with torch.no_grad():
            params = [p.detach() for p in (self.params if point is None else point)]
            return float(sum(c.weight * float(self._value(i, params)) for i, c in enumerate(self.chunks)))

    def regrouped(self, size: int) -> "Objective | None":
        """The same mean over the probe set, its examples in chunks of `size`; None where that is another function.

        So with BatchNorm in training mode, a fixed dropout mask, the caller's own `chunk`, batches that cannot be put
        together, and a loss that is no mean by `weight` over examples that do not meet (seen in its value, here and at
        parameters moved at random). This objective's own batches become parts of the joined ones, so that the data are
        held once.
        """
        if not self.regroupable:
            return None
        whole = joined([chunk.batch for chunk in self.chunks])
        if whole is None:
            return None
        ends = np.cumsum([0, *(num_examples(chunk.batch) for chunk in self.chunks)])
        spans = list(itertools.pairwise(int(end) for end in ends))
        self.chunks = [c._replace(batch=rows(whole, *span)) for c, span in zip(self.chunks, spans, strict=True)]
        cut = [rows(whole, start, min(start + size, spans[-1][1])) for start in range(0, spans[-1][1], size)]
        weights, share = [float(self._weight(batch)) for batch in cut], sum(chunk.weight for chunk in self.chunks)
        if not min(weights) > 0:
            return None
        new = copy.copy(self)
        new.chunks = [Chunk(b, share * w / sum(weights)) for b, w in zip(cut, weights, strict=True)]
        same = all(_agree(self._own_value(point), new._own_value(point)) for point in (None, self._moved()))
        return new if same else None

    def _moved(self) -> list[torch.Tensor]:
        """A point beside the parameters: at the model's own a layer of zeros may hide how examples meet in the loss."""
        generator = torch.Generator().manual_seed(0)

        def moved(p: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(p.shape, generator=generator).to(p)
            return p.detach() + 0.1 * (float(p.detach().square().mean().sqrt()) or 1.0) * noise

        return [moved(p) for p in self.params]

    @property
    def regroupable(self) -> bool:
        """Whether `regrouped` is worth trying."""
        return not (self.mixes_examples or self.dropout == "fixed" or self._chunk is not None)

    def with_chunks(self, chunks: list[Chunk]) -> "Objective":
        """The same on other chunks, of `regrouped`."""
        new = copy.copy(self)
        new.chunks = chunks
        return new

    def split(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """A flat vector as tensors like the parameters."""
        pieces = vector.split(self.sizes)
        return [piece.view_as(p) for piece, p in zip(pieces, self.params, strict=True)]

    def indices(self, select: Callable[[str], bool]) -> torch.Tensor:
        """The entries of flat vectors that belong to the parameters whose name `select` accepts: for `Block`.

        Raises:
            InputError: no name is accepted.
        """
        chosen = [torch.full((n,), bool(select(name))) for name, n in zip(self.names, self.sizes, strict=True)]
        indices = torch.cat(chosen).nonzero()[:, 0].to(self.device)
        if not len(indices):
            raise InputError(f"select must accept at least one parameter; got none of {', '.join(self.names[:5])}, ...")
        return indices

    def _value(self, index: int, params: list[torch.Tensor]) -> torch.Tensor:
        def run(model):
            with torch.no_grad():
                return loss_value(self.loss(model, self._seeded(index)))

        return self.inside(run, params)

    def _seeded(self, index: int) -> Any:
        """The batch of a chunk; a fixed mask is the one that its number draws."""
        if self.dropout == "fixed":
            torch.manual_seed(index)
        return self.chunks[index].batch

    @property
    def mixes_examples(self) -> bool:
        """Whether examples of a batch depend on each other: BatchNorm in training mode."""
        return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in self.model.modules())

    def _check(self) -> None:
        if self._chunk is not None and self.mixes_examples:
            raise InputError(
                f"chunk must be None with BatchNorm in training mode, which needs whole batches; got {self._chunk}."
            )
        versions = [p._version for p in self.params]
        held = [*self.params, *self.parts.frozen.values(), *tensors(self.chunks[0].batch)]
        draws, self.graph_bytes = check_forward(lambda: self.chunk_loss(0), self.dropout, held)
        self.writes_params = versions != [p._version for p in self.params]
        still = copy.copy(self)
        still.dropout = "off" if draws else self.dropout  # a mask would differ between one batch and its double
        check_mean(lambda batch: still.inside(lambda model: _no_grad(self.loss, model, batch)), self.chunks[0].batch)
        self._checked = _modes(self.model)


class _Caller(nn.Module):
    """Calls a function of a module: `functional_call` then holds for all that the function does."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, function: Callable[[nn.Module], Any]) -> Any:
        return function(self.model)


def flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Tensors as one vector."""
    return torch.cat([t.reshape(-1) for t in tensors])


def _no_grad(loss: Loss, model: nn.Module, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        return loss_value(loss(model, batch))


def _agree(before: float, after: float) -> bool:
    return abs(after - before) <= SAME * abs(before)


def _modes(model: nn.Module) -> tuple[bool, ...]:
    return tuple(module.training for module in model.modules())
