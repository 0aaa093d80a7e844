"""Every measure of the monitor against the dense truth, for plain and adaptive optimisers with groups."""
# ruff: noqa: E402 (PyTorch is optional)

import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from long_rows import some
from precipice.torch import (
    Accuracy,
    Block,
    GaussNewton,
    Hessian,
    Monitor,
    Objective,
    Scaled,
    categorical_targets,
    critical_sharpness,
    eigs,
    gauss_newton_trace,
    gaussian_targets,
    gradient_noise_scale,
    next_update,
    supervised,
    trace,
)
from precipice.torch.batch_measures import batch_sharpness
from precipice.torch.measures import EVERYTHING, gauss_newton_eigenvalues, normalised_sharpness
from precipice.torch.measures import batch_sharpness as batch_sharpness_measure
from precipice.torch.measures import gradient_noise_scale as gradient_noise_scale_measure
from precipice.torch.traces import part_traces
from torch_bench.bench import CE, MSE, data, mlp, seeded
from torch_bench.truth import dense_hessian, gradient

BATCHES = data(8, 8, 8, 8)
WEIGHTS = [0.25] * 4


def dense(op):
    return torch.stack([op.mv(row) for row in torch.eye(op.size, dtype=op.dtype)], 1).numpy()


def trained(make, steps=3, model=None):
    model = (model or seeded(mlp)).double()
    optimizer = make(model)
    batches = [(x.double(), y.double()) for x, y in BATCHES]
    for step in range(steps):
        optimizer.zero_grad()
        MSE(model, batches[step % 4]).backward()
        optimizer.step()
    return model, optimizer


def two_groups(kind, **kwargs):
    def make(model):
        groups = [
            {"params": model[0].parameters(), "lr": 0.05, "weight_decay": 0.1},
            {"params": model[2].parameters(), "lr": 0.02, "weight_decay": 0.0},
        ]
        return kind(groups, **kwargs)

    return make


OPTIMISERS = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "heavy ball with decay": lambda model: torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.02
    ),
    "groups": two_groups(torch.optim.SGD, momentum=0.5, nesterov=True),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1),
    "adam in groups": two_groups(torch.optim.Adam),
    "rmsprop": lambda model: torch.optim.RMSprop(model.parameters(), lr=1e-2, momentum=0.5),
    "adagrad": lambda model: torch.optim.Adagrad(model.parameters(), lr=1e-2),
}


def by_hand(optimizer, model):
    """The diagonals 1/(edge P), 1/P, l2 and the groups, from the formulas of the optimisers, parameter by parameter."""
    scale, metric, decay, groups = [], [], [], []
    name = type(optimizer).__name__
    for index, g in enumerate(optimizer.param_groups):
        mu = g.get("momentum", 0.0)
        for p in g["params"]:
            s, l2, one = optimizer.state.get(p, {}), g["weight_decay"], torch.ones_like(p)
            if name == "SGD":
                edge = 2 * (1 + mu) / g["lr"] / ((1 + 2 * mu) if g["nesterov"] else 1)
            elif name == "RMSprop":
                edge, one = 2 * (1 + mu) / g["lr"], s["square_avg"].sqrt() + g["eps"]
            elif name == "Adagrad":
                edge, one = 2 / g["lr"], s["sum"].sqrt() + g["eps"]
            else:
                (b1, b2), t = g["betas"], float(s["step"])
                w = g["weight_decay"] if name == "AdamW" else 0.0
                l2 = 0.0 if name == "AdamW" else l2
                edge = (2 - g["lr"] * w) * (1 + b1) / ((1 - b1) * g["lr"])
                one = ((s["exp_avg_sq"] / (1 - b2**t)).sqrt() + g["eps"]) * (1 - b1**t)
            scale.append((1 / (edge * one)).reshape(-1))
            metric.append((1 / one).reshape(-1))
            decay.append(torch.full((p.numel(),), l2))
            groups.append(torch.full((p.numel(),), index))
    return [torch.cat(t).detach().numpy() for t in (scale, metric, decay, groups)]


