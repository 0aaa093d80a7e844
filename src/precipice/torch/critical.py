"""Critical sharpness: the curvature along the next update, from forward passes alone."""

import copy
import math
from typing import Any, NamedTuple

import torch

from precipice._checks import at_least, positive
from precipice.torch.objective import Objective


class Critical(NamedTuple):
    """What `critical_sharpness` found.

    Args:
        value: 2/lr_c; 0 where no learning rate up to 2^40 times the first raised the loss.
        bound: half the width of the bracket in which 2/lr_c lies.
        num_losses: evaluations of the loss.
    """

    value: float
    bound: float
    num_losses: int


def critical_sharpness(
    objective: Objective, direction: torch.Tensor, *, lr: float, rtol: float = 0.02, max_losses: int = 40
) -> Critical:
    """2/lr_c, with lr_c the smallest learning rate found at which L(theta - lr_c u) > L(theta), u the update.

    The line is searched by doubling or halving from `lr` to a bracket [a, 2 a] with the loss below its start at a and
    above it at 2 a, then by bisection. It is the first crossing met on the way, which on a line with several need not
    be the first of all. On a quadratic it is u^T H u/(g^T u): the curvature along the gradient for u = g, at most the
    sharpness. Costs forward passes only: 6 to 10 from a good first guess. The loss is known to its rounding only: where
    what a step gains is not well above 1e-7 of the loss, measure in float64.

    Args:
        objective: the loss; in training mode with BatchNorm, on the same batches as always.
        direction: u, flat, the update of learning rate 1 (`next_update`, or the gradient), along which the loss falls.
        lr: where the search begins; the last lr_c, or the present learning rate.
        rtol: relative width of the last bracket.
        max_losses: budget.

    Returns:
        A `Critical`; value inf, bound inf where the loss rises at every learning rate tried (u does not descend).

    Raises:
        InputError: lr or rtol that is not positive.

    References: Kalra et al. 2026, A scalable measure of loss landscape curvature (arXiv 2601.16979): lambda_c = 2/eta_c
        with eta_c the smallest learning rate that raises the loss in the next step; Kalra and Barkeshli 2023.
    """
    positive("lr", lr)
    positive("rtol", rtol)
    at_least("max_losses", max_losses, 3)
    line = _Line(objective, direction, max_losses)
    low, high = line.bracket(lr)
    while high < math.inf and low > 0 and high / low - 1 > rtol and line.left > 0:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if line.rises(middle) else (middle, high)
    if low == 0:
        return Critical(math.inf, math.inf, line.num)
    if high == math.inf:
        return Critical(0.0, 2 / low, line.num)
    return Critical(1 / low + 1 / high, 1 / low - 1 / high, line.num)


class _Line:
    """The loss along a direction, with a budget."""

    def __init__(self, objective: Objective, direction: torch.Tensor, budget: int):
        self._objective, self._direction = objective, objective.split(direction)
        self._start, self.num, self._budget = objective.value(), 1, budget

    @property
    def left(self) -> int:
        return self._budget - self.num

    def rises(self, lr: float) -> bool:
        """Whether the loss at this learning rate is above its start, or not finite."""
        self.num += 1
        pairs = zip(self._objective.params, self._direction, strict=True)
        value = self._objective.value([p.detach() - lr * u for p, u in pairs])
        return not value <= self._start

    def bracket(self, lr: float) -> tuple[float, float]:
        """[a, 2 a] around the crossing; a = 0 or 2 a = inf where the budget ends first."""
        if self.rises(lr):
            while self.left > 0:
                if not self.rises(lr / 2):
                    return lr / 2, lr
                lr /= 2
            return 0.0, lr
        while self.left > 0:
            if self.rises(2 * lr):
                return lr, 2 * lr
            lr *= 2
        return lr, math.inf


def next_update(optimizer: torch.optim.Optimizer, targets: list[Any], gradient: list[torch.Tensor]) -> torch.Tensor:
    """The next step of an optimiser if this were its gradient, over the rate of the first group that moves, flat.

    A copy of the optimiser takes the step on copies of its parameters: the update is its own, momentum, preconditioner
    and weight decay included, for any optimiser.

    Args:
        optimizer: it is not changed; memory for one more of its state and its parameters.
        targets: the model's parameters that `gradient` belongs to.
        gradient: tensors like them.
    """
    places = {id(p): i for i, p in enumerate(targets)}
    order = [places.get(id(p)) for group in optimizer.param_groups for p in group["params"]]
    twin = copy.deepcopy(optimizer)  # its state only: hooks and schedules stay behind
    copies = [p for group in twin.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in copies]
    for p, place in zip(copies, order, strict=True):
        p.grad = None if place is None else gradient[place].to(p)
    twin.step()
    lr = next(float(group["lr"]) for group in optimizer.param_groups if float(group["lr"]))
    moved = {place: (old - p.detach()) / lr for place, old, p in zip(order, before, copies, strict=True)}
    return torch.cat([moved.get(i, torch.zeros_like(g)).to(g).reshape(-1) for i, g in enumerate(gradient)])
