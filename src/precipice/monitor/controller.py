"""Experiments: optax transformations that hold a stability number at a target, or step by the curvature ahead.

`precipice.torch.HoldLR` is the same rule (`held_factor`) as a PyTorch scheduler.

To add one (a number to hold):
1. Write a function that returns a `Stability`: the number that it would be at factor 1, from a point and a batch.
2. Test on a quadratic that `hold` brings the number to its target and follows a change of curvature.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from precipice._checks import InputError, positive, whole
from precipice._types import Number, Params, PRNGKey, Scalar
from precipice.monitor.held import check_rule, held_factor

Loss = Callable[[Params, Any], Scalar]


class Stability(NamedTuple):
    """A stability number that is proportional to the learning rate.

    Args:
        init: ``init(params) -> memory``.
        update: ``update(params, batch, memory) -> (number at factor 1, memory)``; traceable.
    """

    init: Callable[[Params], Any]
    update: Callable[[Params, Any, Any], tuple[Scalar, Any]]


class Held(NamedTuple):
    """The state of `hold`: steps, the factor of the updates, the number at factor 1, and the measurement's memory."""

    num_steps: Array
    factor: Array
    unit_value: Array
    memory: Any


def hold(
    stability: Stability, *, target: Number, gain: float = 0.1, max_factor: float = 100.0, every: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Multiply the updates so that a stability number stays at its target: put it last in an ``optax.chain``.

    ``optax.chain(optax.sgd(lr), hold(sharpness_number(loss, edge=2 / lr), target=0.9))``, and in the loop
    ``update(gradient, state, params, batch=batch)``. The state shows the factor, so the learning rate is lr times it.
    An experiment: gradient descent itself goes to the edge and is good there; see the issue's comparison.

    Args:
        stability: what is held: `sharpness_number` or `noise_number`.
        target: 1 is the edge; may be traced.
        gain: see `held_factor`; at every measurement.
        max_factor: limit of the factor and of its inverse.
        every: steps between measurements.

    Raises:
        InputError: numbers out of range; at an update without ``params`` or ``batch``.

    References: agarwala2024, section 5 (asked for there); `held_factor` for the rule.
    """
    check_rule(1.0 if isinstance(target, Tracer) else float(target), gain, max_factor)
    whole("every", every, 1)

    def init(params: Params) -> Held:
        one = jnp.ones((), ravel_pytree(params)[0].dtype)
        return Held(jnp.zeros((), jnp.int32), one, jnp.full_like(one, jnp.nan), stability.init(params))

    def update(updates, state, params=None, *, batch=None, **_):
        _given(params, batch)

        def measured(state):
            unit, memory = stability.update(params, batch, state.memory)
            factor = held_factor(state.factor, unit, target=target, gain=gain, max_factor=max_factor)
            return Held(state.num_steps, jnp.where(jnp.isfinite(factor), factor, state.factor), unit, memory)

        state = jax.lax.cond(state.num_steps % every == 0, measured, lambda state: state, state)
        updates = jax.tree.map(lambda u: state.factor.astype(u.dtype) * u, updates)
        return updates, state._replace(num_steps=state.num_steps + 1)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def sharpness_number(loss: Loss, *, edge: float, depth: int = 2) -> Stability:
    """The normalised sharpness of gradient descent, with or without momentum, by `depth` Hessian products each time.

    The top Ritz value of `depth` Lanczos steps from the last measurement's Ritz vector: from below, and close once it
    has settled. On the batch that the update is given: pass one fixed batch for the sharpness of the whole loss.

    Args:
        loss: ``loss(params, batch)``.
        edge: of the chain's optimiser at factor 1, such as `measures.heavy_ball_edge`.
        depth: at least 2.

    Raises:
        InputError: an edge that is not positive, a depth below 2.
    """
    positive("edge", edge)
    whole("depth", depth, 2)

    def init(params: Params) -> Array:
        flat = ravel_pytree(params)[0]
        start = jax.random.normal(jax.random.key(0), flat.shape, flat.dtype)
        return start / jnp.linalg.norm(start)

    def update(params: Params, batch: Any, vector: Array) -> tuple[Scalar, Array]:
        flat, back = ravel_pytree(params)
        gradient = jax.grad(lambda p: loss(back(p), batch))
        value, vector = _top_ritz(jax.linearize(gradient, flat)[1], vector, depth)
        return value / edge, vector

    return Stability(init, update)


def noise_number(
    loss: Loss,
    *,
    lr: float,
    batch_size: int,
    num_outputs: int,
    momentum: float = 0.0,
    decay: float = 0.9,
    key: PRNGKey,
) -> Stability:
    """K by its trace form, lr tr(H)/(2 (1 - mu) B C), from one vector of random signs a measurement, averaged.

    The Hessian's trace stands for that of the Gauss-Newton matrix; where it is negative the factor grows.

    Args:
        loss: ``loss(params, batch)``, a mean over the batch.
        lr: at factor 1.
        batch_size: B of the training, whatever the batch that the trace is estimated on.
        num_outputs: C, the outputs of an example under a squared loss, 1 under another: see `Setting`.
        momentum: mu.
        decay: of the running mean of the trace, in [0, 1), corrected for its start.
        key: for the signs.

    Raises:
        InputError: a number out of its range.

    References: agarwala2024, eq. 18 (SEOS-25, SEOS-26).
    """
    positive("lr", lr)
    whole("batch_size", batch_size, 1)
    whole("num_outputs", num_outputs, 1)
    for name, value in {"momentum": momentum, "decay": decay}.items():
        if not 0 <= value < 1:
            raise InputError(f"{name} must lie in [0, 1); got {value}.")
    scale = lr / (2 * (1 - momentum) * batch_size * num_outputs)

    def init(params: Params) -> tuple[Array, Array, Array]:
        zero = jnp.zeros((), ravel_pytree(params)[0].dtype)
        return zero, zero, jnp.zeros((), jnp.int32)

    def update(params: Params, batch: Any, memory: Any) -> tuple[Scalar, Any]:
        mean, weight, count = memory
        flat, back = ravel_pytree(params)
        signs = jax.random.rademacher(jax.random.fold_in(key, count), flat.shape, flat.dtype)
        product = jax.jvp(jax.grad(lambda p: loss(back(p), batch)), (flat,), (signs,))[1]
        mean, weight = decay * mean + (1 - decay) * (signs @ product), decay * weight + (1 - decay)
        return scale * mean / weight, (mean, weight, count + 1)

    return Stability(init, update)


class Ahead(NamedTuple):
    """The state of `curvature_step`: running means of -g.u and |u.H u|, and the last learning rate."""

    descent: Array
    curvature: Array
    lr: Array


def curvature_step(
    loss: Loss, *, scale: Number = 2.0, decay: float = 0.9, max_lr: float = 1e3
) -> optax.GradientTransformationExtraArgs:
    """Multiply the updates u by scale max(-g.u, 0)/|u.H u|: with scale 2 to where the quadratic ahead is level again.

    ``optax.chain(optax.sgd(1.0), curvature_step(loss))``; scale 1 is the minimum along u. Numerator and denominator are
    running means. Costs a Hessian product, which comes with the gradient, at each step.

    Args:
        loss: ``loss(params, batch)``.
        scale: sigma; may be traced.
        decay: of the running means, in [0, 1).
        max_lr: limit, where there is no curvature ahead.

    Raises:
        InputError: a number out of its range; at an update without ``params`` or ``batch``.

    References: Roulet et al. 2024, Stepping on the edge: curvature aware learning rate tuners (CDAT).
    """
    if not isinstance(scale, Tracer):
        positive("scale", float(scale))
    positive("max_lr", max_lr)
    if not 0 <= decay < 1:
        raise InputError(f"decay must lie in [0, 1); got {decay}.")

    def init(params: Params) -> Ahead:
        zero = jnp.zeros((), ravel_pytree(params)[0].dtype)
        return Ahead(zero, zero, zero)

    def update(updates, state, params=None, *, batch=None, **_):
        _given(params, batch)
        gradient, product = jax.jvp(jax.grad(lambda p: loss(p, batch)), (params,), (updates,))
        descent = decay * state.descent + (1 - decay) * jnp.maximum(-_dot(gradient, updates), 0)
        curved = decay * state.curvature + (1 - decay) * jnp.abs(_dot(updates, product))
        lr = jnp.minimum(scale * descent / jnp.maximum(curved, scale * descent / max_lr), max_lr)
        lr = jnp.where(descent > 0, lr, 0)
        return jax.tree.map(lambda u: lr.astype(u.dtype) * u, updates), Ahead(descent, curved, lr)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _top_ritz(
    product: Callable[[Array], Array], start: Float[Array, "n"], depth: int
) -> tuple[Scalar, Float[Array, "n"]]:
    """The largest Ritz value of the Krylov space of `start`, and its vector."""
    basis, images = [start], [product(start)]
    for _ in range(min(depth, start.size) - 1):
        w = images[-1]
        for _ in range(2):
            w = w - sum((q @ w) * q for q in basis)
        norm = jnp.linalg.norm(w)
        alive = norm > 100 * jnp.finfo(w.dtype).eps * jnp.linalg.norm(images[0])
        basis.append(jnp.where(alive, w / jnp.where(alive, norm, 1), 0))
        images.append(product(basis[-1]))
    rows = jnp.stack(basis)
    small = rows @ jnp.stack(images).T
    dead = jnp.sum(rows**2, axis=1) < 0.5
    small = jnp.where(jnp.diag(dead), small[0, 0] - jnp.linalg.norm(small), (small + small.T) / 2)
    values, weights = jnp.linalg.eigh(small)
    vector = weights[:, -1] @ rows
    return values[-1], vector / jnp.linalg.norm(vector)


def _given(params: PyTree, batch: Any) -> None:
    if params is None or batch is None:
        raise InputError("update must be given params and batch=, as in update(gradient, state, params, batch=batch).")


def _dot(a: PyTree, b: PyTree) -> Scalar:
    return jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))))
