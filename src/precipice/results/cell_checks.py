"""What may be committed to a store of cells: names, shapes, types, codes and messages that fit its layout."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from precipice._checks import InputError
from precipice.results.errors import StoreError
from precipice.results.layout import CELLS_VERSION, STATUS, Block, Layout
from precipice.results.variable import Status

_COMMITTED = [int(code) for code in (Status.DONE, Status.DIVERGED, Status.FAILED)]


def check_version(version: Any, shown: str) -> None:
    """Refuse a store that is none of cells, or of a format that this precipice does not read."""
    if not isinstance(version, int):
        raise StoreError(f"Store '{shown}' is no store of cells of precipice; take the folder of a study.")
    if version != CELLS_VERSION:
        age, way_out = ("a newer", "update precipice") if version > CELLS_VERSION else ("an older", "run it anew")
        raise StoreError(
            f"Store '{shown}' was written by {age} precipice (version {version} of the format of cells; this one "
            f"reads {CELLS_VERSION}); {way_out}."
        )


def checked_values(layout: Layout, block: Block, values: Mapping[str, Any], status: Any) -> dict[str, np.ndarray]:
    """The arrays of a block, the status among them.

    Raises:
        InputError: a name, shape, type or code that does not fit.
    """
    expected = {v.name for v in layout.variables}
    if set(values) != expected:
        raise InputError(f"values must have the names {sorted(expected)}; got {sorted(values)}.")
    shape = layout.block_shape(block)
    arrays = {}
    for v in layout.variables:
        own = tuple(len(layout.own[dim]) for dim in v.dims)
        arrays[v.name] = _fitting(f"Variable {v.name!r}", values[v.name], shape + own, np.dtype(v.dtype))
        if v.codes and not np.isin(arrays[v.name], [*v.codes.values(), v.fill]).all():
            raise InputError(f"Variable {v.name!r} must hold the codes {dict(v.codes)}; got other values.")
    codes = _fitting("status", status, shape, np.dtype("int8"))
    if not np.isin(codes, _COMMITTED).all():
        raise InputError(f"status must be DONE, DIVERGED or FAILED ({_COMMITTED}); got {sorted(set(codes.flat))}.")
    return arrays | {STATUS: codes}


def checked_messages(
    layout: Layout, block: Block, status: np.ndarray, messages: Mapping[tuple[int, ...], str]
) -> dict[tuple[int, ...], str]:
    """One line for each failed cell of the block.

    Raises:
        InputError: a failed cell without a message, or a message without a failed cell.
    """
    start = [s.start for s in layout.cells(block)]
    failed = {tuple(int(i) for i in cell) for cell in np.argwhere(status == Status.FAILED) + start}
    odd = sorted(failed ^ set(messages))
    if odd:
        what = "no message" if odd[0] in failed else "a message but did not fail"
        raise InputError(f"messages must have exactly the failed cells of the block; cell {odd[0]} has {what}.")
    return {cell: " ".join(message.split()) for cell, message in messages.items()}


def _fitting(what: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype != dtype or array.shape != shape:
        raise InputError(f"{what} must be {dtype} of shape {shape}; got {array.dtype} of shape {array.shape}.")
    return array
