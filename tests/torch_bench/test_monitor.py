"""The monitor in a loop: the same training bit for bit; spacing, history, warnings, sinks, pictures."""
# ruff: noqa: E402 (PyTorch is optional)

import copy
import subprocess
import sys
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from precipice._checks import InputError
from precipice.monitor import EdgeWarning, Line
from precipice.torch import Accuracy, Monitor, supervised
from precipice.torch.measures import EVERYTHING, normalised_sharpness, sharpness
from precipice.torch.moment import Memory
from precipice.torch.probe import training_size
from torch_bench.bench import CE, MSE, data, mlp, seeded
from torch_bench.truth import assert_same, dense_hessian, snapshot

X, Y = (torch.cat(t) for t in zip(*data(64, features=3), strict=True))


def network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2))


def train(optimiser, loader, monitored, *, steps=24, accumulate=1, scaler=None, model=None, **kwargs):
    """A training of `steps` steps; the model, optimiser and monitor at its end."""
    model = network() if model is None else model
    optimizer = optimiser(model.parameters())
    torch.manual_seed(3)
    monitor = (
        Monitor(model, MSE, loader, optimizer, every=3, first=1, budget=None, dropout="off", **kwargs)
        if monitored
        else None
    )
    batches, done = iter(loader), 0
    while done < steps:
        for part in range(accumulate):
            batch = next(batches, None)
            if batch is None:
                batches = iter(loader)
                batch = next(batches)
            loss = MSE(model, batch) / accumulate
            (loss if scaler is None else scaler.scale(loss)).backward()
            if monitored and part == 0 and accumulate > 1 and done == 4:
                monitor.measure()  # amid accumulated gradients
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        done += 1
        if monitored:
            monitor.step()
        optimizer.zero_grad()
    return model, optimizer, monitor


def loader(shuffle=True, generator=None):
    return DataLoader(TensorDataset(X, Y), batch_size=20, shuffle=shuffle, generator=generator)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    ("make_loader", "kwargs"),
    [
        (loader, {}),
        (lambda: loader(generator=torch.Generator().manual_seed(5)), {}),
        (lambda: DataLoader(Stream(), batch_size=16), {}),
        (lambda: loader(shuffle=False), {"accumulate": 3}),
        (loader, {"scaler": lambda: torch.amp.GradScaler("cpu")}),
    ],
    ids=["shuffled", "own generator", "stream", "accumulation", "GradScaler"],
)
@pytest.mark.parametrize(
    "optimiser",
    [
        pytest.param(lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), marks=pytest.mark.long),
        lambda p: torch.optim.AdamW(p, lr=1e-3),
    ],
    ids=["SGD", "AdamW"],
)
def test_training_is_the_same_bit_for_bit(make_loader, kwargs, optimiser):
    kwargs = dict(kwargs)
    scaler = kwargs.pop("scaler", lambda: None)
    plain, _, _ = train(optimiser, make_loader(), False, scaler=scaler(), **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgeWarning)
        watched, _, monitor = train(
            optimiser, make_loader(), True, scaler=scaler(), measures=EVERYTHING, num_batches=3, **kwargs
        )
    assert len(monitor.history.readings) >= 8
    for (name, a), b in zip(plain.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_measurement_leaves_everything_as_it_was():
    model, optimizer, monitor = train(lambda p: torch.optim.Adam(p, lr=1e-3), loader(), True, measures=EVERYTHING)
    MSE(model, (X, Y)).backward()
    before, state = snapshot(model), str(optimizer.state_dict())
    monitor.step()
    monitor.measure()
    assert [r.step for r in monitor.history.readings][-2:] == [22, 25]
    assert_same(before, snapshot(model))
    assert str(optimizer.state_dict()) == state
    with torch.no_grad():
        model[0].weight.add_(1e-3)
        monitor.step()
    with torch.inference_mode():
        monitor.step()
        monitor.measure()
        assert not torch.is_grad_enabled()


@pytest.mark.long
def test_tracking_with_warm_starts_is_right_to_1e_4_at_few_products():
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 30), nn.Tanh(), nn.Linear(30, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
    monitor = Monitor(
        model,
        MSE,
        [(X, Y)],
        optimizer,
        budget=None,
        every=1,
        accuracy=Accuracy(num=2, rtol=1e-4),
        measures=[normalised_sharpness],
    )
    worst, products = 0.0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgeWarning)
        for step in range(60):
            optimizer.zero_grad()
            MSE(model, (X, Y)).backward()
            optimizer.step()
            monitor.step()
            if step % 10 == 9:
                exact = np.linalg.eigvalsh(dense_hessian(model, MSE, [(X, Y)], [1.0]))[::-1][:2]
                worst = max(worst, np.max(abs(monitor.history.last["hessian_eigenvalue"] - exact) / exact[0]))
            products.append(monitor.history.last["hessian_products"])
    assert worst <= 1e-4
    assert np.median(products) <= 6


