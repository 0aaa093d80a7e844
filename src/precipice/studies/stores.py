"""The store of a study: created with planned blocks, or found and continued with the blocks that it has."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from precipice._checks import InputError
from precipice.results import CellStore, Layout, Status, create_cells, extend_cells, provenance
from precipice.results.extend import Complete, Held
from precipice.results.layout import Block
from precipice.studies.block import Computed, computer
from precipice.studies.layouts import layout_of, machine
from precipice.studies.local import merge
from precipice.studies.plan import BLOCK_SECONDS, Plan, plan
from precipice.studies.study import Study, with_values

MARK = "zarr.json"


def is_there(path: str | os.PathLike) -> bool:
    """Whether the folder holds a store."""
    return (Path(path) / MARK).is_file()


class Opened(NamedTuple):
    """A study with its store.

    Args:
        study: with the axes that the store has.
        store: of its cells.
        plan: by which it was created; None where it was there.
    """

    study: Study
    store: CellStore
    plan: Plan | None


def open_study(
    study: Study,
    path: str | os.PathLike,
    *,
    limit_memory: int | None = None,
    block_seconds: float = BLOCK_SECONDS,
    threads: int | None = None,
) -> Opened:
    """The store of a study: created by a plan (see `plan`), or continued with the blocks and axes that it has.

    Args:
        study: what its results are of.
        path: of the folder.
        limit_memory: see `plan`.
        block_seconds: see `plan`.
        threads: of each process that computes, which are a part of its key: None for `run_local`, the threads of
            this process; for `run_ray` those that each worker is to have (1 makes the most of many cores).

    Raises:
        InputError: the folder holds something else, or what `plan` refuses.
        StoreError: it is damaged, or of another version of the format.
        WriteError: the disk refused.

    Example:
        >>> import tempfile
        >>> from precipice.studies.axes import Axis
        >>> def halving(key, *, lr):
        ...     return {"final_loss": (1 - lr) ** 2}
        >>> study = Study("halving", halving, (Axis("lr", (0.5, 0.75)),), ("final_loss",))
        >>> folder = tempfile.TemporaryDirectory()
        >>> open_study(study, folder.name + "/halving").store.layout.chunk
        {'lr': 2}
        >>> open_study(study, folder.name + "/halving").plan is None
        True
        >>> folder.cleanup()
    """
    if is_there(path):
        return Opened(*reopen(study, path, threads), None)
    refuse_other(path)
    planned = plan(study, limit_memory=limit_memory, block_seconds=block_seconds)
    try:
        return Opened(study, create(study, path, planned.chunk, threads), planned)
    except InputError:
        if not is_there(path):
            raise
        return Opened(*reopen(study, path, threads), None)  # another process was faster, with blocks of its own


def refuse_other(path: str | os.PathLike) -> None:
    """Refuse a folder that is not empty and no store, before any work.

    Raises:
        InputError: there is something else.
    """
    there = Path(path)
    if there.exists() and not (there.is_dir() and not any(there.iterdir())):
        raise InputError(f"Folder '{path}' must be empty, new, or hold this study; it holds something else.")


def create(study: Study, path: str | os.PathLike, chunk: Mapping[str, int], threads: int | None = None) -> CellStore:
    """A new store of a study in blocks of `chunk` cells, or the one that is there, if it is this study's.

    Args:
        study: what its results are of.
        path: of the folder.
        chunk: cells of a block along each axis.
        threads: see `open_study`.

    Raises:
        InputError: the folder holds something else.
        WriteError: the disk refused.
    """
    return create_cells(path, layout_of(study, chunk, threads), _attributes(study))


def reopen(study: Study, path: str | os.PathLike, threads: int | None = None) -> tuple[Study, CellStore]:
    """The store of a study that is there, and the study with the values that the store was extended by.

    Raises:
        InputError: the folder belongs to another study, or to another version, precision, or machine set-up of it.
        StoreError: it is damaged, or of another version of the format.
    """
    store = CellStore(path)
    _check_axes(study, store.layout, path)
    grown = _grown(study, store.layout)
    return grown, create(grown, path, store.layout.chunk, threads)


def extend(
    study: Study, path: str | os.PathLike, values: Mapping[str, Sequence[float]], threads: int | None = None
) -> tuple[Study, CellStore]:
    """Add values to axes of a store that is there; those that it has already are kept as they are.

    What is done is carried over. The new cells of a block that has some already are computed here and now, before the
    longer store takes the place of the old one; killed meanwhile, the old one is there. Where this process would
    compute other bits than the store's key says, as with the threads of a Ray worker, such blocks are computed anew
    as a whole, later.

    Raises:
        InputError: an unknown axis, or as `reopen`.
    """
    study, store = reopen(study, path, threads)
    have = {axis.name: list(axis.values) for axis in study.axes}
    longer = {}
    for name, added in values.items():
        if name in have:
            new = [_alike(name, value, type(have[name][0])) for value in added]
            longer[name] = have[name] + [value for value in new if value not in have[name]]
        else:
            longer[name] = added
    study = with_values(study, longer)
    layout = layout_of(study, store.layout.chunk, threads)
    here = all(layout.key[name] == value for name, value in machine().items())
    return study, extend_cells(path, layout, _completion(study, layout) if here else None)


def _completion(study: Study, layout: Layout) -> Complete:
    """Computes the missing cells of a block that has some."""
    absent: set[tuple[int, ...]] = set()  # of the block in turn: one computer keeps its program for all of them
    compute = computer(study, layout, only=absent)

    def complete(block: Block, held: Held) -> Held:
        start = [s.start for s in layout.cells(block)]
        absent.clear()
        absent.update(tuple(np.add(start, place).tolist()) for place in np.argwhere(held.status == Status.MISSING))
        found = compute(block)
        fresh = found._replace(messages={cell: said for cell, said in found.messages.items() if cell in absent})
        return Held(*merge(Computed(*held), fresh, Status.MISSING))

    return complete


def _alike(name: str, value: float, kind: type) -> float:
    """A value in the type of an axis' others: it is part of keys."""
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number != value:
        words = "whole numbers" if kind is int else "numbers"
        raise InputError(f"Axis {name!r} must be extended by {words}, as its values are; got {value!r}.")
    return number


