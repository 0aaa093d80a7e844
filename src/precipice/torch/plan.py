"""How a measurement spends memory: which examples pass at once, whether graphs are kept, how large the basis is.

The aim is a measurement whose peak is at most twice that of a training step, where that can be. A step holds the
model's tensors, gradients, the optimiser's state and the activations of a batch. What a measurement needs beside the
former three, in float32 vectors of the size of the parameters: `WORK` for a product, and 2 for each vector of the
solver's basis; and the graph of a gradient, in units of what a forward pass keeps (`design/torch_adapter.md`).
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from precipice.torch.objective import Objective
from precipice.torch.probe import num_examples, tensors

FACTOR = 2.0
"""Peak of a measurement over that of a training step that is aimed at."""

SMALLEST_BASIS, LARGEST_BASIS = 6, 12
"""Between which memory chooses: 6 took 9 % more products than 40, 12 took 2 % more (`design/torch_adapter.md`)."""

GROWN_BASIS = 8
"""To which a smaller one grows in a solve that needs restarts: where values lie close, 6 took half as many more."""

WORK = 5
"""Vectors beside the basis: the gradient, v, H v, and two while they are orthogonalised."""

KEPT, PASSING = 5.0, 4.5
"""A kept graph with a product through it, and one that is built for a product and given back, over the bytes that the
forward pass keeps."""

LEAST = 2
"""Vectors' worth of memory that graphs may always take: where parameters dominate, saving it would save little."""

MOST_PARTS = 8
"""Parts that a batch is cut into at most."""

FREE = 4 * 2**20
"""Bytes that nobody is asked to save."""


class Plan(NamedTuple):
    """The choices for all measurements of a training.

    Args:
        rows: examples that pass at once where the probe set can be regrouped (`Objective.regrouped`).
        keep_graph: see `Hessian`.
        basis: vectors of the solver's basis at most.
        step_bytes: what a training step is taken to hold at its peak.
        bytes: what a measurement is, its share of `step_bytes` included.
    """

    rows: int
    keep_graph: bool
    basis: int
    step_bytes: float
    bytes: float


def make_plan(
    objective: Objective, optimizer: torch.optim.Optimizer, *, keep_graph: bool | None = None, basis: int | None = None
) -> Plan:
    """The plan for an objective; what the caller has chosen stays as it is.

    Args:
        objective: with the training's batches.
        optimizer: of the training.
        keep_graph: the caller's choice, or None.
        basis: the caller's choice, or None.
    """
    batch = num_examples(objective.chunks[0].batch)
    total = sum(num_examples(chunk.batch) for chunk in objective.chunks)
    vector = objective.size * objective.dtype.itemsize
    model = _bytes(objective.model.parameters()) + _bytes(objective.model.buffers())
    gradients = _bytes(p for p in objective.model.parameters() if p.requires_grad)
    standing = model + gradients + _bytes(t for state in optimizer.state.values() for t in _tensors(state))
    step = standing + objective.graph_bytes + _bytes(tensors(objective.chunks[0].batch))
    probe = sum(_bytes(tensors(chunk.batch)) for chunk in objective.chunks)
    allowed = max(FACTOR * step - standing - probe, FREE)
    left = allowed - (WORK + 2 * (basis or SMALLEST_BASIS)) * vector

    def graph(kind: float, examples: int) -> float:
        return kind * objective.graph_bytes * examples / batch

    if keep_graph is None:
        keep_graph = graph(KEPT, total) <= max(left, LEAST * vector)
    fitting = max(left, LEAST * vector) / max(graph(PASSING, batch), 1.0)
    parts = min(max(math.ceil(1 / fitting), 1), MOST_PARTS) if objective.regroupable else 1
    rows = total if keep_graph else -(-batch // parts)
    held = graph(KEPT, total) if keep_graph else graph(PASSING, rows)
    if basis is None:
        basis = int((allowed - held - WORK * vector) // (2 * vector))
        basis = min(max(basis, SMALLEST_BASIS), LARGEST_BASIS)
        basis = int(min(objective.ranks.gather([float(basis)])))
    return Plan(rows, keep_graph, basis, step, standing + probe + held + (WORK + 2 * basis) * vector)


def _tensors(state: Any) -> Iterable[torch.Tensor]:
    return (value for value in state.values() if isinstance(value, torch.Tensor))


def _bytes(found: Iterable[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in found)