def test_spacing_keeps_to_the_budget_and_every():
    model, _, _ = train(lambda p: torch.optim.SGD(p, lr=0.01), loader(), False, steps=1)
    monitor = Monitor(
        model, MSE, loader(), torch.optim.SGD(model.parameters(), lr=0.01), dropout="off", budget=0.05, every=2
    )
    for _ in range(100):  # no training at all in between: the budget allows the first measurement only
        monitor.step()
    assert [r.step for r in monitor.history.readings] == [1]
    spacing = monitor.history.spacing
    assert spacing.last_seconds < spacing.setup_seconds  # a warm start is foreseen to be cheaper than the cold one


def test_warmup_from_zero_and_adam_before_its_first_step_are_waited_for():
    model = seeded(mlp)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    monitor = Monitor(model, MSE, data(8), optimizer, budget=None, every=1, first=1)
    monitor.step()
    optimizer.param_groups[0]["lr"] = 1e-3
    monitor.step()
    assert not monitor.history.readings
    MSE(model, data(8)[0]).backward()
    optimizer.step()
    monitor.step()
    assert [r.step for r in monitor.history.readings] == [3]
    assert round(monitor.history.last.rates[0].edge, 6) == 38000


def test_adam_is_measured_from_step_100_on_and_warned_of_at_the_second_reading():
    model = seeded(mlp)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    line = Line("normalised_sharpness", 0, "x")
    monitor = Monitor(model, MSE, data(8), optimizer, budget=None, every=1, lines=[line])
    MSE(model, data(8)[0]).backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(100):
            optimizer.step()
            monitor.step()
    assert [r.step for r in monitor.history.readings] == [100]
    with pytest.warns(EdgeWarning, match="step 101: normalised_sharpness is"):
        monitor.step()
    assert Monitor(model, MSE, data(8), optimizer, every=300).history.spacing.first == 300


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("frozen", [0, 1])
def test_a_group_with_learning_rate_0_counts_as_frozen(kind, frozen, tmp_path):
    def measured(freeze):
        model = seeded(mlp).double()
        groups = [{"params": list(model[i].parameters()), "lr": 0.1, "name": f"layer {i}"} for i in (0, 2)]
        optimizer = getattr(torch.optim, kind)(groups)
        MSE(model, batch).backward()
        optimizer.step()
        monitor = Monitor(model, MSE, data(8, 8, 8), optimizer, budget=None, every=1, first=1, measures=EVERYTHING)
        monitor.step()
        if freeze == "rate":
            optimizer.param_groups[frozen]["lr"] = 0.0
        else:
            for p in optimizer.param_groups.pop(frozen)["params"]:
                p.requires_grad_(False)
            monitor = Monitor(model, MSE, data(8, 8, 8), optimizer, budget=None, every=1, first=1, measures=EVERYTHING)
        monitor.step()
        return monitor

    batch = tuple(t.double() for t in data(8)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgeWarning)
        one, other = measured("rate"), measured("parameters")
    a, b = one.history.last, other.history.last
    np.testing.assert_allclose(a["normalised_sharpness"], b["normalised_sharpness"], rtol=1e-3)
    np.testing.assert_allclose(a["critical_sharpness"], b["critical_sharpness"], rtol=0.05)
    if kind == "Adam":
        np.testing.assert_allclose(a["preconditioned_sharpness"], b["preconditioned_sharpness"], rtol=1e-3)
    assert a["group_trace"][frozen] == 0
    np.testing.assert_allclose(a["group_normalised_sharpness"][frozen], 0, atol=1e-9)
    assert (a.rates[frozen].lr, a.lr) == (0.0, 0.1)
    assert one.advice()[0].name == "largest_stable_lr"
    one.summary()
    one.plot(tmp_path / "picture.png")
    one.history.save(tmp_path / "history.zarr")


