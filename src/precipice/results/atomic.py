"""Writing so that a killed process leaves the old content or the new: write aside, sync, rename."""

import errno
import hashlib
import os
import re
import time
from pathlib import Path

from precipice._checks import InputError
from precipice.results.errors import WriteError

_DAY = 86_400.0


def write_bytes(path: str | os.PathLike, data: bytes | bytearray | memoryview) -> None:
    """Write `data` to the file `path` in one step: a reader sees the old content or the new, whole.

    The data go to a hidden file beside the target, are synced to disk and renamed over it. Such files of
    writers that were killed are removed. The folder is created if need be.

    Raises:
        WriteError: the file could not be written (no permission, disk full); the old content is untouched.
    """
    target = Path(os.path.realpath(path))
    aside = aside_name(target, "tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        write_synced(aside, data)
        os.replace(aside, target)
        sync_directory(target.parent)
    except OSError as error:
        raise WriteError(f"File '{path}' could not be written: {reason(error)}; what was there is kept.") from error
    finally:
        remove(aside)


def check_writable(folder: str | os.PathLike) -> None:
    """Make sure that results can be written to `folder`, before any work is done for them.

    Creates the folder, and a file in it that is removed at once.

    Raises:
        InputError: the folder cannot be created or written.
    """
    aside = aside_name(Path(folder) / "writable", "tmp")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        aside.write_bytes(b"precipice")
        aside.unlink()
    except OSError as error:
        raise InputError(f"Output folder '{folder}' must be writable; got: {reason(error)}.") from error


def reason(error: OSError) -> str:
    """The operating system's words for an error, without a path."""
    return os.strerror(error.errno) if error.errno else str(error)


def write_synced(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write a new file and wait until the disk holds it."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(folder: Path) -> None:
    """Wait until the disk holds the names in `folder`; without effect where directories cannot be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def aside_name(target: Path, kind: str) -> Path:
    """A new hidden name beside `target` that says who uses it: ``.name.kind-pid-host-random``."""
    return target.with_name(f".{target.name}.{kind}-{os.getpid()}-{host()}-{os.urandom(4).hex()}")


def asides(target: Path, kind: str) -> list[Path]:
    """The hidden names of this kind beside `target`, those of living and of dead writers."""
    form = re.compile(rf"\.{re.escape(target.name)}\.{kind}-\d+-[0-9a-f]{{8}}-[0-9a-f]{{8}}")
    try:
        names = os.listdir(target.parent)
    except OSError:
        return []
    return sorted(target.with_name(name) for name in names if form.fullmatch(name))


def is_abandoned(aside: Path) -> bool:
    """Whether the writer of a hidden name is dead: no such process on this host; of another host, no change for a day.

    Here the clock has no say: when it jumps by a day, those who write live on.
    """
    pid, where, _ = aside.name.rsplit("-", 3)[1:]
    if where == host():
        return not is_alive(int(pid))
    try:
        return time.time() - aside.lstat().st_ctime > _DAY
    except OSError:
        return False


def remove_leftovers(target: Path) -> None:
    """Remove what dead writers left beside `target`; what cannot be removed stays."""
    for aside in asides(target, "tmp") + (asides(target, "old") if os.path.lexists(target) else []):
        if is_abandoned(aside):
            remove(aside)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, as far as that is allowed."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink()
    except OSError:
        return


def host() -> str:
    """This machine, in 8 hex digits."""
    import socket

    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs; True where that cannot be asked."""
    if os.name != "posix":  # there, signal 0 is no harmless question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
