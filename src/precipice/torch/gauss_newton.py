"""The Gauss-Newton matrix J^T H_out J of a model's mean loss, as products with vectors."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
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

    @property
    def flat(self) -> bool:
        """Whether every product is zero: the outputs do not depend on the parameters, or the criterion is linear."""
        return not (any(p.requires_grad for p in self.pulled) and self.slope.requires_grad)

    def pushed(self, v: Sequence[torch.Tensor]) -> torch.Tensor:
        """J v."""
        pairs = [(p, u) for p, u in zip(self.pulled, v, strict=True) if p.requires_grad]
        return _grad([p for p, _ in pairs], [self.cotangent], [u for _, u in pairs], True, False)[0]

    def curved(self, moved: torch.Tensor) -> torch.Tensor:
        """H_out J v from J v."""
        return _grad([self.slope], [self.free], [moved], True, False)[0]


class Forms(NamedTuple):
    """What `GaussNewton.forms` gives.

    Args:
        own: [m], v_i^T G v_i.
        sampled: [num], s_j^T G s_j.
        mixed: [m, num], v_i^T G s_j.
    """

    own: np.ndarray
    sampled: np.ndarray
    mixed: np.ndarray


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
        self._graphs: list[_Graph] = []

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """G v for a flat vector."""
        parts, inside = self.objective.split(v), self.objective.inside
        if self.keep_graph:
            if not self._graphs:
                self._graphs = [self._graph(index) for index in range(len(self.objective.chunks))]
            total = inside(lambda _: self._summed(self._graphs, self.objective.chunks, parts))
        else:
            total = torch.zeros_like(v)
            for index, chunk in enumerate(self.objective.chunks):
                total += inside(lambda _, i=index, c=chunk: self._summed([self._graph(i)], [c], parts))
        return self.objective.ranks.sum_tensor(total)

    def forms(self, vectors: Sequence[torch.Tensor], signs: Callable[[int], torch.Tensor], num: int) -> Forms:
        """v_i^T G v_i of some vectors, s_j^T G s_j and v_i^T G s_j of others.

        All are inner products of J v and H_out J s, so that a vector costs two backward passes in place of three, and
        as all are known in advance, each chunk's graph is built once and given back.

        Args:
            vectors: v_i, flat.
            signs: s_j by its number.
            num: of them.
        """
        own, sampled, mixed = np.zeros(len(vectors)), np.zeros(num), np.zeros((len(vectors), num))
        split = self.objective.split
        for index, chunk in enumerate(self.objective.chunks):

            def add(graph: _Graph, w: float = chunk.weight) -> None:
                if graph.flat:
                    return
                moved = [graph.pushed(split(v)) for v in vectors]
                own[:] += [w * _dot(m, graph.curved(m)) for m in moved]
                for j in range(num):
                    pushed = graph.pushed(split(signs(j)))
                    curved = graph.curved(pushed)
                    sampled[j] += w * _dot(pushed, curved)
                    mixed[:, j] += [w * _dot(m, curved) for m in moved]

            self.objective.inside(lambda _, i=index, f=add: f(self._graph(i)))
        whole = self.objective.ranks.sum_tensor(torch.from_numpy(np.concatenate([own, sampled, mixed.reshape(-1)])))
        parts = np.split(whole.cpu().numpy(), [len(own), len(own) + num])
        return Forms(parts[0], parts[1], parts[2].reshape(mixed.shape))

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
    if graph.flat:
        return [torch.zeros_like(u) for u in v]
    curved = graph.curved(graph.pushed(v))
    return _grad([graph.outputs], objective.params, [curved], True, False)


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum(dtype=torch.float64))
