"""Arrays made into a labelled dataset: names checked against the vocabulary, axes named, units attached."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice._checks import InputError
from precipice.results.attributes import plain
from precipice.results.vocabulary import DIMENSIONS, VARIABLES, Variable, known_variables, variable

if TYPE_CHECKING:
    import xarray

_KINDS = "iufc"
_MUST_BE_GIVEN = ("step", "probe_step")


def to_dataset(
    saved: Mapping[str, Any],
    *,
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
    extra: Sequence[Variable] = (),
) -> "xarray.Dataset":
    """The arrays as a dataset whose every variable has named axes, units, a sentence and a reference.

    The own axes of a variable (`Variable.dims`) are its last ones. Axes before them come from a sweep: they
    take the names of the sweep's coordinates in the order given, outermost first, as nested `vmap` makes
    them. A variable that has fewer leading axes than the sweep has coordinates takes the first ones.

    Where no coordinate ``probe_step`` is given, the probes ran at every recorded ``step``. Ranks, examples
    and outputs are numbered from 0 unless given. Precision is kept; booleans and codes (`Variable.codes`)
    become int8.

    Args:
        saved: result names to arrays, [*sweep, *own axes].
        coords: axis names to values, [n] each (or one number, which is then a label without an axis).
        attrs: of the dataset, see `provenance`.
        extra: variables beside those of the vocabulary.

    Raises:
        InputError: an unknown name, a shape that does not fit, a missing or non-finite coordinate, values
            that are not numeric or not in the table of codes.

    Example:
        >>> losses = np.ones((2, 3, 4))  # [lr, seed, step]
        >>> ds = to_dataset({"loss": losses}, coords={"lr": [0.1, 0.2], "seed": range(3), "step": range(4)})
        >>> ds["loss"].dims
        ('lr', 'seed', 'step')
    """
    import xarray

    known = known_variables(extra)
    axes = {name: _coordinate(name, values) for name, values in coords.items()}
    sweep = [name for name, values in axes.items() if values.ndim == 1 and not _is_own_axis(name, known)]
    sizes = {name: values.size for name, values in axes.items() if values.ndim == 1}
    data = {}
    for name, values in saved.items():
        array = _array(variable(name, extra=extra), values)
        dims = _dims(known[name], array.shape, sweep, sizes)
        data[name] = (dims, array, _attrs(known[name]))
    _check_clash(saved, sizes)
    labels = {name: axes.get(name, np.arange(size)) for name, size in sizes.items()} | axes
    named = {n: ((n,) if v.ndim else (), v, _coordinate_attrs(n)) for n, v in labels.items()}
    return xarray.Dataset(data, coords=named, attrs=plain(attrs or {}))


def pad_runs(runs: Sequence[Mapping[str, Any]], *dims: str, extra: Sequence[Variable] = ()) -> dict[str, np.ndarray]:
    """Runs of different lengths as arrays with a leading axis ``run``, padded at the end of `dims`.

    Floats are padded with NaN, signed integers and booleans (as int8) with -1: no value, not a measured one.

    Args:
        runs: result names to arrays with their own axes; the same names in each run. Values of an axis
            (``step``) may be among them.
        dims: the axes along which lengths differ, such as "step" and "probe_step".
        extra: variables beside those of the vocabulary.

    Returns:
        Arrays by name, [run, *own axes], ready for `to_dataset`.

    Raises:
        InputError: no runs, different names or precisions, lengths that differ along another axis, unsigned
            integers.

    Example:
        >>> pad_runs([{"loss": [3.0, 2.0]}, {"loss": [3.0]}], "step")["loss"]
        array([[ 3.,  2.],
               [ 3., nan]])
    """
    if not runs:
        raise InputError("runs must hold at least 1 run; got 0.")
    for i, run in enumerate(runs):
        if set(run) != set(runs[0]):
            raise InputError(
                f"All runs must have the same names; run {i} differs in {sorted(set(run) ^ set(runs[0]))}."
            )
    return {name: _padded(name, [run[name] for run in runs], dims, extra) for name in runs[0]}


def _padded(name: str, values: Sequence[Any], dims: tuple[str, ...], extra: Sequence[Variable]) -> np.ndarray:
    v = Variable(name, (name,), "1", "axis", "axis") if name in DIMENSIONS else variable(name, extra=extra)
    arrays = [_array(v, value) for value in values]
    if len({a.dtype for a in arrays}) > 1 or arrays[0].dtype.kind == "u":
        raise InputError(
            f"Variable {name!r} must have one signed or floating type in all runs; got "
            f"{', '.join(sorted({str(a.dtype) for a in arrays}))}."
        )
    shapes = {tuple(n for d, n in zip(v.dims, a.shape, strict=False) if d not in dims) for a in arrays}
    if len(shapes) > 1 or any(a.ndim != len(v.dims) for a in arrays):
        raise InputError(
            f"Variable {name!r} must have axes {v.dims} that differ in length along {dims} only; got shapes "
            f"{', '.join(sorted({str(a.shape) for a in arrays}))}."
        )
    blank = np.nan if arrays[0].dtype.kind in "fc" else -1
    padded = np.full((len(arrays), *np.max([a.shape for a in arrays], axis=0).astype(int)), blank, arrays[0].dtype)
    for i, array in enumerate(arrays):
        padded[(i, *(slice(n) for n in array.shape))] = array
    return padded


def _is_own_axis(name: str, known: Mapping[str, Variable]) -> bool:
    if name in DIMENSIONS:
        return not DIMENSIONS[name].sweep
    return any(name in v.dims for v in known.values())


def _dims(v: Variable, shape: tuple[int, ...], sweep: list[str], sizes: dict[str, int]) -> tuple[str, ...]:
    """The axes of an array of this shape; lengths not known before are added to `sizes`."""
    own = tuple(_probe_axis(dim, sizes) for dim in v.dims)
    leading = [name for name in sweep if name not in own]
    num_leading = len(shape) - len(own)
    dims = (*(leading[:num_leading] if num_leading >= 0 else leading), *own)
    for dim in own:
        if dim in _MUST_BE_GIVEN and dim not in sizes:
            raise InputError(f"Variable {v.name!r} needs the coordinate {dim!r}; got {', '.join(sizes) or 'none'}.")
    if len(shape) != len(dims) or any(sizes.get(d, n) != n for d, n in zip(dims, shape, strict=True)):
        expected = ", ".join(f"{d}: {sizes.get(d, 'any')}" for d in dims)
        raise InputError(f"Variable {v.name!r} must have axes ({expected}); got shape {shape}.")
    sizes.update(zip(dims, shape, strict=True))
    return dims


def _probe_axis(dim: str, sizes: Mapping[str, int]) -> str:
    return "step" if dim == "probe_step" and dim not in sizes and "step" in sizes else dim


def _array(v: Variable, values: Any) -> np.ndarray:
    array = _numeric(f"Variable {v.name!r}", values)
    if v.codes is None:
        return array
    codes = [int(code) for code in v.codes]
    if not np.isin(array, codes).all():
        raise InputError(f"Variable {v.name!r} must hold codes from {codes[0]} to {codes[-1]}; got other values.")
    return array.astype(np.int8)


def _coordinate(name: str, values: Any) -> np.ndarray:
    if not (isinstance(name, str) and name.isidentifier()):
        raise InputError(f"Names of coordinates must be identifiers; got {name!r}.")
    array = _numeric(f"Coordinate {name!r}", values)
    if array.ndim > 1 or not np.isfinite(array).all():
        raise InputError(f"Coordinate {name!r} must be finite numbers along one axis; got shape {array.shape}.")
    return array


def _numeric(what: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be an array of numbers; got {type(values).__name__}.") from error
    if array.dtype.kind == "b":
        return array.astype(np.int8)
    if array.dtype.kind not in _KINDS:
        raise InputError(f"{what} must be numeric (text as integer codes and attributes); got {array.dtype}.")
    return array


def _check_clash(saved: Mapping[str, Any], axes: Mapping[str, int]) -> None:
    for name in saved:
        if name in axes:
            raise InputError(f"Variable {name!r} must not have the name of a coordinate; it does.")


def _attrs(v: Variable) -> dict[str, Any]:
    attrs: dict[str, Any] = {
        "units": v.units,
        "long_name": v.name.replace("_", " "),
        "meaning": v.meaning,
        "reference": v.reference,
    }
    if v.codes is not None:
        attrs["flag_values"] = [int(code) for code in v.codes]
        attrs["flag_meanings"] = " ".join(code.name.lower() for code in v.codes)
    return attrs


def _coordinate_attrs(name: str) -> dict[str, str]:
    if name == "lr":
        return _coordinate_attrs("learning_rate")
    found = DIMENSIONS.get(name) or VARIABLES.get(name)
    if found is None:
        return {}
    return {"units": found.units, "long_name": name.replace("_", " "), "meaning": found.meaning}
