"""A store of cells with longer axes: what is done is kept, what is new is missing."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from precipice._checks import InputError
from precipice.results import atomic, swap
from precipice.results.atomic import reason
from precipice.results.cells import CellStore, create_cells
from precipice.results.errors import WriteError
from precipice.results.layout import STATUS, Block, Layout, difference
from precipice.results.variable import Status

if TYPE_CHECKING:
    import xarray


class Held(NamedTuple):
    """A block of the new layout of which some cells are done.

    Args:
        values: by name, [*block, *own]; fill values where a cell is missing.
        status: of each cell, int8 [*block]; MISSING where it is to be computed.
        messages: of failed cells, by their index in the new grid.
    """

    values: dict[str, np.ndarray]
    status: np.ndarray
    messages: dict[tuple[int, ...], str]


Complete = Callable[[Block, Held], Held]
"""Gives a block without missing cells, those that are held as they are."""


def extend_cells(path: str | os.PathLike, layout: Layout, complete: Complete | None = None) -> CellStore:
    """Give the store at `path` a layout that differs in values added to axes, anywhere; in one step.

    Every block of the new layout whose cells are all done is carried over, messages too. A block at a former edge
    that gains cells is handed to `complete` with the cells that it has; without it the block is missing as a whole.
    The store is as it was until all is carried over and completed. A process that has the old store open is refused
    when it next claims or commits.

    Cost: one commit for each block carried over, and the store twice on disk meanwhile.

    Raises:
        InputError: another change than added values, or blocks that are being computed.
        StoreError: the store is damaged or of another version; nothing is changed.
        WriteError: the disk refused; nothing is changed.
    """
    old = CellStore(path)
    if not difference(layout, old.layout):
        return old
    _check(str(path), old, layout)
    target = Path(os.path.realpath(path))
    atomic.remove_leftovers(target)
    aside = atomic.aside_name(target, "tmp")
    try:
        _carry_over(old, create_cells(aside, layout, old.dataset().attrs), complete)
        swap.swap_in(aside, target, overwrite=True)
        atomic.sync_directory(target.parent)
    except OSError as error:
        raise WriteError(f"Store '{path}' could not be extended: {reason(error)}; it is as it was.") from error
    finally:
        atomic.remove(aside)
    return CellStore(path)


def _check(shown: str, old: CellStore, layout: Layout) -> None:
    same_axes = Layout(old.layout.axes, layout.chunk, layout.variables, layout.own, layout.key, layout.version)
    other = difference(same_axes, old.layout)
    if list(layout.axes) != list(old.layout.axes):
        other = f"axes {list(old.layout.axes)}, not {list(layout.axes)}"
    if other:
        raise InputError(f"Store '{shown}' can only be extended by values of its axes; it holds {other}.")
    for name, values in old.layout.axes.items():
        lost = [v for v in values if v not in set(layout.axes[name])]
        if lost:
            raise InputError(f"Axis {name!r} of store '{shown}' must keep its values when extended; {lost[0]} is gone.")
    busy = old.claimed()
    if busy:
        raise InputError(f"Store '{shown}' must not be extended while blocks are computed; {len(busy)} are claimed.")


def _carry_over(old: CellStore, new: CellStore, complete: Complete | None) -> None:
    ds, statuses, failures = old.dataset(), old.statuses(), old.failures()
    index = {name: {v: i for i, v in enumerate(values)} for name, values in old.layout.axes.items()}
    for block in new.blocks():
        there = _places(new, block, index)
        held = _held(new, block, there, ds, statuses, failures)
        if complete is not None and (held.status == Status.MISSING).any() and held.status.any():
            held = complete(block, held)
        if (held.status != Status.MISSING).all():
            new.commit(block, held.values, held.status, held.messages)


def _places(new: CellStore, block: Block, index: Mapping[str, Mapping[Any, int]]) -> dict[str, list[int]]:
    """Where the cells of a block lie in the old store, along each axis; -1 for values that it does not have."""
    axes = zip(new.layout.axes.items(), new.cells(block), strict=True)
    return {name: [index[name].get(v, -1) for v in values[s]] for (name, values), s in axes}


def _held(
    new: CellStore,
    block: Block,
    there: Mapping[str, list[int]],
    ds: "xarray.Dataset",
    statuses: np.ndarray,
    failures: Mapping[tuple[int, ...], str],
) -> Held:
    """What the old store has of a block."""
    layout, shape = new.layout, new.layout.block_shape(block)
    own = {v.name: tuple(len(layout.own[dim]) for dim in v.dims) for v in layout.variables}
    status = np.zeros(shape, np.int8)
    values = {v.name: np.full((*shape, *own[v.name]), v.fill, v.dtype) for v in layout.variables}
    source = {name: [place for place in places if place >= 0] for name, places in there.items()}
    target = np.ix_(*([i for i, place in enumerate(places) if place >= 0] for places in there.values()))
    if all(source.values()) and statuses[np.ix_(*source.values())].any():
        part = ds.isel(source).load()
        status[target] = part[STATUS].to_numpy()
        for name, array in values.items():
            array[target] = part[name].to_numpy()
    return Held(values, status, _moved(new, block, there, failures))


def _moved(
    new: CellStore, block: Block, there: Mapping[str, list[int]], failures: Mapping[tuple[int, ...], str]
) -> dict[tuple[int, ...], str]:
    """The messages of a block under its new indices."""
    grid = np.stack(np.meshgrid(*there.values(), indexing="ij"), axis=-1)
    start = np.array([s.start for s in new.cells(block)])
    found = {}
    for offset in np.ndindex(grid.shape[:-1]):
        message = failures.get(tuple(grid[offset].tolist()))
        if message is not None:
            found[tuple((start + offset).tolist())] = message
    return found
