"""A PyTorch optimiser as the measurements see it: rates, edges and preconditioner, along the measured parameters."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from precipice._checks import InputError
from precipice.measures.thresholds import Threshold
from precipice.measures.torch_threshold import torch_thresholds
from precipice.monitor import Rates
from precipice.torch.objective import Objective

ADAPTIVE = ("Adam", "AdamW", "RMSprop", "Adagrad")
"""Those whose edge is defined from their first step on."""


class Rule(NamedTuple):
    """An optimiser at this moment, as diagonals along the flat vectors of an `Objective`.

    Args:
        name: of its class.
        rates: of each group; learning rate 0 and edge inf for one that stands still.
        groups: [size] the group of each entry, -1 for parameters that it does not move.
        scale: [size] the diagonal of S = 1/(edge P); 0 where it does not move.
        metric: [size] the diagonal of P^-1; 0 where it does not move.
        decay: [size] the coupled weight decay.
        adaptive: whether P is other than the identity.
    """

    name: str
    rates: tuple[Rates, ...]
    groups: torch.Tensor
    scale: torch.Tensor
    metric: torch.Tensor
    decay: torch.Tensor
    adaptive: bool


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
    pieces = {}
    for index, (group, threshold) in enumerate(zip(optimizer.param_groups, thresholds, strict=True)):
        for place, p in enumerate(group["params"]):
            owner = p if owners is None else owners[id(p)]
            pieces[named.get(id(owner))] = (index, *_diagonals(threshold, place, p))
    if not any(name in pieces for name in objective.names):
        raise InputError("optimizer must move parameters of the model; got one that holds none of them.")
    columns = [_piece(pieces.get(name), p) for name, p in zip(objective.names, objective.params, strict=True)]
    groups, scale, metric, decay = (torch.cat(column) for column in zip(*columns, strict=True))
    adaptive = any(threshold is not None and threshold.preconditioner is not None for threshold in thresholds)
    rates = tuple(_rates(*pair) for pair in zip(optimizer.param_groups, thresholds, strict=True))
    return Rule(type(optimizer).__name__, rates, groups, scale, metric, decay, adaptive)


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


def _diagonals(threshold: Threshold | None, place: int, p: torch.Tensor) -> tuple[Any, Any, float]:
    """1/(edge P), 1/P and the coupled decay of one parameter; zeros for one that stands still or had no gradient."""
    if threshold is None:
        zeros = torch.zeros_like(p, dtype=torch.float64)
        return zeros, zeros, 0.0
    if threshold.preconditioner is None:
        ones = torch.ones_like(p, dtype=torch.float64)
        return ones / threshold.edge, ones, float(threshold.weight_decay)
    own = threshold.preconditioner[place]
    inverse = torch.zeros_like(p, dtype=torch.float64) if own is None else 1 / own.detach().double()
    return inverse / threshold.edge, inverse, float(threshold.weight_decay)


def _piece(piece: Any, p: torch.Tensor) -> tuple[torch.Tensor, ...]:
    zeros = torch.zeros(p.numel(), dtype=torch.float64, device=p.device)
    if piece is None:
        return zeros.long() - 1, zeros, zeros, zeros
    index, scale, metric, decay = piece
    return zeros.long() + index, scale.reshape(-1), metric.reshape(-1), zeros + decay


def _rates(group: Any, threshold: Threshold | None) -> Rates:
    if threshold is None:
        return Rates(0.0, math.inf)
    betas = group.get("betas")
    momentum = float(betas[0] if betas else group.get("momentum", 0.0))
    dampening = momentum if betas else float(group.get("dampening", 0.0)) if momentum else 0.0
    coupled = float(threshold.weight_decay)
    decoupled = 0.0 if coupled else float(group.get("weight_decay", 0.0))
    return Rates(float(group["lr"]), float(threshold.edge), momentum, dampening, coupled, decoupled)
