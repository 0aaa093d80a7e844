"""What a measurement would get wrong without a word, found out by one watched forward pass.

| hazard | seen by | answer |
|---|---|---|
| dropout, other random draws | operators that are tagged as drawing random numbers | refused without a policy |
| autocast opened inside the loss, half precision inside the model | tensors of bfloat16 or float16 | refused |
| reentrant checkpointing, whose second derivative is silently zero | its node in the graph | refused |
| a sum in place of a mean | the examples once, twice, three times: it grows in equal steps | refused |
| a loss that does not run on the data | what its call raises | refused, with that |
| a loss that is not finite | its value | refused |
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from precipice._checks import InputError, NonFiniteError, one_line
from precipice.torch.probe import map_tensors, num_examples, rows, tensors

_HALF = (torch.bfloat16, torch.float16)
_FEW = 16  # examples that are enough to tell a mean from a sum


class _Watch(TorchDispatchMode):
    """Remembers the first operator that drew random numbers and the first that gave half precision."""

    def __init__(self):
        super().__init__()
        self.random: str | None = None
        self.half: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.random = self.random or str(func)
        if self.half is None and any(t.dtype in _HALF for t in tensors(out)):
            self.half = str(func)
        return out


_ONCE = {"EmbeddingBagBackward0": "EmbeddingBag (use nn.Embedding and a mean or sum over the bag)"}
"""Nodes of a graph whose own derivative PyTorch does not have."""


def check_forward(
    loss: Callable[[], torch.Tensor], dropout: str | None, held: Iterable[torch.Tensor] = ()
) -> tuple[bool, int]:
    """Run `loss` once and refuse what could not be differentiated twice rightly.

    Args:
        loss: with its graph.
        dropout: the policy.
        held: tensors that are there anyway, parameters and data.

    Returns:
        Whether it drew random numbers, and the bytes that its graph holds for the backward pass.

    Raises:
        InputError: see the module's table.
        NonFiniteError: the loss is NaN or infinite.
    """
    watch, kept = _Watch(), {}
    try:
        with watch, torch.autograd.graph.saved_tensors_hooks(lambda t: _noted(t, kept), lambda t: t):
            value = loss()
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if isinstance(error, (InputError, torch.OutOfMemoryError)):
            raise
        raise InputError(
            f"loss must run as loss(model, batch) on each batch of data; it raised {one_line(error)} (a criterion of "
            "outputs and targets is wrapped: supervised(criterion); so is a batch: data=[(inputs, targets)])."
        ) from error
    for tensor in held:
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    if not math.isfinite(float(value.detach())):
        raise NonFiniteError(f"loss must be finite; got {float(value.detach())} (check parameters and data).")
    _check_random(watch.random, dropout)
    if watch.half:
        raise InputError(
            f"loss must be computed in full precision in a measurement; got half precision from {watch.half} (open "
            "autocast around the training step, not inside the loss or the model)."
        )
    nodes = set(_nodes(value))
    for node in nodes & _ONCE.keys():
        raise InputError(f"model must have a second derivative; got {_ONCE[node]}.")
    if "CheckpointFunctionBackward" in nodes:
        raise InputError(
            "checkpointing must not be reentrant, since its second derivative is silently zero; got use_reentrant=True "
            "(pass use_reentrant=False)."
        )
    return watch.random is not None, sum(kept.values())


def _noted(tensor: torch.Tensor, kept: dict[int, int]) -> torch.Tensor:
    """The tensor, its storage's bytes written down."""
    if tensor.layout == torch.strided:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
    return tensor


def _check_random(drew: str | None, dropout: str | None) -> None:
    if drew is None or dropout == "fixed":
        return
    if dropout == "off":
        raise InputError(
            "dropout='off' reaches PyTorch's own dropout only, and the model draws random numbers elsewhere too "
            f"({drew}); set that rate to 0 or pass dropout='fixed'."
        )
    raise InputError(
        f"dropout must be 'off' (it lets everything through) or 'fixed' (one mask) for a model that draws random "
        f"numbers; got None, and it drew by {drew}."
    )


def check_mean(loss: Callable[[Any], torch.Tensor], batch: Any) -> None:
    """Refuse a sum, alone or beside another term: it grows in equal steps where each example comes once more.

    Let through: batches that cannot be cut into examples, and losses that change otherwise (contrastive ones, in which
    examples meet: the mean is then over batches).

    Raises:
        InputError: a sum.
    """
    try:
        few = rows(batch, 0, min(_FEW, num_examples(batch)))
        total = num_examples(few)
        once, twice, thrice = (
            float(loss(map_tensors(lambda t, k=k: torch.cat([t] * k) if t.ndim and len(t) == total else t, few)))
            for k in (1, 2, 3)
        )
    except (RuntimeError, ValueError, TypeError, IndexError):  # a batch of another structure, or too few for BatchNorm
        return
    grown = twice - once
    if abs(grown) > 1e-3 * abs(once) and abs(thrice - twice - grown) <= 1e-2 * abs(grown):
        raise InputError(
            f"loss must be the mean over a batch's examples; got a sum: it is {once:.4g}, {twice:.4g} and {thrice:.4g} "
            "where each example comes once, twice and three times (use reduction='mean')."
        )


def _nodes(value: torch.Tensor) -> Iterator[str]:
    """The names of all nodes of a graph."""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node.name()
        waiting.extend(parent for parent, _ in node.next_functions)
