"""What the default monitor of a PyTorch loop costs: share of the training's time, and peak memory against a step's.

Three networks on CIFAR-10 (fully connected, residual with BatchNorm, transformer on patches), with momentum or AdamW.
Each is trained twice over the same batches, with and without a monitor, and must end in the same bits.

Memory is what PyTorch holds on the CPU at its peak, by the events of `torch.profiler`, on top of what stands before
(model, gradients, optimiser state; of a measurement also the probe set and the vectors kept from the last one).
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import common
import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from precipice import problems
from precipice.monitor import EdgeWarning
from precipice.torch import Monitor, supervised

LOSS = supervised(nn.functional.cross_entropy)
BATCH = 64
MIB = 2**20


class Residual(nn.Module):
    """Two convolutions with BatchNorm, and a way past them."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm, self.last = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block."""
        return torch.relu(x + self.last(self.second(torch.relu(self.norm(self.first(x))))))


class Patches(nn.Module):
    """An image [3, 32, 32] as 64 patches of 48 numbers, embedded, with a learnt place."""

    def __init__(self, width: int):
        super().__init__()
        self.embed, self.place = nn.Conv2d(3, width, 4, 4), nn.Parameter(0.02 * torch.randn(64, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 64, width]."""
        return self.embed(x).flatten(2).mT + self.place


class Mean(nn.Module):
    """The mean over patches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, width]."""
        return x.mean(1)


def fully_connected() -> nn.Module:
    """3072-200-200-10, tanh."""
    layers = (nn.Linear(3072, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 10))
    return nn.Sequential(nn.Flatten(), *layers)


def residual() -> nn.Module:
    """A convolution and two residual blocks of 16 channels with BatchNorm."""
    first = (nn.Conv2d(3, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*first, Residual(16), Residual(16), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))


def transformer() -> nn.Module:
    """Two layers of width 64, four heads."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
    return nn.Sequential(
        Patches(64), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), Mean(), nn.Linear(64, 10)
    )


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum 0.9."""
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], torch.optim.Optimizer]]] = {
    "fully connected, momentum": (fully_connected, momentum),
    "fully connected, AdamW": (fully_connected, adamw),
    "residual with BatchNorm, momentum": (residual, momentum),
    "transformer, AdamW": (transformer, adamw),
}


@dataclass
class Training:
    """A model, its optimiser and the batches of a seed."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    data: tuple[torch.Tensor, torch.Tensor]
    draws: np.random.Generator

    @staticmethod
    def begun(name: str, data: tuple[torch.Tensor, torch.Tensor]) -> "Training":
        """From the same initialisation each time."""
        torch.manual_seed(0)
        make, optimiser = CASES[name]
        model = make()
        return Training(model, optimiser(model), data, np.random.default_rng(0))

    def step(self) -> None:
        """One step on a batch drawn with replacement."""
        x, y = self.data
        batch = self.draws.integers(0, len(x), BATCH)
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(x[batch]), y[batch]).backward()
        self.optimizer.step()

    def monitor(self, **options: Any) -> Monitor:
        """The default monitor, unless said otherwise."""
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self.data), batch_size=BATCH)
        return Monitor(self.model, LOSS, loader, self.optimizer, **options)

    @property
    def standing(self) -> int:
        """Bytes of the model, its gradients and the optimiser's state."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        tensors += [p.grad for p in self.model.parameters() if p.grad is not None]
        tensors += [t for s in self.optimizer.state.values() for t in s.values() if isinstance(t, torch.Tensor)]
        return sum(t.numel() * t.element_size() for t in tensors)


def rise(function: Callable[[], Any]) -> int:
    """The most bytes that the CPU allocator holds during `function` beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        function()
    assert found.profiler is not None
    results = found.profiler.kineto_results
    assert results is not None
    memory: list[Any] = [event for event in results.events() if event.name() == "[memory]"]
    events = sorted((event.start_ns(), event.nbytes()) for event in memory)
    return int(max(0, np.cumsum([0, *(size for _, size in events)]).max()))


class Peaks(NamedTuple):
    """Bytes of the parameters, and at the peaks of a step, of the first measurement and of a later one."""

    params: int
    step: int
    first: int
    later: int


def peaks(name: str, data: tuple[torch.Tensor, torch.Tensor]) -> Peaks:
    """After 20 steps, and 20 more."""
    training = Training.begun(name, data)
    probe = 4 * sum(t[:BATCH].numel() * t.element_size() for t in data)
    for _ in range(20):
        training.step()
    training.optimizer.zero_grad()  # the profiler does not see that what was there before is given back
    step = training.standing + rise(training.step)
    monitor = training.monitor(budget=None)
    first = training.standing + probe + rise(monitor.measure)
    params = sum(p.numel() * p.element_size() for p in training.model.parameters())
    for _ in range(20):
        training.step()
        monitor.step()
    later = training.standing + probe + 2 * params + rise(monitor.measure)  # two vectors are kept
    return Peaks(params, step, first, later)


class Costs(NamedTuple):
    """Seconds [CPU, wall] of a training's steps, of its set-up and of its monitor; CPU seconds without a monitor."""

    steps: int
    training: np.ndarray
    setup: np.ndarray
    monitor: np.ndarray
    plain: float
    watch: Monitor


