"""Claims on work: a file that only one process can create, with a lease that runs out when its holder dies.

A claim is taken over when its holder is surely or probably gone:

- a process of this machine that no longer lives: at once;
- a process elsewhere: when the file was not touched during the lease, by the file system's own clock;
- anyone: when this process has watched the claim for a whole lease, by its own steady clock, and saw no touch. That
  rule alone counts for a process of this machine that lives, and ends claims whose times a jumping clock put
  into the future.

A takeover that was wrong costs computing twice, never a result: see `cell_files.commit`.
"""

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from precipice._checks import positive
from precipice.results import atomic

_THREADS = threading.Lock()
_FORGOTTEN = 60.0

ASIDES = ".asides"
"""The folder of files that are being written."""


class Leases:
    """The claims that this process holds or watches in one folder; each is the file ``name.claim``.

    Args:
        folder: an existing folder; may lie on a shared file system.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._identity = _identity()
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    def claim(self, name: str, lease: float) -> bool:
        """Take the claim unless another holds it; True also if it is ours already. A claim lasts `lease` seconds.

        Raises:
            InputError: a lease that is not positive.
            OSError: the folder cannot be written.
        """
        positive("lease", lease)
        path = self._path(name)
        if self._create(path, lease):
            return True
        with exclusive(self._folder):
            if self._is_mine(path):
                os.utime(path)
                return True
            if self._is_stale(name, path, lease):
                path.unlink(missing_ok=True)  # nobody else may: whoever ends a claim holds the lock
            return self._create(path, lease)

    def renew(self, name: str) -> bool:
        """Begin the lease of our claim anew; False if it is no longer ours."""
        with exclusive(self._folder):
            mine = self._is_mine(self._path(name))
            if mine:
                os.utime(self._path(name))
            return mine

    def release(self, name: str) -> None:
        """Give our claim back; without effect if it is not ours."""
        with exclusive(self._folder):
            if self._is_mine(self._path(name)):
                self._path(name).unlink(missing_ok=True)

    @property
    def _me(self) -> dict[str, Any]:
        if self._identity["pid"] != os.getpid():  # a fork is somebody else
            self._identity = _identity()
        return self._identity

    def held(self) -> list[str]:
        """The names of the claims that are not known to be given up."""
        names = sorted(p.stem for p in self._folder.glob("*.claim"))
        return [n for n in names if not self._is_stale(n, self._path(n), _FORGOTTEN)]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.claim"

    def _create(self, path: Path, lease: float) -> bool:
        """Create the claim with its content in one step, unless there is one."""
        if path.exists():
            return False
        asides = self._folder / ASIDES
        asides.mkdir(exist_ok=True)
        aside = atomic.aside_name(asides / "commit", "tmp")  # a killed writer's is removed by the next commit
        try:
            aside.write_text(json.dumps(self._me | {"lease": lease, "time": time.time()}))
            return _link(aside, path)
        finally:
            atomic.remove(aside)

    def _is_mine(self, path: Path) -> bool:
        return _read(path).get("token") == self._me["token"]

    def _is_stale(self, name: str, path: Path, lease: float) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        holder = _read(path)
        lease = holder.get("lease", lease)
        here = holder.get("machine") == self._me["machine"]
        if here and not atomic.is_alive(holder["pid"]):
            return True
        if not here and self._now() - status.st_mtime > lease:
            return True
        return self._watched((status.st_ino, status.st_mtime_ns), name) > lease

    def _watched(self, identity: tuple[int, int], name: str) -> float:
        """Seconds of our steady clock since we first saw this claim in this state."""
        now = time.monotonic()
        before, since = self._seen.get(name, (None, now))
        if before != identity:
            since = now
        self._seen[name] = (identity, since)
        return now - since

    def _now(self) -> float:
        """The time by the clock that stamps the files, which on a shared file system is not ours."""
        probe = atomic.aside_name(self._folder / "clock", "tmp")
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:  # who only reads
            return time.time()
        finally:
            atomic.remove(probe)


@contextlib.contextmanager
def exclusive(folder: Path, index: int = 0) -> Iterator[None]:
    """One process and thread at a time, of all that ask for this folder and index; a killed holder lets go.

    By a POSIX record lock on the file ``.lock``; where there is none, only the threads of this process wait.
    """
    with _THREADS, (folder / ".lock").open("ab") as file:
        _lock(file.fileno(), index)
        yield  # closing the file lets go


def _lock(descriptor: int, index: int) -> None:
    try:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, index)
    except (ImportError, OSError):  # no such locks here: a race costs computing twice, see above
        return


def _link(aside: Path, path: Path) -> bool:
    """Give a file a second name that must be new; False if it is not."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as error:  # a file system without such links; killed in between, the claim is empty
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        try:
            with path.open("xb") as file:
                file.write(aside.read_bytes())
        except FileExistsError:
            return False
    return True


def _read(path: Path) -> dict[str, Any]:
    """What a claim says; empty if it is gone, or its writer was killed before it wrote."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    known = {"pid": int, "machine": str, "token": str, "lease": int | float}
    is_whole = isinstance(content, dict) and all(isinstance(content.get(n), kind) for n, kind in known.items())
    return content if is_whole else {}


def _identity() -> dict[str, Any]:
    return {"pid": os.getpid(), "machine": _machine(), "token": os.urandom(8).hex()}


def _machine() -> str:
    """Host, boot and process namespace: within one, a pid says who lives."""
    parts = [atomic.host()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