def test_warns_once_at_each_crossing_and_tells_the_sinks(tmp_path):
    model = seeded(mlp)
    optimizer, told = torch.optim.SGD(model.parameters(), lr=0.01), []
    monitor = Monitor(
        model, CE, data(8, 8, classes=True), optimizer, budget=None, every=1, sinks=[lambda v, s: told.append((s, v))]
    )
    monitor.step()
    optimizer.param_groups[0]["lr"] = 1000.0
    with pytest.warns(EdgeWarning) as caught:
        monitor.step()
    assert [str(w.message).split(" is ")[0] for w in caught] == [
        "step 2: normalised_sharpness",
        "step 2: noise_kernel_norm_estimate",
    ]
    monitor.step()
    assert [s for s, _ in told] == [1, 2, 3]
    assert told[1][1]["precipice/normalised_sharpness"] > 1
    assert {a.name for a in monitor.advice()} == {
        "largest_stable_lr",
        "noise_limit_lr",
        "balanced_batch_size",
    }
    monitor.history.save(tmp_path / "history.zarr")
    figure = monitor.plot(tmp_path / "monitor.png")
    assert (tmp_path / "monitor.png").stat().st_size > 1000
    assert figure.axes
    setting = monitor.history.setting
    assert (setting.loss, setting.trace_of, setting.batch_size, setting.num_examples) == (
        "cross-entropy",
        "Gauss-Newton",
        8,
        16,
    )
    assert (setting.precision, setting.mode) == ("float32", "in training mode")


@pytest.mark.parametrize("batch_size", [16, 64])
def test_a_loader_tells_the_size_of_the_training_set_for_k(batch_size):
    def measured(data, **options):
        model = seeded(mlp)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        monitor = Monitor(model, MSE, data, optimizer, **options)
        return monitor, monitor.measure()["noise_kernel_norm_estimate"]

    batches = DataLoader(TensorDataset(X, Y), batch_size=batch_size)
    monitor, k = measured(batches)
    unknown, other = measured(list(batches))
    assert (monitor.history.setting.num_training, unknown.history.setting.num_training) == (64, None)
    np.testing.assert_allclose(k, other * (1 - batch_size / 64), rtol=1e-12)
    np.testing.assert_allclose(measured(list(batches), num_training=64)[1], k, rtol=1e-12)
    assert ("noise_limit_lr" in {one.name for one in monitor.advice()}) == (batch_size < 64)
    monitor.history.dataset()


def test_the_size_of_the_training_set_is_what_a_loader_goes_through_once():
    data = TensorDataset(X, Y)
    some = torch.utils.data.SubsetRandomSampler(range(40))
    again = torch.utils.data.RandomSampler(data, replacement=True)
    loaders = [
        DataLoader(data, batch_size=8, shuffle=True),
        DataLoader(data, batch_size=8, sampler=some),
        DataLoader(data, batch_size=8, sampler=again),
        DataLoader(data, batch_size=None),
        DataLoader(Stream(), batch_size=8),
    ]
    assert [training_size(loader) for loader in loaders] == [64, 40, None, None, None]


def test_summary_prints(capsys):
    model = seeded(mlp)
    monitor = Monitor(model, MSE, data(8), torch.optim.SGD(model.parameters(), lr=0.01))
    monitor.step()
    monitor.summary()
    assert "normalised sharpness" in capsys.readouterr().out


def test_divergence_before_the_first_reading_of_adam_does_not_end_the_training():
    model = seeded(mlp)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    monitor = Monitor(model, MSE, data(8), optimizer, budget=None, every=1, first=3)
    x, y = data(8)[0]
    for step in range(4):
        optimizer.zero_grad()
        (MSE(model, (x, y)) * (float("nan") if step == 1 else 1.0)).backward()
        optimizer.step()
        if step < 2:
            monitor.step()
            continue
        with pytest.warns(EdgeWarning, match=f"step {step + 1}: loss must be finite"):
            monitor.step()
    assert [reading.step for reading in monitor.history.readings] == [3, 4]
    assert [one.name for one in monitor.advice()] == ["not_finite"]
    monitor.summary()


