"""A trajectory in the plane of its movement and its oscillation: two numbers a step, of any number of parameters."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError


class MovementOscillation(NamedTuple):
    """A trajectory's offset from its end, in two orthonormal directions, and what lies outside them.

    Args:
        movement: along the movement direction [steps].
        oscillation: along the oscillation direction [steps].
        residual: norm of the rest of the offset [steps].
        movement_direction: unit vector [n], orthogonal to the next.
        oscillation_direction: unit vector [n].
    """

    movement: Float[Array, "steps"]
    oscillation: Float[Array, "steps"]
    residual: Float[Array, "steps"]
    movement_direction: Float[Array, "n"]
    oscillation_direction: Float[Array, "n"]


def movement_oscillation(
    params: Float[Array, "steps n"], eigenvector: Float[Array, "n"], *, step: int
) -> MovementOscillation:
    """The movement-oscillation projection of a trajectory.

    Offsets are from the mean of the last two points. The oscillation direction is the top eigenvector at the end;
    the movement direction is the mean of the points before and at `step`, as an offset, minus its projection on the
    oscillation direction. Both are normalised. Cost: a few products of the trajectory with a vector, and copies of it.

    Args:
        params: flattened parameters at consecutive steps [steps, n].
        eigenvector: top eigenvector of the Hessian at the last of them [n], of any length but 0.
        step: an index, from 1, at which the two-step trajectory has become smooth.

    Raises:
        InputError: fewer than four points, or a step that is not one of 1 to steps - 3.

    References: zhu2022, definitions 3 and 4 (MIN-20; the printed projection is of the eigenvector onto the movement,
        ERR-M9).

    Example:
        >>> t = jnp.arange(8.0)
        >>> flip = jnp.where(t % 2 == 0, 1.0, -1.0)
        >>> points = jnp.stack([flip * (8 - t), 7 - t], axis=1)
        >>> found = movement_oscillation(points, jnp.array([2.0, 0.0]), step=1)
        >>> found.movement.tolist()
        [6.5, 5.5, 4.5, 3.5, 2.5, 1.5, 0.5, -0.5]
        >>> float(found.residual.max())
        0.0
    """
    steps = params.shape[0]
    if steps < 4:
        raise InputError(f"params must be a trajectory of at least 4 points; got {steps}.")
    if not 1 <= step <= steps - 3:
        raise InputError(f"step must be from 1 to {steps - 3}, before the last two points; got {step}.")
    offset = params - (params[-2] + params[-1])[None] / 2
    oscillating = eigenvector / jnp.linalg.norm(eigenvector)
    along = offset @ oscillating
    rest = offset - along[:, None] * oscillating[None]
    moved = (rest[step - 1] + rest[step]) / 2
    moving = moved / jnp.linalg.norm(moved)
    movement = rest @ moving
    residual = jnp.linalg.norm(rest - movement[:, None] * moving[None], axis=1)
    return MovementOscillation(movement, along, residual, moving, oscillating)
