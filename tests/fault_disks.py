"""Faults of disks and files: full, limited, closed, damaged."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fault_server import Server
from fault_trial import Row, Trial, summed
from precipice import results
from precipice._checks import InputError


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None] | None]:
    """A file system in memory of this size at `folder`, and a function that mounts it anew; None without the right."""
    folder.mkdir(parents=True)

    def mount(*options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    if os.geteuid() or not mount(f"size={size}"):
        yield None
        return
    try:
        yield lambda option: _must(mount("remount", option))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _must(mounted: bool) -> None:
    assert mounted


def full_disk(folder: Path, server: Server, times: int) -> Row | None:
    """A disk in memory that is full after some blocks, and then made larger; None where none can be mounted."""
    rows, full = [], 0
    for i in range(times):
        with small_disk(folder / f"full-{i}/disk", f"{240 + 30 * i}k") as mount:
            if mount is None:
                return None
            trial = Trial(folder / f"full-{i}/trial", server, 12)
            trial.path = folder / f"full-{i}/disk/store"
            full += trial.finish() == 1
            said = trial.said()
            trial.check()
            assert 0 < len(trial.done()) < 24, len(trial.done())
            mount("size=64m")
            assert trial.finish() == 0
            rows.append(trial.row("full disk", "", 1, said))
    return summed(rows, f"{full} x, disks in memory (tmpfs) of 240 kB and more; then made larger")


def limited_files(folder: Path, server: Server, times: int) -> Row:
    """After ten blocks no file may grow beyond 64 bytes (RLIMIT_FSIZE): writes fail in the midst of a commit."""
    rows = []
    for i in range(times):
        trial = Trial(folder / f"limited-{i}", server, 12)
        assert trial.finish(fault="small_files") == 1
        said = trial.said()
        trial.check()
        assert 10 <= len(trial.done()) < 24
        assert trial.finish() == 0
        rows.append(trial.row("files that may not grow (RLIMIT_FSIZE)", "", 1, said))
    return summed(rows, f"{times} x")


def read_only(folder: Path, server: Server, times: int) -> Row:
    """A store that a driver may read and not write."""
    trial, refused = Trial(folder / "read-only", server, 12), []
    assert trial.finish(fault="small_files") == 1
    trial.said()
    for place in (folder, *folder.parents[:3]):
        with contextlib.suppress(PermissionError):
            place.chmod(place.stat().st_mode | 0o055)
    trial.folder.chmod(0o777)
    paths = (trial.path, *trial.path.rglob("*"))
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for _ in range(times):
        assert trial.finish(fault="other_user") == 1
        refused.append(trial.said())
        trial.check()
    for path in paths:
        path.chmod(0o755)
    assert trial.finish() == 0
    assert len(set(refused)) == 1
    return trial.row("read-only store", f"{times} x", 1, refused[0])


def damaged(folder: Path, server: Server, times: int) -> Row:
    """A file of a block cut, emptied, removed or with a flipped bit: reading it is refused, it is computed again."""
    trial, rng, said = Trial(folder / "damaged", server, 12), np.random.default_rng(1), set()
    assert trial.finish() == 0
    files = sorted(path for path in trial.path.rglob("c.*") if len(path.name.split(".")) > 2)
    for i in range(times):
        path = files[rng.integers(len(files))]
        harm(path, i, rng)
        said.add(refusal(trial.path))
        store = results.CellStore(trial.path)
        (block,) = store.damaged()
        store.forget(block)
        assert trial.finish() == 0
        store.verify()
    line = min(said, key=len).replace(str(trial.path), "DIR")
    return trial.row("file of a block cut, emptied, removed or bit flipped", f"{times} x, one file each", times, line)


def harm(path: Path, kind: int, rng: np.random.Generator) -> None:
    """Flip a bit of a file, cut it, empty it, or remove it."""
    data = bytearray(path.read_bytes())
    if kind % 4 == 3:
        path.unlink()
        return
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes([bytes(data), bytes(data[: rng.integers(1, len(data))]), b""][kind % 4])


def refusal(path: Path) -> str:
    """What is said when all of a damaged store is read."""
    try:
        results.open(path).load()
    except InputError as error:
        return str(error)
    raise AssertionError("the damage was not noticed")
