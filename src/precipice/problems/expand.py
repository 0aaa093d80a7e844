"""Taylor models of any problem: its outputs as a polynomial in the parameters, matrix-free or dense."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from precipice._checks import InputError, one_line, positive
from precipice._types import Params, PRNGKey, Scalar
from precipice.problems.losses import mean_half_squared_error, mean_squared_error, sum_half_squared_error
from precipice.problems.problem import AbstractProblem
from precipice.problems.quadratic_model import Rows

ORDERS = (1, 2, 3)
SQUARED = (mean_half_squared_error, sum_half_squared_error, mean_squared_error)


class TaylorModel(AbstractProblem):
    """A problem with its outputs replaced by their Taylor polynomial about a point; make it with `expand`.

    The data and the loss of the outputs stay the problem's own.

    Args:
        problem: what is expanded.
        start: the point.
        order: 1, 2 or 3.
    """

    problem: Any
    start: Params
    order: int = eqx.field(static=True)

    @property
    def data(self) -> Any:
        """The problem's data."""
        return self.problem.data

    @property
    def output_loss(self) -> Callable[..., Scalar]:
        """The problem's loss of outputs and targets."""
        return self.problem.output_loss

    def init(self, key: PRNGKey) -> Params:  # noqa: ARG002
        """The point of expansion; nothing is drawn."""
        return jax.tree.map(jnp.array, self.start)

    def outputs(self, params: Params, batch: Any = None) -> Array:
        """The sum of D^k f(d, ..., d)/k! at the start over k = 0 to `order`, with d the displacement from it."""
        displacement = jax.tree.map(jnp.subtract, params, self.start)
        terms = _derivatives(lambda point: self.problem.outputs(point, batch), self.order)(self.start, displacement)
        total, factorial = terms[0], 1
        for power, term in enumerate(terms[1:], 1):
            factorial *= power
            total = total + term / factorial
        return total

    def loss_of_outputs(self, outputs: Array, batch: Any = None) -> Scalar:
        """The problem's loss as a function of the outputs."""
        return self.problem.loss_of_outputs(outputs, batch)

    def loss(self, params: Params, batch: Any = None) -> Scalar:
        """The loss of the expanded outputs; the reduction is the problem's."""
        return self.loss_of_outputs(self.outputs(params, batch), batch)


def _derivatives(function: Callable[[Params], Array], order: int) -> Callable[[Params, Params], tuple[Array, ...]]:
    """``(point, direction) -> (f, Df, D^2 f, ...)`` along the direction, by nested forward derivatives."""
    if order == 0:
        return lambda point, _: (function(point),)
    lower = _derivatives(function, order - 1)

    def all_of(point: Params, direction: Params) -> tuple[Array, ...]:
        values, rates = jax.jvp(lambda p: lower(p, direction), (point,), (direction,))
        return (*values, rates[-1])

    return all_of


def _check_fitting(problem: AbstractProblem, params: Params) -> None:
    """Refuse params that the problem has no outputs at; nothing is computed."""
    try:
        eqx.filter_eval_shape(lambda p: problem.outputs(p), params)  # pyright: ignore[reportAttributeAccessIssue]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"params must be parameters of the problem to be expanded; got {one_line(error)}.") from error