@pytest.mark.parametrize("name", some(OPTIMISERS, *list(OPTIMISERS)[::3]))
def test_every_measure_is_the_dense_truth(name):
    model, optimizer = trained(OPTIMISERS[name])
    accuracy = Accuracy(num=2, rtol=1e-8, max_products=400, num_samples=200)
    monitor = Monitor(
        model,
        MSE,
        BATCHES,
        optimizer,
        measures=(*EVERYTHING, gauss_newton_eigenvalues),
        accuracy=accuracy,
        batch_size=8,
    )
    state = copy.deepcopy(optimizer.state_dict())
    found = monitor.measure()
    scale, metric, decay, groups = by_hand(optimizer, model)
    h = dense_hessian(model, MSE, BATCHES, WEIGHTS)
    values = np.linalg.eigvalsh(h)[::-1]
    close = {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(found["hessian_eigenvalue"], values[:2], **close)
    np.testing.assert_allclose(found["sharpness"], values[0], **close)
    np.testing.assert_allclose(found["smallest_hessian_eigenvalue"], values[-1], **close)
    root, shifted = np.sqrt(scale), h + np.diag(decay)
    scaled = root[:, None] * shifted * root
    np.testing.assert_allclose(found["normalised_sharpness"], np.linalg.eigvalsh(scaled)[-1], **close)
    num = len(optimizer.param_groups)
    blocks = [np.linalg.eigvalsh(scaled[np.ix_(groups == i, groups == i)])[-1] for i in range(num)]
    np.testing.assert_allclose(found["group_normalised_sharpness"], blocks, **close)
    blocks = [np.linalg.eigvalsh(h[np.ix_(groups == i, groups == i)])[-1] for i in range(num)]
    np.testing.assert_allclose(found["group_sharpness"], blocks, **close)
    adaptive = name.startswith(("ada", "rms"))
    assert ("preconditioned_sharpness" in found.values) == adaptive
    if adaptive:
        root = np.sqrt(metric)
        preconditioned = np.linalg.eigvalsh(root[:, None] * shifted * root)[-1]
        np.testing.assert_allclose(found["preconditioned_sharpness"], preconditioned, **close)
    g = dense(GaussNewton(Objective(model, MSE, BATCHES)))
    np.testing.assert_allclose(found["gauss_newton_eigenvalue"], np.linalg.eigvalsh(g)[::-1][:2], **close)
    rates = monitor.history.last.rates
    traces = [np.sum(np.diag(g)[groups == i] * metric[groups == i]) for i in range(num)]
    k = sum(r.lr * (1 - r.dampening) / (1 - r.momentum) * t for r, t in zip(rates, traces, strict=True)) / (2 * 8 * 2)
    assert abs(found["noise_kernel_norm_estimate"] - k) <= 5 * found.error("noise_kernel_norm_estimate")
    assert found.error("noise_kernel_norm_estimate") < 0.1 * k
    assert np.all(abs(found["group_trace"] - np.array(traces)) <= 5 * found.error("group_trace"))
    assert abs(found["hessian_trace"] - np.trace(h)) <= 5 * found.error("hessian_trace")
    assert str(state) == str(optimizer.state_dict())
    u = next_update(
        optimizer,
        list(model.parameters()),
        Objective(model, MSE, BATCHES).split(Hessian(Objective(model, MSE, BATCHES)).gradient),
    )
    critical = 2 / crossing(model, u.numpy(), found["critical_sharpness"])
    assert abs(found["critical_sharpness"] - critical) <= found.error("critical_sharpness") * (1 + 1e-6)
    assert found.error("critical_sharpness") <= 0.02 * critical


def crossing(model, u, guess):
    """lr_c near 2/guess: the root of the loss along the line, on a fine grid."""
    x, y = (torch.cat(t).double() for t in zip(*BATCHES, strict=True))
    start = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    twin = copy.deepcopy(model)

    def loss(lr):
        torch.nn.utils.vector_to_parameters(start - lr * torch.from_numpy(u), twin.parameters())
        return float(nn.functional.mse_loss(twin(x), y).detach())

    grid = np.linspace(0.9 * 2 / guess, 1.1 * 2 / guess, 2001)
    above = np.array([loss(lr) > loss(0.0) for lr in grid])
    assert not above[0]
    return grid[np.argmax(above)]


def test_next_update_is_the_step_that_the_optimiser_takes():
    for name, make in OPTIMISERS.items():
        model, optimizer = trained(make)
        lr = optimizer.param_groups[0]["lr"]
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)  # its wrapper of step must not be called by the copy
        before = [p.detach().clone() for p in model.parameters()]
        grads = [torch.randn_like(p) for p in model.parameters()]
        update = next_update(optimizer, list(model.parameters()), grads)
        assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
        for p, g in zip(model.parameters(), grads, strict=True):
            p.grad = g
        optimizer.step()
        schedule.step()
        moved = torch.cat(
            [(old - p.detach()).reshape(-1) / lr for p, old in zip(model.parameters(), before, strict=True)]
        )
        torch.testing.assert_close(update, moved, rtol=1e-12, atol=1e-12, msg=name)


