"""What a study costs beside its runs: time a cell, time to the first result, opening, growth with the grid.

Claims: at blocks of one second a study takes at most 5 % longer than a bare loop over the same compiled blocks that
saves each with NumPy; a store of 100,000 cells opens in under 2 seconds with memory that does not grow with its size;
the time a cell is the same from 100 to 1,000,000 cells.

Run: ``.venv/bin/python benchmarks/study_cost.py [--quick] [--rounds N]``
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np

from precipice import studies
from precipice.results import CellStore
from precipice.studies import program, stores
from precipice.studies.local import run_local

BLOCK = 250
"""Cells of a block, as an axis of 25 learning rates and one of 10 seeds."""


def descend(key, *, lr, seed, num_steps, width):  # noqa: ARG001
    """Gradient descent of a quartic of many variables: `num_steps` sets how long a block takes."""
    start = jax.random.normal(key, (width,))

    def step(_, w):
        return w - lr * w * (w @ w - 1)

    end = jax.lax.fori_loop(0, num_steps, step, start)
    return {"final_loss": 0.25 * (end @ end - 1) ** 2}


def grid(num_blocks: int, num_steps: int, width: int = 64) -> studies.Study:
    """`num_blocks` blocks of 25 learning rates and 10 seeds."""
    axes = (studies.linear("lr", 0.001, 0.02, 25 * num_blocks), studies.counted("seed", 10))
    return studies.Study("cost", descend, axes, ("final_loss",), {"num_steps": num_steps, "width": width})


class Clock:
    """A progress display that only notes when each block was committed."""

    def __init__(self):
        self.times: list[float] = []

    @contextlib.contextmanager
    def __call__(self, title: str, total: int) -> Iterator:  # noqa: ARG002
        """Note the time of each report."""
        yield lambda done, text: self.times.append(time.perf_counter())  # noqa: ARG005


def by_study(study: studies.Study, folder: Path) -> float:
    """Seconds a block, from the first commit to the last."""
    clock, store = Clock(), stores.create(study, folder / "study.zarr", {"lr": 25, "seed": 10})
    run_local(study, store, progress=clock)
    return (clock.times[-1] - clock.times[1]) / (len(clock.times) - 2)  # the first report comes before any block


def by_loop(study: studies.Study, folder: Path) -> float:
    """The same by a loop over one compiled program, each block saved by `numpy.save`."""
    function = jax.jit(program.block_function(study, {}))
    times = []
    for block in range(study.shape[0] // 25):
        part = {"lr": range(25 * block, 25 * (block + 1)), "seed": range(10)}
        found = jax.device_get(function(*program.arguments(study, part)))
        for name, array in found.items():
            np.save(folder / f"{name}-{block}.npy", array)
        times.append(time.perf_counter())
    return (times[-1] - times[0]) / (len(times) - 1)


def steps_for(seconds: float) -> int:
    """Steps with which a block takes about so long here."""
    probe = 20_000
    function = jax.jit(program.block_function(grid(1, probe), {}))
    arguments = program.arguments(grid(1, probe), {"lr": range(25), "seed": range(10)})
    jax.block_until_ready(function(*arguments))
    return int(probe * seconds / min(common.timed(lambda: function(*arguments)).seconds for _ in range(3)))


def overhead(options: argparse.Namespace) -> None:
    """Seconds a block of a study and of a bare loop, in turn."""
    seconds, num_blocks = (0.05, 4) if options.quick else (1.0, 9)
    study = grid(num_blocks, steps_for(seconds))
    ratios, rows = [], []
    for turn in range(common.num_rounds(options)):
        found = {}
        for name, run in sorted({"loop": by_loop, "study": by_study}.items(), reverse=bool(turn % 2)):
            with tempfile.TemporaryDirectory() as folder:
                found[name] = run(study, Path(folder))
        ratios.append(found["study"] / found["loop"])
        rows.append((turn, f"{found['loop']:.4f}", f"{found['study']:.4f}", f"{ratios[-1]:.4f}"))
    common.print_table(f"Seconds a block of {BLOCK} cells", ("round", "bare loop", "study", "study / loop"), rows)
    median = float(np.median(ratios))
    common.print_table(
        "Target",
        ("quantity", "measured", "target"),
        [("study / loop", common.spread(ratios), common.verdict(median, 1.05, at_most=True))],
    )


FIRST = """
import sys, time
sys.path.insert(0, {benchmarks!r})
started = time.perf_counter()
import study_cost
study = study_cost.grid(8, 200)
if {as_study}:
    from pathlib import Path
    from precipice import studies
    opened = studies.open_study(study, {folder!r} + "/s.zarr", block_seconds=0.1)
    def progress(title, total):
        import contextlib
        @contextlib.contextmanager
        def shown():
            def report(done, text):
                if done:
                    print(time.perf_counter() - started)
                    sys.stdout.flush()
                    import os
                    os._exit(0)
            yield report
        return shown()
    studies.run_local(opened.study, opened.store, progress=progress)
