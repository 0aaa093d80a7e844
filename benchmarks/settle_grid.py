"""A million starts of the degree-4 network until each has converged, diverged or taken 50,000 steps.

Claims: `dynamics.settle` is at least 100 times faster than a numpy loop without early exit, and takes at most 3 times
as long as a C kernel that asks each trajectory every 64 steps, as settle does (2 is the aim). A numba kernel is timed
where numba is installed. The numpy loop is timed on some steps and scaled, which is said in its row.

Run: ``.venv/bin/python benchmarks/settle_grid.py [--quick] [--rounds N]`` (needs gcc; numba: pip install numba)
"""

import argparse
import ctypes
import importlib
import importlib.util
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import jax
import numpy as np

from precipice import dynamics, problems
from precipice.results import StopReason

LR, TOLERANCE, CHECK = 0.2, 1e-12, 64
SETTLE, C, NUMBA, NUMPY = "dynamics.settle", "C, early exit", "numba, early exit", "numpy, no early exit (scaled)"
PROCESS = dynamics.Descent(problems.ScalarNetwork((2, 2), 0.25), dynamics.gradient_descent(LR))

KERNEL = """
#include <math.h>
void settle(double *restrict px, double *restrict py, long *restrict steps, long n, long budget, double lr,
            double tol) {
  enum { B = 64 };
  for (long first = 0; first < n; first += B) {
    double x[B], y[B], loss[B]; char live[B]; int left = 0; long m = n - first < B ? n - first : B;
    for (long i = 0; i < B; i++) {
      x[i] = i < m ? px[first + i] : 1; y[i] = i < m ? py[first + i] : 1; live[i] = i < m; left += live[i];
    }
    for (long step = 0; step < budget && left; step += %(check)d) {
      for (int k = 0; k < %(check)d; k++)
        for (int i = 0; i < B; i++) {
          double p = x[i] * x[i] * y[i] * y[i] - 1, r = lr * p, a = x[i], b = y[i];
          loss[i] = 0.25 * p * p; x[i] = a - r * a * b * b; y[i] = b - r * a * a * b;
        }
      for (long i = 0; i < m; i++) if (live[i]) {
        int finite = isfinite(x[i]) && isfinite(y[i]), last = step + %(check)d >= budget;
        if (!finite || loss[i] <= tol || last) {
          live[i] = 0; left--; steps[first + i] = finite ? step + %(check)d : -1;
          px[first + i] = x[i]; py[first + i] = y[i];
        }
      }
    }
  }
}
"""


def compiled_kernel() -> Any:
    """The C kernel, compiled for this machine."""
    folder = Path(tempfile.mkdtemp())
    (folder / "settle.c").write_text(KERNEL % {"check": CHECK})
    flags = ["-O3", "-march=native", "-fno-trapping-math", "-fno-math-errno", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "settle.c", "-o", "settle.so", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "settle.so"))


def by_c(library: Any, starts: np.ndarray, num_steps: int) -> np.ndarray:
    """Steps of each start, -1 where it diverged."""
    x, y = starts[:, 0].copy(), starts[:, 1].copy()
    steps = np.zeros(len(starts), np.int64)
    pointer = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, y, steps)]
    numbers = ctypes.c_long(len(x)), ctypes.c_long(num_steps), ctypes.c_double(LR), ctypes.c_double(TOLERANCE)
    library.settle(*pointer, *numbers)
    return steps


def by_settle(starts: np.ndarray, num_steps: int) -> np.ndarray:
    """The same by `dynamics.settle`."""
    found = dynamics.settle(
        PROCESS,
        starts,
        key=jax.random.key(0),
        converged=dynamics.LossBelow(TOLERANCE),
        num_steps=num_steps,
        check_every=CHECK,
    )
    return np.where(found.stop_reason == StopReason.DIVERGED, -1, found.step)


def by_numpy(starts: np.ndarray, num_steps: int) -> None:
    """`num_steps` steps of all starts."""
    x, y = starts[:, 0].copy(), starts[:, 1].copy()
    with np.errstate(all="ignore"):
        for _ in range(num_steps):
            r = LR * (x * x * y * y - 1)
            x, y = x - r * x * y * y, y - r * x * x * y


def numba_kernel() -> Callable[[np.ndarray, int], np.ndarray] | None:
    """The plain loop over starts, compiled by numba; None where numba is absent."""
    if importlib.util.find_spec("numba") is None:
        return None
    numba = importlib.import_module("numba")

    @numba.njit(fastmath={"contract"})
    def kernel(starts, num_steps):
        steps = np.zeros(len(starts), np.int64)
        for i in range(len(starts)):
            x, y, taken = starts[i, 0], starts[i, 1], 0
            while taken < num_steps:
                p = 0.0
                for _ in range(CHECK):
                    p = x * x * y * y - 1
                    r = LR * p
                    x, y = x - r * x * y * y, y - r * x * x * y
                taken += CHECK
                if not (np.isfinite(x) and np.isfinite(y)):
                    taken = -1
                    break
                if 0.25 * p * p <= TOLERANCE:
                    break
            steps[i] = taken
        return steps

    return kernel


def main(options: argparse.Namespace) -> None:
    """Warm up, compare, measure, report."""
    common.print_machine("degree-4 network, lr 0.2, float64: a grid of starts until each has ended")
    size, num_steps, numpy_steps = (60, 6400, 64) if options.quick else (1000, 50_048, 20)
    x, y = np.meshgrid(np.linspace(0.01, 4, size), np.linspace(0.01, 4, size))
    starts = np.stack([x.ravel(), y.ravel()], axis=1)
    library, kernel = compiled_kernel(), numba_kernel()
    contenders = {
        SETTLE: lambda: by_settle(starts, num_steps),
        C: lambda: by_c(library, starts, num_steps),
        NUMPY: lambda: by_numpy(starts, numpy_steps),
    }
    if kernel is not None:
        contenders[NUMBA] = lambda: kernel(starts, num_steps)
    first = common.interleaved(contenders, 0)
    differ = int(np.sum(first[SETTLE].result != first[C].result))
    total = int(np.sum(np.maximum(first[C].result, 0)))
    print(
        f"{len(starts):,} starts, {total:.3g} steps in all; steps or divergence differ for {differ} starts (rounding)\n"
    )
    rounds = [common.interleaved(contenders, turn) for turn in range(common.num_rounds(options))]
    scale = {name: num_steps / numpy_steps if name == NUMPY else 1.0 for name in contenders}
    times = {name: np.array([r[name].seconds * scale[name] for r in rounds]) for name in contenders}
    rows = [(name, common.spread(t), common.spread(t / times[SETTLE])) for name, t in times.items()]
    common.print_table("Median [least, greatest]", ("contender", "seconds", "time / settle"), rows)
    faster = float(np.median(times[NUMPY] / times[SETTLE]))
    slower = float(np.median(times[SETTLE] / times[C]))
    common.print_table(
        "Targets",
        ("quantity", "measured", "target"),
        [
            ("numpy / settle", f"{faster:.0f}", common.verdict(faster, 100, at_most=False)),
            ("settle / C", f"{slower:.2f}", common.verdict(slower, 3, at_most=True)),
            ("first call of settle, s", f"{first[SETTLE].seconds:.2f}", ""),
        ],
    )


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=5).parse_args())
