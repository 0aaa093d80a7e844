"""Drivers of a study that can be killed, starved of disk and lied to about the time; run as a program, see `serve`.

The program imports all that a driver needs and then forks one for each line that it reads, so that a driver costs
its compilation and no imports. JAX starts its threads in the drivers, never before the fork.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODULES = (
    "equinox",
    "google_crc32c",
    "jax",
    "precipice.results.masked",
    "precipice.studies.local",
    "xarray",
    "zarr.buffer.cpu",
    "zarr.codecs",
    "zarr.storage",
)

CELLS = 2
"""Of a block of `study`."""


def descent(key: Any, *, lr: Any, seed: Any) -> dict[str, Any]:
    """200 steps on x^2 / 2 + x^4 / 4 from a random start; large learning rates diverge."""
    import jax
    import jax.numpy as jnp

    def step(x: Any, _: None) -> tuple[Any, Any]:
        return x - lr * (x + x**3), jnp.mean(x**2 / 2 + x**4 / 4)

    _, losses = jax.lax.scan(step, jax.random.uniform(key, (8,)), None, 200)
    return {"loss": losses[::50], "final_loss": losses[-1]}


def study(num: int) -> Any:
    """`num` learning rates by 4 seeds: 2 `num` blocks."""
    from precipice.studies import Study, counted, linear

    axes = (linear("lr", 0.05, 1.5, num), counted("seed", 4))
    return Study("faults", descent, axes, ("loss", "final_loss"), own={"step": [0, 50, 100, 150]})


def store_of(num: int, path: str | Path) -> Any:
    from precipice.studies.stores import create

    return create(study(num), path, {"lr": 1, "seed": CELLS})


# Drivers --------------------------------------------------------------------------------------------------------------


def drive(path: str, log: str, num: int, *, pause: float, lease: float, fault: str) -> None:
    """Run the study, with an empty file in `log` for each block that is begun and committed: they fit on any disk."""
    from precipice.studies import local

    make, commit = local.computer, local.committed

    def computer(*args: Any, **only: Any) -> Any:
        compute = make(*args, **only)

        def logged(block: Any) -> Any:
            note(log, "begin", block)
            if pause:
                time.sleep(pause)
            return compute(block)

        return logged

    def committed(store: Any, block: Any, *args: Any) -> Any:
        found = commit(store, block, *args)
        if found is not None:
            note(log, "done", block)
        return found

    local.computer, local.committed = computer, committed
    FAULTS[fault](log)
    local.run_local(study(num), store_of(num, path), lease=lease)


def note(log: str, what: str, block: Any) -> None:
    name = f"{log}/{what}-{'.'.join(map(str, block))}-{os.getpid()}-{time.monotonic_ns()}"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))


def nothing(log: str) -> None:
    """No fault."""


def other_user(log: str) -> None:
    """Give up the rights of root, who may write everywhere."""
    if os.geteuid() == 0:
        os.setuid(65534)


def small_files(log: str) -> None:
    """After ten blocks, a file may hold 64 bytes."""

    def watch() -> None:
        while len(names(log, "done")) < 10:
            time.sleep(0.001)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))

    import threading

    threading.Thread(target=watch, daemon=True).start()


def jumping_clock(log: str) -> None:
    """`time.time` jumps by up to four months at each call, both ways, and so do the times that a driver gives files."""
    import random

    rng, good_time, good_utime = random.Random(os.getpid()), time.time, os.utime

    def utime(path: Any, times: Any = None, **where: Any) -> None:
        now = time.time()
        good_utime(path, times or (now, now), **where)

    time.time = lambda: good_time() + rng.uniform(-1e7, 1e7)
    os.utime = utime


FAULTS = {f.__name__: f for f in (nothing, other_user, small_files, jumping_clock)}


def names(log: str | Path, what: str) -> list[str]:
    """The blocks in the log, as often as they were begun or done."""
    return [name.split("-")[1] for name in os.listdir(log) if name.startswith(what)]


# The server -----------------------------------------------------------------------------------------------------------


def serve() -> None:
    """For each line of JSON: fork a driver and say its number, or wait for one and say how it ended."""
    for module in MODULES:
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]))
            continue
        child = os.fork()
        if child == 0:
            os._exit(driven(**order))
        answer(child)


def driven(said: str, **order: Any) -> int:
    """Drive; what is raised goes to the file `said`, its message alone if it is meant for the user."""
    from precipice._checks import InputError

    channel = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        drive(**order)
    except InputError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.write(channel, f"{error}\n".encode())
        return 1
    except BaseException:
        os.write(channel, traceback.format_exc().encode())
        return 2
    return 0


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


class Server:
    """The program, and orders to it."""

    def __init__(self, process: "subprocess.Popen[str]"):
        self._process = process

    def start(
        self,
        folder: Path,
        num: int,
        *,
        path: Path | None = None,
        pause: float = 0.0,
        lease: float = 60.0,
        fault: str = "nothing",
    ) -> int:
        """A driver on the store `path`, else ``folder/store``, that logs to ``folder/log``; its number."""
        log = folder / "log"
        log.mkdir(exist_ok=True)
        log.chmod(0o777)
        order = {"path": str(path or folder / "store"), "log": str(log), "said": str(folder / "said"), "num": num}
        return self._order(order | {"pause": pause, "lease": lease, "fault": fault})

    def wait(self, driver: int) -> int:
        """How a driver ended."""
        return self._order({"wait": driver})

    def _order(self, order: dict[str, Any]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A running server; it and its drivers are killed in the end."""
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | alone,
        start_new_session=True,
    ) as process:
        try:
            yield Server(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
