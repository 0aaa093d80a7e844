"""Type names shared by every room."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

Params: TypeAlias = PyTree
"""Any pytree of floating-point arrays: the point at which a problem is evaluated."""

Scalar: TypeAlias = Float[Array, ""]
"""A zero-dimensional floating-point array."""

Number: TypeAlias = float | Float[Array, ""]
"""A number that may be traced: a Python float (or int, under the numeric tower) or a scalar array."""

Numbers: TypeAlias = float | Float[Array, "..."] | Float[np.ndarray, "..."]
"""A number or an array of them: formulas that hold entry by entry."""

Row: TypeAlias = ArrayLike | Sequence[float]
"""Numbers in a row: an array of any kind, or a list."""

PRNGKey: TypeAlias = Key[Array, ""]
"""A typed JAX key, as `jax.random.key` makes it."""

Values: TypeAlias = Mapping[str, Any]
"""What a probe returns: result names (see `results.vocabulary`) to arrays."""


def floating(values: Any) -> Array:
    """`values` as an array of their own precision, integers in the default one."""
    array = jnp.asarray(values)
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(jnp.result_type(float))


class Tracker(NamedTuple):
    """A measurement that remembers: warm starts, the sign of an eigenvector. Pure, so that a checkpoint can hold it.

    Args:
        init: ``init(state) -> memory``, a pytree of arrays whose shapes never change.
        update: ``update(state, memory) -> (values, memory)``.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any], tuple[Values, Any]]
