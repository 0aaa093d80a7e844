"""The Gauss-Newton matrix J^T H_out J of a model's mean loss, as products with vectors."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from precipice._checks import InputError
from precipice.torch.hessian import _grad
from precipice.torch.losses import OutputLoss
from precipice.torch.objective import Objective, flat
from precipice.torch.probe import Chunk


class _Graph(NamedTuple):
    """What a product needs of one chunk: J^T u as a function of u, the criterion's gradient as one of the outputs."""

    outputs: torch.Tensor
    cotangent: torch.Tensor
    pulled: list[torch.Tensor]
    free: torch.Tensor
    slope: torch.Tensor


class GaussNewton:
    """J^T H_out J of a model's mean loss, J the Jacobian of its outputs and H_out the criterion's Hessian in them.

    For cross-entropy and squared errors it is positive semi-definite and equals the Fisher matrix; its nonzero
    eigenvalues are those of the Gram matrix (`ntk_eigenvalue`). A product costs three backward passes through kept
    graphs: J v is the derivative of J^T u in u.

    Args:
        objective: its loss is an `OutputLoss`.
        keep_graph: False builds the graphs anew for each chunk and product; memory of one chunk.

    Raises:
        InputError: a loss that is not split at the outputs.

    Example:
        >>> from precipice.torch import supervised
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> batch = (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
        >>> GaussNewton(Objective(model, supervised(torch.nn.MSELoss()), [batch])).mv(torch.ones(1))
        tensor([10.])
    """

    def __init__(self, objective: Objective, *, keep_graph: bool = True):
        if not isinstance(objective.loss, OutputLoss):
            raise InputError(
                "loss of a Gauss-Newton matrix must be split at the model's outputs (OutputLoss, or "
                f"supervised(criterion)); got {getattr(objective.loss, '__name__', type(objective.loss).__name__)}."
            )
        self.objective, self.keep_graph = objective, keep_graph
        self.size, self.dtype, self.device = objective.size, objective.dtype, objective.device
        self._criterion = objective.loss.criterion
        chunks = range(len(objective.chunks))
        self._graphs = [self._graph(index) for index in chunks] if keep_graph else []

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """G v for a flat vector."""
        parts, inside = self.objective.split(v), self.objective.inside
        if self.keep_graph:
            total = inside(lambda _: self._summed(self._graphs, self.objective.chunks, parts))
        else:
            total = torch.zeros_like(v)
            for index, chunk in enumerate(self.objective.chunks):
                total += inside(lambda _, i=index, c=chunk: self._summed([self._graph(i)], [c], parts))
        return self.objective.ranks.sum_tensor(total)

    def _summed(self, graphs: Sequence[_Graph], chunks: Sequence[Chunk], v: list[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for graph, chunk in zip(graphs, chunks, strict=True):
            total += chunk.weight * flat(_product(graph, self.objective, v))
        return total

    def _graph(self, index: int) -> _Graph:
        outputs, batch = self.objective.chunk_outputs(index), self.objective.chunks[index].batch
        free, cotangent = outputs.detach().requires_grad_(), torch.zeros_like(outputs).requires_grad_()

        def build(_) -> _Graph:
            pulled = _grad([outputs], self.objective.params, [cotangent], True, True)
            (slope,) = torch.autograd.grad(self._criterion(free, batch), free, create_graph=True)
            return _Graph(outputs, cotangent, pulled, free, slope)

        return self.objective.inside(build)


def _product(graph: _Graph, objective: Objective, v: list[torch.Tensor]) -> list[torch.Tensor]:
    pairs = [(p, u) for p, u in zip(graph.pulled, v, strict=True) if p.requires_grad]
    if not pairs or not graph.slope.requires_grad:
        return [torch.zeros_like(u) for u in v]
    moved = _grad([p for p, _ in pairs], [graph.cotangent], [u for _, u in pairs], True, False)  # J v
    curved = _grad([graph.slope], [graph.free], moved, True, False)  # H_out J v
    return _grad([graph.outputs], objective.params, curved, True, False)
