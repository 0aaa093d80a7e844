"""Claim: two workers of one thread each run a study nearly twice as fast as one, on two cores.

The study: gradient descent of a scalar network at many learning rates, in blocks of some seconds that fit the cache. In
every round it runs once with one worker and once with two, on the same local Ray cluster. Two ratios of the times:

- steady: of the time between the commit of the first blocks and that of the last, when all workers are at work;
- whole call: with the start of the workers (import, compilation), which no number of workers shortens.

The results of all runs must be equal bit for bit.
"""

import functools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import common
import numpy as np

from precipice import dynamics, problems
from precipice.studies import Study, counted, linear
from precipice.studies.cluster import run_ray
from precipice.studies.nodes import connected
from precipice.studies.stores import create

TARGET = 1.8
WORKERS = 1, 2
CELLS = 64


def train(key, *, lr, num_steps):
    """The final loss of gradient descent on (1 - x y z w)^2 / 2."""
    problem = problems.ScalarNetwork((1, 1, 1, 1))
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr))
    found = dynamics.simulate(process, key=key, num_steps=num_steps, every=num_steps)
    return {"final_loss": problem.loss(found.state.params), "status": found.status}


class Run(NamedTuple):
    """One run of the study.

    Args:
        whole: seconds of the call.
        steady: seconds between the first and the last commits.
        losses: results.
    """

    whole: float
    steady: float
    losses: np.ndarray


@contextmanager
def watched(times: dict[int, float], title: str, total: int) -> Iterator[Callable[[int, str], None]]:  # noqa: ARG001
    """A display that notes when each number of cells was first seen done."""

    def report(done: int, text: str) -> None:  # noqa: ARG001
        times.setdefault(done, time.perf_counter())

    yield report


def run(study: Study, num_workers: int) -> Run:
    """The study, into a store of its own."""
    times: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = create(study, Path(folder) / "study", {"lr": 1, "seed": CELLS}, threads=1)
        started = time.perf_counter()
        run_ray(study, store, num_workers=num_workers, progress=functools.partial(watched, times))
        whole = time.perf_counter() - started
        losses = store.dataset()["final_loss"].to_numpy()
    first, last = (CELLS * blocks for blocks in (max(WORKERS), study.shape[0] - max(WORKERS) + 1))
    return Run(whole, times[last] - times[first], losses)


def main() -> int:
    """Measure and judge."""
    options = common.arguments(__doc__, 3).parse_args()
    blocks, num_steps = (8, 100_000) if options.quick else (32, 1_500_000)
    common.print_machine("Scaling of a study from 1 to 2 workers")
    axes = linear("lr", 0.1, 0.45, blocks), counted("seed", CELLS)
    study = Study("scaling", train, axes, ("final_loss",), {"num_steps": num_steps})
    rows, steady, whole = [], [], []
    with connected(max(WORKERS), None, threads=1):
        for turn in range(common.num_rounds(options)):
            order = WORKERS if turn % 2 == 0 else WORKERS[::-1]
            one, two = (found for _, found in sorted((num, run(study, num)) for num in order))
            if not np.array_equal(one.losses, two.losses, equal_nan=True):
                print("The results differ.")
                return 1
            steady.append(one.steady / two.steady)
            whole.append(one.whole / two.whole)
            numbers = one.steady, two.steady, steady[-1], one.whole, two.whole, whole[-1]
            rows.append([turn, *(f"{number:.2f}" for number in numbers)])
    head = ["round", "steady, 1 worker s", "2 workers s", "ratio", "whole call, 1 worker s", "2 workers s", "ratio"]
    common.print_table(f"{blocks} blocks of {CELLS} cells, {num_steps:,} steps each", head, rows)
    ratio = math.nan if not steady else float(np.median(steady))
    print(f"steady ratio: {common.spread(steady)}; {common.verdict(ratio, TARGET, at_most=False)}")
    print(f"whole call:   {common.spread(whole)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
