"""The rule of the controllers, as numbers: what a learning rate becomes to hold a stability number at a target."""

from typing import Any

from precipice._checks import InputError, at_least, positive


def check_rule(target: float, gain: float, max_factor: float) -> None:
    """Refuse numbers with which `held_factor` holds nothing."""
    positive("target", target)
    if not 0 < gain <= 1:
        raise InputError(f"gain must lie in (0, 1]; got {gain}.")
    at_least("max_factor", max_factor, 1)


def held_factor(factor: Any, unit_value: Any, *, target: Any, gain: float, max_factor: float) -> Any:
    """The next factor, f^(1-gain) (target/u)^gain within [1/max_factor, max_factor]: towards where f u is the target.

    Both the normalised sharpness and the trace form of K are proportional to the learning rate while the curvature
    stays, so that u is the number at factor 1 and f = target/u holds it. Where u is 0 or below nothing is near its
    edge, and f moves towards `max_factor`. Plain arithmetic: Python floats, traced JAX numbers and PyTorch's alike.

    Args:
        factor: f, of the learning rates, now.
        unit_value: u.
        target: of the stability number.
        gain: 1 jumps, less of it averages over the last 1/gain updates (in the logarithm).
        max_factor: limit of f and of 1/f.

    References: the controller that agarwala2024's last page asks for; the rule is ours.

    Example:
        >>> held_factor(1.0, 0.25, target=0.5, gain=1.0, max_factor=100.0)
        2.0
        >>> held_factor(1.0, -1.0, target=0.5, gain=1.0, max_factor=100.0)
        100.0
    """
    smallest = target / max_factor
    above = (unit_value + smallest + abs(unit_value - smallest)) / 2  # max(u, smallest) without a branch
    moved = factor ** (1 - gain) * (target / above) ** gain
    upper = (moved + max_factor - abs(moved - max_factor)) / 2
    return (upper + 1 / max_factor + abs(upper - 1 / max_factor)) / 2
