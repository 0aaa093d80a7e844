"""A PyTorch optimiser as the measurements see it: rates, edges and preconditioner, along the measured parameters."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from precipice._checks import InputError
from precipice.measures.thresholds import Threshold
from precipice.measures.torch_threshold import torch_thresholds
from precipice.monitor import Rates
from precipice.torch.objective import Objective

ADAPTIVE = ("Adam", "AdamW", "RMSprop", "Adagrad")
"""Those whose edge is defined from their first step on."""


class Entry(NamedTuple):
    """What one of the measured parameters has to do with the optimiser.

    Args:
        group: its number; -1 for a parameter that the optimiser does not hold.
        edge: of its group; inf where it does not move.
        decay: its coupled weight decay.
        preconditioner: P, shaped like it; None for the identity.
        size: how many numbers it is.
    """

    group: int
    edge: float
    decay: float
    preconditioner: torch.Tensor | None
    size: int

    @property
    def moves(self) -> bool:
        """Whether the optimiser moves it now."""
        return self.edge < math.inf


@dataclass(frozen=True)
class Rule:
    """An optimiser at this moment, as diagonals along the flat vectors of an `Objective`.

    They are made when asked for; one that is the same number throughout is that number, and takes no memory.

    Args:
        name: of its class.
        rates: of each group; learning rate 0 and edge inf for one that stands still.
        entries: of each measured parameter.
        like: a tensor of the measurement's precision and device.
        adaptive: whether P is other than the identity.
    """

    name: str
    rates: tuple[Rates, ...]
    entries: tuple[Entry, ...]
    like: torch.Tensor
    adaptive: bool

    @property
    def uniform(self) -> bool:
        """Whether all measured parameters move, by one edge, one decay and no preconditioner."""
        kinds = {(entry.edge, entry.decay) for entry in self.entries}
        return not self.adaptive and len(kinds) == 1 and self.entries[0].moves

    @property
    def scale(self) -> torch.Tensor | float:
        """The diagonal of S = 1/(edge P); 0 where nothing moves."""
        return self._diagonal(lambda entry: 1 / entry.edge, lambda entry, inverse: inverse / entry.edge)

    @property
    def metric(self) -> torch.Tensor | float:
        """The diagonal of P^-1; 0 where nothing moves."""
        return self._diagonal(lambda entry: float(entry.moves), lambda _, inverse: inverse)

    @property
    def decay(self) -> torch.Tensor | float:
        """The coupled weight decay."""
        return self._diagonal(lambda entry: entry.decay, None)

    @property
    def groups(self) -> torch.Tensor | None:
        """[size] the group of each number, -1 where it is in none; None where there is one group, and all in it."""
        if len(self.rates) == 1 and all(entry.group == 0 for entry in self.entries):
            return None
        numbers = torch.tensor([entry.group for entry in self.entries], device=self.like.device)
        sizes = torch.tensor([entry.size for entry in self.entries], device=self.like.device)
        return numbers.repeat_interleave(sizes)

    def _diagonal(
        self,
        constant: Callable[[Entry], float],
        varying: Callable[[Entry, torch.Tensor], torch.Tensor] | None,
    ) -> torch.Tensor | float:
        """Computed in float64, parameter by parameter, and rounded to the measurement's precision."""
        vary = [varying is not None and e.moves and e.preconditioner is not None for e in self.entries]
        constants = {constant(entry) for entry, one in zip(self.entries, vary, strict=True) if not one}
        if not any(vary) and len(constants) == 1:
            return constants.pop()
        out, start = self.like.new_empty(sum(entry.size for entry in self.entries)), 0
        for entry, one in zip(self.entries, vary, strict=True):
            part = out[start : start + entry.size]
            if one and varying is not None and entry.preconditioner is not None:
                part.copy_(varying(entry, 1 / entry.preconditioner.detach().double()).reshape(-1))
            else:
                part.fill_(constant(entry))
            start += entry.size
        return out


def plain_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """The optimiser inside the wrappers of Lightning, Accelerate and the like.

    Raises:
        InputError: no optimiser of PyTorch.
    """
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"optimizer must be a torch.optim.Optimizer; got {type(optimizer).__name__}.")
    return optimizer


