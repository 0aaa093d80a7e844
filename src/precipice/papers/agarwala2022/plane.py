"""What the figures in the plane (z, T(0)) of two-eigenvalue models share. T(0) is lr times the NTK; 2 is the edge."""

from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, positive

if TYPE_CHECKING:
    import xarray

SETTLED = 1e-9
"""A run has converged when |z| is below this: T(0) then moves no more."""

LABEL_Z = "z (learning rate x residual)"
LABEL_T = "T(0) (learning rate x NTK)"


def check_epsilon(epsilon: float, name: str = "epsilon") -> None:
    """Refuse a second eigenvalue -epsilon outside [-1, 0).

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    positive(name, epsilon)
    if epsilon > 1:
        raise InputError(f"{name} must be at most 1; got {epsilon}.")


def points(text: str, name: str = "starts") -> np.ndarray:
    """Points of a plane written as "-0.3,1.5; -0.2,1.2" [n, 2].

    Raises:
        InputError: not of this form, or not finite.
    """
    try:
        found = np.array([[float(part) for part in point.split(",")] for point in text.split(";")])
    except ValueError:
        raise InputError(f"{name} must be points such as '-0.3,1.5; -0.2,1.2'; got {text!r}.") from None
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise InputError(f"{name} must be points of two finite numbers each; got {text!r}.")
    return found


def check_feasible(starts: np.ndarray, eigenvalue: float, offset: float = 0.0) -> None:
    """Refuse points that belong to no model.

    Raises:
        InputError: naming the first of them.
    """
    from precipice import dynamics

    for start in starts:
        dynamics.TwoEigenvalueMap(eigenvalue, start, offset)


def orbits(starts: np.ndarray, eigenvalue: float, num_steps: int, offset: float = 0.0) -> dict[str, np.ndarray]:
    """``plane_z`` and ``plane_t`` [n, step] of the map from each start."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics

    def one(start):
        process = dynamics.TwoEigenvalueMap(eigenvalue, start, offset)
        probe = lambda state: {"plane_z": state.params[0], "plane_t": state.params[1]}  # noqa: E731
        return dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=1, probes=(probe,)).saved

    found = jax.jit(jax.vmap(one))(jnp.asarray(starts))
    return {name: np.asarray(value) for name, value in found.items()}


def ends(starts: np.ndarray, eigenvalue: float, num_steps: int, offset: float = 0.0) -> dict[str, np.ndarray]:
    """``final_t`` and ``status`` [...] from starts [..., 2]; NaN where z has not settled within the steps."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics
    from precipice.results import StopReason

    flat = starts.reshape(-1, 2)
    found = dynamics.settle(
        dynamics.TwoEigenvalueMap(eigenvalue, flat[0], offset),
        jnp.asarray(flat),
        key=jax.random.key(0),  # the map draws nothing
        converged=dynamics.EntryBelow(SETTLED),
        num_steps=-(-num_steps // 64) * 64,
    )
    settled = found.stop_reason == int(StopReason.VALUE_REACHED)
    saved = {"final_t": np.where(settled, np.asarray(found.params)[:, 1], np.nan), "status": found.status}
    return {name: value.reshape(starts.shape[:-1]) for name, value in saved.items()}


def grid(z: tuple[float, float], t: tuple[float, float], num: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes of a grid of num x num points, half a cell inside the limits."""
    at = (np.arange(num) + 0.5) / num
    return z[0] + (z[1] - z[0]) * at, t[0] + (t[1] - t[0]) * at


def feasible_starts(z: np.ndarray, t: np.ndarray, eigenvalue: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """(points [nz, nt, 2], which of them belong to a model [nz, nt])."""
    from precipice import measures

    mesh = np.stack(np.meshgrid(z, t, indexing="ij"), axis=-1)
    return mesh, np.asarray(measures.two_eigenvalue_feasible(mesh[..., 0], mesh[..., 1], eigenvalue, offset))


def draw_plane(ax, z: np.ndarray, t: np.ndarray, eigenvalue: float, offset: float, *, signs_only: bool = True) -> None:
    """Arrows, one-step nullclines and the forbidden region over the window of two axes."""
    from precipice import dynamics, measures
    from precipice.figures import phase_portrait

    fine_z, fine_t = np.linspace(z[0], z[-1], 400), np.linspace(t[0], t[-1], 400)
    inside = feasible_starts(fine_z, fine_t, eigenvalue, offset)[1].T
    some = _a_point(fine_z, fine_t, inside)
    field = dynamics.field(dynamics.TwoEigenvalueMap(eigenvalue, some, offset), z, t)
    allowed = feasible_starts(z, t, eigenvalue, offset)[1].T
    hidden = field._replace(dx=np.where(allowed, field.dx, np.nan), dy=np.where(allowed, field.dy, np.nan))
    phase_portrait.draw_field(ax, hidden, signs_only=signs_only)
    phase_portrait.shade_forbidden(ax, fine_z, fine_t, inside)
    of_z, of_t = measures.one_step_nullclines(fine_z, eigenvalue, offset)
    phase_portrait.draw_nullclines(ax, {"z stands still": (fine_z, of_z), "T(0) stands still": (fine_z, of_t)})
    ax.set_xlabel(LABEL_Z)
    ax.set_ylabel(LABEL_T)


def _a_point(z: np.ndarray, t: np.ndarray, inside: np.ndarray) -> np.ndarray:
    found = np.argwhere(inside)
    if not len(found):
        raise InputError("the window must hold points that belong to a model; none does.")
    row, column = found[len(found) // 2]
    return np.array([z[column], t[row]])


def settled(dataset: "xarray.Dataset") -> np.ndarray:
    """The final T(0) of the starts that converged."""
    values = dataset["final_t"].values
    return values[np.isfinite(values)]
