"""A plan of a study in words, and sizes of memory from words."""

import re
from typing import TYPE_CHECKING

from precipice._checks import InputError

if TYPE_CHECKING:
    from precipice.studies import Plan, Study

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def bytes_of(size: str) -> int:
    """Bytes of a size in words.

    Raises:
        InputError: no such size.

    Example:
        >>> bytes_of("2GiB"), bytes_of("512M"), bytes_of("1000")
        (2147483648, 536870912, 1000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:iB|B)?", size.strip(), re.IGNORECASE)
    if found is None:
        raise InputError(f"--limit-memory must be a size such as 512MiB or 2GiB; got {size!r}.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def rows(declared: "Study", planned: "Plan") -> list[tuple[str, str]]:
    """What a study will cost, name and value a row."""
    shape = " x ".join(f"{len(axis)} {axis.name}" for axis in declared.axes)
    chunk = " x ".join(str(size) for size in planned.chunk.values())
    rows = [
        ("study", declared.name),
        ("cells", f"{planned.num_cells:,} ({shape})"),
        ("programs", f"{planned.num_programs:,} to compile, {planned.compile_seconds:.1f} s each"),
        ("blocks", f"{planned.num_blocks:,} of {chunk} cells, about {_time(planned.block_seconds)} each"),
        ("memory", f"{_size(planned.memory_bytes)} a block, limit {_size(planned.limit_bytes)}"),
        ("time", f"about {_time(planned.seconds)} in one process"),
    ]
    return rows + ([("note", planned.note)] if planned.note else [])


def _size(num: int) -> str:
    value, unit = float(num), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.3g} {unit}"


def _time(seconds: float) -> str:
    if not seconds < 1e9:
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} minutes" if seconds < 7200 else f"{seconds / 3600:.3g} hours"
