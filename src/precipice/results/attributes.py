"""Attributes and parameters in one normal form, so that they read back equal and hash the same everywhere."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from precipice._checks import InputError


def plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as text, ints, finite floats and flat lists of them: what Zarr, netCDF and HDF5 all hold.

    NumPy scalars and arrays become Python numbers and lists, tuples become lists, booleans 0 or 1 (HDF5 has
    none).

    Raises:
        InputError: a name that is not text, or a value of another kind (None, a mapping, a nested list, NaN).

    Example:
        >>> plain({"seed": np.int64(3), "shape": (2, 3), "quick": True})
        {'seed': 3, 'shape': [2, 3], 'quick': 1}
    """
    return {_text_key("Attribute names", name): _plain(name, value) for name, value in attrs.items()}


def canonical_json(name: str, value: Any) -> str:
    """One JSON text for equal values: keys sorted, no spaces, ASCII, numbers as Python prints them.

    Args:
        name: what the value is called in an error.
        value: nested mappings with text keys, lists, tuples, text, finite numbers, NumPy scalars and arrays,
            booleans and None.

    Raises:
        InputError: anything else, and NaN or infinity, which JSON has no word for.

    Example:
        >>> canonical_json("parameters", {"widths": (8, 8), "lr": np.float64(0.1)})
        '{"lr":0.1,"widths":[8,8]}'
    """
    return json.dumps(_jsonable(name, value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(name: str, value: Any) -> Any:
    value = _unwrapped(value)
    if isinstance(value, (list, tuple, range)):
        return [_plain_scalar(name, _unwrapped(item)) for item in value]
    return _plain_scalar(name, value)


def _plain_scalar(name: str, value: Any) -> str | int | float:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InputError(
        f"Attribute {name!r} must be text, a finite number or a flat list of these (else JSON text); "
        f"got {_described(value)}."
    )


def _jsonable(name: str, value: Any) -> Any:
    value = _unwrapped(value)
    if isinstance(value, Mapping):
        return {_text_key(f"Keys in {name}", key): _jsonable(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_jsonable(f"{name}[{i}]", item) for i, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InputError(
        f"{name} must be made of text, finite numbers, booleans, None, lists and mappings; got {_described(value)}."
    )


def _unwrapped(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _text_key(name: str, key: Any) -> str:
    if not isinstance(key, str):
        raise InputError(f"{name} must be text; got {key!r}.")
    return key


def _described(value: Any) -> str:
    return repr(value) if isinstance(value, float) else type(value).__name__