def test_critical_sharpness_of_a_quadratic_is_the_curvature_along_the_gradient():
    model = nn.Linear(3, 2, bias=False).double()
    objective = Objective(model, MSE, BATCHES)
    h, g = (
        dense_hessian(model, MSE, BATCHES, WEIGHTS),
        torch.from_numpy(gradient(copy.deepcopy(model), MSE, [(x.double(), y.double()) for x, y in BATCHES], WEIGHTS)),
    )
    exact = float(g @ torch.from_numpy(h) @ g / (g @ g))
    for lr in (1e-4, 2 / exact, 1e3):
        found = critical_sharpness(objective, g, lr=lr, rtol=1e-4, max_losses=60)
        assert abs(found.value - exact) <= found.bound + 1e-14 * exact  # begun at 2/exact it is an end of the bracket
        assert found.bound <= 1e-4 * exact
    assert critical_sharpness(objective, -g, lr=1.0).value == np.inf
    assert critical_sharpness(objective, 0 * g, lr=1.0).value == 0
    assert critical_sharpness(objective, g, lr=1.9 / exact).num_losses <= 10


def watched(measure=batch_sharpness_measure, **options):
    model = seeded(mlp)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Monitor(model, MSE, BATCHES, optimizer, measures=[normalised_sharpness, measure], **options)


@pytest.mark.parametrize("options", [{"chunk": 3}, {"batch_size": 32}])
def test_batch_sharpness_of_another_batch_size_is_left_out_with_one_warning(options):
    monitor = watched(**options)
    with pytest.warns(UserWarning, match="batch_sharpness is left out: ") as caught:
        monitor.measure()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "batch_sharpness" not in monitor.measure().values
    assert "batch_sharpness" in watched(chunk=8).measure().values


@pytest.mark.parametrize("measure", [batch_sharpness_measure, gradient_noise_scale_measure])
def test_what_needs_more_batches_than_the_probe_has_is_left_out_with_one_warning(measure):
    monitor = watched(measure, num_batches=1)
    with pytest.warns(UserWarning, match=f"{measure.__name__} is left out: .* of one size; got 1"):
        monitor.measure()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure.__name__ not in monitor.measure().values


def test_batch_sharpness_where_a_gradient_is_zero_is_nan():
    model = seeded(mlp)
    x, rest = BATCHES[0][0], BATCHES[1:]
    dead = Objective(model, MSE, [(x, model(x).detach()), *rest])
    found = batch_sharpness(dead)
    assert np.isnan(found.value)
    assert np.isnan(found.sem)


