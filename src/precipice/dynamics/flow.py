"""Gradient flow d theta/dt = -grad L(theta) of any problem, through diffrax."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from precipice._checks import InputError, at_least, positive
from precipice._types import Number, Params, Row, floating
from precipice.dynamics.advance import all_finite
from precipice.problems import AbstractProblem
from precipice.results import Status


class Flow(NamedTuple):
    """A gradient flow.

    Args:
        time: [n], as asked.
        params: the parameters at each time, a pytree with a leading axis [n]; NaN at times that were not reached.
        num_steps: steps of the integrator.
        status: `results.Status.DONE`, or `DIVERGED` where the flow was not followed to the end: it went to infinity,
            or is too stiff for `max_steps`.
    """

    time: Float[Array, "n"]
    params: PyTree
    num_steps: Int[Array, ""]
    status: Int[Array, ""]


def flow(
    problem: AbstractProblem,
    start: Params,
    times: Row,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    step: Number | None = None,
    max_steps: int = 100_000,
) -> Flow:
    """The gradient flow of `problem` from `start`, at the given times.

    Time is learning rate times steps of gradient descent with a small learning rate. Tsitouras' 5th-order method with
    adaptive steps, or fixed ones. Compiled once for each problem type, shape and number of times; vmap it over starts
    (all then take as many steps as the slowest). Stiff problems, whose sharpness times duration is large, need about
    half that many steps, of 6 gradients each.

    Args:
        problem: what flows down its training loss.
        start: the parameters at time 0.
        times: increasing, the first at or after 0 [n].
        rtol: relative tolerance of a step; what it means for the result depends on the flow. Not below about 1e-12 in
            float64, 1e-5 in float32.
        atol: absolute tolerance of a step.
        step: a fixed step instead of adaptive ones (for order tests and comparisons).
        max_steps: budget of steps; a flow that needs more ends with status DIVERGED, its times so far kept.

    Raises:
        InputError: times empty, unordered, negative or not finite; a start that is not finite; tolerances or step not
            positive.

    References: agarwala2022, eq. 2 (QR-2, QR-6); ahn2022, section 2.1 (TN-4).

    Example:
        >>> from precipice import problems
        >>> problem = problems.SingleNeuron(problems.SquareRootLoss())
        >>> end = flow(problem, jnp.array([3.0, 4.0]), [0.0, 10.0]).params[-1]
        >>> round(float(end[1] ** 2 - end[0] ** 2), 6)
        7.0
    """
    asked = _checked_times(times)
    for name, value in (("rtol", rtol), ("atol", atol), *((("step", step),) if step is not None else ())):
        if not isinstance(value, Tracer):
            positive(name, float(value))
    at_least("max_steps", max_steps, 1)
    leaves = jax.tree.leaves(start)
    if not any(isinstance(leaf, Tracer) for leaf in leaves) and not bool(all_finite(start)):
        raise InputError("start of a flow must be finite; got NaN or inf.")
    dtype = jnp.result_type(*(floating(leaf) for leaf in leaves))
    tolerances = (jnp.asarray(rtol, dtype), jnp.asarray(atol, dtype))
    fixed = None if step is None else jnp.asarray(step, dtype)
    return _flow(problem, jax.tree.map(floating, start), jnp.asarray(asked, dtype), tolerances, fixed, max_steps)


def _checked_times(times: Row) -> np.ndarray:
    asked = np.asarray(times, float)
    if asked.ndim != 1 or not asked.size:
        raise InputError(f"times must be a row of at least one number; got shape {asked.shape}.")
    if not np.isfinite(asked).all() or asked[0] < 0 or (np.diff(asked) <= 0).any():
        raise InputError(f"times must be finite, not negative and increasing; got {asked.tolist()[:6]}.")
    return asked


@eqx.filter_jit
def _flow(
    problem: AbstractProblem, start: Params, times: Array, tolerances: tuple[Array, Array], step: Any, max_steps: int
) -> Flow:
    import diffrax  # a second to import; most runs need no flow

    def downhill(_, params, problem):
        return jax.tree.map(jnp.negative, jax.grad(problem.loss)(params))

    controller = diffrax.ConstantStepSize() if step is not None else diffrax.PIDController(*tolerances)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # diffrax's own arithmetic
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(downhill),
            diffrax.Tsit5(),
            t0=jnp.zeros((), times.dtype),
            t1=jnp.maximum(times[-1], jnp.finfo(times.dtype).tiny),
            dt0=step,
            y0=start,
            args=problem,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=controller,
            max_steps=max_steps,
            throw=False,
        )
    reached = found.result == diffrax.RESULTS.successful
    params = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, jnp.nan), found.ys)
    finite = reached & all_finite(found.ys)
    status = jnp.where(finite, int(Status.DONE), int(Status.DIVERGED))
    return Flow(times, params, found.stats["num_steps"], status)
