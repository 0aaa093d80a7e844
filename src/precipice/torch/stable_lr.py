"""Before any training: the largest stable learning rate of a model as it is."""

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from precipice._checks import whole
from precipice.monitor import Advice, History, Reading, advice
from precipice.torch.facts import read_setting
from precipice.torch.hessian import _grad
from precipice.torch.losses import Loss
from precipice.torch.measures import normalised_sharpness
from precipice.torch.moment import Accuracy, Memory, Moment
from precipice.torch.objective import Objective
from precipice.torch.optimizer import ADAPTIVE, Rule, plain_optimizer, read_rule
from precipice.torch.probe import num_examples, probe_batches
from precipice.torch.quiet import Dropout


def largest_stable_lr(
    model: nn.Module,
    loss: Loss,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer,
    *,
    num_batches: int = 8,
    num_gradients: int = 100,
    accuracy: Accuracy = Accuracy(),  # noqa: B008 frozen
    dropout: Dropout = None,
    dtype: torch.dtype | None = None,
    weight: Callable[[Any], float] = num_examples,
    chunk: int | None = None,
) -> Advice:
    """The learning rate beyond which the first steps of a training are unstable; nothing is changed, nothing trained.

    2/sharpness for gradient descent, by the optimiser's own edge for others. The preconditioner of an adaptive one is
    what `num_gradients` gradients of the probe's batches, all at this point, would make of it: after its first step
    alone it would be nearly nothing wherever that gradient is small.

    Args:
        model: as for `Monitor`.
        loss: as for `Monitor`.
        data: as for `Monitor`.
        optimizer: the training's; its present learning rate is where the scaling begins, not a limit.
        num_batches: of the probe set.
        num_gradients: that an adaptive optimiser's state is made of.
        accuracy: of the solve.
        dropout: as for `Monitor`.
        dtype: as for `Monitor`.
        weight: as for `Monitor`.
        chunk: as for `Monitor`.

    Returns:
        An `Advice`: its `value` is the learning rate (of the first group), with reason and caveat.

    Raises:
        InputError: as `Monitor`; `num_gradients` below 1.

    Example:
        >>> from precipice.torch import supervised
        >>> model, x = nn.Linear(2, 1, bias=False), torch.eye(2) * torch.tensor([2.0, 1.0])
        >>> batch, sgd = (x, torch.zeros(2, 1)), torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
        >>> round(largest_stable_lr(model, supervised(nn.MSELoss()), [batch], sgd).value, 4)  # 2 (1 + 0.5)/4
        0.75
    """
    whole("num_gradients", num_gradients, 1)
    optimizer = plain_optimizer(optimizer)
    batches = probe_batches(data, num_batches)
    objective = Objective(model, loss, batches, dtype=dtype, dropout=dropout, weight=weight, chunk=chunk)
    setting = read_setting(objective, batches, optimizer, data=data)
    adaptive = type(optimizer).__name__ in ADAPTIVE
    rule = _foreseen(optimizer, objective, num_gradients) if adaptive else read_rule(optimizer, objective)
    moment = Moment(objective, rule, optimizer, setting, Memory(), accuracy)
    found = normalised_sharpness(moment)
    history = History(setting, (Reading(0, rule.rates, found.values, found.errors),))
    return next(one for one in advice(history) if one.name == "largest_stable_lr")


def _foreseen(optimizer: torch.optim.Optimizer, objective: Objective, num: int) -> Rule:
    """The rule of a copy of the optimiser that has seen `num` gradients at this point, and has not moved."""
    twin = copy.deepcopy(optimizer)
    pairs = [
        (p, q)
        for group, other in zip(optimizer.param_groups, twin.param_groups, strict=True)
        for p, q in zip(group["params"], other["params"], strict=True)
    ]
    owners = {id(q): p for p, q in pairs}
    named = dict(objective.model.named_parameters())
    places = {id(named[name]): i for i, name in enumerate(objective.names)}
    rates = [group["lr"] for group in twin.param_groups]
    for group in twin.param_groups:
        group["lr"] = 0.0 * group["lr"]
    gradients = [_gradient(objective, index) for index in range(min(num, len(objective.chunks)))]
    for gradient in itertools.islice(itertools.cycle(gradients), num):
        for p, q in pairs:
            place = places.get(id(p))
            q.grad = None if place is None else gradient[place].to(q)
        twin.step()
    for group, lr in zip(twin.param_groups, rates, strict=True):
        group["lr"] = lr
    return read_rule(twin, objective, owners)


def _gradient(objective: Objective, index: int) -> list[torch.Tensor]:
    loss = objective.chunk_loss(index)
    return objective.inside(lambda _: _grad([loss], objective.params, None, False, False))
