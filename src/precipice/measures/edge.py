"""The edge: the sharpness at which an optimiser becomes unstable on a quadratic."""

from typing import Any

import optax

from precipice._checks import InputError
from precipice._types import Number, Numbers
from precipice.measures.thresholds import heavy_ball_edge, nesterov_edge


def edge(optimiser: Any) -> Numbers:
    """The sharpness above which `optimiser` diverges on a quadratic: 2/lr for gradient descent.

    With momentum mu it is 2(1 + mu)/lr (heavy ball), and 2(1 + mu)/(lr(1 + 2 mu)) for Nesterov's form.

    Args:
        optimiser: a `dynamics.Optimiser` made from ``optax.sgd``.

    Returns:
        The threshold, in units of the loss per squared parameter.

    Raises:
        InputError: the optimiser's threshold is not one on the Hessian alone (`optax_threshold` knows more), its
            learning rate cannot be read, or a number is out of its range.

    Example:
        >>> from precipice import dynamics
        >>> float(edge(dynamics.gradient_descent(0.5)))
        4.0

    References: Cohen et al. 2021, equation 1 and appendix B.
    """
    make = getattr(optimiser, "make", None)
    if make is None:
        raise InputError(
            "edge reads the learning rate from a dynamics.Optimiser, such as dynamics.gradient_descent(lr); "
            f"got a {type(optimiser).__name__}, whose numbers are hidden."
        )
    numbers = dict(optimiser.numbers)
    lr, mu = numbers.pop("learning_rate", None), numbers.pop("momentum", None)
    nesterov = bool(numbers.pop("nesterov", False))
    if make is not optax.sgd or lr is None or callable(lr) or numbers:
        name = getattr(make, "__name__", repr(make))
        raise InputError(
            f"edge is known for optax.sgd with a constant learning_rate, momentum and nesterov; got {name} with "
            f"{sorted(optimiser.numbers)}."
        )
    if mu is None:
        return heavy_ball_edge(lr)
    return nesterov_edge(lr, mu) if nesterov else heavy_ball_edge(lr, mu)


def descent_bound(lr: Number, sharpness: Number, gradient_norm: Number) -> Number:
    """-(lr/2) (2 - lr l) |grad|^2, which the change of the loss in one step does not exceed (the descent lemma).

    It is least at lr = 1/l, and says nothing once lr l passes 2.

    Args:
        lr: learning rate.
        sharpness: l, the largest Hessian eigenvalue anywhere on the segment from one point to the next.
        gradient_norm: |grad L| at the first point.

    References: shapira2023, section 2 (REV-1).

    Example:
        >>> descent_bound(0.5, 2.0, 3.0)
        -2.25
    """
    return -(lr / 2) * (2 - lr * sharpness) * gradient_norm**2
