"""The MNIST sweep of agarwala2024 as one program: run-steps a second, and what the whole sweep would take.

Claims: training all learning rates of a batch size in one compiled program (`dynamics.MinibatchSweep`) takes more
run-steps a second than a Python loop over compiled steps and than PyTorch (where it is installed). A run-step is one
step of one training. All contenders train the network of the paper (784-256-256-1, erf, 2,500 images, float32); the
loops train one run and are counted as such. Random batches are drawn by each in its own way.

The projection adds, over the batch sizes of the scale `paper`, steps at the measured rate, and the measurements of
K (exact, from the kernel in float64) at their measured time.

Run: ``.venv/bin/python benchmarks/many_trainings.py --data DIR [--quick] [--rounds N]``
"""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import common
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from precipice import dynamics, problems
from precipice.papers.agarwala2024 import mnist

SWEEP, LOOP, TORCH = "dynamics.MinibatchSweep", "loop of compiled steps", "PyTorch"
LR = 0.005


def problem_for(options: argparse.Namespace) -> problems.Supervised:
    """The paper's network and data; tiny ones with --quick."""
    settings = mnist.PAPER
    if options.quick:
        settings = mnist.dataclasses.replace(settings, dataset="digits", num_examples=100, width=16)
    return mnist.problem_of(settings, options.data)


def by_sweep(problem: problems.Supervised, batch_size: int, num_runs: int, num_steps: int) -> Callable[[], Any]:
    """All runs in one program."""
    rates = jnp.full(num_runs, LR, problem.data.x.dtype)
    optimiser = dynamics.Optimiser(optax.sgd, {"learning_rate": rates})
    process = dynamics.MinibatchSweep(problem, optimiser, batch_size)
    return lambda: dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=num_steps).state.params


def by_loop(problem: problems.Supervised, batch_size: int, num_steps: int) -> Callable[[], Any]:
    """One run, a compiled step at a time."""
    process = dynamics.MinibatchDescent(problem, dynamics.gradient_descent(LR), batch_size)
    step = eqx.filter_jit(lambda process, state: process.step(state))

    def run():
        state = process.init(jax.random.key(0))
        for _ in range(num_steps):
            state = step(process, state)
        return state.params

    return run


def by_torch(problem: problems.Supervised, batch_size: int, num_steps: int) -> Callable[[], Any] | None:
    """One run as one writes it in PyTorch; None where it is absent."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    torch.set_num_threads(common.THREADS)
    x, y = torch.tensor(np.asarray(problem.data.x)), torch.tensor(np.asarray(problem.data.y))

    class Erf(torch.nn.Module):
        def forward(self, h):
            return torch.erf(h)

    def run():
        layers = []
        for fan_in, fan_out in zip(problem.network.widths[:-1], problem.network.widths[1:], strict=True):
            layers += [torch.nn.Linear(fan_in, fan_out), Erf()]
        model = torch.nn.Sequential(*layers[:-1])
        optimiser = torch.optim.SGD(model.parameters(), lr=LR)
        for _ in range(num_steps):
            chosen = torch.randperm(len(x))[:batch_size] if batch_size > 1 else torch.randint(len(x), (1,))
            optimiser.zero_grad()
            (0.5 * ((model(x[chosen]) - y[chosen]) ** 2).mean()).backward()
            optimiser.step()
        return [float(p.detach().sum()) for p in model.parameters()]

    return run


def rate_of_sweep(problem: problems.Supervised, batch_size: int, num_runs: int, seconds: float) -> float:
    """Run-steps a second, from a run of about so many seconds."""
    num_steps = 8
    while True:
        run = by_sweep(problem, batch_size, num_runs, num_steps)
        common.timed(run)
        taken = common.timed(run).seconds
        if taken > seconds / 3 or num_steps >= 4096:
            return num_runs * num_steps / taken
        num_steps *= 4


def projection(problem: problems.Supervised, options: argparse.Namespace) -> None:
    """Hours of the scale `paper`, by batch size."""
    settings, rows, total = mnist.PAPER, [], 0.0
    params = problem.init(jax.random.key(0))
    mnist.spectral(problem, params, LR, 1)
    start = time.perf_counter()
    mnist.spectral(problem, params, LR, 1)
    spectral = time.perf_counter() - start
    plans = mnist.plans(settings)[: 2 if options.quick else None]
    for plan in plans:
        num_runs = len(plan.lrs)
        rate = rate_of_sweep(problem, min(plan.batch_size, len(problem.data.x)), num_runs, 0.5 if options.quick else 6)
        steps, measuring = plan.num_steps * num_runs / rate, (settings.num_measurements + 1) * num_runs * spectral
        total += steps + measuring
        hours = (f"{steps / 3600:.2f}", f"{measuring / 3600:.2f}")
        rows.append((plan.batch_size, f"{plan.num_steps:,}", num_runs, f"{rate:,.0f}", *hours))
    head = ("batch size", "steps", "runs", "run-steps/s", "hours of steps", "hours of measuring")
    common.print_table("Scale `paper`, projected", head, rows)
    print(f"all: {total / 3600:.1f} hours; a measurement of K takes {spectral:.2f} s\n")


def main(options: argparse.Namespace) -> None:
    """Compare, then project."""
    common.print_machine("many trainings on minibatches as one program, float32")
    problem = problem_for(options)
    num_runs, rows = 12, []
    for batch_size, num_steps in ((1, 400), (32, 200), (64, 100)) if not options.quick else ((1, 8),):
        found = {
            SWEEP: by_sweep(problem, batch_size, num_runs, num_steps),
            LOOP: by_loop(problem, batch_size, num_steps),
            TORCH: by_torch(problem, batch_size, num_steps),
        }
        contenders = {name: run for name, run in found.items() if run is not None}
        common.interleaved(contenders, 0)
        rounds = [common.interleaved(contenders, turn) for turn in range(common.num_rounds(options))]
        for name in contenders:
            counted = num_steps * (num_runs if name == SWEEP else 1)
            rates = np.array([counted / r[name].seconds for r in rounds])
            ours = np.array([num_steps * num_runs / r[SWEEP].seconds for r in rounds])
            rows.append((batch_size, name, common.spread(rates), common.spread(ours / rates)))
    head = ("batch size", "contender", "run-steps/s", "sweep's rate / this")
    common.print_table(f"Median [least, greatest]; the sweep trains {num_runs} runs", head, rows)
    projection(problem, options)


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=5).parse_args())
