"""Kill a study over and over with SIGKILL, and compare what it leaves with what an undisturbed run leaves.

The study: gradient descent of a scalar network from 40 starts at 40 learning rates with 8 seeds, to the edge and past
it; its final loss and sharpness. Its driver, and with ``--on ray`` its workers too, are killed at random moments and
started again until the study is complete. Every cell whose run begins is logged outside of the store.

Exit status 0: at least ten kills, at least five of them after the killed driver had committed something, a dataset
with the same hash, and no more cells computed again than were in flight at the kills. Else 1.

Examples::

    python scripts/kill_study.py                       # three minutes on two cores
    python scripts/kill_study.py --on ray --workers 2
    python scripts/kill_study.py --kills 100 --json kills.json
"""

import argparse
import contextlib
import hashlib
import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import killed_study
from killed_study import CHUNK, GRID, LOG

from precipice.results import CellStore

NUM_CELLS, BLOCK_CELLS = math.prod(GRID.values()), math.prod(CHUNK.values())
NUM_BLOCKS = NUM_CELLS // BLOCK_CELLS
MIN_KILLS, MIN_AFTER_COMMIT = 10, 5
PATIENCE = 120.0


# Killing --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """One kill.

    Args:
        victim: driver or worker.
        seconds: since its driver started.
        committed: cells in the store.
        by_driver: cells among them committed since this driver started.
        in_flight: cells of blocks that the killed processes had claimed and not committed.
    """

    victim: str
    seconds: float
    committed: int
    by_driver: int
    in_flight: int


def described(kill: Kill) -> str:
    """One line."""
    return (
        f"{kill.victim} after {kill.seconds:5.1f} s, {kill.committed:6,} cells committed ({kill.by_driver:5,} by this "
        f"driver), {kill.in_flight:4,} in flight"
    )


def num_done(store: Path) -> int:
    """Blocks that are committed."""
    return len(list(store.glob("blocks/*.done")))


def claims(store: Path) -> dict[tuple[str, str], int]:
    """The process of each claim, by its holder's token and its block."""
    found = {}
    for path in store.glob("blocks/*.claim"):
        with contextlib.suppress(OSError, ValueError):
            holder = json.loads(path.read_text())
            found[holder["token"], path.stem] = holder["pid"]
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def killed(driver: subprocess.Popen, store: Path, rng: random.Random, on_ray: bool) -> tuple[str, int]:
    """Kill the driver, or, on Ray, one time in two a worker at work: who it was, and how many cells were in flight."""
    before = claims(store)
    at_work = [pid for pid in before.values() if is_alive(pid)]
    chosen = rng.choice(at_work) if on_ray and at_work and rng.random() < 0.5 else driver.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(chosen, signal.SIGKILL)
    if chosen == driver.pid:
        driver.wait()
        until(lambda: not any(is_alive(pid) for pid in claims(store).values()), "workers outlive their driver")
    else:
        until(lambda: not is_alive(chosen), "a killed worker lives")
    after = claims(store)
    gone = at_work if chosen == driver.pid else [chosen]
    gone += [pid for pid in after.values() if chosen == driver.pid and pid not in before.values()]
    blocks = {block for (_, block), pid in (before | after).items() if pid in gone}
    left = [block for block in blocks if not (store / "blocks" / f"{block}.done").exists()]
    return "driver" if chosen == driver.pid else "worker", BLOCK_CELLS * len(left)


