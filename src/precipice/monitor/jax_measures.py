"""What a JAX monitor measures at a point: functions ``(point, memory) -> Found``, each with its error.

Implementations: `hessian_top` (eigenvalues and the normalised sharpness), `hessian_bottom` (the smallest eigenvalue),
`gauss_newton_top`, `noise_trace` (traces and K); in jax_sampling.py `batch_curvature` (batch sharpness) and
`gradient_noise` (its scale), in jax_critical.py `critical_step` (critical sharpness).

To add one:
1. Write a function that returns a `Measure`; `memory` is None at the first measurement and its own after that.
2. Names come from `Reading.values`: add what is missing to `results/monitor_vocabulary.py`.
3. Compare it with a dense computation in `tests/test_monitor_jax.py`, and export it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from precipice._checks import InputError, at_least
from precipice._types import Params, PRNGKey
from precipice.curvature import (
    AbstractOperator,
    Eigs,
    Estimate,
    GaussNewton,
    Hessian,
    eigs,
    gram_trace_hutchinson,
    trace,
)
from precipice.measures import Threshold
from precipice.measures.stretched import Stretched
from precipice.monitor.jax_loss import Held, OnData, Probe, SplitLoss
from precipice.monitor.limits import trace_noise_kernel_norm
from precipice.monitor.reading import Rates
from precipice.monitor.setting import Setting

GUARD = 1
"""Vectors kept beyond those that are asked for, so that a growing direction is followed before it overtakes."""

EXPLORE_STEPS = 10
"""Measurements that lie closer together than this look for new directions only once in so many steps."""


class Point(NamedTuple):
    """Where a measurement is made.

    Args:
        step: steps taken.
        loss: ``loss(params, batch)``, a `Held` function.
        params: the trained arrays, in the solver's precision.
        probe: the data.
        threshold: of the optimiser.
        rates: the same as floats, with the learning rate.
        root: the square root of 1/(edge P) like the parameters, or None for P = I.
        setting: what the numbers refer to.
        key: for this measurement.
    """

    step: int
    loss: Held
    params: Params
    probe: Probe
    threshold: Threshold
    rates: Rates
    root: Params | None
    setting: Setting
    key: PRNGKey


class Found(NamedTuple):
    """Values and errors by the names of `monitor.Reading`, and what to remember for the next time."""

    values: dict[str, Any]
    errors: dict[str, Any]
    memory: Any


Measure = Callable[[Point, Any], Found]


def hessian_top(*, num: int = 1, rtol: float = 1e-4, max_products: int = 200) -> Measure:
    """The largest algebraic Hessian eigenvalues by warm-started Lanczos, and the normalised sharpness.

    For an adaptive optimiser the Hessian is the preconditioned one, P^-1/2 H P^-1/2, and ``preconditioned_sharpness``
    takes the place of ``sharpness`` and ``hessian_eigenvalue``. The error bounds are those of `curvature.eigs`; they
    are met to `rtol` unless ``hessian_converged`` is 0.

    Args:
        num: how many.
        rtol: asked relative error.
        max_products: budget of a measurement, about 1.5 gradients of the probe set each; cold starts take 15 to 40,
            warm ones 5 to 10.
    """
    at_least("num", num, 1)

    def measure(point: Point, memory: Any) -> Found:
        op = _hessian(point)
        found, memory = _warm(op, memory, point, num, rtol, max_products)
        values, errors = {}, {}
        top, bound = float(found.values[0]), float(found.bounds[0])
        edge, l2 = point.rates.edge, point.rates.weight_decay
        if point.root is None:
            values |= {"sharpness": top, "hessian_eigenvalue": found.values[:num]}
            errors |= {"sharpness": bound, "hessian_eigenvalue": found.bounds[:num]}
            top, bound = (top + l2) / edge, bound / edge
        else:
            values["preconditioned_sharpness"], errors["preconditioned_sharpness"] = top * edge, bound * edge
        values |= {"normalised_sharpness": top, "hessian_products": found.num_products}
        values["hessian_converged"] = float(found.converged)
        return Found(values, errors | {"normalised_sharpness": bound}, memory)

    return measure


def hessian_bottom(*, rtol: float = 1e-2, max_products: int = 100) -> Measure:
    """The smallest algebraic eigenvalue of the Hessian (never preconditioned), warm-started.

    Args:
        rtol: asked relative error; the smallest eigenvalue of a network lies close to others, and is slow.
        max_products: budget.
    """

    def measure(point: Point, memory: Any) -> Found:
        op = _plain_hessian(point)
        found, memory = _warm(op, memory, point, 1, rtol, max_products, end="smallest")
        name = "smallest_hessian_eigenvalue"
        return Found({name: float(found.values[0])}, {name: float(found.bounds[0])}, memory)

    return measure


def gauss_newton_top(*, num: int = 1, rtol: float = 1e-4, max_products: int = 200) -> Measure:
    """The largest eigenvalues of the Gauss-Newton matrix, never preconditioned; the loss must be a `SplitLoss`.

    Args:
        num: how many.
        rtol: asked relative error.
        max_products: budget.
    """
    at_least("num", num, 1)

    def measure(point: Point, memory: Any) -> Found:
        split = point.loss.function
        if not isinstance(split, SplitLoss):
            raise InputError("loss must be a monitor.SplitLoss for its Gauss-Newton matrix; got one function.")
        data = point.probe.data if point.probe.chunks is None else point.probe.chunks
        op = GaussNewton(Held(split.outputs, point.loss.rest), split.loss_of_outputs, point.params, data)
        found, memory = _warm(op, memory, point, num, rtol, max_products)
        name = "gauss_newton_eigenvalue"
        return Found({name: found.values[:num]}, {name: found.bounds[:num]}, memory)

    return measure


def noise_trace(*, num: int = 10) -> Measure:
    """The trace that the noise kernel norm goes by, by random signs, and K = lr tr/(2 (1 - mu) B C) itself.

    Of the Gauss-Newton matrix where the loss is a `SplitLoss` (one pass over the data, `num` backward passes an
    example), else of the Hessian (`num` products), which near a minimum is nearly the same and far from it is not. For
    an adaptive optimiser of the preconditioned matrix, and then only as ``group_trace``.

    Args:
        num: random vectors; at least 2.

    References: agarwala2024, eqs. 18 and 130; see `monitor.trace_noise_kernel_norm`.
    """
    at_least("num of a trace", num, 2)

    def measure(point: Point, memory: Any) -> Found:
        found = _trace(point, num)
        value, sem = float(found.value), float(found.sem)
        if point.root is not None:  # the stretched matrix is P^-1/2 G P^-1/2 over the edge
            value, sem = value * point.rates.edge, sem * point.rates.edge
        norm = [
            trace_noise_kernel_norm(
                [tr],
                [point.rates],
                batch_size=point.setting.batch_size,
                num_outputs=point.setting.num_outputs,
                num_training=point.setting.num_training,
            )
            for tr in (value, sem)
        ]
        values: dict[str, Any] = {"noise_kernel_norm_estimate": norm[0], "group_trace": [value]}
        errors: dict[str, Any] = {"noise_kernel_norm_estimate": norm[1], "group_trace": [sem]}
        if point.root is None:
            name = "gauss_newton_trace" if point.setting.trace_of == "Gauss-Newton" else "hessian_trace"
            values[name], errors[name] = value, sem
        return Found(values, errors, memory)

    return measure


def _plain_hessian(point: Point) -> Hessian:
    return _hessian(point._replace(root=None))


def _hessian(point: Point) -> Hessian:
    """The Hessian at the point, in the coordinates in which the edge is 1 where there is a preconditioner."""
    function, params = _stretched(point.loss, point)
    if point.probe.chunks is None:
        return Hessian(OnData(function, point.probe.data), params)
    return Hessian(function, params, point.probe.chunks)


def _stretched(function: Any, point: Point) -> tuple[Any, Params]:
    if point.root is None:
        return function, point.params
    return Stretched(function, point.params, point.root), jax.tree.map(jnp.zeros_like, point.params)


def _trace(point: Point, num: int) -> Estimate:
    split = point.loss.function
    if not isinstance(split, SplitLoss):
        return _hessian_trace(_hessian(point), point.key, num)
    outputs, params = _stretched(Held(split.outputs, point.loss.rest), point)
    data = point.probe.data if point.probe.chunks is None else point.probe.chunks
    return gram_trace_hutchinson(outputs, split.loss_of_outputs, params, data, key=point.key, num=num)


@eqx.filter_jit
def _hessian_trace(op: Hessian, key: PRNGKey, num: int) -> Estimate:
    return trace(op, key=key, num=num)


class _Warm(NamedTuple):
    vectors: PyTree
    explored: int


def _warm(
    op: AbstractOperator, memory: _Warm | None, point: Point, num: int, rtol: float, budget: int, end: Any = "largest"
) -> tuple[Eigs, _Warm]:
    """Eigenpairs from the last measurement's vectors, and their memory; see `EXPLORE_STEPS`."""
    explore = memory is None or point.step - memory.explored >= EXPLORE_STEPS
    found = eigs(
        op,
        key=point.key,
        num=num,
        keep=min(num + GUARD, op.size),
        rtol=rtol,
        max_products=budget,
        end=end,
        start=None if memory is None else memory.vectors,
        starts=None if explore else 0,
        explore=3 if explore else 0,
    )
    return found, _Warm(found.vectors, point.step if memory is None or explore else memory.explored)


def finite(values: dict[str, Any]) -> bool:
    """Whether all values are."""
    return all(np.isfinite(value).all() for value in values.values())
