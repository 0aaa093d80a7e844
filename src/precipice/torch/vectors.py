"""The eigensolver's vectors as rows of tensors: dot products with a block of them are one product of a matrix."""

import numpy as np
import torch

BLOCK = 2
"""Rows that are allocated together: room is taken as it is needed, and no larger matrix is ever copied."""

_SLICE = 1 << 16  # numbers of each row that are rotated at once


class TensorVectors:
    """See `curvature.vectors.Vectors`."""

    def __init__(self, capacity: int, size: int, dtype: torch.dtype, device: torch.device):
        self._capacity, self._size, self._like = capacity, size, torch.empty(0, dtype=dtype, device=device)
        self._blocks: list[torch.Tensor] = []
        self._num = 0

    def append(self, v: torch.Tensor) -> None:
        """Add one vector."""
        block, row = divmod(self._num, BLOCK)
        if block == len(self._blocks):
            rows = min(BLOCK, self._capacity - self._num)
            self._blocks.append(self._like.new_empty((rows, self._size)))
        self._blocks[block][row] = v
        self._num += 1

    def dots(self, w: torch.Tensor) -> np.ndarray:
        """The inner product of every vector with `w`."""
        return torch.cat([rows @ w for rows in self._filled()]).cpu().numpy().astype(np.float64)

    def combine(self, weights: np.ndarray) -> torch.Tensor:
        """sum_i weights_i v_i."""
        parts = self._on_device(weights).split(BLOCK)
        total = torch.zeros(self._size, dtype=self._like.dtype, device=self._like.device)
        for part, rows in zip(parts, self._filled(), strict=True):
            total.addmv_(rows.T, part)
        return total

    def rotate(self, weights: np.ndarray) -> None:
        """Replace the vectors by their combinations with the columns of `weights`; what becomes free is given back."""
        blocks, num = self._filled(), weights.shape[1]
        for start in range(0, self._size if num else 0, _SLICE):
            part = slice(start, start + _SLICE)
            mixed = self._on_device(weights.T) @ torch.cat([rows[:, part] for rows in blocks])
            for rows, kept in zip(blocks, mixed.split(BLOCK), strict=False):
                rows[: len(kept), part] = kept
        self._num = num
        del self._blocks[-(-self._num // BLOCK) :]

    def _filled(self) -> list[torch.Tensor]:
        rows = [block[: self._num - BLOCK * i] for i, block in enumerate(self._blocks)]
        return [block for block in rows if len(block)]

    def _on_device(self, weights: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(weights)).to(self._like)