def until(condition, complaint: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: in vain.
    """
    ends = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(complaint)
        time.sleep(0.01)


def started(options: argparse.Namespace, store: Path, address: str | None, log: Path | None) -> subprocess.Popen:
    """A driver."""
    words = [sys.executable, killed_study.__file__, str(store), str(options.steps)]
    words += [address, str(options.workers)] if address else []
    environment = os.environ | ({LOG: str(log)} if log else {}) | ({"NPROC": "1"} if options.on == "ray" else {})
    return subprocess.Popen(words, env=environment)


def undisturbed(options: argparse.Namespace, store: Path) -> tuple[float, float]:
    """Run the study on this machine without Ray: seconds to the first commit, and for each block."""
    begun = time.monotonic()
    driver = started(options, store, None, None)
    while not num_done(store) and driver.poll() is None:
        time.sleep(0.05)
    first = time.monotonic() - begun
    if driver.wait():
        raise SystemExit("The undisturbed run failed.")
    return first, (time.monotonic() - begun - first) / (NUM_BLOCKS - 1)


def assault(
    options: argparse.Namespace, store: Path, address: str | None, log: Path, times: tuple[float, float]
) -> Iterator[Kill]:
    """Run and kill until there were enough kills, then run to the end.

    One kill in three comes at a moment that is uniform between 0 and the time of a start, by `times`; others after the
    next commit, however long that takes on a machine that others use, and a time between 0 and that of four blocks.
    """
    rng, count, after = random.Random(options.seed), 0, 0
    while True:
        driver, begun, before = started(options, store, address, log), time.monotonic(), num_done(store)
        while True:
            enough = count >= options.kills and after >= MIN_AFTER_COMMIT
            soon = rng.random() < 1 / 3
            if not (enough or soon):
                seen = num_done(store)
                while num_done(store) == seen and driver.poll() is None:
                    time.sleep(0.01)
            with contextlib.suppress(subprocess.TimeoutExpired):
                if driver.wait(None if enough else rng.uniform(0, times[0] if soon else 4 * times[1])):
                    raise SystemExit("A driver ended by itself with an error.")
                return
            seconds = time.monotonic() - begun
            victim, in_flight = killed(driver, store, rng, options.on == "ray")
            done = num_done(store)
            kill = Kill(victim, round(seconds, 2), BLOCK_CELLS * done, BLOCK_CELLS * (done - before), in_flight)
            yield kill
            count, after = count + 1, after + bool(kill.by_driver)
            if victim == "driver":
                break


@contextlib.contextmanager
def cluster(options: argparse.Namespace, log: Path) -> Iterator[str | None]:
    """The address of a cluster on this machine that outlives its drivers; None where there is none to be."""
    if options.on == "local":
        yield None
        return
    os.environ |= {LOG: str(log), "RAY_USAGE_STATS_ENABLED": "0"}  # for the workers
    import ray

    ray.init("local", num_cpus=options.workers, include_dashboard=False, logging_level=logging.ERROR)
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()


# The account ----------------------------------------------------------------------------------------------------------


def hash_of(store: Path) -> str:
    """SHA-256 of every coordinate, result and status, all chunks checked."""
    opened = CellStore(store)
    opened.verify()
    dataset = opened.dataset().load()
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        array = dataset[name]
        digest.update(f"{name} {array.dims} {array.dtype} {array.shape}\n".encode() + array.to_numpy().tobytes())
    digest.update(json.dumps(sorted(map(str, opened.failures().items()))).encode())
    return digest.hexdigest()


def verdicts(kills: list[Kill], computed: list[str], hashes: tuple[str, str]) -> dict[str, bool]:
    """What must hold."""
    in_flight, after = sum(k.in_flight for k in kills), sum(bool(k.by_driver) for k in kills)
    return {
        f"at least {MIN_KILLS} kills: {len(kills)}": len(kills) >= MIN_KILLS,
        f"at least {MIN_AFTER_COMMIT} after a commit by that driver: {after}": after >= MIN_AFTER_COMMIT,
        "the hash of an undisturbed run": hashes[0] == hashes[1],
        f"every one of {NUM_CELLS:,} cells computed": len(set(computed)) == NUM_CELLS,
        f"{len(computed) - NUM_CELLS:,} cells computed again, {in_flight:,} in flight at kills": (
            len(computed) - NUM_CELLS <= in_flight
        ),
    }


def main(options: argparse.Namespace) -> int:
    """Run, print, judge."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill") as name:
        folder = Path(name)
        quiet, store, log = folder / "undisturbed.zarr", folder / "killed.zarr", folder / "log"
        times = undisturbed(options, quiet)
        print(f"undisturbed: {times[0]:.1f} s to the first commit, {times[1]:.2f} s a block of {BLOCK_CELLS} cells")
        kills = []
        with cluster(options, log) as address:
            for kill in assault(options, store, address, log, times):
                kills.append(kill)
                print(f"kill {len(kills):3}: {described(kill)}", flush=True)
        computed, hashes = log.read_text().splitlines(), (hash_of(store), hash_of(quiet))
    held = verdicts(kills, computed, hashes)
    print(f"\ncells computed in total: {len(computed):,}")
    print(f"hash after the kills     {hashes[0]}\nhash without any         {hashes[1]}")
    for text, holds in held.items():
        print(f"{'holds' if holds else 'FAILS'}: {text}")
    if options.json:
        numbers = {"on": options.on, "grid": GRID, "chunk": CHUNK, "kills": [asdict(kill) for kill in kills]}
        numbers |= {"computed": len(computed), "hash": hashes[0], "undisturbed_hash": hashes[1], "held": held}
        numbers |= {"seconds": round(time.monotonic() - begun, 1)}
        options.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0 if all(held.values()) else 1


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=("local", "ray"), default="local", help="where the study runs (local)")
    parser.add_argument("--workers", type=int, default=2, help="of Ray (2)")
    parser.add_argument("--kills", type=int, default=12, help="at least so many (12)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    parser.add_argument("--steps", type=int, default=400_000, help="of each run: sets the seconds of a block (400000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main(arguments().parse_args()))
