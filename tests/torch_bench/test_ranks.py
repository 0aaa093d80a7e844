"""DistributedDataParallel with two gloo processes: products, traces, noise and the monitor are those of one process."""
# ruff: noqa: E402 (PyTorch is optional)

import os
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import distributed, multiprocessing, nn

from precipice.monitor import EdgeWarning
from precipice.torch import Accuracy, Hessian, Monitor, Objective, batch_sharpness, eigs, gradient_noise_scale
from precipice.torch.measures import EVERYTHING
from torch_bench.bench import MSE, data, mlp, seeded

BATCHES = data(8, 8, 8, 8, 5)
PARTS = (BATCHES[:2], BATCHES[2:])  # uneven: 16 and 21 examples


def results(model, batches, steps=3):
    """Everything that must agree, and a training with a monitor."""
    objective = Objective(model, MSE, batches, dtype=torch.float64)
    op = Hessian(objective)
    v = torch.linspace(-1, 1, op.size, dtype=torch.float64)
    found = [op.loss, *op.gradient.tolist(), *op.mv(v).tolist(), *eigs(op, num=2).values.tolist()]
    found += [*map(float, batch_sharpness(objective)), *map(float, gradient_noise_scale(objective))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    accuracy = Accuracy(rtol=1e-6)
    monitor = Monitor(
        model,
        MSE,
        batches,
        optimizer,
        budget=None,
        every=2,
        measures=EVERYTHING,
        accuracy=accuracy,
        batch_size=16,
        num_batches=9,
        dtype=torch.float64,
    )
    for _ in range(steps):
        optimizer.zero_grad()
        whole = Hessian(Objective(model, MSE, batches))
        for p, g in zip(model.parameters(), whole.objective.split(whole.gradient), strict=True):
            p.grad = g
        optimizer.step()
        monitor.step()
    for reading in monitor.history.readings:
        found += [reading.step, *(float(np.sum(reading[name])) for name in sorted(reading.values))]
    return np.array([*found, monitor.history.setting.num_examples])


def work(rank, port, path):
    warnings.simplefilter("ignore", EdgeWarning)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(seeded(mlp).double())
    np.save(f"{path}/{rank}.npy", results(model, PARTS[rank]))
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_two_processes_are_one(tmp_path):
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    multiprocessing.spawn(work, (port, str(tmp_path)), nprocs=2)
    one = results(seeded(mlp).double(), BATCHES)
    first, second = np.load(tmp_path / "0.npy"), np.load(tmp_path / "1.npy")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, one, rtol=1e-5, atol=1e-9)
