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
        scale: [size], the diagonal of S, not negative; or one number.
        shift: [size], the diagonal of D, coupled weight decay; or one number.
    """

    def __init__(self, op: Operator, scale: torch.Tensor | float, shift: torch.Tensor | float = 0.0):
        self.size, self.dtype, self.device = op.size, op.dtype, op.device
        self._op, self.root = op, root_of(scale, op)
        self._shift = shift.to(op.device, op.dtype) if isinstance(shift, torch.Tensor) else shift

    @property
    def gradient(self) -> torch.Tensor | None:
        """S^1/2 times that of A, where that has one."""
        gradient = getattr(self._op, "gradient", None)
        return None if gradient is None else self.root * gradient

    def mv(self, v: torch.Tensor) -> torch.Tensor:
        """The product; costs one with A."""
        w = self.root * v
        image = self._op.mv(w)
        if isinstance(self._shift, torch.Tensor) or self._shift:
            image = image + self._shift * w
        del w
        return image * self.root


def root_of(scale: torch.Tensor | float, like: Operator) -> torch.Tensor | float:
    """The square root of a diagonal, in the precision of an operator; of one number, that number rounded likewise."""
    if isinstance(scale, torch.Tensor):
        return scale.to(like.device, like.dtype).sqrt()
    return float(torch.tensor(scale, dtype=like.dtype).sqrt())