def is_ready(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its edge is defined: a learning rate above 0, and of an adaptive one that it has taken a step."""
    moving = any(float(group["lr"]) > 0 for group in optimizer.param_groups)
    taken = any(float(state.get("step", 0)) > 0 for state in optimizer.state.values())
    return moving and (taken or type(optimizer).__name__ not in ADAPTIVE)


def read_rule(
    optimizer: torch.optim.Optimizer, objective: Objective, owners: Mapping[int, torch.Tensor] | None = None
) -> Rule:
    """The optimiser's numbers and state now. A group whose learning rate is 0 has scale and metric 0: it does not move.

    Args:
        optimizer: as `plain_optimizer` gives it.
        objective: of the model whose parameters it moves.
        owners: the model's parameters by the ids of a copied optimiser's.

    Raises:
        InputError: an optimiser whose threshold is not known, a number out of range, none of the model's parameters,
            learning rates that are all 0.
    """
    named = {id(p): name for name, p in objective.model.named_parameters()}
    thresholds = _thresholds(optimizer)
    found = {}
    for index, (group, threshold) in enumerate(zip(optimizer.param_groups, thresholds, strict=True)):
        for place, p in enumerate(group["params"]):
            owner = p if owners is None else owners[id(p)]
            found[named.get(id(owner))] = _entry(threshold, index, place, p.numel())
    if not any(name in found for name in objective.names):
        raise InputError("optimizer must move parameters of the model; got one that holds none of them.")
    none = zip(objective.names, objective.sizes, strict=True)
    entries = tuple(found.get(name, Entry(-1, math.inf, 0.0, None, size)) for name, size in none)
    adaptive = any(threshold is not None and threshold.preconditioner is not None for threshold in thresholds)
    rates = tuple(_rates(*pair) for pair in zip(optimizer.param_groups, thresholds, strict=True))
    like = torch.empty(0, dtype=objective.dtype, device=objective.device)
    return Rule(type(optimizer).__name__, rates, entries, like, adaptive)


def _thresholds(optimizer: torch.optim.Optimizer) -> list[Threshold | None]:
    """Of each group; None for one whose learning rate is 0."""
    moving = [group for group in optimizer.param_groups if float(group["lr"]) != 0]
    if optimizer.param_groups and not moving:
        raise InputError("lr of at least one group must be positive; got 0 in all.")
    found = iter(torch_thresholds(type(optimizer).__name__, moving, optimizer.state))
    return [next(found) if float(group["lr"]) != 0 else None for group in optimizer.param_groups]


def group_names(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """The groups' own names where all have one, else their numbers; "all" for a single one."""
    if len(optimizer.param_groups) == 1:
        return ("all",)
    names = tuple(str(group.get("name", index)) for index, group in enumerate(optimizer.param_groups))
    return names if len(set(names)) == len(names) else tuple(str(i) for i in range(len(names)))


def _entry(threshold: Threshold | None, index: int, place: int, size: int) -> Entry:
    """Of one parameter; one that had no gradient yet under an adaptive optimiser does not move."""
    if threshold is None:
        return Entry(index, math.inf, 0.0, None, size)
    edge, decay = float(threshold.edge), float(threshold.weight_decay)
    if threshold.preconditioner is None:
        return Entry(index, edge, decay, None, size)
    own = threshold.preconditioner[place]
    return Entry(index, math.inf if own is None else edge, decay, own, size)


def _rates(group: Any, threshold: Threshold | None) -> Rates:
    if threshold is None:
        return Rates(0.0, math.inf)
    betas = group.get("betas")
    momentum = float(betas[0] if betas else group.get("momentum", 0.0))
    dampening = momentum if betas else float(group.get("dampening", 0.0)) if momentum else 0.0
    coupled = float(threshold.weight_decay)
    decoupled = 0.0 if coupled else float(group.get("weight_decay", 0.0))
    return Rates(float(group["lr"]), float(threshold.edge), momentum, dampening, coupled, decoupled)