def test_divergence_is_a_reading_of_nan_and_a_warning():
    model = seeded(mlp)
    monitor = Monitor(model, MSE, data(8), torch.optim.SGD(model.parameters(), lr=0.01), budget=None, every=1)
    monitor.step()
    good = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.warns(EdgeWarning, match="step 2: loss must be finite"):
        monitor.step()
    assert np.isnan(monitor.history.last["probe_loss"])
    assert [one.name for one in monitor.advice()][:2] == ["not_finite", "largest_stable_lr"]
    model.load_state_dict(good)
    monitor.step()
    first, last = monitor.history.readings[0], monitor.history.last
    np.testing.assert_allclose(last["sharpness"], first["sharpness"], rtol=2e-3)
    monitor.history.dataset()


def test_a_model_that_changes_its_mode_is_checked_anew():
    model = seeded(lambda: mlp(nn.Dropout(0.5))).eval()
    monitor = Monitor(model, MSE, data(8), torch.optim.SGD(model.parameters(), lr=0.01), budget=None, every=1)
    monitor.step()
    model.train()
    with pytest.raises(InputError, match="dropout must be 'off'"):
        monitor.step()


def test_loss_without_outputs_uses_the_hessian_for_k():
    model = seeded(mlp)
    loss = lambda m, b: nn.functional.l1_loss(m(b[0]), b[1])  # noqa: E731
    monitor = Monitor(model, loss, data(8), torch.optim.SGD(model.parameters(), lr=0.01))
    found = monitor.measure()
    assert monitor.history.setting.trace_of == "Hessian"
    assert "hessian_trace" in found.values
    assert "gauss_newton_trace" not in found.values
    assert supervised(nn.L1Loss()).kind == "other"


def test_the_package_does_not_import_torch_nor_start_jax_devices():
    alone = "import sys, precipice, precipice.monitor; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", alone], check=True)
    script = (
        "import torch\nfrom torch import nn\nfrom precipice.torch import Monitor, supervised\n"
        "model = nn.Linear(2, 1)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "monitor = Monitor(model, supervised(nn.MSELoss()), [(torch.ones(2, 2), torch.ones(2, 1))] * 3, optimizer)\n"
        "monitor.step()\nmonitor.advice()\nmonitor.summary()\nimport sys\n"
        "from jax._src import xla_bridge\nassert not xla_bridge._backends\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_a_solve_begins_at_the_vectors_of_an_even_number_of_steps_ago():
    model = seeded(mlp)
    points = [[p.detach().clone() for p in model.parameters()], [torch.randn_like(p) for p in model.parameters()]]
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, data(8), sgd, every=1, budget=None, measures=(sharpness,), lines=())
    for step in range(8):  # an orbit of period two, as at the edge
        with torch.no_grad():
            for p, value in zip(model.parameters(), points[step % 2], strict=True):
                p.copy_(value)
        monitor.step()
    products = [reading.values["hessian_products"] for reading in monitor.history.readings]
    assert min(products[:2]) > 2
    assert products[2:] == [2] * 6  # one for each vector kept, which are exact
    values = [reading.values["sharpness"] for reading in monitor.history.readings]
    assert abs(values[0] - values[1]) > 0.1 * values[0]
    np.testing.assert_allclose(values[2:], values[:2] * 3, rtol=1e-4)


def test_vectors_of_both_phases_are_kept_only_where_the_interval_is_odd():
    memory = Memory()
    assert memory.start("hessian", 1) is None
    for step, kept in ((1, 1), (2, 2), (3, 2), (5, 1), (8, 2)):
        memory.found("hessian", step, torch.tensor([[float(step)]]))
        assert len(memory.vectors) + len(memory.others) == kept
    assert float(memory.start("hessian", 10)) == 8
    assert float(memory.start("hessian", 11)) == 5
