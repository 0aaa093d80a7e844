"""Self-stabilization of any problem at a point: the quantities of the predicted dynamics, by products alone."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from precipice._checks import InputError, positive
from precipice._types import Params, PRNGKey, Values
from precipice.curvature import Chunks, Hessian, eigs, third_derivative
from precipice.curvature.chunks import weighted_mean
from precipice.measures.trackers import chunks_of
from precipice.problems import AbstractProblem

REST = 1e-9
"""A displacement from rest along u, in the units of the parameters, that counts as none."""


class EdgePoint(NamedTuple):
    """What the predicted dynamics of self-stabilization need to know of a problem at a point.

    Args:
        params: the point theta_0.
        sharpness: S, the largest Hessian eigenvalue there.
        direction: u, its unit eigenvector.
        sharpness_gradient: grad S = D^3 L(., u, u).
        normal: P grad S, the part of grad S orthogonal to u.
        alpha: -grad L . grad S, the rate of progressive sharpening in gradient flow; the theory needs it positive.
        beta: |P grad S|^2, how strongly a displacement along u lowers sharpness.
        slope: u . grad L; 0 at a point where the dynamics along u rest.
        gradient_norm: |grad L|.
        bound: the error bound of S (`curvature.Eigs`).
    """

    params: Params
    sharpness: float
    direction: PyTree
    sharpness_gradient: PyTree
    normal: PyTree
    alpha: float
    beta: float
    slope: float
    gradient_norm: float
    bound: float

    def coordinates(self, params: Params) -> tuple[float, float]:
        """(x, y) of another point: x = u . (theta - theta_0), y = P grad S . (theta - theta_0).

        x is in units of the parameters; y in those of the sharpness, whose first-order change it is where the
        displacement along u is left out.
        """
        x, y = _coordinates(self, params)
        return float(x), float(y)


class _Coordinates(eqx.Module):
    params: Params
    direction: PyTree
    normal: PyTree

    def __call__(self, state: Any) -> Values:
        x, y = _coordinates(self, state.params)
        return {"edge_displacement": x, "edge_excess": y}


def edge_coordinates(point: EdgePoint) -> _Coordinates:
    """Probe ``edge_displacement`` and ``edge_excess``: (x, y) of the state, see `EdgePoint.coordinates`."""
    return _Coordinates(point.params, point.direction, point.normal)


def edge_point(
    problem: AbstractProblem,
    params: Params,
    *,
    key: PRNGKey,
    rtol: float = 1e-8,
    max_products: int = 400,
    chunk_size: int | None = None,
) -> EdgePoint:
    """Self-stabilization of `problem` at `params`: u, S, grad S, alpha and beta.

    Cost: a solve for the top eigenvector (tens of Hessian products; the error of u is about sqrt(rtol)), one third
    derivative and one gradient. Memory as for the solve.

    Args:
        problem: what is trained.
        params: the point; the theory takes one at which S = 2/lr and u . grad L = 0 (`project_to_edge`).
        key: for the random vectors of the solve.
        rtol: asked relative error of S.
        max_products: budget of the solve.
        chunk_size: examples held at a time, for a problem with `data` (`Supervised`); None for all at once.

    Raises:
        InputError: a chunk size for a problem without data; the point or the data hold NaN.

    References: shapira2023, section 4; Damian et al. 2022 (REV-3).

    Example:
        >>> from precipice import problems
        >>> problem = problems.SelfStabilizing(0.5, alpha=3.0, beta=4.0)
        >>> point = edge_point(problem, jnp.zeros(2), key=jax.random.key(0))
        >>> [round(v, 6) for v in (point.sharpness, point.alpha, point.beta)]
        [4.0, 3.0, 4.0]
    """
    chunks = chunks_of(problem, chunk_size)
    top = eigs(Hessian(problem.loss, params, chunks), key=key, rtol=rtol, max_products=max_products)
    direction = jax.tree.map(lambda leaf: leaf[0], top.vectors)
    rise, gradient = _derivatives(problem, params, direction, chunks)
    normal = jax.tree.map(lambda a, u: a - _dot(rise, direction) * u, rise, direction)
    return EdgePoint(
        params,
        float(top.values[0]),
        direction,
        rise,
        normal,
        alpha=-float(_dot(gradient, rise)),
        beta=float(_dot(normal, normal)),
        slope=float(_dot(gradient, direction)),
        gradient_norm=float(_dot(gradient, gradient)) ** 0.5,
        bound=float(top.bounds[0]),
    )


def project_to_edge(
    problem: AbstractProblem,
    params: Params,
    lr: float,
    *,
    key: PRNGKey,
    rtol: float = 1e-6,
    max_iterations: int = 20,
    chunk_size: int | None = None,
) -> EdgePoint:
    """The point near `params` from which the theory sets out: S = 2/lr, and no gradient along the top eigenvector.

    Newton's method: a step along u that takes u . grad L to 0, and one along P grad S that takes S to 2/lr.

    Args:
        problem: what is trained.
        params: where to begin: a point of a training whose sharpness is near 2/lr.
        lr: learning rate.
        key: for the random vectors; each iteration is an `edge_point`.
        rtol: asked relative error of S, and of u . grad L over |grad L|.
        max_iterations: after which it gives up.
        chunk_size: as for `edge_point`.

    Raises:
        InputError: lr not positive; no convergence (the start is too far from the edge), with how far it came.

    References: Damian et al. 2022, definition of the stable set (REV-3).
    """
    positive("lr", lr)
    edge = 2 / lr
    miss = float("nan")
    for _ in range(max_iterations):
        point = edge_point(problem, params, key=key, rtol=rtol * 1e-4, chunk_size=chunk_size)
        size = max(point.gradient_norm, REST * edge)
        miss = max(abs(point.sharpness / edge - 1), abs(point.slope) / size)
        if miss <= rtol:
            return point
        if not point.beta > 0:
            raise InputError(
                "sharpness must depend on params off the top eigenvector for a way to the edge; beta is 0."
            )
        along, across = -point.slope / point.sharpness, (edge - point.sharpness) / point.beta
        params = jax.tree.map(
            lambda p, u, g, a=along, b=across: p + a * u + b * g, params, point.direction, point.normal
        )
    raise InputError(
        f"params must lie near a point of sharpness 2/lr = {edge:.4g}; after {max_iterations} steps of Newton's method "
        f"it is missed by a relative {miss:.2g}."
    )


def _coordinates(point: "EdgePoint | _Coordinates", params: Params) -> tuple[Any, Any]:
    moved = jax.tree.map(jnp.subtract, params, point.params)
    return _dot(point.direction, moved), _dot(point.normal, moved)


def _dot(a: PyTree, b: PyTree) -> Any:
    return sum(jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@eqx.filter_jit
def _derivatives(problem: AbstractProblem, params: Params, direction: PyTree, chunks: Chunks | None):
    return third_derivative(problem.loss, params, direction, chunks), _gradient(problem, params, chunks)


def _gradient(problem: AbstractProblem, params: Params, chunks: Chunks | None) -> PyTree:
    if chunks is None:
        return jax.grad(problem.loss)(params)
    return weighted_mean(lambda batch: jax.grad(problem.loss)(params, batch), chunks)
