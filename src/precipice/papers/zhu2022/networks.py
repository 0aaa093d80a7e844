"""Scalar networks of two distinct entries x and y as the figures of zhu2022 run them: from starts to their ends."""

import functools
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least, positive
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import numpy as np

    from precipice.problems import ScalarNetwork

CONVERGED = 1e-6
"""A run whose last loss is below this has found a minimum; near the edge the last digits take long."""

FLOOR = 1e-28
"""A run whose loss is below this stops: entries move by rounding alone."""

LARGEST_LR = {2: 1.0, 3: 2 / 3, 4: 0.5}
"""By degree: at larger learning rates no minimum has a sharpness of 2/lr."""


def check_degree(degree: int, lr: float, precision: str) -> None:
    """Refuse a degree other than 2, 3 and 4, a learning rate without a minimum at the edge, single precision.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    if degree not in LARGEST_LR:
        raise InputError(f"degree must be 2, 3 or 4; got {degree}.")
    positive("lr", lr)
    if not lr < LARGEST_LR[degree]:
        raise InputError(f"lr must be below {LARGEST_LR[degree]:.4g} at degree {degree}; got {lr}.")
    check_precision(precision)


def parse_starts(text: str, name: str = "starts") -> list[list[float]]:
    """Starts written as "3.3,0.35; 3.6,0.3": positive entries, equally many in each.

    Raises:
        InputError: not of this form.
    """
    try:
        starts = [[float(entry) for entry in start.split(",")] for start in text.split(";")]
    except ValueError:
        raise InputError(f"{name} must be numbers such as '3.3,0.35; 3.6,0.3'; got {text!r}.") from None
    at_least(f"entries of {name}", min(len(start) for start in starts), 2)
    if len({len(start) for start in starts}) > 1:
        raise InputError(f"{name} must have equally many entries each; got {text!r}.")
    for start in starts:
        for entry in start:
            positive(f"entry of {name}", entry)
    return starts


def scalar_network(degree: int) -> "ScalarNetwork":
    """(1 - xy)^2/2, (1 - x y y)^2/2, or (1 - x^2 y^2)^2/4."""
    from precipice.problems import ScalarNetwork

    return {
        2: lambda: ScalarNetwork((1, 1)),
        3: lambda: ScalarNetwork((1, 1, 1)),
        4: lambda: ScalarNetwork((2, 2), 0.25),
    }[degree]()


def edge_minima(degree: int, lr: float) -> "np.ndarray":
    """(x, y) of the minima of sharpness 2/lr [m, 2], largest x first; no mirror image at degrees 2 and 4."""
    import numpy as np

    from precipice import measures

    if degree == 3:
        x = np.asarray(measures.degree_three_edge_minima(lr))[::-1]
        return np.stack([x, x**-0.5], axis=1)
    minimum = {2: measures.degree_two_edge_minimum, 4: measures.degree_four_edge_minimum}[degree]
    return np.asarray(minimum(lr))[None]


def ends(degree: int, starts: "np.ndarray", lr: float, num_steps: int) -> "dict[str, np.ndarray]":
    """Where gradient descent ends from starts (x, y) [..., 2], and its first two steps.

    Returns:
        ``final_sharpness``, ``final_loss``, ``status`` [...] and ``two_step_movement`` [..., 2]; of a run that diverged
        the first two are NaN.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics
    from precipice.results import Status

    process = dynamics.Descent(scalar_network(degree), dynamics.gradient_descent(lr))
    flat = starts.reshape(-1, 2)
    params = jnp.asarray(flat[:, [0, 1, 1]] if degree == 3 else flat)
    check_every = max(steps for steps in range(1, 65) if num_steps % steps == 0)
    found = dynamics.settle(
        process,
        params,
        key=jax.random.key(0),  # descent draws nothing
        converged=dynamics.LossBelow(FLOOR),
        num_steps=num_steps,
        check_every=check_every,
    )
    last, two = _compiled()(process, found.params, params)
    done = found.status == int(Status.DONE)
    saved = {
        "final_sharpness": np.where(done, last["sharpness"], np.nan),
        "final_loss": np.where(done, last["loss"], np.nan),
        "status": found.status,
        "two_step_movement": np.asarray(two)[:, :2] - flat,
    }
    return {name: value.reshape(*starts.shape[:-1], *value.shape[1:]) for name, value in saved.items()}


@functools.cache
def _compiled():
    """The function of (process, last params [n], first params [n]) that gives (what is measured last, third params)."""
    import equinox as eqx
    import jax

    from precipice import measures

    @eqx.filter_jit
    def measured(process, last, first):
        probe, state = measures.scalar_network_probe(process.problem), process.init(jax.random.key(0))
        ended = jax.vmap(lambda point: probe(state._replace(params=point)))(last)
        two = jax.vmap(lambda point: process.step(process.step(state._replace(params=point))).params)(first)
        return ended, two

    return measured
