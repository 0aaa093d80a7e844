"""A study's layout on disk: its axes, blocks, variables, and the key that fixes its results to the last bit."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from precipice._checks import InputError, whole
from precipice.results import CellVariable, Layout, Variable, cell_variable, num_threads, variable
from precipice.results.atomic import host
from precipice.studies import program
from precipice.studies.measure import split_places
from precipice.studies.study import Study


def layout_of(study: Study, chunk: Mapping[str, int], threads: int | None = None) -> Layout:
    """The layout of a study that is cut into blocks of `chunk` cells along each axis.

    The types of the results of a traced study are those that its function gives; of others, the study's precision.

    Args:
        study: what its results are of.
        chunk: cells of a block along each axis.
        threads: that each process computes with; None: those of this process. Workers elsewhere are given theirs.

    Raises:
        InputError: a result that is not declared, or declared and not given, or of another shape; a block of several
            values of an axis that splits.
    """
    for axis in study.axes:
        if axis.splits and chunk.get(axis.name, 1) != 1:
            raise InputError(f"chunk[{axis.name!r}] must be 1, for the axis splits; got {chunk[axis.name]}.")
    with jax.enable_x64(study.precision == "float64"):
        variables = _variables(study)
    return Layout(
        {axis.name: axis.values for axis in study.axes}, chunk, variables, study.own, _key(study, chunk, threads)
    )


def _variables(study: Study) -> tuple[CellVariable, ...]:
    declared = [v if isinstance(v, Variable) else variable(v) for v in study.variables]
    if not study.traced:
        return tuple(cell_variable(v, study.precision) for v in declared)
    types = program.result_types(study, program.first_that_traces(study, split_places(study)))
    check_results(study, {name: found.shape for name, found in types.items()})
    return tuple(cell_variable(v, _stored(types[v.name].dtype)) for v in declared)


def check_results(study: Study, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse results, by name and shape in one cell, that are not those that the study declares.

    Raises:
        InputError: one is missing, or has another shape.
    """
    for v in (v if isinstance(v, Variable) else variable(v) for v in study.variables):
        if v.name not in shapes:
            raise InputError(f"Study {study.name!r} must give {v.name!r}; it gives {', '.join(sorted(shapes))}.")
        expected = tuple(len(study.own.get(dim, ())) for dim in v.dims)
        if shapes[v.name] != expected:
            raise InputError(
                f"Result {v.name!r} of study {study.name!r} must have shape {expected}, by its axes "
                f"{v.dims} in `own`; got {shapes[v.name]}."
            )


def _stored(dtype: Any) -> str:
    """The type in which results of this type are stored: truth values as int8, unsigned integers as signed."""
    kind = np.dtype(dtype)
    return {"b": "int8", "u": "int64"}.get(kind.kind, kind.name)


def _key(study: Study, chunk: Mapping[str, int], threads: int | None) -> dict[str, Any]:
    """All that fixes the results beside the axes."""
    return {
        "study": study.name,
        "version": study.version,
        "run": study.source,
        "settings": dict(study.settings),
        "seed": study.seed,
        "key_axes": list(study.keyed),
        "splits": [axis.name for axis in study.axes if axis.splits],
        "precision": study.precision,
        "block": [chunk[axis.name] for axis in study.axes],
    } | machine(threads)


def check_machine(layout: Layout) -> None:
    """Refuse to compute other bits than the key of a layout promises.

    Raises:
        InputError: naming what is different here.
    """
    for name, here in machine().items():
        there = layout.key.get(name, here)
        if there != here:
            hint = f" (set NPROC={there})" if name == "threads" else ""
            raise InputError(
                f"Study {layout.key['study']!r} must be computed with {name} {there}{hint}, which its store's key "
                f"says; on {host()} it is {here}."
            )


def machine(threads: int | None = None) -> dict[str, Any]:
    """What fixes the bits of results on this machine: the part of a store's key that each of its processes must meet.

    Args:
        threads: see `layout_of`.

    Raises:
        InputError: a number of threads that is no whole number of at least 1.

    Example:
        >>> list(machine())
        ['threads', 'jax', 'jaxlib', 'device']
    """
    if threads is not None:
        whole("threads", threads, 1)
    return {
        "threads": num_threads() if threads is None else threads,
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "device": jax.devices()[0].device_kind,
    }
