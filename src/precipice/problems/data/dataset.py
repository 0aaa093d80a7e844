"""The type every problem takes its data in, and how to make one from arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from precipice._checks import InputError


class Dataset(eqx.Module):
    """n examples: inputs, targets, class labels, and where they come from. Build it with `from_arrays`.

    Args:
        x: inputs [n, features], or [n, channels, height, width] for images that were not flattened.
        y: targets [n, outputs]: one-hot, or one column of +1 and -1, or regression values.
        labels: class index of each example [n], 0 to num_classes - 1; all 0 where there are no classes.
        provenance: one sentence, recorded with results: name, n, preprocessing.
    """

    x: Float[Array, "n ..."]
    y: Float[Array, "n outputs"]
    labels: Int[Array, "n"]
    provenance: str = eqx.field(static=True)

    @property
    def num_examples(self) -> int:
        """How many examples there are."""
        return self.x.shape[0]


def from_arrays(
    x: np.ndarray | Array,
    y: np.ndarray | Array,
    labels: np.ndarray | Array | None = None,
    provenance: str = "user arrays",
    *,
    dtype: jax.typing.DTypeLike | None = None,
) -> Dataset:
    """A checked `Dataset` of these arrays, copied.

    Args:
        x: inputs [n, ...], floating.
        y: targets [n, outputs], floating; a column [n, 1] for one output.
        labels: class of each example [n], whole numbers from 0. By default the position of the 1 where y is
            one-hot with two outputs or more, else 0 for every example.
        provenance: one sentence that says what the data are.
        dtype: float32 or float64 for x and y; by default the dtype of x, which y must share.

    Raises:
        InputError: shapes that do not fit, a value that is not finite, dtypes that are not floating or
            differ, labels that are not whole numbers from 0, or float64 while JAX has 64 bits switched off.

    Example:
        >>> import numpy as np
        >>> data = from_arrays(np.zeros((3, 2), np.float32), np.ones((3, 1), np.float32))
        >>> data.num_examples, data.y.shape, data.x.dtype.name
        (3, (3, 1), 'float32')
    """
    x, y = np.asarray(x), np.asarray(y)
    _check_examples(x, y)
    if dtype is None and x.dtype != y.dtype:
        raise InputError(f"y must have the dtype of x, {x.dtype}, unless dtype is given; got {y.dtype}.")
    precision = float_dtype(x.dtype if dtype is None else dtype)
    labels = _default_labels(y) if labels is None else np.asarray(labels)
    _check_labels(labels, len(x))
    x, y = x.astype(precision, copy=False), y.astype(precision, copy=False)
    _check_finite(x, y)
    return Dataset(jnp.array(x), jnp.array(y), jnp.array(labels.astype(np.int32)), provenance)


def float_dtype(dtype: jax.typing.DTypeLike | None) -> np.dtype:
    """The floating dtype asked for; for None JAX's default (float64 where 64 bits are on).

    Raises:
        InputError: a dtype that is not floating, or float64 while 64 bits are off (JAX would cast in
            silence).
    """
    default = np.dtype(jnp.result_type(float))
    asked = default if dtype is None else np.dtype(dtype)
    if not jnp.issubdtype(asked, jnp.floating):
        raise InputError(f"dtype must be floating; got {asked}.")
    if asked == np.float64 != default:
        raise InputError("dtype must be float32 while jax_enable_x64 is off; got float64.")
    return asked


def _check_examples(x: np.ndarray, y: np.ndarray) -> None:
    for name, array in (("x", x), ("y", y)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise InputError(f"{name} must be floating; got {array.dtype}.")
    if x.ndim < 2:
        raise InputError(f"x must have shape [n, features] or more axes; got {x.shape}.")
    if y.ndim != 2:
        raise InputError(f"y must have shape [n, outputs] (y[:, None] for one output); got {y.shape}.")
    if x.shape[0] != y.shape[0]:
        raise InputError(f"y must have one row for each example of x, {x.shape[0]}; got {y.shape[0]}.")
    if 0 in x.shape + y.shape:
        raise InputError(f"x and y must hold at least one number; got shapes {x.shape} and {y.shape}.")


def _check_labels(labels: np.ndarray, num_examples: int) -> None:
    if labels.shape != (num_examples,):
        raise InputError(f"labels must have shape ({num_examples},), one for each example; got {labels.shape}.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels must be whole numbers; got {labels.dtype}.")
    if labels.min() < 0:
        raise InputError(f"labels must be at least 0; got {labels.min()}.")


def _check_finite(x: np.ndarray, y: np.ndarray) -> None:
    for name, array in (("x", x), ("y", y)):
        bad = array.size - np.count_nonzero(np.isfinite(array))
        if bad:
            raise InputError(f"{name} must be finite in {array.dtype}; got {bad} values that are NaN or infinite.")


def _default_labels(y: np.ndarray) -> np.ndarray:
    one_hot = y.shape[1] > 1 and np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=1) == 1)
    return np.argmax(y, axis=1) if one_hot else np.zeros(len(y), np.int32)
