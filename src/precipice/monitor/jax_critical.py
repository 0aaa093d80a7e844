"""Critical sharpness: the curvature along the next update, from forward passes."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from precipice._checks import at_least, positive
from precipice._types import Params, Scalar
from precipice.curvature.chunks import weighted_mean
from precipice.monitor.jax_loss import Held, Probe, mean_loss
from precipice.monitor.jax_measures import Found, Measure, Point

GROWTH = 2.0
"""Factor between learning rates while the critical one is being bracketed."""


def critical_step(*, rtol: float = 0.05, max_passes: int = 40) -> Measure:
    """2/lr_c with lr_c the learning rate at which a step along P^-1 g first leaves the loss as it was.

    On a quadratic, lr_c = 2 g^T P^-1 g/(P^-1 g)^T H (P^-1 g): the curvature along the gradient, at most the
    (preconditioned) sharpness. The search doubles or halves the learning rate from where the last one ended until the
    loss rises at one end and falls at the other, then bisects; a rise and fall again between two tries is not seen.
    NaN where the loss falls, or rises, at every learning rate that was tried. Momentum does not enter.

    Costs one gradient for the direction and about 5 to 10 forward passes over the probe set.

    Args:
        rtol: half width of the last bracket, relative.
        max_passes: forward passes at most.

    Raises:
        InputError: a tolerance that is not positive, or fewer than 4 passes.

    References: Kalra and Barkeshli 2023 (the critical learning rate).
    """
    positive("rtol", rtol)
    at_least("max_passes", max_passes, 4)

    def measure(point: Point, memory: Any) -> Found:
        direction = _direction(point.loss, point.params, point.probe, point.root, point.rates.edge)
        base = float(mean_loss(point.loss, point.params, point.probe))

        def rises(lr: float) -> bool:
            moved = float(_loss_after(point.loss, point.params, direction, jnp.asarray(lr), point.probe))
            return not moved <= base  # NaN is a rise

        low, high = _bracket(rises, memory or 2 / point.rates.edge, rtol, max_passes)
        if low is None or high is None:
            return Found({"critical_sharpness": math.nan}, {}, None)
        value, error = (1 / low + 1 / high), (1 / low - 1 / high)
        return Found({"critical_sharpness": value}, {"critical_sharpness": error}, (low * high) ** 0.5)

    return measure


def _bracket(rises: Any, lr: float, rtol: float, max_passes: int) -> tuple[float | None, float | None]:
    """(largest learning rate seen to lower the loss, smallest seen to raise it), or None for what was not found."""
    low = high = None
    for _ in range(max_passes):
        if rises(lr):
            high = lr
        else:
            low = lr
        if low is None or high is None:
            lr = lr * GROWTH if high is None else lr / GROWTH
        elif high <= low * (1 + 2 * rtol):
            break
        else:
            lr = (low * high) ** 0.5
    return low, high


@eqx.filter_jit
def _direction(loss: Held, params: Params, probe: Probe, root: Params | None, edge: float) -> Params:
    """P^-1 g = edge root^2 g."""

    def gradient(batch: Any) -> Params:
        return jax.grad(loss)(params, batch)

    g = gradient(probe.data) if probe.chunks is None else weighted_mean(gradient, probe.chunks)
    return g if root is None else jax.tree.map(lambda r, x: jnp.asarray(edge, x.dtype) * r**2 * x, root, g)


@eqx.filter_jit
def _loss_after(loss: Held, params: Params, direction: Params, lr: Scalar, probe: Probe) -> Scalar:
    moved = jax.tree.map(lambda p, d: p - lr.astype(p.dtype) * d, params, direction)
    return mean_loss(loss, moved, probe)
