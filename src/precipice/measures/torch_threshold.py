"""The thresholds of a PyTorch optimiser at work, read from its groups and its state as plain dictionaries.

Nothing here imports PyTorch: its tensors need division, addition and ``** 0.5`` only. Its sources (2.13): torch/optim/
sgd.py, adam.py, adamw.py, rmsprop.py, adagrad.py, the functions `_single_tensor_*`.

To add one: as in `optax_threshold.py`, with a reader ``(group, states) -> Threshold`` in `_READERS`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from precipice._checks import InputError
from precipice.measures.optax_threshold import SIGN_REASON
from precipice.measures.thresholds import Threshold, heavy_ball_edge, nesterov_edge

Group = Mapping[str, Any]
States = Sequence[Mapping[str, Any]]


def torch_thresholds(
    name: str, param_groups: Sequence[Group], state: Mapping[Any, Mapping[str, Any]]
) -> list[Threshold]:
    """One `Threshold` for each group of parameters of a PyTorch optimiser.

    Known: SGD (momentum, dampening, Nesterov, L2), Adam, AdamW (amsgrad, both decays), RMSprop (centred, momentum) and
    Adagrad. The learning rate is the group's present one, the preconditioner that of the last step taken. A group's
    number speaks of its own block of the Hessian, which is necessary for stability; `step_scale` joins the groups.

    Args:
        name: the optimiser's class, ``type(optimizer).__name__``.
        param_groups: ``optimizer.param_groups``, or those of its ``state_dict()``.
        state: ``optimizer.state``, or that of its ``state_dict()``: keyed by the entries of ``params``.

    Returns:
        Thresholds in the order of the groups. The preconditioner of an adaptive optimiser is a tuple in the order of
        the group's ``params``, of tensors of PyTorch's own kind; None stands for a parameter that has had no gradient.

    Raises:
        InputError: an optimiser whose threshold is not known (with the reason for sign descent, the known ones else),
            an adaptive one before its first step, `maximize`, no groups, or a number out of its range.

    References: Cohen et al. 2021, 2022; `thresholds.heavy_ball_edge` for the derivation.

    Example:
        >>> group = {"params": [0], "lr": 0.1, "momentum": 0.9, "dampening": 0.5, "nesterov": False, "weight_decay": 0}
        >>> round(torch_thresholds("SGD", [group], {})[0].edge, 9)
        76.0
    """
    if name in ("Lion", "SignSGD", "Signum"):
        raise InputError(f"optimiser must have a threshold; got {name}, which {SIGN_REASON}.")
    if name not in _READERS:
        raise InputError(f"optimiser must be one whose threshold is known ({', '.join(sorted(_READERS))}); got {name}.")
    if not param_groups:
        raise InputError("param_groups must hold at least one group; got none.")
    return [_read(name, group, [state.get(param, {}) for param in group["params"]]) for group in param_groups]


def _read(name: str, group: Group, states: States) -> Threshold:
    if group.get("maximize"):
        raise InputError(f"maximize must be off, since the edge is one of descent; got {name} with maximize on.")
    try:
        return _READERS[name](group, states)
    except KeyError as missing:
        raise InputError(
            f"param_groups must hold the numbers of PyTorch's {name}; got a group or state without {missing}."
        ) from missing


def _sgd(group: Group, _states: States) -> Threshold:
    lr, momentum = float(group["lr"]), float(group["momentum"])
    dampening = float(group["dampening"]) if momentum else 0.0  # PyTorch dampens nothing without momentum
    form = nesterov_edge if group["nesterov"] else heavy_ball_edge
    return Threshold(form(lr, momentum, dampening=dampening), float(group["weight_decay"]))


def _adam(group: Group, states: States, *, decoupled: bool = False) -> Threshold:
    b1, b2 = (float(beta) for beta in group["betas"])
    decay = float(group["weight_decay"])
    decoupled = decoupled or bool(group.get("decoupled_weight_decay", False))
    edge = heavy_ball_edge(float(group["lr"]), b1, dampening=b1, decoupled_weight_decay=decay if decoupled else 0.0)

    def one(state):
        steps, square = float(state["step"]), state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]
        return ((square / (1 - b2**steps)) ** 0.5 + group["eps"]) * (1 - b1**steps)

    return Threshold(edge, 0.0 if decoupled else decay, _preconditioner(one, states))


def _adamw(group: Group, states: States) -> Threshold:
    return _adam(group, states, decoupled=True)


def _rmsprop(group: Group, states: States) -> Threshold:
    def one(state):
        square = state["square_avg"]
        return (square - state["grad_avg"] ** 2 if group["centered"] else square) ** 0.5 + group["eps"]

    edge = heavy_ball_edge(float(group["lr"]), float(group["momentum"]))
    return Threshold(edge, float(group["weight_decay"]), _preconditioner(one, states))


def _adagrad(group: Group, states: States) -> Threshold:
    def one(state):  # a decaying learning rate counts to P: parameters may have taken different numbers of steps
        return (state["sum"] ** 0.5 + group["eps"]) * (1 + (float(state["step"]) - 1) * float(group["lr_decay"]))

    return Threshold(heavy_ball_edge(float(group["lr"])), float(group["weight_decay"]), _preconditioner(one, states))


def _preconditioner(one: Callable[[Mapping[str, Any]], Any], states: States) -> tuple[Any, ...]:
    taken = [bool(state) and float(state["step"]) > 0 for state in states]
    if not any(taken):
        raise InputError(
            "state must be one after at least one step of an adaptive optimiser; got one before the first."
        )
    return tuple(one(state) if done else None for state, done in zip(states, taken, strict=True))


_READERS: dict[str, Callable[[Group, States], Threshold]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adamw,
    "RMSprop": _rmsprop,
    "Adagrad": _adagrad,
}
