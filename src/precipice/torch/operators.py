"""Operators made from operators: a block of some parameters, and the one whose largest eigenvalue is 1 at the edge."""

import torch

from precipice.torch.hessian import Operator


class Block:
    """The rows and columns of an operator that belong to some parameters: a layer, a group of the optimiser.

    Args:
        op: the whole operator.
        indices: [m], of the entries of its vectors.
    """

    def __init__(self, op: Operator, indices: torch.Tensor):
        self._op, self._indices = op, indices
        self.size, self.dtype, self.device = len(indices), op.dtype, op.device

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """The block's product; costs one with the whole operator."""
        whole = torch.zeros(self._op.size, dtype=self.dtype, device=self.device)
        whole[self._indices] = v
        return self._op.mv(whole)[self._indices]


class Scaled:
    """S^1/2 (A + D) S^1/2 with diagonal S and D: see `measures.step_scale`.

    Args:
        op: A.
        scale: [size], the diagonal of S, not negative.
        shift: [size], the diagonal of D, coupled weight decay.
    """

    def __init__(self, op: Operator, scale: torch.Tensor, shift: torch.Tensor | float = 0.0):
        self._op, self._root, self._shift = op, scale.to(op.device, op.dtype).sqrt(), shift
        self.size, self.dtype, self.device = op.size, op.dtype, op.device
        gradient = getattr(op, "gradient", None)
        self.gradient = None if gradient is None else self._root * gradient

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """The product; costs one with A."""
        w = self._root * v
        return self._root * (self._op.mv(w) + self._shift * w)
