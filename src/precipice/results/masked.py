"""A store of cells as Zarr sees it: chunks of blocks that are not done are absent, damaged ones an error by name."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.buffer.cpu import Buffer
from zarr.storage import MemoryStore, WrapperStore

from precipice.results.cell_files import block_name, checked_chunk

if TYPE_CHECKING:
    import xarray
    from zarr.core.buffer import BufferPrototype


class DoneBlocks(WrapperStore[MemoryStore]):
    """The sealed files from memory, the chunks of done blocks from the folder, each checked as it is read.

    Args:
        store: the sealed files.
        folder: of the store of cells.
        done: names of the blocks whose chunks count.
        arrays: names of the arrays that have a chunk a block.
        num_axes: axes of the grid.
        shown: the store's name in errors.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        folder: Path,
        done: frozenset[str],
        arrays: frozenset[str],
        num_axes: int,
        shown: str,
    ):
        self._store = store
        self._more: dict[str, Any] = {"folder": folder, "done": done, "arrays": arrays}
        self._more |= {"num_axes": num_axes, "shown": shown}

    async def get(self, key: str, prototype: "BufferPrototype", byte_range: Any = None) -> Any:
        """The file `key`; None for a chunk of a block that is not done."""
        name, _, chunk = key.partition("/")
        if name not in self._more["arrays"] or not chunk.startswith("c.") or byte_range is not None:
            return await self._store.get(key, prototype, byte_range)
        block = tuple(map(int, chunk.split(".")[1 : 1 + self._more["num_axes"]]))
        if block_name(block) not in self._more["done"]:
            return None
        data = await asyncio.to_thread(checked_chunk, self._more["folder"], key, self._more["shown"], block)
        return prototype.buffer.from_bytes(data)

    def _with_store(self, store: MemoryStore) -> "DoneBlocks":
        return DoneBlocks(store, **self._more)


def memory(files: Mapping[str, bytes], *, read_only: bool) -> tuple[MemoryStore, dict[str, Any]]:
    """The files as a Zarr store in memory, and the dictionary behind it."""
    buffers: dict[str, Any] = {name: Buffer.from_bytes(data) for name, data in files.items()}
    return MemoryStore(buffers, read_only=read_only), buffers


def open_lazily(store: DoneBlocks) -> "xarray.Dataset":
    """The arrays as they are, read from disk as they are used."""
    import xarray

    return xarray.open_zarr(
        store,
        consolidated=False,
        zarr_format=3,
        chunks=None,
        mask_and_scale=False,
        decode_times=False,
        decode_timedelta=False,
    )
