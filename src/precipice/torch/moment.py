"""One moment of a training: what the monitor's measures read, and the vectors that they begin with next time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch

from precipice._checks import whole
from precipice.measures.trackers import EXPLORE, EXPLORE_EVERY, GUARD
from precipice.monitor import Setting
from precipice.torch.eigs import Eigs, eigs
from precipice.torch.gauss_newton import GaussNewton
from precipice.torch.hessian import Hessian, Operator
from precipice.torch.objective import Objective
from precipice.torch.operators import Scaled
from precipice.torch.optimizer import Rule
from precipice.torch.plan import GROWN_BASIS, Plan, make_plan
from precipice.torch.probe import Chunk

WARM_PRODUCTS = 10
"""What a solve is expected to take that begins with the vectors of an earlier one."""


class Found(NamedTuple):
    """What a measure found: names of the vocabulary to numbers, and the errors of some of them."""

    values: Mapping[str, Any]
    errors: Mapping[str, Any]


@dataclass
class Memory:
    """What measurements leave for the next one: top vectors by the operator's name, plain numbers, how memory is spent.

    At the edge of stability iterates jump to and fro along the top eigenvectors, and the Hessian with them: two steps
    ago it was more like now than one step ago. A solve therefore begins at the vectors of the last two measurements
    that were found an even number of steps ago.

    Args:
        vectors: [keep, size] by the operator's name.
        steps: at which each of them was found.
        others: the measurement's before, where an odd number of steps lies between the two.
        counts: of solves, samples and warnings.
        numbers: such as the last critical learning rate.
        plan: None before the first measurement.
        pieces: the probe set as the plan regroups it; None where its batches stay as they are.
    """

    vectors: dict[str, torch.Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    others: dict[str, torch.Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    plan: Plan | None = None
    pieces: list[Chunk] | None = None

    def start(self, name: str, step: int) -> torch.Tensor | None:
        """The vectors to begin with at a step; None at the first one."""
        last = self.vectors.get(name)
        if last is None or (step - self.steps[name]) % 2 == 0:
            return last
        return self.others.get(name, last)

    def found(self, name: str, step: int, vectors: torch.Tensor) -> None:
        """Keep what was found at a step."""
        last = self.vectors.get(name)
        if last is None or (step - self.steps[name]) % 2 == 0:
            self.others.pop(name, None)
        else:
            self.others[name] = last
        self.vectors[name], self.steps[name] = vectors, step


@dataclass(frozen=True)
class Accuracy:
    """How well the monitor measures.

    Args:
        num: eigenvalues that are to converge.
        rtol: asked relative error of each.
        max_products: budget of each solve.
        num_samples: of traces.
        keep_graph: see `Hessian`; None keeps graphs where the memory of a training step allows it (`plan.py`).
        seed: of all random vectors.
        basis: vectors of the solver's basis at most, each with its image: 2 x basis times the memory of the parameters.
            None takes 6 to 12, as the memory of a training step allows, and lets 6 grow to 8 in a solve that is slow.
    """

    num: int = 1
    rtol: float = 1e-4
    max_products: int = 100
    num_samples: int = 4
    keep_graph: bool | None = None
    seed: int = 0
    basis: int | None = None

    def __post_init__(self):
        if self.basis is not None:
            whole("basis", self.basis, 4)


class Moment:
    """A model, its loss and its optimiser at one step; operators are built when a measure first asks for them.

    Args:
        objective: the loss at this moment, on the probe set's batches.
        rule: the optimiser at this moment.
        optimizer: itself.
        setting: of the monitor.
        memory: of earlier measurements; measures write to it.
        accuracy: asked.
        step: of the training.
    """

    def __init__(
        self,
        objective: Objective,
        rule: Rule,
        optimizer: torch.optim.Optimizer,
        setting: Setting,
        memory: Memory,
        accuracy: Accuracy,
        step: int = 0,
    ):
        self.step = step
        self.objective, self.rule, self.optimizer = objective, rule, optimizer
        self.setting, self.memory, self.accuracy = setting, memory, accuracy
        self.spared_seconds = 0.0  # what the cold solves among this moment's took beyond warm ones
        self._solved: dict[str, Eigs] = {}
        self.plan = self._planned()
        together = memory.pieces is not None and not objective.mixes_examples
        self._pieces = objective.with_chunks(memory.pieces) if together and memory.pieces else objective

    def _planned(self) -> Plan:
        """Made once: what passes through the model together should not change from measurement to measurement."""
        memory, objective, asked = self.memory, self.objective, self.accuracy
        if memory.plan is None:
            memory.plan = make_plan(objective, self.optimizer, keep_graph=asked.keep_graph, basis=asked.basis)
            regrouped = objective.regrouped(memory.plan.rows)
            memory.pieces = None if regrouped is None else regrouped.chunks
        return memory.plan

    @cached_property
    def hessian(self) -> Hessian:
        """The Hessian of the loss."""
        return Hessian(self._pieces, keep_graph=self.plan.keep_graph)

    @cached_property
    def gauss_newton(self) -> GaussNewton:
        """The Gauss-Newton matrix of the loss. The Hessian's graphs are given back, so that those of one are held."""
        if "hessian" in self.__dict__:
            self.hessian.release()
        return GaussNewton(self._pieces, keep_graph=self.plan.keep_graph)

    @cached_property
    def scaled_hessian(self) -> Scaled:
        """The operator whose largest eigenvalue is 1 at the optimiser's edge."""
        return Scaled(self.hessian, self.rule.scale, self.rule.decay)

    def eigs(self, name: str, op: Operator, *, num: int | None = None, end: Any = "largest") -> Eigs:
        """`eigs` from the vectors of an earlier measurement of this name (`Memory`); solved once a moment.

        The first measurement and every tenth after it also begin with a random vector and explore (`trackers.py`).
        """
        if name not in self._solved:
            num = min(self.accuracy.num if num is None else num, op.size)
            self._solved[name] = self._solve(name, op, num, end)
        return self._solved[name]

    def _solve(self, name: str, op: Operator, num: int, end: Any) -> Eigs:
        before, start = self.memory.counts.get(name, 0), self.memory.start(name, self.step)
        exploring, keep = before % EXPLORE_EVERY == 0, min(num + GUARD, op.size)
        begun = time.perf_counter()
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
            basis=max(self.plan.basis, keep + 4) if self.accuracy.basis is None else self.accuracy.basis,
            largest_basis=max(GROWN_BASIS, 2 * keep + 4) if self.accuracy.basis is None else None,
            seed=self.accuracy.seed + before,
        )
        if start is None:
            self.spared_seconds += (time.perf_counter() - begun) * max(0.0, 1 - WARM_PRODUCTS / found.num_products)
        self.memory.found(name, self.step, found.vectors)
        self.memory.counts[name] = before + 1
        return found
