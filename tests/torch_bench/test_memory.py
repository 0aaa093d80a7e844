"""Memory: a measurement's peak against a training step's, and the regrouping of the probe set that it rests on."""
# ruff: noqa: E402 (PyTorch is optional)

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.profiler import ProfilerActivity, profile

from precipice.torch import Accuracy, Hessian, Monitor, Objective, eigs
from precipice.torch.vectors import TensorVectors
from torch_bench.bench import MSE, data, mlp, seeded
from torch_bench.truth import assert_same, snapshot


def test_a_measurement_takes_a_bounded_multiple_of_a_steps_memory():
    """Activations dominate: twice a step. Parameters dominate: the vectors that the docs state, and `basis` saves."""
    wide = seeded(lambda: nn.Sequential(nn.Linear(3, 200), *[nn.Tanh(), nn.Linear(200, 200)] * 3, nn.Linear(200, 2)))
    for sizes, basis, most in (((4000, 4000), None, 2.0), ((8, 8), 6, 12.0), ((8, 8), 4, 10.0)):
        optimizer = torch.optim.SGD(wide.parameters(), lr=1e-3, momentum=0.9)
        batches = data(*sizes)

        def step(batch=batches[0], optimizer=optimizer):
            optimizer.zero_grad()
            MSE(wide, batch).backward()
            optimizer.step()

        step()
        monitor = Monitor(wide, MSE, batches, optimizer, budget=None, accuracy=Accuracy(basis=basis))
        held = sum(2 * p.numel() * p.element_size() for p in wide.parameters())  # the model and its momentum
        optimizer.zero_grad()
        alone = held + peak(step)
        measuring = held * 3 // 2 + sum(t.numel() * 4 for batch in batches for t in batch) + peak(monitor.measure)
        assert measuring <= most * alone, (sizes, basis, measuring / alone)
        assert monitor.history.last["hessian_converged"]


def peak(function):
    """The most bytes that the CPU allocator holds during `function` beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        function()
    events = sorted(
        (e.start_ns(), e.nbytes()) for e in found.profiler.kineto_results.events() if e.name() == "[memory]"
    )
    return int(np.cumsum([0, *(size for _, size in events)]).max())


def test_regrouping_the_probe_set_changes_nothing_but_rounding():
    model = seeded(mlp).double()
    batches = data(8, 5, 8)
    whole = Objective(model, MSE, batches)
    truth = [Hessian(whole).mv(row) for row in torch.eye(whole.size, dtype=torch.float64)]
    for size in (3, 21):
        pieces = whole.regrouped(size)
        assert [len(chunk.batch[0]) for chunk in pieces.chunks] == ([3] * 7 if size == 3 else [21])
        found = [Hessian(pieces).mv(row) for row in torch.eye(whole.size, dtype=torch.float64)]
        torch.testing.assert_close(torch.stack(found), torch.stack(truth), rtol=1e-12, atol=1e-13)
    assert [len(chunk.batch[0]) for chunk in whole.chunks] == [8, 5, 8]
    by_batch = lambda m, b: MSE(m, b) + m(b[0]).var()  # noqa: E731 examples meet
    for refused in (
        Objective(model, by_batch, batches),
        Objective(model, MSE, batches, weight=lambda _: 1.0),
        Objective(model, MSE, batches, chunk=4),
        Objective(seeded(lambda: mlp(nn.BatchNorm1d(4))), MSE, batches),
        Objective(seeded(lambda: mlp(nn.Dropout(0.5))), MSE, batches, dropout="fixed"),
        Objective(
            model,
            lambda m, b: MSE(m, (b[0][0], b[1])),
            [([x], y) for x, y in data(4)] + [((x,), y) for x, y in data(4)],
        ),
    ):
        assert refused.regrouped(21) is None


def test_a_model_that_writes_its_parameters_is_measured_on_copies():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            with torch.no_grad():
                self.net[0].weight.mul_(1.0)
            return self.net(x)

    model = seeded(Writes)
    monitor = Monitor(model, MSE, data(8), torch.optim.SGD(model.parameters(), lr=0.01))
    before = snapshot(model)
    monitor.measure()
    assert_same(before, snapshot(model))


def test_vectors_by_numpy():
    rng = np.random.default_rng(0)
    rows, w, mix = rng.standard_normal((7, 70_000)), rng.standard_normal(70_000), rng.standard_normal((7, 5))
    vectors = TensorVectors(9, 70_000, torch.float64, torch.device("cpu"))
    for row in rows:
        vectors.append(torch.from_numpy(row))
    np.testing.assert_allclose(vectors.dots(torch.from_numpy(w)), rows @ w, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(vectors.combine(mix[:, 0]).numpy(), mix[:, 0] @ rows, rtol=1e-12, atol=1e-12)
    vectors.rotate(mix)
    vectors.append(torch.from_numpy(w))
    now = np.vstack([mix.T @ rows, w])
    np.testing.assert_allclose(vectors.dots(torch.from_numpy(w)), now @ w, rtol=1e-10, atol=1e-8)
    np.testing.assert_allclose(vectors.combine(np.ones(6)).numpy(), now.sum(0), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("basis", [4, 6])
def test_close_eigenvalues_in_float32_do_not_spend_the_budget(basis):
    """Their residuals by the small matrices are rounding, and never met the tolerance: 100 products were spent."""

    class Diagonal:
        size, dtype, device = 2000, torch.float32, torch.device("cpu")
        values = torch.cat([torch.tensor([1.0, 0.999, 0.9]), torch.linspace(0.5, 0.0, 1997)])

        def mv(self, v):
            return self.values * v

    start = torch.eye(2000)[:2] + 2e-4 * torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))
    found = eigs(Diagonal(), start=start, starts=0, keep=2, explore=0, max_products=100, basis=basis)
    assert found.converged
    assert found.num_products <= 12
    assert abs(found.values[0] - 1) <= found.bounds[0]
