"""Quadratic regression with one output: z = (theta^T Q theta - E)/2 and the loss z^2/2."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least
from precipice._types import Number, Numbers, PRNGKey, Row, Scalar
from precipice.problems.problem import AbstractProblem


class QuadraticRegression(AbstractProblem):
    """L(theta) = z^2/2 with z = (theta^T Q theta - E)/2, at parameters theta [p].

    The model's Jacobian is Q theta and its NTK |Q theta|^2, which at a minimum is the sharpness.

    Args:
        q: symmetric matrix [p, p], or its eigenvalues [p] for a diagonal one.
        offset: E.

    Raises:
        InputError: a matrix that is not square and symmetric, or entries that are not finite.

    References: agarwala2022, eq. 1 (QR-1).

    Example:
        >>> problem = QuadraticRegression(jnp.array([1.0, -0.5]))
        >>> theta = jnp.array([2.0, 2.0])
        >>> float(problem.output(theta)), float(problem.kernel(theta))
        (1.0, 5.0)
    """

    q: Float[Array, "p p"]
    offset: Array

    def __init__(self, q: Row, offset: Number = 0.0):
        matrix = jnp.asarray(q)
        matrix = jnp.diag(matrix) if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
            raise InputError(f"q must be a square matrix or a row of eigenvalues; got shape {jnp.asarray(q).shape}.")
        if not jnp.issubdtype(matrix.dtype, jnp.inexact):
            matrix = matrix.astype(jnp.result_type(float))
        if not isinstance(offset, Tracer) and not np.isfinite(float(offset)):
            raise InputError(f"offset must be finite; got {float(offset)}.")
        if not isinstance(matrix, Tracer):
            if not bool(jnp.all(jnp.isfinite(matrix))):
                raise InputError("q must be finite; got NaN or inf.")
            if not bool(jnp.all(matrix == matrix.T)):
                raise InputError("q must be symmetric; use (q + q.T)/2, which has the same output.")
        self.q, self.offset = matrix, jnp.asarray(offset)

    def init(self, key: PRNGKey) -> Float[Array, "p"]:
        """Standard normal entries."""
        return jax.random.normal(key, (self.q.shape[0],), self.q.dtype)

    def output(self, params: Float[Array, "p"]) -> Scalar:
        """z: the model's output, which is its residual too."""
        return (params @ self.q @ params - self.offset.astype(params.dtype)) / 2

    def jacobian(self, params: Float[Array, "p"]) -> Float[Array, "p"]:
        """dz/dtheta = Q theta."""
        return self.q @ params

    def kernel(self, params: Float[Array, "p"]) -> Scalar:
        """The NTK |Q theta|^2."""
        jacobian = self.jacobian(params)
        return jacobian @ jacobian

    def loss(self, params: Float[Array, "p"], batch: Number | None = None) -> Scalar:
        """z^2/2; `batch` is a target for z, by default 0."""
        target = 0 if batch is None else jnp.asarray(batch, params.dtype)
        return (self.output(params) - target) ** 2 / 2


def linear_network_on_one_point(x: Row, *, width: int, target: float = 0.0) -> QuadraticRegression:
    """The one-hidden-layer linear network f = v . U x on one example (x, target) as a quadratic model: z = f - target.

    Parameters are v [width] followed by the rows of U [width, n]. Q has the eigenvalues +|x| and -|x|, `width` times
    each, and 0 else; E = 2 target.

    Args:
        x: the example [n].
        width: hidden units.
        target: its target.

    Raises:
        InputError: an example that is not a row of finite numbers, a width below 1.

    References: agarwala2022, appendix A.1 (QR-25).

    Example:
        >>> model = linear_network_on_one_point([3.0, 4.0], width=1)
        >>> jnp.linalg.eigvalsh(model.q).round(6).tolist()
        [-5.0, 0.0, 5.0]
    """
    given = np.asarray(x)
    point = given if given.dtype.kind == "f" else given.astype(float)
    at_least("width", width, 1)
    if point.ndim != 1 or not point.size or not np.isfinite(point).all():
        raise InputError(f"x must be a row of finite numbers; got shape {point.shape}.")
    coupling = np.kron(np.eye(width, dtype=point.dtype), point[None])
    corner = np.zeros((width, width), point.dtype)
    return QuadraticRegression(
        np.block([[corner, coupling], [coupling.T, np.zeros((coupling.shape[1],) * 2, point.dtype)]]), 2 * target
    )


def two_eigenvalue_modes(z: Numbers, t: Numbers, eigenvalue: Number, offset: Number = 0.0) -> tuple[Numbers, Numbers]:
    """Squared Jacobian along the eigenvectors of eigenvalue 1 and w: (T - J_2^2, w (E + 2 z - T)/(1 - w)).

    References: agarwala2022, eqs. 55 and 56 (QR-13).

    Example:
        >>> two_eigenvalue_modes(0.5, 3.0, -1.0)
        (2.0, 1.0)
    """
    second = eigenvalue * (offset + 2 * z - t) / (1 - eigenvalue)
    return t - second, second


def two_eigenvalue_step(z: Numbers, t: Numbers, eigenvalue: Number, offset: Number = 0.0) -> tuple[Numbers, Numbers]:
    """One step of the map of `dynamics.TwoEigenvalueMap` at any number of points.

    References: agarwala2022, eqs. 10 to 13 (QR-10 to QR-12).

    Example:
        >>> two_eigenvalue_step(0.5, 3.0, -1.0)
        (-0.875, 2.75)
    """
    s = 2 * z + offset
    first = (1 + eigenvalue) * t - eigenvalue * s
    second = t + eigenvalue * (1 + eigenvalue) * (t - s)
    return z - z * t + z**2 * first / 2, t - z * (2 * first - z * second)
