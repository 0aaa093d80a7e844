"""The top mode of a network's kernel: how much of its motion is linear, and how much the model's own curvature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from precipice._types import Numbers, Params, Scalar
from precipice.curvature import Jacobian, ModelCurvature
from precipice.problems import Rows
from precipice.problems.quadratic_model import contracted


class TopMode(NamedTuple):
    """What moves the residual along a unit direction v of the outputs, the top eigenvector of J J^T.

    Args:
        residual: z1 = v . z.
        eigenvalue: l1 = |J^T v|^2, of the bare J J^T.
        curvature: Q1(J^T z1 v, J^T z1 v), with Q1 = v . Q.
    """

    residual: Scalar
    eigenvalue: Scalar
    curvature: Scalar

    def printed_ratio(self, lr: Numbers) -> Numbers:
        """lr^2 Q1(J^T z1 v, J^T z1 v)/(l1 z1), as the paper defines and draws it.

        References: agarwala2022, section 4 and figure 6, right (QR-F6).
        """
        return lr**2 * self.curvature / (self.eigenvalue * self.residual)

    def step_ratio(self, lr: Numbers) -> Numbers:
        """(lr^2 Q1(...)/2)/(lr l1 z1): the two terms of one step themselves; it does not change under rescaling.

        `printed_ratio` is 2 lr times this: the linear term has a factor lr and the other a half, which it leaves out.

        References: agarwala2022, eqs. 25 and 28 (QR-32, QR-33).
        """
        return lr * self.curvature / (2 * self.eigenvalue * self.residual)


def top_mode(
    outputs: Callable[..., Any],
    params: Params,
    data: Any,
    *,
    residual: Float[Array, "n C"],
    direction: Float[Array, "n C"],
) -> TopMode:
    """The terms of a network at a point, matrix-free: one product each with J^T and v . Q.

    Ratios take the learning rate of the **sum** of half squares: for a mean over n examples, lr/n.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``, such as ``problem.outputs``.
        params: the point.
        data: a batch with a leading axis of examples, or `curvature.Chunks` of it.
        residual: z, outputs less targets [n, C].
        direction: v, a unit vector [n, C]; the top eigenvector of ``curvature.NTK``.

    References: agarwala2022, section 4 (QR-F6).

    Example:
        >>> from precipice import problems
        >>> model = problems.QuadraticModel(problems.Rows(jnp.ones(1), 2 * jnp.ones((1, 1)), jnp.ones((1, 1, 1))))
        >>> unit, z = jnp.ones((1, 1)), model.outputs(jnp.zeros(1))
        >>> [float(v) for v in top_mode(model.outputs, jnp.zeros(1), model.data, residual=z, direction=unit)]
        [1.0, 4.0, 4.0]
    """
    z1 = jnp.sum(direction * residual)
    back = Jacobian(outputs, params, data).rmv(direction)
    turned = ModelCurvature(outputs, params, data, direction).mv(back)
    return TopMode(z1, _inner(back, back), z1**2 * _inner(back, turned))


def top_mode_of_rows(rows: Rows, direction: Float[Array, "d"] | None = None) -> TopMode:
    """The terms of a dense quadratic model at its start; `direction` by default the top eigenvector of J J^T.

    References: agarwala2022, section 4 (QR-F6).

    Example:
        >>> [float(v) for v in top_mode_of_rows(Rows(jnp.ones(1), 2 * jnp.ones((1, 1)), jnp.ones((1, 1, 1))))]
        [1.0, 4.0, 4.0]
    """
    z, j, q = rows
    v = jnp.linalg.eigh(j @ j.T)[1][:, -1] if direction is None else direction
    z1, back = v @ z, v @ j
    return TopMode(z1, back @ back, z1**2 * (v @ (contracted(q, back) @ back)))


def _inner(a: PyTree, b: PyTree) -> Scalar:
    return jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))))
