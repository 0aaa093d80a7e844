"""A whole folder put in place of another in one step, and what to read if a writer was killed in between.

On Linux one system call exchanges the two folders, so that the target is never absent. Elsewhere two renames
do: the old folder goes to a hidden name beside the target, then the new one takes the target's name. A
process killed between the two leaves no target, only the old folder, which `place` finds and puts back.
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from precipice._checks import InputError
from precipice.results import atomic

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_folder(target: Path, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Make `target` a folder of exactly these files, in one step and synced to disk.

    Args:
        target: absolute path, links resolved; what is there is replaced whole.
        files: content by path relative to the folder, with forward slashes.
        overwrite: whether a folder that holds something may be replaced.

    Raises:
        OSError: it could not be written; what was there is kept.
        InputError: there is a folder and `overwrite` is false.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place(target)
    atomic.remove_leftovers(target)
    aside = atomic.aside_name(target, "tmp")
    try:
        _write_files(aside, files)
        swap_in(aside, target, overwrite=overwrite)
        atomic.sync_directory(target.parent)
    finally:
        atomic.remove(aside)


def place(target: Path) -> Path:
    """Where the content of `target` is: there, or in the old folder of a writer between two renames.

    If that writer is dead the old folder is put back first.
    """
    asides = [] if os.path.lexists(target) else atomic.asides(target, "old")
    if not asides or os.path.lexists(target):
        return target
    old = max(asides, key=_changed)
    if atomic.is_abandoned(old):
        try:
            os.rename(old, target)
        except OSError:  # a folder that may only be read, or another process was faster
            return target if os.path.lexists(target) else old
        return target
    return old


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folders = {folder}
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.update(p for p in path.parents if folder in p.parents)
        atomic.write_synced(path, data)
    for each in folders:
        atomic.sync_directory(each)


def swap_in(aside: Path, target: Path, *, overwrite: bool) -> None:
    """Give `aside` the name `target`; afterwards `aside` names the old content, if there was any."""
    try:
        os.rename(aside, target)  # enough where there is no target, or an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    if not overwrite:
        raise InputError(f"Store '{target}' must not exist when overwrite is off; it does.")
    if not _exchange(aside, target):
        _two_renames(aside, target)


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0


def _two_renames(aside: Path, target: Path) -> None:
    old = atomic.aside_name(target, "old")
    os.rename(target, old)
    try:
        os.rename(aside, target)
    except OSError:
        os.rename(old, target)
        raise
    os.rename(old, aside)  # no longer something to go back to


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0
