"""The files of a store of cells: how it is born, how a block is committed to it, and how a damaged chunk is noticed.

A Zarr 3 group, one array a variable, one chunk a block (``name/c.0.3``), each chunk ending in a CRC32C. The group
``blocks`` holds a marker ``0.3.done`` for each committed block: every chunk of it is whole and on disk; if cells
failed, it holds their messages. Files that never change are sealed by checksums in the root (`checksums.py`).
"""

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice.results import atomic
from precipice.results.checksums import seal, sha256
from precipice.results.errors import StoreError
from precipice.results.layout import CELLS_VERSION, STATUS, Block, Layout
from precipice.results.leases import ASIDES, exclusive
from precipice.results.variable import Status
from precipice.results.vocabulary import DIMENSIONS, VARIABLES

if TYPE_CHECKING:
    import zarr

LAYOUT = "layout"
VERSION = "cells_version"
BLOCKS = "blocks"
_DONE = ".done"


def static_files(layout: Layout, attrs: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a store without any block, sealed."""
    import zarr
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    store = MemoryStore(files)
    own = {VERSION: CELLS_VERSION, LAYOUT: layout.to_json()}
    group = zarr.open_group(store, mode="w", zarr_format=3, attributes=dict(attrs) | own)
    _create_coordinates(group, layout)
    _create_variables(group, layout)
    meaning = {"meaning": "Markers (name.done), claims and messages of blocks; holds no array."}
    group.create_group(BLOCKS, attributes=meaning)
    return seal({name: buffer.to_bytes() for name, buffer in files.items()})


def _create_coordinates(group: "zarr.Group", layout: Layout) -> None:
    for name, values in (*layout.axes.items(), *layout.own.items()):
        array = np.asarray(values)
        found = DIMENSIONS.get(name) or VARIABLES.get(name)
        attrs = {"units": found.units, "meaning": found.meaning} if found else {}
        stored = _create(group, name, array.shape, array.shape, array.dtype, (name,), 0, attrs)
        stored[...] = array


def _create_variables(group: "zarr.Group", layout: Layout) -> None:
    for v in layout.variables:
        own = tuple(len(layout.own[dim]) for dim in v.dims)
        attrs = {"units": v.units, "long_name": v.name.replace("_", " "), "meaning": v.meaning}
        attrs |= {"reference": v.reference} | (_flags(v.codes) if v.codes else {})
        shapes = (layout.shape + own, layout.chunk_shape + own)
        _create(group, v.name, *shapes, np.dtype(v.dtype), (*layout.axes, *v.dims), v.fill, attrs)
    attrs = {"units": "1", "meaning": "What became of the cell.", "reference": "definition"}
    attrs |= _flags({code.name.lower(): int(code) for code in Status})
    _create(group, STATUS, layout.shape, layout.chunk_shape, np.dtype("int8"), tuple(layout.axes), 0, attrs)


def _flags(codes: Mapping[str, int]) -> dict[str, Any]:
    return {"flag_values": list(codes.values()), "flag_meanings": " ".join(codes)}


def _create(
    group: "zarr.Group",
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    dims: tuple[str, ...],
    fill: float,
    attrs: Mapping[str, Any],
) -> "zarr.Array":
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        compressors=(ZstdCodec(), Crc32cCodec()),
        dimension_names=dims,
        attributes=dict(attrs),
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},  # every number is in a file; none is implied by a fill value
    )


def block_name(block: Block) -> str:
    """The name of a block in files: ``0.3``."""
    return ".".join(map(str, block))


def chunk_name(variable: str, block: Block, num_own: int) -> str:
    """The file of a block of a variable with `num_own` own axes, relative to the store."""
    return f"{variable}/c.{block_name(block + (0,) * num_own)}"


def encode(
    arrays: Mapping[str, "zarr.Array"], files: dict[str, Any], layout: Layout, block: Block, values: Mapping[str, Any]
) -> dict[str, bytes]:
    """The chunks of a block by file name, status last; `files` is the memory behind `arrays`."""
    cells, chunks = layout.cells(block), {}
    for name, own in layout.num_own().items():
        arrays[name][cells] = values[name]
        file = chunk_name(name, block, own)
        chunks[file] = files.pop(file).to_bytes()
    return chunks


def commit(
    folder: Path, block: Block, index: int, chunks: Mapping[str, bytes], marker: bytes, *, replace: bool
) -> bool:
    """Put the chunks of a block in place and mark it done; False if it was done before, unless it is to be replaced.

    All is written aside and synced. Then, one process at a time for each block, the files take their names,
    status last, and the marker follows: no mixture of two writers is ever marked. What replaces a block has a name
    of its own until it is in place, so that `finish` finds it if we are killed.

    Raises:
        OSError: it could not be written; the block is not done.
    """
    asides = folder / BLOCKS / ASIDES
    asides.mkdir(exist_ok=True)
    atomic.remove_leftovers(asides / "commit")
    aside = atomic.aside_name(asides / "commit", "tmp")
    aside.mkdir()
    try:
        contents = (*chunks.values(), marker)
        _together(atomic.write_synced, [aside / str(i) for i in range(len(contents))], contents)
        with exclusive(folder / BLOCKS, 1 + index):
            _finish(folder, block, list(chunks))
            if not is_done(folder, block):
                _put_in_place(folder, aside, list(chunks), _marker(folder, block))
            elif replace:
                os.replace(aside, _replacement(folder, block))
                atomic.sync_directory(asides)
                _finish(folder, block, list(chunks))
            else:
                return False
        return True
    finally:
        atomic.remove(aside)


def _put_in_place(folder: Path, aside: Path, names: Sequence[str], marker: Path, *, begun: bool = False) -> None:
    for i, name in enumerate(names):
        if not begun or (aside / str(i)).exists():  # else it has moved before its writer was killed
            os.replace(aside / str(i), folder / name)
    _together(atomic.sync_directory, sorted({(folder / name).parent for name in names}))
    os.replace(aside / str(len(names)), marker)
    atomic.sync_directory(marker.parent)


def finish(folder: Path, block: Block, index: int, names: Sequence[str]) -> None:
    """Put a block's replacement in place whose writer was killed before it was; `names` as `encode` orders them."""
    if _replacement(folder, block).exists():
        with exclusive(folder / BLOCKS, 1 + index):
            _finish(folder, block, names)


def _finish(folder: Path, block: Block, names: Sequence[str]) -> None:
    aside = _replacement(folder, block)
    if (aside / str(len(names))).exists():  # the marker, which moves last
        _unmark(folder, block)
        _put_in_place(folder, aside, names, _marker(folder, block), begun=True)
    atomic.remove(aside)


def _together(write: Callable[..., None], *args: Sequence[Any]) -> None:
    """Call `write` in threads: syncs that wait side by side share one commit of the file system's journal.

    The threads are new each time, for those of a pool would not survive a fork.
    """
    with ThreadPoolExecutor(min(16, len(args[0]))) as pool:
        list(pool.map(write, *args))


def forget(folder: Path, block: Block, index: int) -> None:
    """Take the marker of a block away: it is missing from now on."""
    with exclusive(folder / BLOCKS, 1 + index):
        aside = atomic.aside_name(folder / BLOCKS / ASIDES / "commit", "tmp")
        with contextlib.suppress(FileNotFoundError):  # away in one step, lest the rest be taken for half in place
            os.replace(_replacement(folder, block), aside)
        atomic.remove(aside)
        _unmark(folder, block)


def _replacement(folder: Path, block: Block) -> Path:
    """Where the files lie that are to replace a block, whole and on disk, until they are in place."""
    return folder / BLOCKS / ASIDES / f"{block_name(block)}.replacement"


def _unmark(folder: Path, block: Block) -> None:
    _marker(folder, block).unlink(missing_ok=True)
    atomic.sync_directory(folder / BLOCKS)


def is_done(folder: Path, block: Block) -> bool:
    """Whether a block is marked done."""
    return _marker(folder, block).exists()


def done_names(folder: Path) -> list[str]:
    """The names of the blocks that are marked done."""
    with os.scandir(folder / BLOCKS) as entries:
        return [e.name.removesuffix(_DONE) for e in entries if e.name.endswith(_DONE) and e.name[0] != "."]


def marker_bytes(messages: Mapping[tuple[int, ...], str]) -> bytes:
    """What a marker holds: nothing, or a checksum and the messages."""
    if not messages:
        return b""
    text = json.dumps([[list(cell), message] for cell, message in sorted(messages.items())]).encode()
    return sha256(text).encode() + b"\n" + text


def messages(folder: Path, block: Block, shown: str) -> dict[tuple[int, ...], str]:
    """The messages in the marker of a block, by cell.

    Raises:
        StoreError: it is not what was written.
    """
    digest, _, text = checked_read(_marker(folder, block), shown, block).partition(b"\n")
    if not digest:
        return {}
    if digest.decode(errors="replace") != sha256(text):
        raise damaged(shown, f"{BLOCKS}/{block_name(block)}{_DONE}", "does not match its checksum", block)
    return {tuple(cell): message for cell, message in json.loads(text)}


def damage(folder: Path, layout: Layout, shown: str, block: Block) -> str:
    """What is wrong with the files of a block that is done, in one sentence; empty if nothing is."""
    try:
        for name, own in layout.num_own().items():
            checked_chunk(folder, chunk_name(name, block, own), shown, block)
        messages(folder, block, shown)
    except StoreError as error:
        return str(error)
    return ""


def checked_chunk(folder: Path, name: str, shown: str, block: Block) -> bytes:
    """The bytes of a chunk that must be there, its CRC32C checked.

    Raises:
        StoreError: it is missing, cut or altered.
    """
    import google_crc32c

    data = checked_read(folder / name, shown, block)
    if len(data) < 4 or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise damaged(shown, name, "is cut short or altered (its CRC32C does not fit)", block)
    return data


def checked_read(path: Path, shown: str, block: Block) -> bytes:
    """The bytes of a file of a block that is done."""
    name = f"{path.parent.name}/{path.name}"
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise damaged(shown, name, "is missing", block) from error
    except OSError as error:
        raise damaged(shown, name, f"cannot be read ({atomic.reason(error)})", block) from error


def damaged(shown: str, name: str, what: str, block: Block) -> StoreError:
    """The error for a file of a block."""
    return StoreError(
        f"Store '{shown}' is damaged in block {block_name(block)}: its file '{name}' {what}; forget the block and "
        f"compute it again (precipice study --repair)."
    )


def _marker(folder: Path, block: Block) -> Path:
    return folder / BLOCKS / f"{block_name(block)}{_DONE}"


def birth(folder: Path) -> tuple[int, int] | None:
    """What tells a store from another that took its place."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
