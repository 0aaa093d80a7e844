"""A growing set of long vectors: on the host one numpy matrix, on a device a list of arrays.

Both offer the same four operations, which is all that the eigensolver needs. The matrix is read at memory speed (one
gemv for all dot products); on a device, a stack of growing size would compile anew at every size, a list never does.
"""

from typing import Any, Protocol

import numpy as np

Vector = Any


class Vectors(Protocol):
    """What both kinds offer."""

    def append(self, v: Vector) -> None:
        """Add one vector."""
        ...

    def dots(self, w: Vector) -> np.ndarray:
        """The inner product of every vector with `w`, as numpy float64."""
        ...

    def combine(self, weights: np.ndarray) -> Vector:
        """sum_i weights_i v_i."""
        ...

    def rotate(self, weights: np.ndarray) -> None:
        """Replace the vectors by their combinations with the columns of `weights`."""
        ...


class HostVectors:
    """Rows of a numpy matrix; memory pages are touched as rows are filled."""

    def __init__(self, capacity: int, size: int, dtype: Any):
        self._rows = np.empty((capacity, size), dtype)
        self._num = 0

    def append(self, v: np.ndarray) -> None:
        """Add one vector."""
        self._rows[self._num] = v
        self._num += 1

    def dots(self, w: np.ndarray) -> np.ndarray:
        """The inner product of every vector with `w`."""
        return (self._rows[: self._num] @ w).astype(np.float64)

    def combine(self, weights: np.ndarray) -> np.ndarray:
        """sum_i weights_i v_i."""
        return weights.astype(self._rows.dtype) @ self._rows[: self._num]

    def rotate(self, weights: np.ndarray) -> None:
        """Replace the vectors by their combinations with the columns of `weights`."""
        kept = weights.T.astype(self._rows.dtype) @ self._rows[: self._num]
        self._num = len(kept)
        self._rows[: self._num] = kept


class DeviceVectors:
    """A list of arrays of any library with ``@`` of two vectors, ``*`` by a number and ``+`` (JAX, PyTorch)."""

    def __init__(self):
        self._vectors: list[Vector] = []

    def append(self, v: Vector) -> None:
        """Add one vector."""
        self._vectors.append(v)

    def dots(self, w: Vector) -> np.ndarray:
        """The inner product of every vector with `w`; all are started before the first is waited for."""
        return np.array([float(dot) for dot in [v @ w for v in self._vectors]])

    def combine(self, weights: np.ndarray) -> Vector:
        """sum_i weights_i v_i."""
        total = self._vectors[0] * float(weights[0])
        for weight, v in zip(weights[1:], self._vectors[1:], strict=True):
            total = total + v * float(weight)
        return total

    def rotate(self, weights: np.ndarray) -> None:
        """Replace the vectors by their combinations with the columns of `weights`."""
        self._vectors = [self.combine(column) for column in weights.T]
