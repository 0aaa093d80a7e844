"""A block computed: every cell's results, how each ended, and why those failed that failed."""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from precipice._checks import one_line
from precipice.results import CellVariable, Layout, Status
from precipice.results.layout import STATUS, Block
from precipice.studies import program
from precipice.studies.layouts import check_machine
from precipice.studies.program import Arrays, Part
from precipice.studies.study import Study

_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


class _MisfitError(ValueError):
    """Results that are not those that the study declares."""


Cell = tuple[int, ...]
"""Which cell: its place along each axis."""


class Computed(NamedTuple):
    """What `CellStore.commit` takes.

    Args:
        values: results by name, [*block, *own].
        status: `results.Status` of each cell, int8 [*block].
        messages: why a cell failed, by its index in the grid.
    """

    values: Arrays
    status: np.ndarray
    messages: dict[Cell, str]


Compute = Callable[[Block], Computed]


def computer(study: Study, layout: Layout, *, only: Collection[Cell] | None = None) -> Compute:
    """A function that computes any block; it keeps the program of the latest values of the axes that split.

    What a cell raises is its own: it has failed, with the message, and all others of its block are kept. In a traced
    study the cells at fault are found by halves with the same program, so that the others have the bits that they
    would have without it. A block that does not fit into memory is computed in halves.

    Args:
        study: what to compute.
        layout: of its store.
        only: the cells that are wanted, by their index in the grid; None: all. Where cells are computed one by one, the
            others are left out, labelled as failed.

    Raises:
        InputError: this process would compute other bits than the layout's key promises.
    """
    check_machine(layout)
    compute = _traced(study, layout) if study.traced else _by_hand(study, layout, only)

    def block(which: Block) -> Computed:
        with jax.enable_x64(study.precision == "float64"):
            return compute(_part(layout, which))

    return block


def failed(layout: Layout, which: Block, message: str) -> Computed:
    """A block none of whose cells could be computed, for one reason."""
    return _failed(layout, _part(layout, which), message)


def _part(layout: Layout, which: Block) -> Part:
    return {name: range(s.start, s.stop) for name, s in zip(layout.axes, layout.cells(which), strict=True)}


# Traced ---------------------------------------------------------------------------------------------------------------


def _traced(study: Study, layout: Layout) -> Callable[[Part], Computed]:
    shape = {name: layout.chunk[name] for name in layout.axes}

    @functools.lru_cache(maxsize=2)
    def compiled(split: tuple[tuple[str, float], ...]) -> Callable[..., Any]:
        return eqx.filter_jit(program.block_function(study, dict(split)))  # compiles anew for each shape

    def smaller(part: Part) -> Arrays:
        """The cells of a part at its own shape."""
        f = compiled(tuple(program.split_values(study, part).items()))
        found = jax.device_get(jax.block_until_ready(f(*program.arguments(study, part))))
        num, grid = len(program.batched(study)), tuple(len(places) for places in part.values())
        return {name: v.reshape(*grid, *v.shape[num:]) for name, v in found.items()}

    def run(part: Part) -> Arrays:
        """The cells of a part at the block's whole shape: the last place of each axis fills it up."""
        found = smaller({n: [*places, *[places[-1]] * (shape[n] - len(places))] for n, places in part.items()})
        kept = tuple(slice(len(places)) for places in part.values())
        return {name: v[kept] for name, v in found.items()}

    return lambda part: _piecewise(study, layout, part, run, smaller)


def _piecewise(
    study: Study, layout: Layout, part: Part, run: Callable[[Part], Arrays], smaller: Callable[[Part], Arrays]
) -> Computed:
    """The part as a whole; where that raises, its halves; where memory is short, by `smaller` programs."""
    try:
        with program.silent_callbacks():
            return _labelled(layout, part, run(part))
    except (Exception, SystemExit) as error:
        caught = error
    if _is_memory(caught) and run is not smaller:
        return _piecewise(study, layout, part, smaller, smaller)
    if _is_single(part) or isinstance(caught, _MisfitError) or _is_of_all(study, part, caught):
        return _failed(layout, part, one_line(caught))
    return _joined(part, [_piecewise(study, layout, half, run, smaller) for half in _halves(part)])


def _is_single(part: Part) -> bool:
    return all(len(places) == 1 for places in part.values())


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(word in str(error) for word in _MEMORY)


