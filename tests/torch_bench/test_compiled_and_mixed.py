"""Compiled modules and losses, half precision and autocast around the measurement: right, and untouched."""
# ruff: noqa: E402 (PyTorch is optional)

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from precipice.torch import GaussNewton, Hessian, Monitor, Objective, eigs, supervised
from torch_bench.bench import MSE, Attention, Checkpointed, data, mlp, seeded
from torch_bench.truth import assert_same, dense_hessian, snapshot


def dense(op):
    return torch.stack([op.mv(row) for row in torch.eye(op.size, dtype=op.dtype)], 1).numpy()


class Counting:
    """A backend of torch.compile that counts compilations."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler about itself
@pytest.mark.parametrize("way", ["wrapper", "in place", "loss"])
def test_compiled(way):
    torch._dynamo.reset()
    model, backend = seeded(Attention), Counting()
    truth = dense_hessian(model, MSE, data(6), [1.0])
    loss = MSE
    if way == "wrapper":
        used = torch.compile(model, backend=backend)
    elif way == "in place":
        used = model
        used.compile(backend=backend)
    else:
        used, compiled = model, torch.compile(lambda m, b: nn.functional.mse_loss(m(b[0]), b[1]), backend=backend)
        loss = lambda m, b: compiled(m, b)  # noqa: E731
    x, y = data(6)[0]
    loss(used, (x, y)).backward()
    before, compilations = snapshot(model), backend.count
    assert compilations
    op = Hessian(Objective(used, loss, data(6), dtype=torch.float64))
    np.testing.assert_allclose(dense(op), truth, atol=1e-7 * abs(truth).max(), rtol=0)
    assert_same(before, snapshot(model))
    loss(used, (x, y)).backward()
    assert backend.count == compilations  # the training's compiled code is still in use


def test_half_precision_weights_are_measured_in_single_precision():
    model = seeded(mlp).bfloat16()
    truth = dense_hessian(model, MSE, data(8), [1.0])
    before = snapshot(model)
    for dtype, accuracy in ((None, 1e-5), (torch.float64, 1e-7)):
        op = Hessian(Objective(model, MSE, data(8), dtype=dtype))
        assert op.dtype == (dtype or torch.float32)
        np.testing.assert_allclose(dense(op), truth, atol=accuracy * abs(truth).max(), rtol=0)
    assert_same(before, snapshot(model))


def test_autocast_around_a_measurement_is_off_inside_it():
    model = seeded(mlp)
    truth = dense_hessian(model, MSE, data(8), [1.0])
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        objective = Objective(model, MSE, data(8))
        np.testing.assert_allclose(dense(Hessian(objective)), truth, atol=1e-5 * abs(truth).max(), rtol=0)
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()


def test_training_under_autocast_and_half_precision_goes_on():
    model = seeded(mlp).bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    monitor = Monitor(model, MSE, data(8), optimizer, budget=None, every=1, first=1)
    for _ in range(3):
        x, y = data(8)[0]
        nn.functional.mse_loss(model(x.bfloat16()).float(), y).backward()
        optimizer.step()
        monitor.step()
    assert monitor.history.last["preconditioned_sharpness"] > 0
    assert model[0].weight.dtype == torch.bfloat16


def test_a_model_may_train_on_while_its_operator_is_in_use():
    model = seeded(Checkpointed)
    op, v = Hessian(Objective(model, MSE, data(8))), torch.ones(64)[: sum(p.numel() for p in model.parameters())]
    first = op.mv(v)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    assert torch.equal(op.mv(v), first)
    again = Hessian(op.objective.now())
    assert not torch.allclose(again.mv(v), first)


def test_transformer_layers_of_pytorch():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0, batch_first=True, activation="gelu")
    model = nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Linear(1, 4), layer, nn.Flatten(), nn.Linear(12, 2))
    for mode in (True, False):
        model.train(mode)
        truth = dense_hessian(model, MSE, data(4), [1.0])
        op = Hessian(Objective(model, MSE, data(4), dtype=torch.float64))
        np.testing.assert_allclose(dense(op), truth, atol=1e-7 * abs(truth).max(), rtol=0)


def test_ranks_of_eigenvalues_at_both_ends_and_warm_starts():
    model = seeded(mlp).double()
    op = GaussNewton(Objective(model, supervised(nn.functional.mse_loss), data(8)))
    exact = np.linalg.eigvalsh(dense(op))
    large = eigs(op, num=3, rtol=1e-10)
    np.testing.assert_allclose(large.values, exact[::-1][:3], rtol=1e-9)
    assert large.converged
    assert np.all(abs(large.values - exact[::-1][:3]) <= large.bounds)
    np.testing.assert_allclose(eigs(op, end="smallest", max_products=60).values, exact[:1], atol=1e-8 * exact[-1])
    warm = eigs(op, num=3, rtol=1e-10, start=large.vectors, starts=0, explore=0)
    assert warm.num_products <= 3
    gram = large.vectors @ large.vectors.T
    torch.testing.assert_close(gram, torch.eye(3, dtype=gram.dtype), rtol=0, atol=1e-12)
