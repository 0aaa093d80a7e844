"""One moment of a training: what the monitor's measures read, and the vectors that they begin with next time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch

from precipice.measures.trackers import EXPLORE, EXPLORE_EVERY, GUARD
from precipice.monitor import Setting
from precipice.torch.eigs import Eigs, eigs
from precipice.torch.gauss_newton import GaussNewton
from precipice.torch.hessian import Hessian, Operator
from precipice.torch.objective import Objective
from precipice.torch.operators import Scaled
from precipice.torch.optimizer import Rule


class Found(NamedTuple):
    """What a measure found: names of the vocabulary to numbers, and the errors of some of them."""

    values: Mapping[str, Any]
    errors: Mapping[str, Any]


@dataclass
class Memory:
    """What measurements leave for the next one: top vectors by the operator's name, and plain numbers."""

    vectors: dict[str, torch.Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Accuracy:
    """How well the monitor measures.

    Args:
        num: eigenvalues that are to converge.
        rtol: asked relative error of each.
        max_products: budget of each solve.
        num_samples: of traces.
        keep_graph: see `Hessian`.
        seed: of all random vectors.
    """

    num: int = 1
    rtol: float = 1e-4
    max_products: int = 100
    num_samples: int = 4
    keep_graph: bool = True
    seed: int = 0


class Moment:
    """A model, its loss and its optimiser at one step; operators are built when a measure first asks for them.

    Args:
        objective: the loss at this moment.
        rule: the optimiser at this moment.
        optimizer: itself.
        setting: of the monitor.
        memory: of earlier measurements; measures write to it.
        accuracy: asked.
    """

    def __init__(
        self,
        objective: Objective,
        rule: Rule,
        optimizer: torch.optim.Optimizer,
        setting: Setting,
        memory: Memory,
        accuracy: Accuracy,
    ):
        self.objective, self.rule, self.optimizer = objective, rule, optimizer
        self.setting, self.memory, self.accuracy = setting, memory, accuracy
        self._solved: dict[str, Eigs] = {}

    @cached_property
    def hessian(self) -> Hessian:
        """The Hessian of the loss."""
        return Hessian(self.objective, keep_graph=self.accuracy.keep_graph)

    @cached_property
    def gauss_newton(self) -> GaussNewton:
        """The Gauss-Newton matrix of the loss."""
        return GaussNewton(self.objective, keep_graph=self.accuracy.keep_graph)

    @cached_property
    def scaled_hessian(self) -> Scaled:
        """The operator whose largest eigenvalue is 1 at the optimiser's edge."""
        return Scaled(self.hessian, self.rule.scale, self.rule.decay.to(self.objective.dtype))

    @property
    def uniform(self) -> bool:
        """Whether all moving parameters have one edge, no preconditioner, one decay, and none stands still."""
        return bool((self.rule.scale == self.rule.scale[0]).all() and (self.rule.decay == self.rule.decay[0]).all())

    def eigs(self, name: str, op: Operator, *, num: int | None = None, end: Any = "largest") -> Eigs:
        """`eigs` from the vectors of the last measurement of this name; solved once a moment.

        The first measurement and every tenth after it also begin with a random vector and explore (`trackers.py`).
        """
        if name not in self._solved:
            num = min(self.accuracy.num if num is None else num, op.size)
            self._solved[name] = self._solve(name, op, num, end)
        return self._solved[name]

    def _solve(self, name: str, op: Operator, num: int, end: Any) -> Eigs:
        before, start = self.memory.counts.get(name, 0), self.memory.vectors.get(name)
        exploring, keep = before % EXPLORE_EVERY == 0, min(num + GUARD, op.size)
        found = eigs(
            op,
            num=num,
            keep=keep,
            rtol=self.accuracy.rtol,
            max_products=max(self.accuracy.max_products, keep),
            end=end,
            start=start,
            starts=None if exploring or start is None else 0,
            explore=EXPLORE if exploring else 0,
            seed=self.accuracy.seed + before,
        )
        self.memory.vectors[name], self.memory.counts[name] = found.vectors, before + 1
        return found
