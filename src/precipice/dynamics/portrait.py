"""The field of a two-dimensional process: what its steps do at the points of a grid."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from precipice._checks import InputError, at_least
from precipice._types import Row
from precipice.dynamics.process import AbstractProcess


class Field(NamedTuple):
    """Increments of a process on a grid.

    Args:
        x: first parameter [nx].
        y: second parameter [ny].
        dx: change of the first parameter at (x[j], y[i]) [ny, nx].
        dy: change of the second.
    """

    x: Float[np.ndarray, "nx"]
    y: Float[np.ndarray, "ny"]
    dx: Float[np.ndarray, "ny nx"]
    dy: Float[np.ndarray, "ny nx"]


def field(process: AbstractProcess, x: Row, y: Row, *, num_steps: int = 1) -> Field:
    """The change of both parameters over `num_steps` steps, at each point of a grid; 2 is the every-other-step view.

    One compiled program for all points. `figures.phase_portrait` draws it.

    Args:
        process: its parameters are one array of two numbers, which each point of the grid replaces.
        x: values of the first parameter.
        y: values of the second.
        num_steps: steps between the two ends of an arrow.

    Raises:
        InputError: an axis that is empty or not finite, parameters that are not two numbers, no steps.

    References: agarwala2022, figures 8 and 9; zhu2022, figure 9.

    Example:
        >>> from precipice import dynamics, problems
        >>> descent = dynamics.Descent(problems.ScalarNetwork((1, 1)), dynamics.gradient_descent(0.5))
        >>> found = field(descent, [1.0, 2.0], [1.0])
        >>> found.dx.tolist(), found.dy.tolist()
        ([[0.0, -0.5]], [[0.0, -1.0]])
    """
    at_least("num_steps", num_steps, 1)
    across, up = np.asarray(x, float), np.asarray(y, float)
    for name, values in (("x", across), ("y", up)):
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise InputError(f"{name} must be a row of at least one finite number; got {values.tolist()}.")
    like = jax.eval_shape(process.init, jax.random.key(0)).params
    if not (hasattr(like, "shape") and like.shape == (2,)):
        raise InputError("parameters of a process with a phase portrait must be one array of two numbers.")
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    moved = np.asarray(_moved(process, jnp.asarray(grid.reshape(-1, 2), like.dtype), num_steps))
    change = moved.reshape(grid.shape) - grid
    return Field(across, up, change[..., 0], change[..., 1])


@eqx.filter_jit
def _moved(process: AbstractProcess, points, num_steps: int):
    first = process.init(jax.random.key(0))

    def one(point):
        return jax.lax.fori_loop(0, num_steps, lambda _, s: process.step(s), first._replace(params=point)).params

    return jax.vmap(one)(points)
