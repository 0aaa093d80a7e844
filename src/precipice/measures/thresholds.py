"""Edges: for each optimiser the curvature at which a quadratic is marginally stable, as a formula.

All are crossed with the multiplier -1. For theta' = q theta - lr P^-1 u(g), g = (H + l2 I) theta, with the update's
response u = c t(z) g to z^k, the multiplier z = -1 belongs to the curvature E = (1 + q)/(lr c t(-1)): t(-1) is
1/(1 + mu) for heavy ball and (1 + 2 mu)/(1 + mu) for Nesterov's form. Below E all multipliers lie inside the unit
circle (Jury's conditions: the product of the two stays below 1 in size, and z = 1 needs a curvature of 0 or less).

With a preconditioner P the curvature is the largest eigenvalue of P^-1/2 (H + l2 I) P^-1/2, P held fixed: an adaptive
optimiser that passes its edge grows its own P, so the edge is where it hovers and not where it is lost.
`optax_threshold` and `torch_thresholds` read the numbers from an optimiser at work.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from precipice._checks import InputError
from precipice._types import Numbers


class Threshold(NamedTuple):
    """The stability number of an optimiser, or of one group of its parameters.

    It is stable on a quadratic of Hessian H when the largest eigenvalue of P^-1/2 (H + weight_decay I) P^-1/2 is below
    `edge`; divided by `edge`, that eigenvalue is the normalised sharpness. Several groups together: see `step_scale`.

    Args:
        edge: the preconditioned curvature at which the optimiser is marginal.
        weight_decay: the L2 coefficient that the optimiser adds to the Hessian (coupled); decoupled decay is in `edge`.
        preconditioner: the diagonal of P, a tree like the parameters, as of the last step; None for P = I.
    """

    edge: Any
    weight_decay: Any = 0.0
    preconditioner: Any = None


def heavy_ball_edge(
    lr: Numbers,
    momentum: Numbers = 0.0,
    *,
    dampening: Numbers = 0.0,
    weight_decay: Numbers = 0.0,
    decoupled_weight_decay: Numbers = 0.0,
) -> Numbers:
    """(1 + mu)(2 - lr w)/(lr (1 - d)) - l2: m' = mu m + (1 - d) g, theta' = (1 - lr w) theta - lr m'.

    2/lr for gradient descent, 2/lr - w with weight decay of either kind. RMSProp and Adagrad have the edge of their
    momentum (RMSProp's may be 0), for the preconditioned curvature. Not for a running mean that is corrected for its
    bias until that correction has passed: `optax_threshold` counts it to P.

    Derivation: m' is (1 - d) z/(z - mu) g, so the multipliers solve (z - 1 + lr w)(z - mu) + lr (1 - d)(h + l2) z = 0;
    z = -1 gives the edge, and their product (1 - lr w) mu is below 1.

    Args:
        lr: learning rate.
        momentum: mu, in [0, 1).
        dampening: d, in [0, 1), as PyTorch's SGD has it (its first step is undampened, which does not move the edge).
        weight_decay: l2, coupled: added to the gradient as l2 theta. Leave it 0 for a preconditioned curvature, where
            it belongs into the Hessian.
        decoupled_weight_decay: w, which shrinks the parameters by lr w beside the update (AdamW, SGDW).

    Returns:
        The edge, in units of the loss per squared parameter (bare loss, without the L2 term).

    Raises:
        InputError: a number out of its range, or decay so strong that no curvature is stable.

    References: Cohen et al. 2021, equation 1 and appendix B; Goh 2017.

    Example:
        >>> round(heavy_ball_edge(0.1, 0.9), 12), heavy_ball_edge(0.5, weight_decay=1.0)
        (38.0, 3.0)
    """
    keep = _keep(lr, momentum, dampening, decoupled_weight_decay)
    return _above(weight_decay, (1 + momentum) * keep / (lr * (1 - dampening)))


def nesterov_edge(
    lr: Numbers,
    momentum: Numbers,
    *,
    dampening: Numbers = 0.0,
    weight_decay: Numbers = 0.0,
    decoupled_weight_decay: Numbers = 0.0,
) -> Numbers:
    """(1 + mu)(2 - lr w)/(lr (1 - d)(1 + 2 mu)) - l2: heavy ball's m', and the update is (1 - d) g + mu m'.

    PyTorch's and optax's forms are this one (with d = 0) step by step, and the look-ahead form
    x' = y - lr g(y), y' = x' + mu (x' - x) in its variable y.

    Derivation: the response is (1 - d)((1 + mu) z - mu)/(z - mu), so the multipliers solve
    (z - 1 + lr w)(z - mu) + lr (1 - d)(h + l2)((1 + mu) z - mu) = 0; z = -1 gives the edge.

    Args:
        lr: learning rate.
        momentum: mu, in [0, 1).
        dampening: d, in [0, 1): 0 but for Nadam, where it is beta1.
        weight_decay: l2, as for `heavy_ball_edge`.
        decoupled_weight_decay: w, as for `heavy_ball_edge`.

    Raises:
        InputError: as `heavy_ball_edge`.

    References: Cohen et al. 2021, appendix B.

    Example:
        >>> nesterov_edge(0.1, 0.5)
        15.0
    """
    keep = _keep(lr, momentum, dampening, decoupled_weight_decay)
    return _above(weight_decay, (1 + momentum) * keep / (lr * (1 - dampening) * (1 + 2 * momentum)))


def adam_edge(lr: Numbers, beta1: Numbers = 0.9, *, decoupled_weight_decay: Numbers = 0.0) -> Numbers:
    """(2 - lr w)(1 + beta1)/((1 - beta1) lr): 38/lr for Adam with beta1 = 0.9, for the preconditioned curvature.

    Heavy ball with dampening beta1: the first moment is the running mean m' = beta1 m + (1 - beta1) g. P is
    (1 - beta1^t) [sqrt(v/(1 - beta2^t)) + eps] after t steps. beta1 = 0 is RMSProp without momentum. Adam's coupled L2
    (PyTorch's Adam with weight_decay) belongs into the Hessian before it is preconditioned.

    Args:
        lr: learning rate.
        beta1: of the first moment, in [0, 1).
        decoupled_weight_decay: w of AdamW.

    Raises:
        InputError: as `heavy_ball_edge`.

    References: Cohen et al. 2022, section 3 (w = 0); w by the derivation of `heavy_ball_edge`.

    Example:
        >>> round(adam_edge(0.001), 8)
        38000.0
    """
    return heavy_ball_edge(lr, beta1, dampening=beta1, decoupled_weight_decay=decoupled_weight_decay)


def sam_edge(edge: Numbers, radius: Numbers, gradient_norm: Numbers) -> Numbers:
    """(|g|/(2 rho)) (sqrt(1 + 4 rho E/|g|) - 1): SAM, whose ascent step has the length rho.

    The descent gradient is taken at theta + rho g/|g|. Along an eigenvector h it is g (1 + rho h/|g|), so h (1 + rho
    h/|g|) takes the place of h. Only a gradient of this norm is marginal: at a given h below E, a larger one shrinks
    and a smaller one grows, to a cycle of period two whose |g| is where h is this edge (any base: theta only changes
    sign).

    Args:
        edge: E of the base optimiser, 2/lr for gradient descent.
        radius: rho.
        gradient_norm: |g| at theta, before the ascent.

    Raises:
        InputError: a number that is not positive and finite.

    References: Long & Bartlett 2024 (gradient descent as the base).

    Example:
        >>> sam_edge(2.0, 1.0, 1.0)
        1.0
    """
    _positive(edge=edge, radius=radius, gradient_norm=gradient_norm)
    return unnormalised_sam_edge(edge, radius / gradient_norm)


def unnormalised_sam_edge(edge: Numbers, radius: Numbers) -> Numbers:
    """(sqrt(1 + 4 rho E) - 1)/(2 rho): SAM whose ascent step is rho g, not normalised, so that h (1 + rho h) = E.

    Linear on a quadratic, so exact for every base optimiser without a preconditioner and for every gradient.

    Args:
        edge: E of the base optimiser.
        radius: rho, in units of the inverse of a curvature.

    Raises:
        InputError: a number that is not positive and finite.

    References: Agarwala & Dauphin 2023 (gradient descent as the base).

    Example:
        >>> unnormalised_sam_edge(6.0, 1.0)
        2.0
    """
    _positive(edge=edge, radius=radius)
    return ((1 + 4 * radius * edge) ** 0.5 - 1) / (2 * radius)


def clipped_edge(edge: Numbers, gradient_norm: Numbers, max_norm: Numbers) -> Numbers:
    """E max(1, |g|/c): gradient descent on gradients clipped to the norm c, at a gradient of norm |g|.

    Clipping scales lr by c/|g| while |g| > c: it moves no edge near a minimum, and above the edge it stops the growth
    where |g| = c h/E. With momentum or Adam the scale also varies along the buffer, and only E itself stands.

    Args:
        edge: E without clipping.
        gradient_norm: |g| before clipping.
        max_norm: c.

    Raises:
        InputError: a number that is not positive and finite.

    Example:
        >>> float(clipped_edge(2.0, 6.0, 3.0))
        4.0
    """
    _positive(edge=edge, gradient_norm=gradient_norm, max_norm=max_norm)
    return edge * jnp.maximum(1.0, gradient_norm / max_norm)


def normalised_sharpness(curvature: Numbers, edge: Numbers) -> Numbers:
    """curvature/edge: stable below 1, marginal at 1.

    Args:
        curvature: the largest eigenvalue that `edge` speaks of (preconditioned for an adaptive optimiser).
        edge: of the optimiser.

    Raises:
        InputError: an edge that is not positive and finite.

    Example:
        >>> normalised_sharpness(3.0, heavy_ball_edge(0.5))
        0.75
    """
    _positive(edge=edge)
    return curvature / edge


def step_scale(threshold: Threshold) -> Any:
    """S = 1/(edge P): the normalised sharpness is the largest eigenvalue of S^1/2 (H + weight_decay I) S^1/2.

    With several groups, whose learning rates, momenta and decays differ, S and the L2 terms are put together from all
    of them, and the eigenvalue is 1 exactly where the whole optimiser has the multiplier -1 (each group turns h to
    h/(edge P) there). A single group's own block gives at most that number.

    Args:
        threshold: of one group.

    Returns:
        A tree like the preconditioner (None stays None), or the number 1/edge for P = I.

    Example:
        >>> step_scale(Threshold(4.0)), step_scale(Threshold(4.0, preconditioner=(0.5, None)))
        (0.25, (0.5, None))
    """
    if threshold.preconditioner is None:
        return 1 / threshold.edge
    return jax.tree.map(lambda p: 1 / (threshold.edge * p), threshold.preconditioner)


def _concrete(value: Any) -> np.ndarray | None:
    return None if isinstance(value, Tracer) else np.asarray(value)


def _positive(**numbers: Any) -> None:
    """Refuse what is not positive and finite in each number that is not traced."""
    for name, value in numbers.items():
        values = _concrete(value)
        if values is not None and not (np.isfinite(values) & (values > 0)).all():
            raise InputError(f"{name} must be positive and finite; got {value}.")


def _within(below: Any, **numbers: Any) -> None:
    """Refuse what lies outside [0, below) in each number that is not traced."""
    for name, value in numbers.items():
        values = _concrete(value)
        if values is not None and not ((values >= 0) & (values < below)).all():
            raise InputError(f"{name} must lie in [0, {below}); got {value}.")


def _keep(lr: Any, momentum: Any, dampening: Any, decoupled_weight_decay: Any) -> Any:
    """2 - lr w, all numbers checked."""
    _positive(lr=lr)
    _within(1, momentum=momentum, dampening=dampening)
    _within(np.inf, decoupled_weight_decay=decoupled_weight_decay)
    keep = 2 - lr * decoupled_weight_decay
    values = _concrete(keep)
    if values is not None and not (values > 0).all():
        raise InputError(
            f"decoupled_weight_decay must be below 2/lr, or no curvature is stable; got {decoupled_weight_decay} at "
            f"lr {lr}."
        )
    return keep


def _above(weight_decay: Any, edge: Any) -> Any:
    """The edge left for the bare loss beside an L2 term."""
    _within(np.inf, weight_decay=weight_decay)
    left = _concrete(edge - weight_decay)
    if left is not None and not (left > 0).all():
        raise InputError(
            f"weight_decay must be below the edge without it ({edge}), or no curvature is stable; got {weight_decay}."
        )
    return edge - weight_decay
