"""References that are computed by another route than the library's, and toy problems whose answers are known."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import DTypeLike

from precipice import curvature, problems

EPS = float(np.finfo(np.float64).eps)


def close(got, wanted, *, eps=EPS, times=50.0):
    """Equal to `times` roundings of the largest entry of `wanted`."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    scale = np.abs(wanted).max() if wanted.size else 0.0
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=times * eps * scale)


class Quadratic(problems.AbstractProblem):
    """(1/2) sum_i h_i p_i^2, started at 1."""

    curvatures: jax.Array

    def init(self, key):
        return jnp.ones_like(self.curvatures)

    def loss(self, params, batch=None):
        return 0.5 * jnp.sum(self.curvatures * params**2)


TRACES = {"loss": 0}


class Counted(problems.AbstractProblem):
    """A problem whose loss counts how often Python runs it: once for each trace."""

    problem: Any

    def init(self, key):
        return self.problem.init(key)

    def loss(self, params, batch=None):
        TRACES["loss"] += 1
        return self.problem.loss(params, batch)


class Dense(NamedTuple):
    """Dense matrices of a problem at a point: Jacobian, its output Hessian and the Hessian of the loss."""

    jacobian: np.ndarray
    output_hessian: np.ndarray
    hessian: np.ndarray


def dense(problem, params) -> Dense:
    """The matrices, from derivatives of functions of flat vectors in float64; compiled once for each problem."""
    return Dense(*(np.asarray(a) for a in _dense(problem, params)))


@eqx.filter_jit
def _dense(problem, params):
    theta, unravel = ravel_pytree(params)
    f = problem.outputs(params)
    jacobian = jax.jacobian(lambda t: problem.outputs(unravel(t)).ravel())(theta)
    output_hessian = jax.hessian(lambda o: problem.loss_of_outputs(o.reshape(f.shape)))(f.ravel())
    return jacobian, output_hessian, jax.hessian(lambda t: problem.loss(unravel(t)))(theta)


def point(problem, seed=3):
    """Parameters that are no special point of the problem, the same in either precision."""
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(problem.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(0.6 * rng.normal(size=a.shape), a.dtype), like)


def root_of(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semi-definite matrix; eigenvalues that are rounding count as 0."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.where(values > 1e-14 * values.max(), values, 0))) @ vectors.T


class Matrix(curvature.AbstractOperator):
    """A dense symmetric matrix as an operator."""

    matrix: jax.Array

    @property
    def like(self):
        return jax.ShapeDtypeStruct(self.matrix.shape[:1], self.matrix.dtype)

    def mv(self, v):
        return self.matrix @ v


def rotated(values, seed=0, dtype: DTypeLike = np.float64) -> Matrix:
    """A matrix with these eigenvalues and a random orthonormal basis."""
    values = np.asarray(values, np.float64)
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(values.size, values.size)))[0]
    matrix = (q * values) @ q.T
    return Matrix(jnp.array((0.5 * (matrix + matrix.T)).astype(dtype)))


def reflected(values, seed=0) -> Matrix:
    """A large dense matrix with these eigenvalues: H D H, with H a reflection, needs no factorisation."""
    values = np.asarray(values, np.float64)
    u = np.random.default_rng(seed).normal(size=values.size)
    u /= np.linalg.norm(u)
    du = values * u
    matrix = np.diag(values) - 2 * np.outer(u, du) - 2 * np.outer(du, u) + 4 * (u @ du) * np.outer(u, u)
    return Matrix(jnp.array(matrix))
