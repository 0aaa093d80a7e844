"""One block of a study measured: time, memory, results."""

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import numpy as np

from precipice._checks import InputError, one_line
from precipice.studies import program
from precipice.studies.program import Arrays, Part
from precipice.studies.study import Study


@dataclass(frozen=True)
class Measured:
    """One computed part.

    Args:
        cells: of it.
        seconds: of computing, once compiled; NaN where the run raised, or was not tried.
        compiling: seconds of tracing and compiling.
        memory: bytes of arguments, results and intermediates, as the compiler states them; results alone of a study
            that is not traced.
        results: what it gave; empty where the run raised.
        raised: what it raised, in one line; or empty.
    """

    cells: int
    seconds: float
    compiling: float
    memory: int
    results: Arrays
    raised: str = ""


def measured(study: Study, part: Part, limit: int) -> Measured:
    """Compute a part from a fresh trace; of a traced study that needs more than `limit` bytes, compile it only.

    Raises:
        Exception: what a traced run raises while it is traced.
    """
    return _traced(study, part, limit) if study.traced else _by_hand(study, part)


def _traced(study: Study, part: Part, limit: int) -> Measured:
    started = time.perf_counter()
    compiled = compiled_part(study, part)
    ready = time.perf_counter()
    cells = math.prod(len(places) for places in part.values())
    if memory(compiled) > limit:
        return Measured(cells, math.nan, ready - started, memory(compiled), {})
    try:
        with program.silent_callbacks():
            results = jax.device_get(jax.block_until_ready(compiled(*program.arguments(study, part))))
        seconds = time.perf_counter() - ready
    except Exception:
        results, seconds = {}, math.nan
    return Measured(cells, seconds, ready - started, memory(compiled), results)


def _by_hand(study: Study, part: Part) -> Measured:
    place = {name: places[0] for name, places in part.items()}
    started = time.perf_counter()
    try:
        results = program.cell_by_hand(study, place)
        seconds, raised = time.perf_counter() - started, ""
    except (Exception, SystemExit) as error:
        results, seconds, raised = {}, math.nan, one_line(error)
    return Measured(1, seconds, 0.0, sum(array.nbytes for array in results.values()), results, raised)


def compiled_part(study: Study, part: Part) -> jax.stages.Compiled:
    """The program of a part's cells, compiled anew."""
    f = program.block_function(study, program.split_values(study, part))
    return jax.jit(f).lower(*program.arguments(study, part)).compile()


def memory(compiled: jax.stages.Compiled) -> int:
    """Bytes that a program takes while it runs, as the compiler states them; 0 where it does not."""
    stated = compiled.memory_analysis()
    if stated is None:
        return 0
    return int(stated.argument_size_in_bytes + stated.output_size_in_bytes + stated.temp_size_in_bytes)


def first_part(study: Study, chunk: Mapping[str, int], split: Mapping[str, int]) -> Part:
    """The first block of `chunk` cells along each axis, at these places of the axes that split.

    An axis that is shorter is filled up by its last place, as blocks are.
    """
    filled = {axis.name: [min(i, len(axis) - 1) for i in range(chunk[axis.name])] for axis in study.axes}
    return filled | {name: [place] for name, place in split.items()}


def split_places(study: Study) -> Iterator[dict[str, int]]:
    """The places of the axes that split, each combination: first each at its first value, then others."""
    axes = [axis for axis in study.axes if axis.splits]
    for places in itertools.product(*(range(len(axis)) for axis in axes)):
        yield {axis.name: place for axis, place in zip(axes, places, strict=True)}


def largest(study: Study) -> dict[str, int]:
    """The place of the largest value of each axis that splits."""
    return {axis.name: axis.values.index(max(axis.values)) for axis in study.axes if axis.splits}


def smallest(study: Study) -> dict[str, int]:
    """The place of the smallest value of each axis that splits."""
    return {axis.name: axis.values.index(min(axis.values)) for axis in study.axes if axis.splits}


def check_pure(study: Study, first: Measured, second: Measured) -> None:
    """Refuse a study whose cell, computed twice from fresh traces, gave different results.

    A draw from a global random state, a counter or a clock is found so; what changes more rarely is not.

    Raises:
        InputError: naming the first result that differs.
    """
    for name, array in first.results.items():
        again = second.results.get(name)
        if again is not None and not np.array_equal(array, again, equal_nan=array.dtype.kind in "fc"):
            raise InputError(
                f"The run of study {study.name!r} must depend on its key and arguments alone (random numbers come "
                f"from the key); the same cell computed twice differs in {name!r}."
            )
