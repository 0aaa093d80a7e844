"""The eigensolver's vectors as the rows of one tensor: dot products with all of them are one product of a matrix."""

import numpy as np
import torch


class TensorVectors:
    """See `curvature.vectors.Vectors`. Room is taken as it is needed."""

    def __init__(self, capacity: int, size: int, dtype: torch.dtype, device: torch.device):
        self._rows = torch.empty((capacity, size), dtype=dtype, device=device)
        self._num = 0

    def append(self, v: torch.Tensor) -> None:
        """Add one vector."""
        self._rows[self._num] = v
        self._num += 1

    def dots(self, w: torch.Tensor) -> np.ndarray:
        """The inner product of every vector with `w`."""
        return (self._rows[: self._num] @ w).cpu().numpy().astype(np.float64)

    def combine(self, weights: np.ndarray) -> torch.Tensor:
        """sum_i weights_i v_i."""
        return self._like(weights) @ self._rows[: self._num]

    def rotate(self, weights: np.ndarray) -> None:
        """Replace the vectors by their combinations with the columns of `weights`."""
        kept = self._like(weights.T) @ self._rows[: self._num]
        self._num = len(kept)
        self._rows[: self._num] = kept

    def _like(self, weights: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(weights)).to(self._rows)
