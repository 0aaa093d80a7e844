"""Gradient descent on one-output quadratic models in reduced coordinates: modes, moments, and (z, T(0)).

All are rescaled by the learning rate, which then drops out: z = lr z_model, J = sqrt(lr) dz_model/dtheta,
E = lr E_model (QR-5). T(0) is lr times the NTK, and the edge of stability is T(0) = 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, positive
from precipice._types import Number, PRNGKey, Row, floating
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems import QuadraticRegression
from precipice.problems.quadratic import two_eigenvalue_modes, two_eigenvalue_step


class Modes(NamedTuple):
    """Rescaled output and Jacobian of a quadratic model in the eigenbasis of Q.

    Args:
        z: lr z.
        jacobian: sqrt(lr) dz/dtheta along each eigenvector [p].
    """

    z: Array
    jacobian: Float[Array, "p"]


def rescaled_modes(
    problem: QuadraticRegression, params: Float[Array, "p"], lr: Number
) -> tuple[Float[Array, "p"], Modes, Array]:
    """(eigenvalues of Q, ascending; `Modes` at `params`; lr E): what gradient descent at `lr` depends on.

    References: agarwala2022, section 2.1 (QR-5).

    Example:
        >>> from precipice.problems import QuadraticRegression
        >>> values, modes, _ = rescaled_modes(QuadraticRegression(jnp.array([1.0, -0.5])), jnp.array([2.0, 2.0]), 0.25)
        >>> values.tolist(), float(modes.z), jnp.abs(modes.jacobian).tolist()
        ([-0.5, 1.0], 0.25, [0.5, 1.0])
    """
    values, vectors = jnp.linalg.eigh(problem.q)
    jacobian = jnp.sqrt(jnp.asarray(lr, params.dtype)) * (vectors.T @ problem.jacobian(params))
    return values, Modes(lr * problem.output(params), jacobian), lr * problem.offset


class QuadraticModes(AbstractProcess):
    """z' = z - z S_0 + z^2 S_1/2 and J_i' = (1 - z w_i) J_i, with S_k = sum_i w_i^k J_i^2.

    Args:
        eigenvalues: w, of Q [p].
        start: `Modes` to start from.

    References: agarwala2022, eqs. 5 and 6 (QR-7).

    Example:
        >>> process = QuadraticModes(jnp.array([1.0, -0.5]), Modes(jnp.array(0.5), jnp.array([1.0, 1.0])))
        >>> process.step(process.init(jax.random.key(0))).params.jacobian.tolist()
        [0.5, 1.25]
    """

    eigenvalues: Float[Array, "p"]
    start: Modes

    def __check_init__(self):
        _check_row("jacobian", self.start.jacobian, self.eigenvalues)
        _check_finite("start of modes", self.start)

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return _state(Modes(jnp.asarray(self.start.z), jnp.asarray(self.start.jacobian)), key)

    def step(self, state: State) -> State:
        """One step; `loss` is z^2/2 before it."""
        z, jacobian = state.params
        squares = jacobian**2
        first, second = jnp.sum(squares), jnp.sum(self.eigenvalues * squares)
        new = Modes(z - z * first + z**2 * second / 2, (1 - z * self.eigenvalues) * jacobian)
        return state._replace(step=state.step + 1, params=new, loss=z**2 / 2)


class Moments(NamedTuple):
    """Rescaled output and the moments T(k) = sum_i w_i^k J_i^2, k from 0 to p - 1.

    Args:
        z: lr z.
        moments: T(0), ..., T(p - 1); T(0) is lr times the NTK.
    """

    z: Array
    moments: Float[Array, "p"]


def moments_of(eigenvalues: Float[Array, "p"], modes: Modes) -> Moments:
    """The moments of modes.

    References: agarwala2022, eq. 7 (QR-8).

    Example:
        >>> moments_of(jnp.array([2.0, -1.0]), Modes(jnp.array(0.5), jnp.array([1.0, 3.0]))).moments.tolist()
        [10.0, -7.0]
    """
    powers = eigenvalues[None] ** jnp.arange(len(eigenvalues))[:, None].astype(eigenvalues.dtype)
    return Moments(modes.z, powers @ modes.jacobian**2)


class QuadraticMoments(AbstractProcess):
    """z' = z - z T(0) + z^2 T(1)/2 and T'(k) = T(k) - z (2 T(k+1) - z T(k+2)), closed at p moments.

    The hierarchy ends because every eigenvalue is a root of the characteristic polynomial of Q, which gives T(p) and
    T(p + 1) as sums of the moments below. (For many eigenvalues that is ill-conditioned; use `QuadraticModes`.)

    Args:
        eigenvalues: of Q [p]; distinct, else fewer moments would do.
        start: `Moments` to start from.

    References: agarwala2022, eqs. 8 and 9 (QR-8).

    Example:
        >>> process = QuadraticMoments(jnp.array([1.0, -0.5]), Moments(jnp.array(0.5), jnp.array([2.0, 0.5])))
        >>> process.step(process.init(jax.random.key(0))).params.moments.tolist()
        [1.8125, -0.53125]
    """

    eigenvalues: Float[Array, "p"]
    start: Moments

    def __check_init__(self):
        _check_row("moments", self.start.moments, self.eigenvalues)
        _check_finite("start of moments", self.start)
        if not isinstance(self.eigenvalues, Tracer) and len(np.unique(self.eigenvalues)) < len(self.eigenvalues):
            raise InputError(f"eigenvalues must be distinct; got {np.asarray(self.eigenvalues).tolist()}.")

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return _state(Moments(jnp.asarray(self.start.z), jnp.asarray(self.start.moments)), key)

    def step(self, state: State) -> State:
        """One step; `loss` is z^2/2 before it."""
        z, moments = state.params
        one = jnp.concatenate([moments[1:], self._next(moments)[None]])
        two = jnp.concatenate([one[1:], self._next(one)[None]])
        new = Moments(z - z * moments[0] + z**2 * one[0] / 2, moments - z * (2 * one - z * two))
        return state._replace(step=state.step + 1, params=new, loss=z**2 / 2)

    def _next(self, moments: Float[Array, "p"]) -> Array:
        """T(k + p) from T(k), ..., T(k + p - 1)."""
        polynomial = jnp.ones(1, self.eigenvalues.dtype)
        for i in range(len(self.eigenvalues)):
            polynomial = jnp.convolve(polynomial, jnp.stack([jnp.ones_like(polynomial[0]), -self.eigenvalues[i]]))
        return -(polynomial[1:][::-1] @ moments)


class TwoEigenvalueMap(AbstractProcess):
    """(z, T(0)) of the quadratic model with the eigenvalues 1 and `eigenvalue`: a map of the plane.

    z' = z - z T + z^2 T(1)/2 and T' = T - z (2 T(1) - z T(2)), with s = 2 z + E,
    T(1) = (1 + w) T - w s and T(2) = T + w (1 + w) (T - s).

    Parameters are the array [z, T]. Only points in a cone belong to a model (`measures.two_eigenvalue_modes`).

    Args:
        eigenvalue: w, in [-1, 1), not 0; -epsilon in the paper's edge-of-stability model, -1 in the symmetric one.
        start: [z, T].
        offset: E, rescaled.

    Raises:
        InputError: w out of range; a start that is not finite or belongs to no model.

    References: agarwala2022, eqs. 10 to 13 and 46 to 54 (QR-10 to QR-12).

    Example:
        >>> process = TwoEigenvalueMap(-1.0, [0.5, 3.0])
        >>> process.step(process.init(jax.random.key(0))).params.tolist()
        [-0.875, 2.75]
    """

    eigenvalue: Array
    start: Float[Array, "2"]
    offset: Array

    def __init__(self, eigenvalue: Number, start: Row, offset: Number = 0.0):
        self.eigenvalue, self.offset, self.start = floating(eigenvalue), floating(offset), floating(start)
        if isinstance(self.eigenvalue, Tracer) or isinstance(self.start, Tracer) or isinstance(self.offset, Tracer):
            return
        if self.start.shape != (2,):
            raise InputError(f"start must be two numbers [z, T]; got shape {self.start.shape}.")
        w, (z, t) = float(self.eigenvalue), np.asarray(self.start)
        if not np.isfinite(float(self.offset)):
            raise InputError(f"offset must be finite; got {float(self.offset)}.")
        if not (-1 <= w < 1 and w != 0):
            raise InputError(f"eigenvalue must lie in [-1, 1) and not be 0; got {w}.")
        if not np.isfinite([z, t]).all():
            raise InputError(f"start must be finite; got [{z}, {t}].")
        first, second = two_eigenvalue_modes(float(z), float(t), w, float(self.offset))
        if second < 0 or first < 0:
            raise InputError(
                f"start [z, T] = [{z:g}, {t:g}] must lie in the cone where both squared modes are positive; "
                f"they are {first:.3g} and {second:.3g}."
            )

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return _state(self.start, key)

    def step(self, state: State) -> State:
        """One step; `loss` is z^2/2 before it."""
        z, t = state.params
        dtype = state.params.dtype
        new = jnp.stack(two_eigenvalue_step(z, t, self.eigenvalue.astype(dtype), self.offset.astype(dtype)))
        return state._replace(step=state.step + 1, params=new, loss=z**2 / 2)


class LowOrderMap(AbstractProcess):
    """z'' = z + 2 y z and y'' = y - 2 (4 - 3 eps + 4 eps^2) y z^2 - 4 eps z^2: two steps at a time, near (0, T = 2).

    y is T(0) less the nullcline on which z stands still over two steps. Parameters are the array [z, y]; a step of
    this process is two steps of gradient descent.

    Args:
        epsilon: the second eigenvalue is -epsilon; positive.
        start: [z, y].

    Raises:
        InputError: epsilon not positive, a start that is not finite.

    References: agarwala2022, eqs. 119 and 120 (QR-20).

    Example:
        >>> process = LowOrderMap(0.25, [0.5, 0.0])
        >>> process.step(process.init(jax.random.key(0))).params.tolist()
        [0.5, -0.25]
    """

    epsilon: Array
    start: Float[Array, "2"]

    def __init__(self, epsilon: Number, start: Row):
        self.epsilon, self.start = floating(epsilon), floating(start)
        if not isinstance(self.epsilon, Tracer):
            positive("epsilon", float(self.epsilon))
        if not isinstance(self.start, Tracer) and not bool(jnp.all(jnp.isfinite(self.start))):
            raise InputError(f"start must be finite; got {np.asarray(self.start).tolist()}.")

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return _state(self.start, key)

    def step(self, state: State) -> State:
        """Two steps of gradient descent."""
        new = state.params + low_order_rate(state.params, self.epsilon.astype(state.params.dtype))
        return state._replace(step=state.step + 1, params=new)


def low_order_rate(point: Float[Array, "2"], epsilon: Number) -> Float[Array, "2"]:
    """[2 y z, -2 (4 - 3 eps + 4 eps^2) y z^2 - 4 eps z^2] at [z, y]: the increment of `LowOrderMap`, and its ODE.

    References: agarwala2022, eqs. 119, 120, 133 and 134 (QR-20); one unit of time is two steps.
    """
    z, y = point
    return jnp.stack([2 * y * z, -2 * (4 - 3 * epsilon + 4 * epsilon**2) * y * z**2 - 4 * epsilon * z**2])


def _check_row(name: str, values: Array, eigenvalues: Array) -> None:
    if jnp.shape(values) != jnp.shape(eigenvalues):
        raise InputError(f"{name} must have one number for each of {len(eigenvalues)} eigenvalues.")


def _check_finite(name: str, values: Modes | Moments) -> None:
    if not any(isinstance(leaf, Tracer) for leaf in values) and not all(np.isfinite(leaf).all() for leaf in values):
        raise InputError(f"{name} must be finite; got NaN or inf.")


def _state(params, key: PRNGKey) -> State:
    dtype = jax.tree.leaves(params)[0].dtype
    return State(jnp.zeros((), int), params, (), key, jnp.full((), jnp.nan, dtype))