def costs(name: str, data: tuple[torch.Tensor, torch.Tensor], steps: int) -> Costs:
    """A training with the default monitor, and the same without, which must end in the same bits."""
    watched, plain = Training.begun(name, data), Training.begun(name, data)
    took: list[np.ndarray] = []
    begun = _now()
    watch = watched.monitor()
    took.append(_now() - begun)
    measure = watch.measure

    def timed() -> Any:
        before = _now()
        reading = measure()
        took.append(_now() - before)
        return reading

    watch.measure = timed  # timing every call of `step` would cost more than the call
    for _ in range(steps):
        watched.step()
        watch.step()
    whole, readings = _now() - begun, len(took)
    idle = steps * idle_step(watch)
    begun = _now()
    for _ in range(steps):
        plain.step()
    pairs = zip(plain.model.state_dict().values(), watched.model.state_dict().values(), strict=True)
    if not all(torch.equal(a, b) for a, b in pairs):
        raise RuntimeError(f"both trainings of {name} must end in the same bits; they do not")
    monitor = sum(took[2:readings], np.zeros(2)) + idle
    setup = sum(took[:2], np.zeros(2))
    return Costs(steps, whole - monitor - setup, setup, monitor, float((_now() - begun)[0]), watch)


def idle_step(watch: Monitor) -> np.ndarray:
    """Seconds of a call of `step` that does not measure: the median of ten times 100."""
    times, before = [], len(watch.history.readings)
    for _ in range(10):
        begun = _now()
        for _ in range(100):
            watch.step()
        if len(watch.history.readings) == before:
            times.append((_now() - begun) / 100)
        before = len(watch.history.readings)
    return np.median(times, axis=0)


def _now() -> np.ndarray:
    return np.array([time.process_time(), time.perf_counter()])


def steps_within(name: str, data: tuple[torch.Tensor, torch.Tensor], seconds: float) -> int:
    """How many steps take so many CPU seconds."""
    training = Training.begun(name, data)
    for _ in range(5):
        training.step()
    start = time.process_time()
    for _ in range(20):
        training.step()
    return int(seconds / (time.process_time() - start) * 20)


def percent(seconds: np.ndarray, of: np.ndarray) -> str:
    """CPU and wall."""
    return " / ".join(f"{100 * a / b:.2f} %" for a, b in zip(seconds, of, strict=True))


def cost_row(name: str, found: Costs) -> list[str]:
    """A row of the first table."""
    whole = found.setup + found.monitor
    readings = [reading.step for reading in found.watch.history.readings if reading.step <= found.steps]
    gaps = [b - a for a, b in pairwise(readings)]
    last = found.watch.history.last
    each = found.monitor[0] / max(len(readings) - 1, 1) / (found.training[0] / found.steps)
    return [
        name,
        f"{found.steps:,} in {found.training[1]:.0f} s",
        f"{len(readings)}, {min(gaps):,} to {max(gaps):,} apart" if gaps else "1",
        f"{each:.0f}" if gaps else "",
        percent(found.monitor, found.training),
        percent(whole, found.training),
        common.verdict(whole[1] / found.training[1], 0.05, at_most=True),
        f"{100 * ((whole + found.training)[0] / found.plain - 1):+.1f} %",
        f"{float(last['hessian_converged']):g}",
    ]


def memory_row(name: str, found: Peaks) -> list[str]:
    """A row of the second table."""
    ratio = max(found.first, found.later) / found.step
    sizes = (found.params, found.step, found.first, found.later)
    return [name, *(f"{size / MIB:.1f}" for size in sizes), f"{ratio:.2f}", common.verdict(ratio, 2, at_most=True)]


def main(options: argparse.Namespace) -> None:
    """Memory, then time."""
    warnings.simplefilter("ignore", EdgeWarning)
    common.print_machine("cost of the default monitor (precipice.torch.Monitor): memory and time")
    torch.set_num_threads(common.THREADS)
    found = problems.cifar10(
        500 if options.quick else 5000, data_dir=options.data, preprocess=problems.standardise_channels
    )
    images = torch.from_numpy(np.array(found.x)).float().view(-1, 32, 32, 3).permute(0, 3, 1, 2).contiguous()
    data = (images, torch.from_numpy(np.array(found.y)).argmax(1))
    head = ("network, optimiser", "parameters", "step", "first measurement", "later one", "largest / step", "target")
    common.print_table("Peaks of memory, MiB", head, [memory_row(name, peaks(name, data)) for name in CASES])
    head = ("network, optimiser", "steps", "readings", "a reading, in steps", "overhead (CPU / wall)")
    head = (*head, "with set-up", "target, with set-up", "CPU against no monitor", "last converged")
    seconds = 3 if options.quick else options.seconds
    rows = [cost_row(name, costs(name, data, steps_within(name, data, seconds))) for name in CASES]
    common.print_table("Time", head, rows)
    print(f"load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    parser = common.arguments(__doc__, rounds=1)
    parser.add_argument("--seconds", type=float, default=120, help="CPU seconds of each training")
    main(parser.parse_args())
