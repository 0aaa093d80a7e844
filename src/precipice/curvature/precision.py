"""Tolerances that the arithmetic behind an operator cannot meet."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from precipice._checks import InputError


def check_tolerance(op: Any, dtype: Any, rtol: float) -> None:
    """Refuse a relative tolerance below the rounding of the precision in which products are computed.

    That is the operator's own `dtype`, or the coarser one in which a problem says that its network works
    (``computed_in``, of a network that is `problems.Lowered`).

    Raises:
        InputError: names the precision, its rounding and the tolerance.
    """
    functions = [getattr(op, field.name) for field in dataclasses.fields(op)]
    lower = [getattr(getattr(function, "__self__", None), "computed_in", None) for function in functions]
    coarsest = max([dtype, *(kind for kind in lower if kind is not None)], key=lambda kind: float(jnp.finfo(kind).eps))
    rounding = float(jnp.finfo(coarsest).eps)
    if rtol < rounding:
        raise InputError(
            f"rtol must be at least {rounding:.2g}, the rounding of {jnp.dtype(coarsest).name}, in which the "
            f"operator's products are computed; got {rtol:g}."
        )
