"""The dense truth in float64, by another route: differences of ordinary gradients of a copy of the model."""

import copy

import numpy as np
import torch

from precipice.torch.losses import loss_value
from precipice.torch.probe import map_tensors

STEP = 1e-3


def gradient(model, loss, batches, weights):
    """The flat gradient of the weighted mean loss by `backward` on the model itself."""
    for p in model.parameters():
        p.grad = None
    for index, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
        torch.manual_seed(index)
        (weight * loss_value(loss(model, batch))).backward()
    moving = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in moving]).numpy()


def dense_hessian(model, loss, batches, weights, step=STEP):
    """The Hessian by differences of sixth order, in float64; the model is copied."""
    model = copy.deepcopy(model).double()
    batches = [map_tensors(lambda t: t.double() if t.is_floating_point() else t, batch) for batch in batches]
    moving = [p for p in model.parameters() if p.requires_grad]
    columns = []
    for p in moving:
        for i in range(p.numel()):
            column = 0.0
            for times, factor in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
                for sign in (1, -1):
                    p.data.view(-1)[i] += sign * times * step
                    column = column + sign * factor * gradient(model, loss, batches, weights)
                    p.data.view(-1)[i] -= sign * times * step
            columns.append(column / step)
    h = np.stack(columns, 1)
    return (h + h.T) / 2


def snapshot(model):
    """All that a measurement must leave as it found it."""
    state = {f"value {n}": t.clone() for n, t in [*model.named_parameters(), *model.named_buffers()]}
    state |= {f"grad {n}": None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    state |= {f"mode {n}": m.training for n, m in model.named_modules()}
    state |= {f"needs {n}": (p.requires_grad, id(p), p.grad_fn) for n, p in model.named_parameters()}
    state |= {f"version {n}": t._version for n, t in [*model.named_parameters(), *model.named_buffers()]}
    drawn = {"torch": torch.get_rng_state(), "numpy": np.random.get_state()[1].copy()}  # noqa: NPY002
    return state | drawn | {"grad on": torch.is_grad_enabled()}


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name, old in before.items():
        new = after[name]
        if isinstance(old, torch.Tensor):
            assert torch.equal(old, new), name
        elif isinstance(old, np.ndarray):
            assert np.array_equal(old, new), name
        else:
            assert old == new, name
