"""A store's files sealed by checksums, so that a lost, cut or altered file is noticed.

The root ``zarr.json`` holds, among its attributes, the SHA-256 of every other file, and a checksum of itself:
the SHA-256 of its own bytes with the 64 digits of that checksum set to zero.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from precipice.results.atomic import reason
from precipice.results.errors import StoreError

STORE_VERSION = 1
"""Version of the layout that this precipice writes and reads."""

VERSION = "store_version"
FILES = "precipice_checksums"
ATTRIBUTES = "precipice_attributes_checksum"

_ROOT = "zarr.json"
_ZERO = "0" * 64
_RERUN = "rerun the command that writes it"


def seal(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with version and checksums in the attributes of the root ``zarr.json``."""
    root = json.loads(files[_ROOT])
    rest = {name: data for name, data in sorted(files.items()) if name != _ROOT}
    own = {
        VERSION: STORE_VERSION,
        FILES: {name: sha256(data) for name, data in rest.items()},
        ATTRIBUTES: _ZERO,
    }
    root["attributes"] = root.get("attributes", {}) | own
    text = json.dumps(root, indent=2, allow_nan=False).encode()
    return rest | {_ROOT: text.replace(_own_line(_ZERO), _own_line(sha256(text)))}


def root_attributes(folder: Path, shown: str) -> dict[str, Any]:
    """The attributes in the root ``zarr.json``, unchecked: to ask of which kind and version a store is.

    Raises:
        StoreError: there is no store.
    """
    return _attributes(_root_bytes(folder, shown), shown)


def sealed_files(folder: Path, shown: str, *, growing: bool = False) -> dict[str, bytes]:
    """The content of every file of the store at `folder`, each checked; `shown` names the store in errors.

    Files whose names begin with a dot (as file managers and network file systems leave them) do not count, nor
    do files beside the sealed ones in a store that is `growing`.

    Cost: one read and one SHA-256 of every file, about 1 s for 1 GB.

    Raises:
        StoreError: there is no store, it is of another version, or a file is missing, altered or too many.
    """
    raw = _root_bytes(folder, shown)
    attributes = _attributes(raw, shown)
    _check_version(attributes, shown)
    if not _is_own_checksum(attributes, raw):
        raise _damaged(shown, _ROOT, "does not match its checksum")
    expected: dict[str, str] = attributes[FILES]
    present = set() if growing else _listing(folder)
    for name in sorted(present - set(expected) - {_ROOT}):
        raise _damaged(shown, name, "is not part of it")
    return {name: _checked(folder, name, digest, shown) for name, digest in expected.items()} | {_ROOT: raw}


def _root_bytes(folder: Path, shown: str) -> bytes:
    try:
        return (folder / _ROOT).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"Store '{shown}' {_what_is_there(folder)}; {_RERUN}.") from error
    except OSError as error:
        raise _damaged(shown, _ROOT, f"cannot be read ({reason(error)})") from error


def _what_is_there(folder: Path) -> str:
    if not os.path.lexists(folder):
        return "does not exist"
    if not folder.is_dir():
        return "must be a folder, but is a file"
    if not any(folder.iterdir()):
        return "is an empty folder"
    return f"is no store of precipice or is damaged: it has no file '{_ROOT}'"


def _attributes(raw: bytes, shown: str) -> dict[str, Any]:
    try:
        attributes = json.loads(raw)["attributes"]
        if {VERSION, FILES, ATTRIBUTES} & set(attributes):
            return attributes
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError(f"Store '{shown}' is no store of precipice, or its file '{_ROOT}' is damaged; {_RERUN}.")


def _check_version(attributes: Mapping[str, Any], shown: str) -> None:
    version = attributes.get(VERSION)
    if isinstance(version, int) and version != STORE_VERSION:
        age, way_out = ("a newer", "update precipice") if version > STORE_VERSION else ("an older", _RERUN)
        raise StoreError(
            f"Store '{shown}' was written by {age} precipice (store version {version}; this one reads "
            f"{STORE_VERSION}); {way_out}."
        )


def _is_own_checksum(attributes: Mapping[str, Any], raw: bytes) -> bool:
    digest = attributes.get(ATTRIBUTES)
    return isinstance(digest, str) and digest == sha256(raw.replace(_own_line(digest), _own_line(_ZERO)))


def _checked(folder: Path, name: str, digest: str, shown: str) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise _damaged(shown, name, "is missing") from error
    except OSError as error:
        raise _damaged(shown, name, f"cannot be read ({reason(error)})") from error
    if sha256(data) != digest:
        raise _damaged(shown, name, "does not match its checksum")
    return data


def _listing(folder: Path) -> set[str]:
    return {
        Path(parent, name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    }


def _damaged(shown: str, name: str, what: str) -> StoreError:
    return StoreError(f"Store '{shown}' is damaged: its file '{name}' {what}; {_RERUN}.")


def _own_line(digest: str) -> bytes:
    return f'"{ATTRIBUTES}": "{digest}"'.encode()


def sha256(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()
