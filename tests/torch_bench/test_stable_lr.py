"""The largest stable learning rate before a training: training at 0.9 of it begins to fall, at 1.2 it blows up."""
# ruff: noqa: E402 (PyTorch is optional)

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from precipice.torch import Accuracy, largest_stable_lr
from torch_bench.bench import MSE, data, mlp, seeded
from torch_bench.truth import assert_same, dense_hessian, gradient, snapshot

BATCHES = data(8, 8, 8)


def test_is_the_edge_of_the_dense_hessian():
    model = seeded(mlp)
    top = np.linalg.eigvalsh(dense_hessian(model, MSE, BATCHES, [1 / 3] * 3))[-1]
    before = snapshot(model)
    for momentum in (0.0, 0.9):
        sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=momentum)
        found = largest_stable_lr(model, MSE, BATCHES, sgd, accuracy=Accuracy(rtol=1e-6))
        np.testing.assert_allclose(found.value, 2 * (1 + momentum) / top, rtol=1e-4)
        assert found.reason
        assert found.caveat
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_a_quadratic_decays_just_below_and_grows_just_above(momentum):
    model = nn.Linear(3, 2, bias=False).double()
    make = lambda m, lr: torch.optim.SGD(m.parameters(), lr=lr, momentum=momentum)  # noqa: E731
    lr = largest_stable_lr(model, MSE, BATCHES, make(model, 0.01), accuracy=Accuracy(rtol=1e-8)).value
    for factor, grows in ((0.98, False), (1.02, True)):
        twin = copy.deepcopy(model)
        optimizer = make(twin, factor * lr)
        x, y = (torch.cat(t).double() for t in zip(*BATCHES, strict=True))
        sizes = []
        for _ in range(600):
            optimizer.zero_grad()
            nn.functional.mse_loss(twin(x), y).backward()
            optimizer.step()
            sizes.append(float(twin.weight.grad.norm()))
        assert (sizes[-1] > 10 * sizes[100]) == grows


def test_the_preconditioner_is_the_one_of_gradients_at_this_point():
    model = seeded(mlp).double()
    before = snapshot(model)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    found = largest_stable_lr(model, MSE, BATCHES, adam, num_gradients=30, accuracy=Accuracy(rtol=1e-8))
    assert not adam.state
    assert adam.param_groups[0]["lr"] == 1e-3
    double = [(x.double(), y.double()) for x, y in BATCHES]
    g = [gradient(copy.deepcopy(model), MSE, [batch], [1.0]) for batch in double]
    v = 0.0
    for t in range(30):
        v = 0.999 * v + 0.001 * g[t % 3] ** 2
    p = (np.sqrt(v / (1 - 0.999**30)) + 1e-8) * (1 - 0.9**30)
    h = dense_hessian(model, MSE, BATCHES, [1 / 3] * 3)
    top = np.linalg.eigvalsh(h / np.sqrt(np.outer(p, p)))[-1]
    np.testing.assert_allclose(found.value, 38 / top, rtol=1e-5)
    torch.manual_seed(0)
    before["torch"] = torch.get_rng_state()
    torch.manual_seed(0)
    assert_same(before, snapshot(model))
