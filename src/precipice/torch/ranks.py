"""The processes over which a mean is taken: one, or all those of a DistributedDataParallel model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import distributed, nn

from precipice.torch.probe import Chunk


class Ranks(NamedTuple):
    """A process group, or None for one process. All ranks must make the same calls in the same order."""

    group: Any = None

    @staticmethod
    def of(model: nn.Module) -> "Ranks":
        """Those of a DDP model; one process for any other."""
        ddp = isinstance(model, nn.parallel.DistributedDataParallel)
        return Ranks(model.process_group if ddp else None)

    @property
    def many(self) -> bool:
        """Whether there is more than one."""
        return self.group is not None and distributed.get_world_size(self.group) > 1

    def sum(self, value: float) -> float:
        """The sum of a number over the ranks."""
        return float(self.sum_tensor(torch.tensor(value, dtype=torch.float64))) if self.many else value

    def sum_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over the ranks, the same bits on each."""
        if self.many:
            if distributed.get_backend(self.group) == "nccl":  # takes tensors of the GPU alone
                tensor = tensor.to("cuda")
            distributed.all_reduce(tensor, group=self.group)
        return tensor

    def first(self, decision: bool) -> bool:
        """The first rank's decision."""
        if not self.many:
            return decision
        return bool(self.gather([float(decision)])[0])

    def gather(self, values: Sequence[float]) -> list[float]:
        """The numbers of all ranks, in their order."""
        if not self.many:
            return list(values)
        rows: list[Any] = [None] * distributed.get_world_size(self.group)
        distributed.all_gather_object(rows, list(values), group=self.group)
        return [value for row in rows for value in row]

    def weighted(self, chunks: Sequence[Chunk], weights: Sequence[float]) -> list[Chunk]:
        """Chunks whose weights add up to 1 over all ranks."""
        total = self.sum(float(sum(weights)))
        return [Chunk(chunk.batch, weight / total) for chunk, weight in zip(chunks, weights, strict=True)]
