"""What the benchmarks share: threads, the machine line, interleaved timing, tables. Import it before jax and torch.

A benchmark argues one claim. Its contenders run one after another in every round, each round beginning with another
one, so that a machine that slows down for a while slows all of them; ratios are taken within a round, then summarised.
"""

import argparse
import gc
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

THREADS = 2
"""Threads of every library. XLA reads NPROC, the others their own names, and all of them only when first imported."""

for _name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch's idle threads do not spin in other contenders' turns
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import numpy as np  # noqa: E402

jax.config.update("jax_enable_x64", True)  # for float64 references; float32 problems stay float32

PACKAGES = (
    "precipice",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "torch",
    "pyhessian",
    "curvlinops-for-pytorch",
    "hessian-eigenthings",
)


class Timed(NamedTuple):
    """What a contender returned, and the wall time until it was there."""

    seconds: float
    result: Any


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="data directory; by default PRECIPICE_DATA, else the user's cache")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers mean nothing"
    )
    parser.add_argument(
        "--rounds", type=int, default=None, help=f"interleaved rounds (default {rounds}; 2 with --quick)"
    )
    parser.set_defaults(default_rounds=rounds)
    return parser


def num_rounds(options: argparse.Namespace) -> int:
    """The rounds asked for."""
    return options.rounds or (2 if options.quick else options.default_rounds)


def print_machine(what: str) -> None:
    """Print what is measured, on which machine, with which versions, and how busy the machine was before."""
    versions = {name: _version(name) for name in PACKAGES}
    device = jax.devices()[0]
    print(f"# {what}\n")
    print(f"machine: {_cpu()}, {os.cpu_count()} cores, {THREADS} threads each; device {device.device_kind}")
    print(f"system: {platform.system()} {platform.release()}, Python {platform.python_version()}")
    print("versions: " + ", ".join(f"{name} {version}" for name, version in versions.items() if version))
    print(f"load before: {os.getloadavg()[0]:.2f} (1 minute); above 0.5 another process takes part in the times\n")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def timed(function: Callable[[], Any]) -> Timed:
    """Run `function` once, garbage collected beforehand, and wait for every array it returns."""
    gc.collect()
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return Timed(time.perf_counter() - start, result)


def interleaved(contenders: Mapping[str, Callable[[], Any]], turn: int) -> dict[str, Timed]:
    """One round: every contender once, beginning with number `turn`."""
    names = list(contenders)
    turn %= len(names)
    return {name: timed(contenders[name]) for name in names[turn:] + names[:turn]}


def spread(values: Sequence[float] | np.ndarray, form: str = ".3g") -> str:
    """Median and range, as ``median [least, greatest]``."""
    numbers = np.asarray(values, float)
    median, least, greatest = (format(v, form) for v in (np.median(numbers), numbers.min(), numbers.max()))
    return f"{median} [{least}, {greatest}]"


def quartiles(values: Sequence[float] | np.ndarray, form: str = ".3g") -> str:
    """Median and quartiles, as ``median (lower, upper)``."""
    lower, median, upper = (format(v, form) for v in np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75)))
    return f"{median} ({lower}, {upper})"


def verdict(value: float, target: float, *, at_most: bool) -> str:
    """``target <= x: met`` or how far it was missed."""
    met = value <= target if at_most else value >= target
    sign = "<=" if at_most else ">="
    return f"{sign} {target:g}: " + ("met" if met else f"missed by a factor {max(value / target, target / value):.2f}")


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a Markdown table, aligned, ready to be pasted into README.md."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print(f"{title}\n")
    for number, row in enumerate(cells):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print()
