"""The program of a block: one run, nested `vmap` over the axes that do not split, compiled once for its shape."""

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from precipice._checks import InputError, one_line
from precipice.studies.axes import Axis
from precipice.studies.keys import cell_key, words
from precipice.studies.study import SEED, Study

Part = Mapping[str, Sequence[int]]
"""Some of a study's cells: the places along each axis whose combinations they are."""

Arrays = dict[str, np.ndarray]


@contextlib.contextmanager
def silent_callbacks() -> Iterator[None]:
    """Within it JAX does not print what a callback of a compiled program raises: it is in the exception, too."""
    logger = logging.getLogger("jax._src.callback")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def one_cell(study: Study, values: Mapping[str, Any], key: Any) -> dict[str, Any]:
    """The results of one run with these values of the axes, by name.

    Raises:
        InputError: the run or a probe gives no mapping of results.
    """
    given = {name: value for name, value in values.items() if name != SEED or _takes_seed(study)}
    found = study.run(key, **given, **study.settings)
    parts = [probe(found) for probe in study.probes] or [found]
    for part in parts:
        if not isinstance(part, Mapping):
            raise InputError(
                f"Study {study.name!r} must give results by name, from its run or from probes; got "
                f"{type(part).__name__}."
            )
    return {name: value for part in parts for name, value in part.items()}


def cell_by_hand(study: Study, place: Mapping[str, int]) -> Arrays:
    """The results of the cell at this place along each axis, of a study that is not traced.

    Raises:
        Exception: whatever the run raises.
    """
    folded = {axis.name: _words_at(axis, [place[axis.name]])[0] for axis in study.axes if axis.name in study.keyed}
    key = cell_key(study.seed, {name: folded[name] for name in study.keyed})
    found = one_cell(study, {axis.name: axis.values[place[axis.name]] for axis in study.axes}, key)
    return {name: np.asarray(jax.device_get(value)) for name, value in found.items()}


@functools.cache
def _signature(run: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(run).parameters)


def _takes_seed(study: Study) -> bool:
    return SEED in _signature(study.run)


def numbers(study: Study, axis: Axis, places: Sequence[int]) -> np.ndarray:
    """The values of an axis in the study's precision [n]: int64 or float64, or half as wide."""
    narrow = study.precision == "float32"
    dtype = axis.dtype if not narrow else np.dtype(f"{axis.dtype.kind}4")
    return np.asarray(axis.values, dtype)[list(places)]


def batched(study: Study) -> list[Axis]:
    """The axes whose values are batched, outermost first."""
    return [axis for axis in study.axes if not axis.splits]


def block_function(study: Study, split: Mapping[str, float]) -> Callable[..., dict[str, Any]]:
    """``f(numbers, words) -> results`` over the batched axes, for these Python values of the axes that split.

    Args:
        study: traced.
        split: value of each axis that splits.

    Returns:
        A function of the values [n] and, where the axis changes keys, the words [n, 2] of each batched axis by
        name, which gives arrays [n_1, ..., n_k, *own]. It can be jitted; it is not.
    """
    fixed = {axis.name: words(Axis(axis.name, (split[axis.name],)))[0] for axis in study.axes if axis.splits}

    def cell(values: dict[str, Any], folded: dict[str, Any]) -> dict[str, Any]:
        key = cell_key(study.seed, {name: (fixed | folded)[name] for name in study.keyed})
        return {name: jnp.asarray(result) for name, result in one_cell(study, {**split, **values}, key).items()}

    f = cell
    for axis in reversed(batched(study)):
        f = _along(f, axis.name)
    return f


def _along(f: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`f` mapped over one axis: what does not depend on it is computed once."""

    def mapped(values: dict[str, Any], folded: dict[str, Any]) -> Any:
        def one(value: Any, pair: Any) -> Any:
            return f(values | {name: value}, folded | ({} if pair is None else {name: pair}))

        pairs = folded.get(name)
        return jax.vmap(one, in_axes=(0, None if pairs is None else 0))(values[name], pairs)

    return mapped


def arguments(study: Study, part: Part) -> tuple[Arrays, Arrays]:
    """(numbers, words) of the batched axes for some cells, as `block_function` takes them."""
    axes = batched(study)
    values = {axis.name: numbers(study, axis, part[axis.name]) for axis in axes}
    return values, {axis.name: _words_at(axis, part[axis.name]) for axis in axes if axis.name in study.keyed}


def _words_at(axis: Axis, places: Sequence[int]) -> np.ndarray:
    """The words of an axis at some places, which may repeat: uint32 [n, 2]."""
    order = {place: i for i, place in enumerate(dict.fromkeys(places))}
    return words(Axis(axis.name, [axis.values[place] for place in order]))[[order[place] for place in places]]


def split_values(study: Study, part: Part) -> dict[str, float]:
    """The value of each axis that splits, which is one in all of these cells."""
    return {axis.name: axis.values[part[axis.name][0]] for axis in study.axes if axis.splits}


def first_that_traces(study: Study, candidates: Iterable[dict[str, int]]) -> dict[str, int]:
    """The first of these places of the axes that split at which the run can be traced.

    Raises:
        InputError: it raises at all of them.
    """
    first = Exception()
    for places in candidates:
        try:
            result_types(study, places)
            return places
        except Exception as error:
            first = error if not first.args and type(first) is Exception else first
    hint = " (a run of plain Python needs traced=False)" if "Tracer" in type(first).__name__ else ""
    said = f"all raise: {one_line(first)}{hint}"
    raise InputError(f"Study {study.name!r} must have a cell that can be run; {said}") from first


def result_types(study: Study, places: Mapping[str, int]) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape and type of each result of a traced study's cells at these places of the axes that split; not computed.

    Raises:
        InputError: the run or a probe gives no mapping of results.
        Exception: whatever the run raises while it is traced.
    """
    part = {axis.name: [places.get(axis.name, 0)] for axis in study.axes}
    shapes = jax.eval_shape(block_function(study, split_values(study, part)), *arguments(study, part))
    num = len(batched(study))
    return {name: jax.ShapeDtypeStruct(s.shape[num:], s.dtype) for name, s in shapes.items()}
