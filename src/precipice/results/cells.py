"""A store of cells: a grid of runs on disk, committed block by block, that many processes may fill at once.

The folder is a Zarr 3 group: any Zarr reader opens it (``xarray.open_zarr(path, consolidated=False)``), and
`CellStore.dataset` does so with what it cannot know: blocks that are not marked done are missing, whatever lies
in the arrays, and a damaged chunk is refused by name. How it lies on disk: `cell_files.py`; claims: `leases.py`.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice._checks import InputError
from precipice.results import cell_files, swap
from precipice.results.atomic import reason
from precipice.results.attributes import canonical_json, plain
from precipice.results.cell_checks import check_version, checked_messages, checked_values
from precipice.results.checksums import ATTRIBUTES, FILES, root_attributes, sealed_files
from precipice.results.errors import StoreError, WriteError
from precipice.results.layout import STATUS, Block, Layout, difference
from precipice.results.leases import Leases
from precipice.results.provenance import parameters_key

if TYPE_CHECKING:
    import xarray

    from precipice.results.masked import DoneBlocks


def create_cells(path: str | os.PathLike, layout: Layout, attrs: Mapping[str, Any] | None = None) -> "CellStore":
    """The store of cells at `path`: a new one, in one step, or the one that is there if its layout is the same.

    Args:
        path: of the folder; its parent is created if need be.
        layout: axes, blocks, variables and key.
        attrs: of a new store, see `provenance`. They say who made it; they are not compared.

    Raises:
        InputError: the folder holds another study, another key of it, or something else.
        StoreError: the store that is there is damaged or of another version.
        WriteError: the disk refused.

    Example:
        >>> import tempfile
        >>> from precipice.results.layout import CellVariable
        >>> loss = CellVariable("loss", (), "float64", "1", "Final loss.", "definition")
        >>> layout = Layout({"lr": [0.1, 0.2, 0.3]}, {"lr": 2}, (loss,), {}, {"study": "demo"})
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = create_cells(folder.name + "/demo", layout)
        >>> store.claim((0,)), store.commit((0,), {"loss": np.ones(2)}, np.full(2, 2, np.int8))
        (True, True)
        >>> store.dataset()["loss"].values
        array([ 1.,  1., nan])
        >>> folder.cleanup()
    """
    target = Path(os.path.realpath(path))
    if not _is_occupied(target):
        names = {"study": layout.key["study"], "key": canonical_json("key", dict(layout.key))}
        names |= {"key_sha256": parameters_key(layout.key)}
        files = cell_files.static_files(layout, plain(attrs or {}) | names)
        try:
            swap.write_folder(target, files, overwrite=False)
        except InputError:  # another process was faster
            pass
        except OSError as error:
            raise WriteError(f"Store '{path}' could not be created: {reason(error)}.") from error
    store = CellStore(path)
    other = difference(layout, store.layout)
    if other:
        raise InputError(f"Folder '{path}' must be empty or hold this study; it holds {other}.")
    return store


def _is_occupied(target: Path) -> bool:
    return os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir()))


class CellStore:
    """The store of cells at `path`, opened; every method sees what other processes have done since.

    Cost: some 20 small files, whatever the number of cells.

    Args:
        path: of the folder.

    Raises:
        StoreError: there is no store of cells, its description is damaged, or it is of another version.
    """

    def __init__(self, path: str | os.PathLike):
        self._shown, self._folder = str(path), Path(os.path.realpath(path))
        self._birth = cell_files.birth(self._folder)
        attributes = root_attributes(self._folder, self._shown)
        check_version(attributes.get(cell_files.VERSION), self._shown)
        self._files = sealed_files(self._folder, self._shown, growing=True)
        self._layout = Layout.from_json(attributes[cell_files.LAYOUT])
        self._leases = Leases(self._folder / cell_files.BLOCKS)
        self._arrays: tuple[Any, dict[str, Any]] | None = None

    @property
    def path(self) -> Path:
        """Of the folder, absolute."""
        return self._folder

    @property
    def layout(self) -> Layout:
        """Axes, blocks, variables and key."""
        return self._layout

    def blocks(self) -> list[Block]:
        """Every block, done or not, the last axis fastest."""
        return list(self._layout.blocks())

    def cells(self, block: Block) -> tuple[slice, ...]:
        """The cells of a block: a slice along each axis."""
        return self._layout.cells(block)

    def claim(self, block: Block, lease: float = 60.0) -> bool:
        """Claim a block to compute it; False if it is done, or another holds it who still lives.

        Renew the claim well within `lease` seconds. What ends a claim without its holder: `leases.py`.

        Raises:
            InputError: no such block, or a lease that is not positive.
            WriteError: the store cannot be written.
        """
        self.cells(block)
        name = cell_files.block_name(block)
        with self._writing():
            self._check_unchanged()
            mine = self._leases.claim(name, lease)
            if mine:
                cell_files.finish(self._folder, block, self._index(block), self._chunk_names(block))
            if mine and cell_files.is_done(self._folder, block):
                self._leases.release(name)
                return False
            return mine

    def renew(self, block: Block) -> bool:
        """Begin the lease of our claim anew; False if it was taken over."""
        with self._writing():
            return self._leases.renew(cell_files.block_name(block))

    def release(self, block: Block) -> None:
        """Give our claim back; without effect if it is not ours."""
        with self._writing():
            self._leases.release(cell_files.block_name(block))

    def claimed(self) -> list[str]:
        """The names (``0.3``) of the blocks that someone claims, as far as one can know."""
        return self._leases.held()

    def commit(
        self,
        block: Block,
        values: Mapping[str, Any],
        status: Any,
        messages: Mapping[tuple[int, ...], str] | None = None,
        *,
        replace: bool = False,
    ) -> bool:
        """Store a block for good and give back our claim; False if it was done before, and then nothing changes.

        When it returns the disk holds the block; killed before, the block is missing. No claim is needed.

        Args:
            block: which.
            values: every variable of the layout, [*block, *own], in its type.
            status: DONE, DIVERGED or FAILED, int8 [*block].
            messages: one line for each FAILED cell, by its index in the whole grid.
            replace: put it in the place of what was done before, as a retry of failed cells does; killed within
                the few milliseconds that this takes, the block is missing until someone claims it, who finishes.

        Cost: the same for any number of cells that are stored already: two syncs a variable.

        Raises:
            InputError: names, shapes, types, codes or messages that do not fit.
            WriteError: the disk refused; the block is missing, all others are kept.
            StoreError: the store was extended since it was opened.
        """
        arrays = checked_values(self._layout, block, values, status)
        said = checked_messages(self._layout, block, arrays[STATUS], messages or {})
        chunks = self._encoded(block, arrays)
        with self._writing():
            self._check_unchanged()
            index, marker = self._index(block), cell_files.marker_bytes(said)
            fresh = cell_files.commit(self._folder, block, index, chunks, marker, replace=replace)
            self._leases.release(cell_files.block_name(block))
        return fresh

    def done(self) -> set[Block]:
        """The blocks that are committed."""
        return {tuple(map(int, name.split("."))) for name in cell_files.done_names(self._folder)}

    def statuses(self) -> np.ndarray:
        """The `Status` of every cell, int8 [*axes]: MISSING in each block that is not done.

        Raises:
            StoreError: a block is damaged.
        """
        return self.dataset()[STATUS].to_numpy()

    def failures(self, blocks: Iterable[Block] | None = None) -> dict[tuple[int, ...], str]:
        """The message of every FAILED cell, by its index in the grid; of these done blocks only, where given.

        Raises:
            StoreError: a block is damaged.
        """
        found: dict[tuple[int, ...], str] = {}
        for block in sorted(self.done()) if blocks is None else blocks:
            found |= cell_files.messages(self._folder, block, self._shown)
        return found

    def dataset(self) -> "xarray.Dataset":
        """What is there now, read from disk as it is used: missing cells are NaN (-1 in integers), their status 0.

        Reading a damaged chunk raises a `StoreError` that names its block.
        """
        from precipice.results.masked import open_lazily

        ds = open_lazily(self._done_blocks())
        hidden = (FILES, ATTRIBUTES, cell_files.LAYOUT)
        ds.attrs = {name: value for name, value in ds.attrs.items() if name not in hidden}
        return ds

    def damaged(self) -> dict[Block, str]:
        """The blocks that are marked done and have a file that is missing, cut or altered, each with one sentence.

        Cost: one read of every file. A chunk put in the place of another of the same store is not noticed.
        """
        where = self._folder, self._layout, self._shown
        found = {block: cell_files.damage(*where, block) for block in sorted(self.done())}
        return {block: sentence for block, sentence in found.items() if sentence}

    def verify(self) -> None:
        """Check every file of every block that is done.

        Raises:
            StoreError: names the first damaged block, its file, and how many more there are.
        """
        found = list(self.damaged().values())
        if found:
            raise StoreError(found[0] + (f" {len(found) - 1} more blocks are damaged." if len(found) > 1 else ""))

    def forget(self, block: Block) -> None:
        """Make a block missing, so that it can be computed again."""
        self.cells(block)
        with self._writing():
            cell_files.forget(self._folder, block, self._index(block))

    def _encoded(self, block: Block, values: Mapping[str, np.ndarray]) -> dict[str, bytes]:
        """The chunks of a block as Zarr writes them."""
        import zarr

        from precipice.results.masked import memory

        if self._arrays is None:
            store, files = memory(self._files, read_only=False)
            with zarr.config.set({"array.write_empty_chunks": True}):  # a block of fill values has its files, too
                group = zarr.open_group(store, mode="r+", zarr_format=3)
                self._arrays = {name: group[name] for name in values}, files
        return cell_files.encode(*self._arrays, self._layout, block, values)

    def _done_blocks(self) -> "DoneBlocks":
        from precipice.results.masked import DoneBlocks, memory

        store, _ = memory(self._files, read_only=True)
        return DoneBlocks(
            store,
            folder=self._folder,
            done=frozenset(cell_files.done_names(self._folder)),
            arrays=frozenset(self._layout.num_own()),
            num_axes=len(self._layout.axes),
            shown=self._shown,
        )

    def _check_unchanged(self) -> None:
        if cell_files.birth(self._folder) != self._birth:
            raise StoreError(f"Store '{self._shown}' was extended by another process; open it again.")

    def _chunk_names(self, block: Block) -> list[str]:
        return [cell_files.chunk_name(name, block, own) for name, own in self._layout.num_own().items()]

    def _index(self, block: Block) -> int:
        return int(np.ravel_multi_index(block, self._layout.num_blocks))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WriteError(
                f"Store '{self._shown}' could not be written: {reason(error)}; what was committed is kept."
            ) from error
