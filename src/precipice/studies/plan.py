"""Before a study starts: how many runs and programs, which blocks, how much memory, how long."""

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import jax

from precipice._checks import InputError, positive
from precipice.studies import program
from precipice.studies.layouts import check_results, layout_of
from precipice.studies.measure import (
    Measured,
    check_pure,
    compiled_part,
    first_part,
    largest,
    measured,
    memory,
    smallest,
    split_places,
)
from precipice.studies.study import Study

BLOCK_SECONDS = 5.0
"""What a block should take: long against a commit (10 ms), short against what an interruption costs."""

MOST_CELLS = 2**18
"""Of a block."""

_TRIED, _UNTIMED = 32, 1024
_PAYS, _LONGEST = 10, 60.0


@dataclass(frozen=True)
class Plan:
    """What running a study will cost.

    Args:
        num_cells: runs.
        num_programs: compilations, for each process; 0 for a study that is not traced.
        chunk: cells of a block along each axis.
        num_blocks: blocks.
        memory_bytes: of one block in flight: arguments, results and intermediates of its program as the compiler
            states them. Of a study that is not traced: its results alone.
        limit_bytes: what `memory_bytes` had to fit in.
        block_seconds: estimate for one block, from measured blocks of 1 and of up to 32 cells; NaN where the first
            cell raises.
        compile_seconds: of one program, measured.
        seconds: estimate for all blocks and compilations in one process.
        note: what else to know, a sentence; or empty.
    """

    num_cells: int
    num_programs: int
    chunk: Mapping[str, int]
    num_blocks: int
    memory_bytes: int
    limit_bytes: int
    block_seconds: float
    compile_seconds: float
    seconds: float
    note: str = ""


def plan(study: Study, *, limit_memory: int | None = None, block_seconds: float = BLOCK_SECONDS) -> Plan:
    """Measure some cells of a study, and choose blocks that fit `limit_memory`.

    One cell is computed twice, so that a run that is not pure in its key is found. With axes that split, memory is
    measured at their largest values, time there and at the first ones.

    Cost: traced, four or five compilations and some 66 cells; else two cells.

    Args:
        study: what to run.
        limit_memory: bytes that a block in flight may take; None: half of what is free on the device.
        block_seconds: what a block should take; up to a minute where one cell takes most of it and a batch pays.

    Raises:
        InputError: one cell alone needs more than the limit, a limit that is not positive, a run that is not pure
            or raises in every cell.
    """
    limit = free_memory() // 2 if limit_memory is None else limit_memory
    positive("limit_memory", limit)
    positive("block_seconds", block_seconds)
    with jax.enable_x64(study.precision == "float64"):
        if study.chunk is not None:
            return _fixed(study, study.chunk, limit)
        return _traced(study, limit, block_seconds) if study.traced else _by_hand(study, limit, block_seconds)


