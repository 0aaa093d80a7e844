"""The layout of a grid of cells on disk: its axes, its blocks, its variables, and the key that made them."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from precipice._checks import InputError, at_least
from precipice.results.attributes import canonical_json
from precipice.results.variable import Variable

CELLS_VERSION = 1
"""Version of the format of stores of cells that this precipice writes and reads."""

Block = tuple[int, ...]
"""Which block: its index along each axis, counted in chunks."""

STATUS = "status"
_RESERVED = (STATUS, "blocks")
_KINDS = "ifc"


@dataclass(frozen=True)
class CellVariable:
    """A result of every cell, as `Variable`, with the precision in which it is stored.

    Args:
        name: an identifier.
        dims: its own axes within one cell, in order; the axes of the grid come before them.
        dtype: of NumPy, "float64" say; signed integers, floats and complex numbers.
        units: "1" where it has none.
        meaning: one sentence.
        reference: author and year, or an equation; "definition" where the sentence says all.
        codes: names of an integer code by value, or None.

    Raises:
        InputError: what `Variable` refuses, and a type that has no value for a missing cell.

    Example:
        >>> CellVariable("margin", ("step",), "float32", "1", "Smallest margin.", "definition").fill
        nan
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    meaning: str
    reference: str
    codes: Mapping[str, int] | None = None

    def __post_init__(self):
        Variable(self.name, self.dims, self.units, self.meaning, self.reference)
        try:
            kind = np.dtype(self.dtype).kind
        except TypeError:
            kind = "?"
        if kind not in _KINDS or np.dtype(self.dtype).name != self.dtype:
            raise InputError(
                f"Variable {self.name!r} must have a signed integer, float or complex type by its name in NumPy "
                f"(truth values as int8); got {self.dtype!r}."
            )

    @property
    def fill(self) -> float | int:
        """What stands for a missing cell: NaN, or -1 in an integer."""
        return -1 if np.dtype(self.dtype).kind == "i" else math.nan


def cell_variable(variable: Variable, dtype: str) -> CellVariable:
    """A variable of the vocabulary as it is stored in cells; codes become int8 whatever `dtype` says.

    Example:
        >>> from precipice.results.vocabulary import variable
        >>> cell_variable(variable("loss"), "float64").dims
        ('step',)
    """
    v = variable
    if v.codes is None:
        return CellVariable(v.name, v.dims, dtype, v.units, v.meaning, v.reference)
    codes = {code.name.lower(): int(code) for code in v.codes}
    return CellVariable(v.name, v.dims, "int8", v.units, v.meaning, v.reference, codes)


