"""Where data files are looked for, how they are checked, and how they are downloaded. No JAX here.

The data directory is the argument `data_dir` where one is given, else the environment variable
``PRECIPICE_DATA``, else a cache folder of the user. Under it lie ``cifar-10-batches-bin/*.bin`` and
``mnist/*.gz``, byte-identical to the official releases.

Loading downloads only into the user's cache. In a directory that was named, by argument or variable, a
missing file is an error that says which command gets it: someone who names a directory expects to find what
is in it.
"""

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pooch

from precipice._checks import InputError, one_of
from precipice.problems.data.releases import RELEASES, Release

VARIABLE = "PRECIPICE_DATA"
"""The environment variable that names the data directory."""

DataDir = str | os.PathLike[str] | None


class Found(NamedTuple):
    """Which files of a release are in `folder`: those present by name, and of these the ones known to be wrong."""

    folder: Path
    present: tuple[str, ...]
    missing: tuple[str, ...]
    wrong: tuple[str, ...] = ()


def found(data_dir: DataDir = None, *, md5: bool = False) -> dict[str, Found]:
    """For each known release: the folder where it is looked for, and the files present and missing there.

    Args:
        data_dir: the data directory; by default ``PRECIPICE_DATA``, else the user's cache.
        md5: also read the files and say whose md5 is wrong (0.4 s for all); without it, by name only, as loading
            checks them anyway.
    """
    return {name: _survey(release, data_root(data_dir), md5) for name, release in RELEASES.items()}


def fetch(
    name: str,
    data_dir: DataDir = None,
    *,
    progress: bool = True,
    releases: Mapping[str, Release] = RELEASES,
) -> Path:
    """Download the official files of a data set, unless they are all there and whole.

    This is what `precipice fetch` runs. A file appears whole and with the right md5, or not at all. CIFAR-10
    moves 170 MB and leaves 184 MB, MNIST 12 MB.

    Args:
        name: "cifar10" or "mnist".
        data_dir: where to put them; by default ``PRECIPICE_DATA``, else the user's cache.
        progress: show a progress bar on standard error.
        releases: the releases known, by name; other than the default only in tests.

    Returns:
        The folder that holds the files.

    Raises:
        InputError: an unknown name, or a download that failed, with the reason.
    """
    one_of("data set", name, releases)
    release, root = releases[name], data_root(data_dir)
    target = root / release.folder
    if all(_md5_if_present(target / file) == md5 for file, md5 in release.checksums.items()):
        return target
    downloader = pooch.HTTPDownloader(progressbar=progress)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as scratch:
            for path in _download(release, Path(scratch), downloader):
                path.chmod(0o644)
                os.replace(path, target / path.name)
    except (OSError, ValueError, tarfile.TarError) as error:
        if (response := getattr(error, "response", None)) is not None:
            response.close()  # pooch leaves the connection of a refused request open
        raise InputError(
            f"{release.title} could not be downloaded from {release.url} into {target} ({_reason(error)}); "
            f"where there is a network, `{command(release, data_dir)}` gets it."
        ) from error
    return target


def locate(release: Release, file: str, data_dir: DataDir = None) -> Path:
    """The path of one official file, its md5 checked (50 ms for the 30 MB of a CIFAR-10 batch).

    Where it is missing from the user's cache, the whole release is downloaded there first.

    Raises:
        InputError: missing from a named directory, a failed download, or a wrong md5.
    """
    path = data_root(data_dir) / release.folder / file
    if not path.is_file():
        if _is_named(data_dir):
            raise InputError(
                f"{release.title} needs the file {release.folder}/{file}, which is not in the data directory "
                f"{data_root(data_dir)}; `{command(release, data_dir)}` downloads it there."
            )
        fetch(release.name, releases={release.name: release})
    got, expected = _md5_if_present(path), release.checksums[file]
    if got != expected:
        raise InputError(
            f"{path} must have the official md5 {expected}; got {got}; `{command(release, data_dir)}` replaces it."
        )
    return path


def command(release: Release, data_dir: DataDir = None) -> str:
    """The command that gets `release` into the directory that `data_dir` chooses."""
    return f"precipice fetch {release.name}" + (f" --data-dir {os.fspath(data_dir)}" if data_dir else "")


def _is_named(data_dir: DataDir) -> bool:
    return bool(data_dir or os.environ.get(VARIABLE))


def data_root(data_dir: DataDir) -> Path:
    """The data directory that `data_dir` chooses."""
    return Path(data_dir or os.environ.get(VARIABLE) or pooch.os_cache("precipice")).expanduser()


def _survey(release: Release, root: Path, md5: bool) -> Found:
    folder = root / release.folder
    present = tuple(file for file in release.checksums if (folder / file).is_file())
    missing = tuple(file for file in release.checksums if file not in present)
    wrong = tuple(file for file in present if md5 and _md5_if_present(folder / file) != release.checksums[file])
    return Found(folder, present, missing, wrong)


def _md5_if_present(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(release: Release, scratch: Path, downloader: Any) -> list[Path]:
    """Every file of the release, in `scratch`, with the right md5."""
    wanted = dict([release.archive]) if release.archive else release.checksums
    for name, md5 in wanted.items():
        pooch.retrieve(release.url + name, f"md5:{md5}", fname=name, path=scratch, downloader=downloader)
    if release.archive is None:
        return [scratch / name for name in release.checksums]
    with tarfile.open(scratch / release.archive[0]) as tar:
        tar.extractall(scratch, filter="data")
    paths = [scratch / release.folder / file for file in release.checksums]
    for path in paths:
        got, expected = _md5_if_present(path), release.checksums[path.name]
        if got != expected:
            raise ValueError(f"{path.name} in the archive must have md5 {expected}; got {got}")
    return paths


def _reason(error: Exception) -> str:
    """A few words: the libraries' own messages run over lines and hold nested reprs."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    if type(error) is ValueError:  # pooch's, and our own, on a file that is not the official one
        return "wrong md5"
    return getattr(error, "strerror", None) or type(error).__name__