def expand(problem: AbstractProblem, params: Params, *, order: int) -> TaylorModel:
    """The problem with its outputs expanded to `order` about `params`: linear, quadratic or cubic in the parameters.

    Matrix-free: derivatives along the displacement only, never a tensor Q. Outputs cost about 2, 4 or 8 evaluations of
    the network's, and a gradient so many gradients.

    Args:
        problem: what has ``outputs(params, batch)`` and ``loss_of_outputs(outputs, batch)``: `Supervised` networks,
            `QuadraticModel`.
        params: the point.
        order: 1, 2 or 3.

    Raises:
        InputError: another order, a problem without outputs, or a point that is not finite.

    References: agarwala2022, section 4 and appendix D.2; Bai and Lee 2020.

    Example:
        >>> from precipice import problems
        >>> model = problems.QuadraticModel(problems.Rows(jnp.ones(1), jnp.ones((1, 1)), jnp.ones((1, 1, 1))))
        >>> [float(expand(model, jnp.zeros(1), order=k).outputs(jnp.array([2.0]))[0, 0]) for k in (1, 2)]
        [3.0, 5.0]
    """
    if order not in ORDERS:
        raise InputError(f"order must be 1, 2 or 3; got {order}.")
    _check_outputs(problem)
    known = [leaf for leaf in jax.tree.leaves(params) if not isinstance(leaf, Tracer)]
    if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in known):
        raise InputError("params must be finite to be expanded about; got NaN or inf.")
    _check_fitting(problem, params)
    return TaylorModel(problem, params, order)


def dense_rows(problem: Any, params: Params, *, max_bytes: float = 2.0**32) -> Rows:
    """The exact quadratic model of a small problem with a squared loss, for `QuadraticModel`.

    One row for each output of each example, in the order of ``outputs.ravel()``: residual, gradient and Hessian of the
    output at `params`. The model's parameters are the displacement from `params`, flat (`ravel_pytree`). With C outputs
    an example, the mean over its n C rows is the problem's mean loss over C. Costs p Hessian products an output.

    Args:
        problem: as for `expand`, with ``data`` and a squared ``output_loss``.
        params: the point.
        max_bytes: refuse to make a Q larger than this.

    Raises:
        InputError: a problem without outputs or data, a loss that is not squared, or a Q above `max_bytes`.

    References: agarwala2022, section 4 (QR-30).

    Example:
        >>> from precipice import problems
        >>> data = problems.chebyshev(2, 5)
        >>> problem = problems.Supervised(problems.FullyConnected((1, 3, 1)), data, problems.mean_half_squared_error)
        >>> dense_rows(problem, problem.init(jax.random.key(0))).q.shape
        (5, 10, 10)
    """
    _check_outputs(problem)
    if getattr(problem, "output_loss", None) not in SQUARED:
        raise InputError("dense_rows needs a squared output_loss, whose residuals are outputs less targets.")
    positive("max_bytes", max_bytes)
    like, size = jax.eval_shape(problem.outputs, params), ravel_pytree(params)[0].size
    need = like.size * size**2 * like.dtype.itemsize
    if need > max_bytes:
        raise InputError(
            f"q must take at most {max_bytes / 2**30:.3g} GiB (max_bytes); {like.size:,} outputs and {size:,} "
            f"parameters need {need / 2**30:.3g} GiB: use expand(problem, params, order=2), which never forms it."
        )
    return _dense_rows(problem, params)


@eqx.filter_jit
def _dense_rows(problem: Any, params: Params) -> Rows:
    theta, unravel = ravel_pytree(params)
    outputs = problem.outputs(params)
    slope = jax.grad(problem.loss_of_outputs)
    unit = jax.jvp(slope, (outputs,), (jnp.ones_like(outputs),))[1]

    def of_example(example):
        def one(t):
            return problem.outputs(unravel(t), jax.tree.map(lambda leaf: leaf[None], example))[0]

        return jax.jacrev(one)(theta), jax.jacfwd(jax.jacrev(one))(theta)

    g, q = jax.lax.map(of_example, problem.data)
    q = (q + jnp.swapaxes(q, 2, 3)) / 2
    residuals = (slope(outputs) / unit).ravel()
    return Rows(residuals, g.reshape(-1, theta.size), q.reshape(-1, theta.size, theta.size))


def _check_outputs(problem: Any) -> None:
    for name in ("outputs", "loss_of_outputs", "data"):
        if not hasattr(problem, name):
            raise InputError(f"problem must have {name} to be expanded; {type(problem).__name__} has none.")
