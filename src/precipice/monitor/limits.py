"""Limits of learning rate and batch size as plain numbers, from one measurement of curvature and of noise.

The same formulas as `measures.thresholds` and `measures.noise_limits` hold for arrays; here they are solved for the
learning rate, in Python floats, so that a PyTorch training need not start JAX's devices. Tests compare the two.
"""

import math
from collections.abc import Sequence

from precipice._checks import at_least, positive, whole
from precipice.monitor.reading import Rates
from precipice.monitor.setting import check_training_size


def curvature_factor(normalised_sharpness: float, rates: Sequence[Rates]) -> float:
    """The factor for the learning rates of all groups at which the normalised sharpness is 1, everything else fixed.

    With decoupled decay w a group's edge is c (2/lr - w); coupled decay l2 is inside the Hessian. With f times the
    learning rates, S = 1/(edge P) grows by f (2 - lr w)/(2 - f lr w). For one group that gives f = 2/(n (2 - x) + x),
    x = lr w, and 1/n without decoupled decay. Of several groups with different x the one is taken with which f is on
    the safe side: the largest x for n below 1, the smallest above.

    Args:
        normalised_sharpness: n, the largest eigenvalue of S^1/2 (H + l2 I) S^1/2.
        rates: of all groups; those with learning rate 0 stand still whatever the factor.

    Returns:
        f; inf where n is 0 or below: no direction of positive curvature, no limit from it.

    Raises:
        InputError: n is NaN.

    References: derived from `measures.heavy_ball_edge` (Cohen et al. 2021, equation 1 and appendix B).

    Example:
        >>> curvature_factor(0.5, [Rates(0.1, 20.0)]), curvature_factor(0.0, [Rates(0.1, 20.0)])
        (2.0, inf)
    """
    at_least("normalised_sharpness", normalised_sharpness, -math.inf)
    shrinks = [group.lr * group.decoupled_weight_decay for group in rates if group.lr]
    x = max(shrinks) if normalised_sharpness < 1 else min(shrinks)
    denominator = normalised_sharpness * (2 - x) + x
    return 2 / denominator if normalised_sharpness > 0 else math.inf


def trace_noise_kernel_norm(
    traces: Sequence[float],
    rates: Sequence[Rates],
    *,
    batch_size: int,
    num_outputs: int = 1,
    num_training: int | None = None,
) -> float:
    """K_tr = sum over groups of lr (1 - d) tr/(2 (1 - mu) B C) (1 - B/D): the trace form of the noise kernel norm.

    Exact in the limit of small learning rates for gradient descent with heavy ball or Nesterov's momentum; of an
    adaptive optimiser, whose trace is that of P^-1/2 G P^-1/2 with P held fixed, it is our extension.

    Args:
        traces: tr of each group's block of the Gauss-Newton matrix of the mean loss.
        rates: of each group.
        batch_size: B.
        num_outputs: C.
        num_training: D, for batches drawn without replacement; None leaves the factor (1 - B/D) out, as the paper does.

    Raises:
        InputError: B or C below 1, or B above D.

    References: agarwala2024, eqs. 11, 18, 76 and 130 (SEOS-9, SEOS-12, SEOS-25, SEOS-26; ERR-S5).

    Example:
        >>> trace_noise_kernel_norm([4.0], [Rates(0.5, 6.0, momentum=0.5)], batch_size=2)
        1.0
    """
    whole("batch_size", batch_size, 1)
    whole("num_outputs", num_outputs, 1)
    if num_training is not None:
        check_training_size(batch_size, num_training)
    total = sum(group.noise_lr * trace for group, trace in zip(rates, traces, strict=True))
    return total / (2 * num_outputs) * (1 / batch_size - (1 / num_training if num_training else 0.0))


def balanced_batch_size(
    noise_kernel_norm: float,
    normalised_sharpness: float,
    rates: Sequence[Rates],
    *,
    batch_size: int,
    num_training: int | None = None,
) -> float:
    """B* = B K f: where the learning rate at which K_tr = 1 is the one at which the normalised sharpness is 1.

    K_tr goes as lr/B. At f times the present learning rates it is K f B/B', which is 1 at B' = B*. Below B* the noise
    is the first limit of the learning rate, which then grows with B; above it curvature is, and larger batches allow
    no larger one. With D known, K_tr goes as lr (1/B - 1/D): 1/B* = 1/D + (1/B - 1/D)/(K f).

    Args:
        noise_kernel_norm: K_tr now.
        normalised_sharpness: n now.
        rates: of all groups now.
        batch_size: B now.
        num_training: D, where K holds its factor (1 - B/D); None where not.

    Returns:
        B*, not rounded; inf (D where known) where curvature sets no limit.

    Raises:
        InputError: K that is not positive and finite, or B above D.

    References: agarwala2024, section 2.3, with the edge of `curvature_factor`.

    Example:
        >>> balanced_batch_size(0.25, 0.5, [Rates(0.1, 20.0)], batch_size=32)
        16.0
    """
    positive("noise_kernel_norm", noise_kernel_norm)
    edge = noise_kernel_norm * curvature_factor(normalised_sharpness, rates)
    if num_training is None:
        return batch_size * edge
    check_training_size(batch_size, num_training)
    return 1 / (1 / num_training + (1 / batch_size - 1 / num_training) / edge)