def test_batch_measures_from_every_batch_by_hand():
    model = seeded(mlp).double()
    batches = [*BATCHES, *data(3, seed=5)]  # the last, shorter one is left out
    objective = Objective(model, MSE, batches)
    double = [(x.double(), y.double()) for x, y in BATCHES]
    grads = [gradient(copy.deepcopy(model), MSE, [b], [1.0]) for b in double]
    hessians = [dense_hessian(model, MSE, [b], [1.0]) for b in double]
    quotients = [g @ h @ g / (g @ g) for g, h in zip(grads, hessians, strict=True)]
    found = batch_sharpness(objective)
    np.testing.assert_allclose(float(found.value), np.mean(quotients), rtol=1e-7)
    np.testing.assert_allclose(float(found.sem), np.std(quotients, ddof=1) / 2, rtol=1e-7)

    def scale(rows):
        rows = np.array(rows)
        noise = 8 * np.sum((rows - rows.mean(0)) ** 2) / (len(rows) - 1)  # the unbiased covariance of a batch's mean
        return noise / (np.sum(rows.mean(0) ** 2) - noise / 8 / len(rows))

    noise = gradient_noise_scale(objective)
    np.testing.assert_allclose(float(noise.value), scale(grads), rtol=1e-9)
    left_out = np.array([scale([g for j, g in enumerate(grads) if j != i]) for i in range(4)])
    np.testing.assert_allclose(float(noise.sem), np.std(left_out) * 3**0.5, rtol=1e-9)


@pytest.mark.parametrize("seed", some([0, 1, 2], 0))
def test_traces_lie_within_their_errors(seed):
    model = seeded(mlp).double()
    for loss, batches, sample in (
        (CE, data(16, 8, classes=True), categorical_targets),
        (MSE, data(16, 8), gaussian_targets(1.0)),  # C/2 for the mean over two outputs
    ):
        objective = Objective(model, loss, batches, chunk=4)
        op = GaussNewton(objective)
        exact = np.trace(dense(op))
        for found in (trace(op, num=200, seed=seed), gauss_newton_trace(objective, sample, num=200, seed=seed)):
            assert abs(float(found.value) - exact) <= 5 * float(found.sem)
            assert float(found.sem) < 0.1 * exact
        parts = torch.cat([torch.zeros(16, dtype=int), torch.full((op.size - 16,), 1)])
        vectors = eigs(op, num=3).vectors
        plain = part_traces(op, parts, num_parts=2, num=100, seed=seed)
        deflated = part_traces(op, parts, num_parts=2, num=100, seed=seed, deflate=vectors)
        shares = [np.diag(dense(op))[:16].sum(), np.diag(dense(op))[16:].sum()]
        for samples in (plain, deflated):
            assert np.all(abs(samples.mean(0) - shares) <= 5 * samples.std(0, ddof=1) / 10)
        assert deflated.sum(1).std() < 0.5 * plain.sum(1).std()


def test_blocks_and_scaled_operators():
    objective = Objective(seeded(mlp).double(), MSE, BATCHES)
    op = Hessian(objective)
    h, indices = dense(op), objective.indices(lambda name: name.startswith("2."))
    np.testing.assert_allclose(dense(Block(op, indices)), h[np.ix_(indices, indices)], atol=1e-13)
    s = torch.rand(op.size, dtype=torch.float64)
    root = s.sqrt().numpy()
    np.testing.assert_allclose(
        dense(Scaled(op, s, 0.3)), root[:, None] * (h + 0.3 * np.eye(op.size)) * root, atol=1e-13
    )
    parts = objective.split(torch.arange(op.size, dtype=torch.float64))
    assert [p.shape for p in parts] == [p.shape for p in objective.params]
    listed = torch.cat([t.reshape(-1) for t in op.mv_tensors(parts)])
    torch.testing.assert_close(listed, op.mv(torch.arange(op.size, dtype=torch.float64)))


def test_kinds_of_losses():
    kinds = [supervised(f).kind for f in (nn.MSELoss(), nn.functional.cross_entropy, nn.L1Loss())]
    assert kinds == ["squared", "cross-entropy", "other"]
