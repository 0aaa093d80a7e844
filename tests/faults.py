"""Faults done to a study for real, each a function that returns what it cost.

Used by `test_study_faults.py` at small size and by ``scripts/faults.py`` at length, which writes ``docs/faults.md``.
To add one: write the function here, in `fault_disks.py` or in `fault_cells.py`, and list it below.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fault_cells import diverging, never_converging, out_of_memory, raising, raising_by_hand
from fault_disks import damaged, full_disk, limited_files, read_only
from fault_server import Server
from fault_trial import NOTHING, Row, Trial, summed


def killed(folder: Path, server: Server, times: int) -> Row:
    """SIGKILL of the driver at random moments, from its first to its last."""
    trial = Trial(folder / "killed", server, 2 * times + 6)
    rng, after = np.random.default_rng(times), 0
    for _ in range(times):
        before = len(trial.done())
        driver = server.start(trial.folder, trial.num)
        wanted, deadline = before + int(rng.integers(0, 5)), time.monotonic() + 60
        while len(trial.done()) < wanted and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0.0, 0.02 if wanted > before else 2.0))
        os.kill(driver, signal.SIGKILL)
        assert server.wait(driver) == -signal.SIGKILL
        after += len(trial.done()) > before
        trial.check()
    assert trial.finish() == 0
    assert not list((trial.path / "blocks/.asides").iterdir())
    tried = f"{times} SIGKILLs in a study of {4 * trial.num} cells, {after} of them after a commit of that driver"
    return trial.row("driver killed at random moments", tried, times, trial.said() or NOTHING)


def one_of_two_killed(folder: Path, server: Server, times: int) -> Row:
    """Two drivers on one store, one killed: the other takes its block over."""
    rows = []
    for i in range(times):
        trial = Trial(folder / f"two-{i}", server, 12)
        drivers = [server.start(trial.folder, 12, pause=0.05) for _ in range(2)]
        while len(trial.done()) < 4:
            time.sleep(0.001)
        os.kill(drivers[0], signal.SIGKILL)
        assert [server.wait(driver) for driver in drivers] == [-signal.SIGKILL, 0]
        rows.append(trial.row("one of two drivers killed", "", 1, trial.said() or "nothing: the other finishes alone"))
    return summed(rows, f"{times} x")


def two_drivers(folder: Path, server: Server, times: int) -> Row:
    """Two drivers on one store to its end."""
    rows = []
    for i in range(times):
        trial = Trial(folder / f"both-{i}", server, 12)
        drivers = [server.start(trial.folder, 12, pause=0.02) for _ in range(2)]
        assert [server.wait(driver) for driver in drivers] == [0, 0]
        rows.append(trial.row("two drivers on one store", "", 0, trial.said() or "nothing: they share the blocks"))
    return summed(rows, f"{times} x")


def jumping_clock(folder: Path, server: Server, times: int) -> Row:
    """Two drivers whose clocks jump by months at each look, also in the times of their claims."""
    rows = []
    for i in range(times):
        trial = Trial(folder / f"clock-{i}", server, 6)
        order = {"pause": 0.8, "lease": 3.0, "fault": "jumping_clock"}  # each claim is renewed while it is held
        drivers = [server.start(trial.folder, 6, **order) for _ in range(2)]
        assert [server.wait(driver) for driver in drivers] == [0, 0]
        rows.append(
            trial.row(
                "clock that jumps by months, both ways",
                "",
                0,
                trial.said() or "nothing: claims hold",
            )
        )
    return summed(rows, f"{times} x, two drivers on one store")


def suspended(folder: Path, server: Server, times: int) -> Row:
    """One of two drivers stopped beyond its lease while it computes, its block taken over, then woken."""
    rows = []
    for i in range(times):
        trial = Trial(folder / f"suspended-{i}", server, 6)
        sleeper = server.start(trial.folder, 6, pause=0.5, lease=2.0)
        while len(trial.done()) < 2:
            time.sleep(0.001)
        time.sleep(0.1)
        os.kill(sleeper, signal.SIGSTOP)
        assert server.wait(server.start(trial.folder, 6, lease=2.0)) == 0
        os.kill(sleeper, signal.SIGCONT)
        assert server.wait(sleeper) == 0
        rows.append(
            trial.row("driver suspended beyond its lease", "", 1, trial.said() or "nothing: its block is taken over")
        )
    return summed(rows, f"{times} x, beside another driver")


Fault = Callable[[Path, Server, int], Row | None]

FAULTS: tuple[Fault, ...] = (
    killed,
    two_drivers,
    one_of_two_killed,
    suspended,
    jumping_clock,
    full_disk,
    limited_files,
    read_only,
    damaged,
    raising,
    raising_by_hand,
    diverging,
    never_converging,
    out_of_memory,
)
"""Each takes an empty folder, a server of drivers and how often; None where the machine does not allow it."""
