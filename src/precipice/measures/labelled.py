"""One rule for measures of arrays: NumPy in, NumPy out; JAX in, JAX out; xarray in, xarray out with its other axes."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from precipice._types import floating

MaybeLabelled: TypeAlias = Any
"""A NumPy or JAX array, a number or a sequence of them, or an `xarray.DataArray`."""


def on_arrays(function: Callable[..., Any], name: str, core: int, values: MaybeLabelled, **numbers: Any) -> Any:
    """``function(values, **numbers)``, a scalar, with the kind of array that it was given.

    Of a labelled array the last `core` axes are the function's own; over the others, and over the axes of labelled
    numbers, it is repeated. NumPy arrays are taken at their own precision, whether or not JAX has 64 bits switched on.

    Args:
        function: of a JAX array and numbers.
        name: of the result, as in `results.vocabulary`.
        core: how many axes one array has.
        values: the array.
        numbers: learning rate and the like.
    """
    given = (values, *numbers.values())
    if any(_is_labelled(value) for value in given):
        return _on_labelled(function, name, core, values, numbers)
    if any(isinstance(value, jax.Array) for value in given):
        return function(jnp.asarray(values), **numbers)
    array = np.asarray(values)
    with jax.enable_x64(array.dtype != np.float32):
        found = function(jnp.asarray(array if array.dtype.kind == "f" else array.astype(float)), **numbers)
        return np.asarray(found)[()]


def as_matrix(values: MaybeLabelled) -> Array:
    """A JAX array of floating numbers, in JAX's precision, of any kind of array; an xarray array loses its labels."""
    return floating(values.values if _is_labelled(values) else values)


def _is_labelled(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "xarray"


def _on_labelled(function, name, core, values, numbers):
    import xarray

    def one(array, *rest):
        return on_arrays(function, name, core, array, **dict(zip(numbers, rest, strict=True)))

    if core and not _is_labelled(values):
        values = xarray.DataArray(np.asarray(values), dims=[f"own_{axis}" for axis in range(np.ndim(values))])
    own = list(values.dims[values.ndim - core :]) if core else []
    found = xarray.apply_ufunc(
        one,
        values,
        *numbers.values(),
        input_core_dims=[own, *([] for _ in numbers)],
        vectorize=True,
        output_dtypes=[float],
    )
    return found.rename(name).assign_attrs(units="1", long_name=name.replace("_", " "))