def _check_axes(study: Study, layout: Layout, path: str | os.PathLike) -> None:
    """Refuse a store of other axes, and one that lacks values which the study has.

    Raises:
        InputError: naming the first difference.
    """
    ours, theirs = [axis.name for axis in study.axes], list(layout.axes)
    other = layout.key["study"]
    if ours != theirs:
        what = f"study {other!r} over {theirs}, not {study.name!r} over {ours}"
        raise InputError(f"Folder '{path}' must be empty or hold this study; it holds {what}.")
    if other != study.name:
        return
    for axis in study.axes:
        new = [value for value in axis.values if value not in set(layout.axes[axis.name])]
        if new and len(axis) > len(layout.axes[axis.name]):
            raise InputError(
                f"Axis {axis.name!r} of study {study.name!r} must have the values of its store '{path}', or be "
                f"extended (--extend {axis.name}=..., studies.extend); {len(new)} are new, {new[0]} among them."
            )


def _grown(study: Study, layout: Layout) -> Study:
    """The study with the store's axes, where these begin with its own; else as it is."""
    longer = {axis.name: layout.axes[axis.name] for axis in study.axes if _begins(layout.axes[axis.name], axis.values)}
    return with_values(study, longer)


def _begins(longer: Sequence[Any], shorter: Sequence[Any]) -> bool:
    return len(longer) > len(shorter) and list(longer[: len(shorter)]) == list(shorter)


def _attributes(study: Study) -> dict[str, Any]:
    device = jax.devices()[0]
    return provenance(
        study=study.name,
        parameters={"settings": dict(study.settings), "version": study.version, "run": study.source},
        seed=study.seed,
        precision=study.precision,
        wall_time=0.0,
        device=f"{device.platform}: {device.device_kind}",
    )