def free_memory() -> int:
    """Bytes free on the device that JAX computes on: of the machine, or of the accelerator.

    Example:
        >>> free_memory() > 0
        True
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 4 * 2**30


def _fixed(study: Study, chunk: Mapping[str, int], limit: int) -> Plan:
    """The plan of a study that fixes its blocks: nothing is run.

    A traced one is compiled for its memory, at the largest values of the axes that split where these can be traced.
    """
    layout_of(study, chunk)  # refuses a chunk that does not fit the axes
    taken, compiling, blocks = 0, 0.0, _num_blocks(study, chunk)
    if study.traced:
        places = program.first_that_traces(study, [largest(study), *split_places(study)])
        started = time.perf_counter()
        taken = memory(compiled_part(study, first_part(study, chunk, places)))
        compiling = time.perf_counter() - started
    if taken > limit:
        raise InputError(
            f"limit_memory must be at least {taken:,} bytes, what the blocks that study {study.name!r} fixes need; "
            f"got {limit:,}."
        )
    note = "The study fixes its blocks; nothing was run to time them."
    nan = math.nan
    return Plan(study.num_cells, study.num_programs, dict(chunk), blocks, taken, limit, nan, compiling, nan, note)


def _traced(study: Study, limit: int, block_seconds: float) -> Plan:
    places, one = _first(study, limit)
    check_pure(study, one, _measured(study, 1, places, limit))
    few = _measured(study, _TRIED, places, limit)
    pairs, note = [(one, few)], ""
    if largest(study) != places:
        pair, note = _pair_at_most(study, largest(study), limit)
        pairs += [pair] if pair else []
        places = largest(study) if pair else places
    cells = min(_cells_in(*pair, limit, block_seconds) for pair in pairs)
    chunk, taken = _fitting(study, places, cells, limit)
    seconds = sum(_seconds(*pair, math.prod(chunk.values())) for pair in pairs) / len(pairs)
    blocks = _num_blocks(study, chunk)
    total = blocks * seconds + study.num_programs * one.compiling
    programs = study.num_programs
    return Plan(study.num_cells, programs, chunk, blocks, taken, limit, seconds, one.compiling, total, note)


def _first(study: Study, limit: int) -> tuple[dict[str, int], Measured]:
    """A cell at the first values of the axes that split where it can be traced; if too big, at the smallest values.

    Raises:
        InputError: it needs more than the limit there, too.
    """
    tried = [program.first_that_traces(study, split_places(study))]
    with contextlib.suppress(InputError):
        tried.append(program.first_that_traces(study, [smallest(study)]))
    needed = 0
    for places in tried:
        one = _measured(study, 1, places, limit)
        if one.memory <= limit:
            return places, one
        needed = one.memory
    raise InputError(
        f"limit_memory must be at least {needed:,} bytes, what one run of study {study.name!r} needs; got {limit:,}."
    )


def _measured(study: Study, most: int, places: Mapping[str, int], limit: int) -> Measured:
    """A block of up to `most` cells."""
    return measured(study, first_part(study, _chunk(study, most), places), limit)


def _pair_at_most(study: Study, places: Mapping[str, int], limit: int) -> tuple[tuple[Measured, Measured] | None, str]:
    """The pair at these places, or why there is none."""
    part = first_part(study, _chunk(study, 1), places)
    where = ", ".join(f"{name}={value:g}" for name, value in program.split_values(study, part).items())
    try:
        needed = memory(compiled_part(study, part))
        if needed <= limit:
            return (_measured(study, 1, places, limit), _measured(study, _TRIED, places, limit)), ""
    except Exception as error:
        return None, f"Cells at {where} raise {type(error).__name__} and will be labelled as failed."
    return None, f"One cell at {where} needs {needed:,} bytes, above the limit; it will be tried."


def _cells_in(one: Measured, few: Measured, limit: int, block_seconds: float) -> int:
    """Cells of a block that keeps to the limit and takes about `block_seconds`, by straight lines through both.

    Where one cell takes most of that and a further one far less, a block may take `_PAYS` times as long as one cell.
    """
    others = max(few.cells - one.cells, 1)
    room = 1 + (limit - one.memory) / max((few.memory - one.memory) / others, 1.0)
    each = max((few.seconds - one.seconds) / others, 1e-9)
    if each < one.seconds / 2:
        block_seconds = max(block_seconds, min(_PAYS * one.seconds, _LONGEST))
    time = 1 + (block_seconds - one.seconds) / each if math.isfinite(each) else _UNTIMED
    return max(int(min(room, time, MOST_CELLS)), 1)


def _seconds(one: Measured, few: Measured, cells: int) -> float:
    if not math.isfinite(few.seconds):  # it was above the limit, or raised
        return one.seconds * cells
    return one.seconds + max(few.seconds - one.seconds, 0.0) / max(few.cells - one.cells, 1) * (cells - 1)


def _fitting(study: Study, places: Mapping[str, int], cells: int, limit: int) -> tuple[dict[str, int], int]:
    """Blocks of up to `cells` cells whose program keeps to the limit, and the bytes that it takes."""
    chunk = _chunk(study, cells)
    while True:
        taken = memory(compiled_part(study, first_part(study, chunk, places)))
        size = math.prod(chunk.values())
        if taken <= limit or size == 1:
            return chunk, taken
        chunk = _chunk(study, size // 2)


def _by_hand(study: Study, limit: int, block_seconds: float) -> Plan:
    part = first_part(study, _chunk(study, 1), {})
    first, one = measured(study, part, limit), measured(study, part, limit)
    check_pure(study, first, one)
    if one.results:
        check_results(study, {name: array.shape for name, array in one.results.items()})
    if one.memory > limit:
        raise InputError(f"limit_memory must be at least {one.memory:,} bytes, one run's results; got {limit:,}.")
    timed = math.isfinite(one.seconds)
    cells = min(limit / max(one.memory, 1), block_seconds / one.seconds if timed else 1.0, MOST_CELLS)
    chunk = _chunk(study, max(int(cells), 1))
    size = math.prod(chunk.values())
    total = one.seconds * study.num_cells
    note = "" if timed else f"The first cell raises, which hides the time: {one.raised}"
    return Plan(
        study.num_cells,
        0,
        chunk,
        _num_blocks(study, chunk),
        one.memory * size,
        limit,
        one.seconds * size,
        0.0,
        total,
        note,
    )


def _chunk(study: Study, most: int) -> dict[str, int]:
    """Cells of a block along each axis: innermost axes whole as far as `most` goes, one cell of those that split.

    An axis that does not fit whole is cut into equal parts where a divisor is at least half of what fits.
    """
    left, chunk = max(most, 1), {}
    for axis in reversed(study.axes):
        fits = 1 if axis.splits else min(left, len(axis))
        divisor = next(size for size in range(fits, 0, -1) if len(axis) % size == 0)
        chunk[axis.name] = divisor if 2 * divisor >= fits else fits
        left //= chunk[axis.name]
        if chunk[axis.name] < len(axis) and not axis.splits:
            left = 1
    return {axis.name: chunk[axis.name] for axis in study.axes}


def _num_blocks(study: Study, chunk: Mapping[str, int]) -> int:
    return math.prod(-(-len(axis) // chunk[axis.name]) for axis in study.axes)
