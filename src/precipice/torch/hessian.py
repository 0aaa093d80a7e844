"""The Hessian of a model's mean loss, as products with vectors."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch

from precipice._checks import InputError, NonFiniteError
from precipice.torch.objective import Objective, flat
from precipice.torch.probe import Chunk


class Operator(Protocol):
    """A symmetric operator on flat vectors of `size` numbers. The rest of the room needs no more than this.

    To add one: a class with these fields and `mv`, and a row in `tests/torch_bench/`.
    """

    size: int
    dtype: torch.dtype
    device: torch.device

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """A v."""
        ...


class Hessian:
    """The Hessian of a model's mean loss at its present parameters (`Objective`), those that require a gradient.

    The graph of the gradient is kept (one forward and one backward pass), so that a product costs one backward pass
    through it, about two gradients.

    Args:
        objective: what is differentiated.
        keep_graph: False builds the graph anew for each chunk and product: a third slower for large networks, more for
            small ones; memory of one chunk.

    Raises:
        NonFiniteError: the loss is NaN or infinite.

    Example:
        >>> from precipice.torch import Objective, supervised
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> batch = (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
        >>> Hessian(Objective(model, supervised(torch.nn.MSELoss()), [batch])).mv(torch.ones(1))  # 2 mean x^2
        tensor([10.])
    """

    def __init__(self, objective: Objective, *, keep_graph: bool = True):
        self.objective = objective
        self.size, self.dtype, self.device = objective.size, objective.dtype, objective.device
        self.keep_graph = keep_graph
        self._graphs: list[list[torch.Tensor]] = []
        self.loss, self.gradient = self._first()

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """H v for a flat vector."""
        return self.objective.ranks.sum_tensor(self._product(self.objective.split(v)))

    def release(self) -> None:
        """Give the kept graphs back; the next product builds them anew, for one gradient with its graph."""
        self._graphs.clear()

    def mv_tensors(self, v: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """H v for tensors like the parameters, in the order of `objective.names`."""
        return self.objective.split(self.mv(flat(v)))

    def _first(self) -> tuple[float, torch.Tensor]:
        """The loss and the gradient; keeps the graphs."""
        loss, gradient = 0.0, torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for index, chunk in enumerate(self.objective.chunks):
            value, graph = self._gradient(index, self.keep_graph)
            loss += chunk.weight * value
            for total, g in zip(self.objective.split(gradient), graph, strict=True):
                total.add_(g.detach(), alpha=chunk.weight)
            if self.keep_graph:
                self._graphs.append(graph)
            del graph
        ranks = self.objective.ranks
        loss = ranks.sum(loss)
        if not math.isfinite(loss):
            raise NonFiniteError(f"loss must be finite; got {loss} (check parameters and data).")
        return loss, ranks.sum_tensor(gradient)

    def _gradient(self, index: int, create_graph: bool = True) -> tuple[float, list[torch.Tensor]]:
        params = self.objective.params
        loss = self.objective.chunk_loss(index)
        if not loss.requires_grad:
            return float(loss), [torch.zeros_like(p) for p in params]
        grads = self.objective.inside(lambda _: _grad([loss], params, None, create_graph, create_graph))
        return float(loss.detach()), grads

    def _product(self, v: list[torch.Tensor]) -> torch.Tensor:
        chunks = self.objective.chunks
        if self.keep_graph:  # one backward pass through the graphs of all chunks
            if not self._graphs:
                self._graphs = [self._gradient(index)[1] for index in range(len(chunks))]
            return flat(self._pulled(self._graphs, chunks, v))
        product = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for index, chunk in enumerate(chunks):
            images = self._pulled([self._gradient(index)[1]], [chunk._replace(weight=1.0)], v)
            for total, image in zip(self.objective.split(product), images, strict=True):
                total.add_(image, alpha=chunk.weight)
            del images
        return product

    def _pulled(
        self, graphs: Sequence[list[torch.Tensor]], chunks: Sequence[Chunk], v: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """The derivative of sum_c w_c g_c . v, where g_c depends on the parameters at all."""
        pairs = [
            (g, u if chunk.weight == 1 else chunk.weight * u)
            for graph, chunk in zip(graphs, chunks, strict=True)
            for g, u in zip(graph, v, strict=True)
            if g.requires_grad
        ]
        if not pairs:  # linear in the parameters
            return [torch.zeros_like(p) for p in v]
        outputs, vectors = [g for g, _ in pairs], [u for _, u in pairs]
        return self.objective.inside(lambda _: _grad(outputs, self.objective.params, vectors, self.keep_graph, False))


def gradient_and_curvature(objective: Objective, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """G and H g of one chunk, flat: its own gradient and its own Hessian's product with it."""
    loss = objective.chunk_loss(index)

    def run(_) -> tuple[torch.Tensor, torch.Tensor]:
        grads = _grad([loss], objective.params, None, True, True)
        fixed = [g.detach() for g in grads]
        pairs = [(g, f) for g, f in zip(grads, fixed, strict=True) if g.requires_grad]
        if not pairs:
            return flat(fixed), torch.zeros_like(flat(fixed))
        images = _grad([g for g, _ in pairs], objective.params, [f for _, f in pairs], False, False)
        return flat(fixed), flat(images)

    return objective.inside(run)


def _grad(
    outputs: list[torch.Tensor],
    params: list[torch.Tensor],
    vectors: list[torch.Tensor] | None,
    retain: bool,
    create: bool,
) -> list[torch.Tensor]:
    try:
        grads = torch.autograd.grad(
            outputs,
            params,
            vectors,
            retain_graph=retain,
            create_graph=create,
            allow_unused=True,
            materialize_grads=True,
        )
    except NotImplementedError as error:
        raise InputError(f"model must have a second derivative in PyTorch; got one in which {error}") from error
    if any(g.is_sparse for g in grads):
        raise InputError("gradients must be dense for products with a Hessian; got sparse ones (pass sparse=False).")
    return list(grads)
