"""What changes along a training, and what a special point hides: readings stay those of the dense Hessian."""
# ruff: noqa: E402 (PyTorch is optional)

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from precipice.torch import Monitor, supervised
from torch_bench.truth import dense_hessian

MSE = supervised(nn.functional.mse_loss)


class Normed(nn.Module):
    """A batch normalisation of one's own, which the monitor does not know, before a head of zeros."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        h = self.first(x)
        return self.head((h - h.mean(0)) / (h.var(0) + 1e-3).sqrt())


def batches(num=4, size=8):
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(size, 6, generator=generator) for _ in range(num)]
    return [(x[:, :4].contiguous(), x[:, 4:].contiguous()) for x in draws]


def train(model, optimizer, data):
    for x, y in data:
        optimizer.zero_grad()
        MSE(model, (x, y)).backward()
        optimizer.step()


def top(model, data):
    return np.linalg.eigvalsh(dense_hessian(model, MSE, data, [1 / len(data)] * len(data)))[-1]


def test_a_layer_of_zeros_does_not_hide_that_examples_meet():
    torch.manual_seed(0)
    model, data = Normed(), batches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, data, optimizer, budget=None, every=100)
    monitor.measure()
    for _ in range(10):
        train(model, optimizer, data)
        monitor.step()
    assert float(monitor.measure().values["sharpness"]) == pytest.approx(top(model, data), rel=1e-4)


def test_layers_may_be_frozen_and_freed_along_a_training():
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)), batches()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 1.0}, {"params": [*model[2].parameters(), *model[4].parameters()]}],
        lr=0.01,
    )
    model[0].requires_grad_(False)
    monitor = Monitor(model, MSE, data, optimizer, budget=None)
    for frozen, freed, lrs in ((0, 2, (0.01, 0.01)), (2, 0, (1.0, 0.01))):
        model[frozen].requires_grad_(False)
        model[freed].requires_grad_(True)
        number = float(monitor.measure().values["normalised_sharpness"])
        root = np.repeat(np.sqrt(lrs), (20, 10))  # of the first trained layer and of the last
        scaled = root[:, None] * dense_hessian(model, MSE, data, [1 / len(data)] * len(data)) * root
        assert number == pytest.approx(np.linalg.eigvalsh(scaled)[-1] / 2, rel=1e-4)
        monitor.step()


def test_a_reading_within_autocast_is_the_one_without():
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), batches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plain = Monitor(model, MSE, data, optimizer).measure().values["sharpness"]
    monitor = Monitor(model, MSE, data, optimizer)
    with torch.autocast("cpu", torch.bfloat16):
        inside = monitor.measure().values["sharpness"]
    assert float(inside) == float(plain)
