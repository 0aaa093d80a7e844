"""A store of cells with longer axes: what is done is kept, what is new is missing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from precipice._checks import InputError
from precipice.results import atomic, swap
from precipice.results.atomic import reason
from precipice.results.cells import CellStore, create_cells
from precipice.results.errors import WriteError
from precipice.results.layout import STATUS, Block, Layout, difference
from precipice.results.variable import Status


def extend_cells(path: str | os.PathLike, layout: Layout) -> CellStore:
    """Give the store at `path` a layout that differs in values added to axes, anywhere; in one step.

    Every block of the new layout whose cells are all done is carried over, messages too. A block at a former
    edge that gains cells is missing as a whole: choose chunks that divide the axes to lose nothing. A process that
    has the old store open is refused when it next claims or commits.

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
        _carry_over(old, create_cells(aside, layout, old.dataset().attrs))
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


def _carry_over(old: CellStore, new: CellStore) -> None:
    ds, statuses, failures = old.dataset(), old.statuses(), old.failures()
    index = {name: {v: i for i, v in enumerate(values)} for name, values in old.layout.axes.items()}
    for block in new.blocks():
        there = _places(new, block, index)
        if there is None or (statuses[np.ix_(*there.values())] == Status.MISSING).any():
            continue
        part = ds.isel(there).load()
        values = {v.name: part[v.name].to_numpy() for v in new.layout.variables}
        new.commit(block, values, part[STATUS].to_numpy(), _moved(new, block, there, failures))


def _places(new: CellStore, block: Block, index: Mapping[str, Mapping[Any, int]]) -> dict[str, list[int]] | None:
    """Where the cells of a block lie in the old store, along each axis; None if some do not."""
    axes = zip(new.layout.axes.items(), new.cells(block), strict=True)
    there = {name: [index[name].get(v, -1) for v in values[s]] for (name, values), s in axes}
    return None if any(-1 in places for places in there.values()) else there


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