else:
    import jax
    from precipice.studies import program
    f = jax.jit(program.block_function(study, {{}}))
    jax.device_get(f(*program.arguments(study, {{"lr": range(25), "seed": range(10)}})))
    print(time.perf_counter() - started)
"""


def first_result(options: argparse.Namespace) -> None:
    """Seconds from an interpreter that has imported nothing to the first committed block, planning included."""
    rows = []
    for as_study in (False, True):
        times = []
        for _ in range(common.num_rounds(options)):
            with tempfile.TemporaryDirectory() as folder:
                code = FIRST.format(benchmarks=str(Path(__file__).parent), as_study=as_study, folder=folder)
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            times.append(float(done.stdout.split()[-1]))
        rows.append(("study, planned and committed" if as_study else "one compiled block", common.spread(times)))
    common.print_table("Time to first result, imports included", ("what", "seconds"), rows)


OPEN = """
import resource, time
from precipice.results import CellStore
import xarray, zarr
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
dataset = CellStore({path!r}).dataset()
seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, (after - before) / 1024, dataset["status"].size)
"""


def growth(options: argparse.Namespace) -> None:
    """Time a cell of cheap runs, and what opening the store takes, over grids of growing size."""
    rows, each = [], []
    for num_blocks in (1, 4, 16) if options.quick else (1, 4, 40, 400, 4000):
        study = grid(num_blocks, 1, 2)
        with tempfile.TemporaryDirectory() as folder:
            clock, path = Clock(), Path(folder) / "s.zarr"
            store = stores.create(study, path, {"lr": 25, "seed": 10})
            run_local(study, store, progress=clock)
            seconds = (clock.times[-1] - clock.times[1]) / max(len(clock.times) - 2, 1)
            done = subprocess.run(
                [sys.executable, "-c", OPEN.format(path=str(path))], capture_output=True, text=True, check=True
            )
            opening, memory, cells = map(float, done.stdout.split())
            assert len(CellStore(path).done()) == num_blocks
        each.append(seconds / BLOCK)
        shown = f"{1e6 * seconds / BLOCK:.1f}" if num_blocks > 1 else "-"
        rows.append((f"{int(cells):,}", f"{num_blocks:,}", shown, f"{opening:.3f}", f"{memory:.1f}"))
    head = ("cells", "blocks", "microseconds a cell", "opening, s", "opening, MiB more")
    common.print_table("Cheap runs in blocks of 250 cells", head, rows)
    ratio = each[-1] / each[1]
    common.print_table(
        "Target",
        ("quantity", "measured", "target"),
        [("time a cell, largest / second smallest", f"{ratio:.2f}", common.verdict(ratio, 1.5, at_most=True))],
    )


def main(options: argparse.Namespace) -> None:
    """Overhead, first result, growth."""
    common.print_machine("studies: blocks of 250 runs, float64, stored on local disk")
    overhead(options)
    first_result(options)
    growth(options)


if __name__ == "__main__":
    jnp.zeros(1).block_until_ready()
    main(common.arguments(__doc__, rounds=5).parse_args())