@dataclass(frozen=True)
class Layout:
    """A grid of cells cut into blocks. A block is committed whole, and is one chunk of every array.

    Args:
        axes: values of each axis of the grid, outermost first; finite, distinct numbers.
        chunk: cells of a block along each axis. The last block of an axis may be smaller.
        variables: of every cell, their own axes after those of the grid.
        own: values of each own axis.
        key: all that fixes the results to the last bit (parameters, version, precision, block shape, threads,
            JAX version), with the name of the study under "study"; nested mappings, lists, text and numbers.
        version: of the format.

    Raises:
        InputError: axes that are empty, repeat a value or clash with other names, a chunk that does not fit,
            no variables, a key without "study" or that JSON cannot hold.

    Example:
        >>> loss = CellVariable("loss", (), "float64", "1", "Final loss.", "definition")
        >>> layout = Layout({"lr": [0.1, 0.2, 0.3]}, {"lr": 2}, (loss,), {}, {"study": "demo"})
        >>> list(layout.blocks()), layout.cells((1,))
        ([(0,), (1,)], (slice(2, 3, None),))
    """

    axes: Mapping[str, Sequence[Any]]
    chunk: Mapping[str, int]
    variables: tuple[CellVariable, ...]
    own: Mapping[str, Sequence[Any]]
    key: Mapping[str, Any]
    version: int = field(default=CELLS_VERSION)

    def __post_init__(self):
        object.__setattr__(self, "axes", {name: _axis(name, values) for name, values in self.axes.items()})
        object.__setattr__(self, "own", {name: _axis(name, values) for name, values in self.own.items()})
        object.__setattr__(self, "chunk", {name: int(size) for name, size in self.chunk.items()})
        _check_names(self)
        _check_chunk(self)
        if not isinstance(self.key.get("study"), str):
            raise InputError(f"The key must hold the name of the study under 'study'; got {sorted(self.key)}.")
        canonical_json("key", dict(self.key))

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Cells of a whole block along each axis."""
        return tuple(self.chunk[name] for name in self.axes)

    @property
    def num_blocks(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape, strict=True))

    def blocks(self) -> Iterator[Block]:
        """Every block, the last axis fastest."""
        return itertools.product(*(range(n) for n in self.num_blocks))

    def cells(self, block: Block) -> tuple[slice, ...]:
        """The cells of a block: a slice along each axis.

        Raises:
            InputError: there is no such block.
        """
        counts = self.num_blocks
        if len(block) != len(counts) or not all(0 <= i < n for i, n in zip(block, counts, strict=True)):
            raise InputError(f"Block {block} must be one of {' x '.join(map(str, counts))}; it is not.")
        sides = zip(block, self.chunk_shape, self.shape, strict=True)
        return tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in sides)

    def block_shape(self, block: Block) -> tuple[int, ...]:
        """Cells of this block along each axis."""
        return tuple(s.stop - s.start for s in self.cells(block))

    def num_own(self) -> dict[str, int]:
        """The number of own axes of each array that has a chunk a block, the status last."""
        return {v.name: len(v.dims) for v in self.variables} | {STATUS: 0}

    def to_json(self) -> str:
        """Canonical text: equal for equal layouts."""
        variables = [vars(v) | {"dims": list(v.dims)} for v in self.variables]
        text = {"axes": list(self.axes.items()), "own": list(self.own.items()), "chunk": self.chunk}
        text |= {"variables": variables, "key": dict(self.key), "version": self.version}
        return canonical_json("layout", text)

    @staticmethod
    def from_json(text: str) -> "Layout":
        """The layout that `to_json` wrote."""
        d = json.loads(text)
        variables = tuple(CellVariable(**(v | {"dims": tuple(v["dims"])})) for v in d["variables"])
        return Layout(dict(d["axes"]), d["chunk"], variables, dict(d["own"]), d["key"], d["version"])


def difference(ours: Layout, theirs: Layout) -> str:
    """The first thing in which another layout differs, in words that begin with "another"; empty if they agree."""
    a, b = json.loads(ours.to_json()), json.loads(theirs.to_json())
    if a == b:
        return ""
    if a["key"]["study"] != b["key"]["study"]:
        return f"another study: {b['key']['study']!r}, not {a['key']['study']!r}"
    for name in ("version", "key", "axes", "chunk", "own", "variables"):
        if a[name] != b[name]:
            return f"another {name} of study {a['key']['study']!r}: {_first_change(a[name], b[name])}"
    return "another order of names"


def _first_change(a: Any, b: Any, where: str = "") -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        name = next(k for k in sorted(set(a) | set(b)) if a.get(k) != b.get(k))
        return _first_change(a.get(name), b.get(name), f"{where}.{name}" if where else name)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        i = next(i for i in range(len(a)) if a[i] != b[i])
        return _first_change(a[i], b[i], where)
    return f"{where + ' is ' if where else ''}{_short(b)}, not {_short(a)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _axis(name: str, values: Any) -> tuple[int, ...] | tuple[float, ...]:
    """The values of an axis as Python numbers of one type."""
    array = np.asarray(values)
    if not (isinstance(name, str) and name.isidentifier()):
        raise InputError(f"Names of axes must be identifiers; got {name!r}.")
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise InputError(f"Axis {name!r} must be finite numbers along one axis, at least 1; got {_described(array)}.")
    if len(set(array.tolist())) < array.size:
        repeated = next(v for i, v in enumerate(array.tolist()) if v in array[:i])
        raise InputError(f"Axis {name!r} must not repeat a value; got {repeated} twice.")
    return tuple(array.astype(np.float64 if array.dtype.kind == "f" else np.int64).tolist())


def _described(array: np.ndarray) -> str:
    return f"shape {array.shape} of {array.dtype}"


def _check_names(layout: Layout) -> None:
    if not layout.axes or not layout.variables:
        raise InputError(
            f"A layout must have at least 1 axis and 1 variable; got {len(layout.axes)} and {len(layout.variables)}."
        )
    names = [*layout.axes, *layout.own, *(v.name for v in layout.variables)]
    for i, name in enumerate(names):
        if name in names[:i] or name in _RESERVED:
            raise InputError(f"Names of axes and variables must differ, also from {_RESERVED}; got {name!r}.")
    for v in layout.variables:
        for dim in v.dims:
            if dim not in layout.own:
                raise InputError(f"Variable {v.name!r} needs the values of its axis {dim!r}; got {list(layout.own)}.")


def _check_chunk(layout: Layout) -> None:
    if set(layout.chunk) != set(layout.axes):
        raise InputError(f"chunk must have the axes {list(layout.axes)}; got {list(layout.chunk)}.")
    for name, size in layout.chunk.items():
        at_least(f"chunk[{name!r}]", size, 1)