def _is_of_all(study: Study, part: Part, error: BaseException) -> bool:
    """Whether the run raises this already when it is traced, whatever the numbers."""
    f = program.block_function(study, program.split_values(study, part))
    first = {name: [places[0]] for name, places in part.items()}
    try:
        jax.eval_shape(f, *program.arguments(study, first))
    except Exception as again:
        return type(again) is type(error)
    return False


def _halves(part: Part) -> list[Part]:
    name = max(part, key=lambda n: len(part[n]))
    middle = len(part[name]) // 2
    return [{**part, name: part[name][:middle]}, {**part, name: part[name][middle:]}]


def _joined(part: Part, halves: list[Computed]) -> Computed:
    axis = max(range(len(part)), key=lambda i: len(list(part.values())[i]))
    values = {n: np.concatenate([h.values[n] for h in halves], axis) for n in halves[0].values}
    status = np.concatenate([h.status for h in halves], axis)
    return Computed(values, status, {k: m for h in halves for k, m in h.messages.items()})


# Not traced -----------------------------------------------------------------------------------------------------------


def _by_hand(study: Study, layout: Layout, only: Collection[Cell] | None) -> Callable[[Part], Computed]:
    def one(part: Part) -> Computed:
        place = {name: places[0] for name, places in part.items()}
        if only is not None and tuple(place.values()) not in only:
            return _failed(layout, part, "not wanted")
        try:
            found = program.cell_by_hand(study, place)
            return _labelled(layout, part, {n: v.reshape(*[1] * len(part), *v.shape) for n, v in found.items()})
        except (Exception, SystemExit) as error:
            return _failed(layout, part, one_line(error))

    def all_of(part: Part) -> Computed:
        if _is_single(part):
            return one(part)
        return _joined(part, [all_of(half) for half in _halves(part)])

    return all_of


# Labels ---------------------------------------------------------------------------------------------------------------


def _labelled(layout: Layout, part: Part, found: Mapping[str, np.ndarray]) -> Computed:
    """The results in the store's types, with the status that the run gives, or that its numbers show.

    Raises:
        _MisfitError: a result is missing or of another shape.
    """
    grid = tuple(len(places) for places in part.values())
    values = {}
    for v in layout.variables:
        expected = (*grid, *(len(layout.own[dim]) for dim in v.dims))
        if v.name not in found:
            raise _MisfitError(f"the run gives no {v.name!r}; it gives {', '.join(sorted(found))}")
        if found[v.name].shape != expected:
            raise _MisfitError(f"{v.name!r} has shape {found[v.name].shape[len(grid) :]}, not {expected[len(grid) :]}")
        values[v.name] = _stored(v, found[v.name])
    return Computed(values, _status(grid, values, found.get(STATUS)), {})


def _stored(v: CellVariable, array: np.ndarray) -> np.ndarray:
    """The results in the type in which they are stored.

    Raises:
        ValueError: that would change a number, or a code is none of the variable's.
    """
    with np.errstate(invalid="ignore"):
        stored = np.ascontiguousarray(array.astype(v.dtype))
    if stored.dtype.kind == "i" and not np.array_equal(stored, array):
        raise ValueError(f"{v.name!r} must be whole numbers that {v.dtype} holds; got {array[stored != array][0]}")
    codes = (v.codes or {}).values()
    if codes and not np.isin(stored, list(codes)).all():
        raise ValueError(f"{v.name!r} must be one of the codes {sorted(codes)}; got other values")
    return stored


def _status(grid: tuple[int, ...], values: Arrays, said: np.ndarray | None) -> np.ndarray:
    if said is not None:  # a budget that is spent is an end, too
        return np.where(said == Status.DIVERGED, Status.DIVERGED, Status.DONE).astype(np.int8)
    finite = np.ones(grid, bool)
    for array in values.values():
        if array.dtype.kind in "fc":
            finite &= np.isfinite(array).reshape(*grid, -1).all(axis=-1)
    return np.where(finite, Status.DONE, Status.DIVERGED).astype(np.int8)


def _failed(layout: Layout, part: Part, message: str) -> Computed:
    grid = tuple(len(places) for places in part.values())
    own = {v.name: tuple(len(layout.own[dim]) for dim in v.dims) for v in layout.variables}
    values = {v.name: np.full((*grid, *own[v.name]), v.fill, v.dtype) for v in layout.variables}
    indices = np.stack(np.meshgrid(*part.values(), indexing="ij"), axis=-1).reshape(-1, len(part))
    messages = {tuple(index): message for index in indices.tolist()}
    return Computed(values, np.full(grid, Status.FAILED, np.int8), messages)
