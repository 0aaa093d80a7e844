"""A trajectory in the plane of its movement and its oscillation: two numbers a step, of any number of parameters."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import Params, Scalar, Values


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


class MovementPlane(eqx.Module):
    """The plane that a trajectory's end is projected on, for trajectories too long to be kept. A probe.

    Its values are ``movement``, ``oscillation`` and ``outside_plane`` of one state: see `MovementOscillation`.

    Args:
        end: flattened parameters that offsets are taken from [n].
        movement_direction: unit vector [n], orthogonal to the next.
        oscillation_direction: unit vector [n].
    """

    end: Float[Array, "n"]
    movement_direction: Float[Array, "n"]
    oscillation_direction: Float[Array, "n"]

    def project(self, point: Float[Array, "n"]) -> tuple[Scalar, Scalar, Scalar]:
        """(movement, oscillation, norm of the rest) of one point."""
        offset = point - self.end
        along = offset @ self.oscillation_direction
        rest = offset - along * self.oscillation_direction
        movement = rest @ self.movement_direction
        return movement, along, jnp.linalg.norm(rest - movement * self.movement_direction)

    def __call__(self, state: Any) -> Values:
        """The three numbers of `state`."""
        found = self.project(ravel_pytree(state.params)[0])
        return dict(zip(("movement", "oscillation", "outside_plane"), found, strict=True))


def movement_plane(early: tuple[Params, Params], late: tuple[Params, Params], eigenvector: Params) -> MovementPlane:
    """The plane of movement and oscillation of a trajectory, from four of its points.

    Args:
        early: parameters at two consecutive steps at which the two-step trajectory has become smooth.
        late: parameters at the last two steps.
        eigenvector: top eigenvector of the Hessian at the last of them, of any length but 0.

    References: zhu2022, definitions 3 and 4 (MIN-20).
    """
    first, second, before, last = (ravel_pytree(params)[0] for params in (*early, *late))
    return _plane((first + second) / 2, (before + last) / 2, ravel_pytree(eigenvector)[0])


def _plane(early: Float[Array, "n"], end: Float[Array, "n"], eigenvector: Float[Array, "n"]) -> MovementPlane:
    oscillating = eigenvector / jnp.linalg.norm(eigenvector)
    moved = early - end
    moved = moved - (moved @ oscillating) * oscillating
    return MovementPlane(end, moved / jnp.linalg.norm(moved), oscillating)


def movement_oscillation(
    params: Float[Array, "steps n"], eigenvector: Float[Array, "n"], *, step: int
) -> MovementOscillation:
    """The movement-oscillation projection of a trajectory.

    Offsets are from the mean of the last two points. The oscillation direction is the top eigenvector at the end;
    the movement direction is the mean of the points before and at `step`, as an offset, minus its projection on the
    oscillation direction. Both are normalised. Cost: a few products of the trajectory with a vector, and copies of it;
    `MovementPlane` needs no trajectory.

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
    plane = _plane((params[step - 1] + params[step]) / 2, (params[-2] + params[-1]) / 2, eigenvector)
    movement, oscillation, residual = jax.vmap(plane.project)(params)
    return MovementOscillation(movement, oscillation, residual, plane.movement_direction, plane.oscillation_direction)
