"""A process run and watched in one compiled scan: for problems small enough to be differentiated in passing."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from precipice._checks import InputError, at_least
from precipice._types import PRNGKey, Values
from precipice.dynamics.advance import advance
from precipice.dynamics.process import AbstractProcess, State
from precipice.results import Status

Probe = Callable[[State], Values]


class Trajectory(NamedTuple):
    """What was saved along a run, and how it ended.

    Args:
        saved: probe results with a leading axis of saved steps; NaN (-1 for integers) after a divergence.
        step: the steps at which they were taken [saved].
        state: the final state; the last finite one if the run diverged.
        status: `results.Status.DONE` or `DIVERGED`.
        diverged_at: the step that would have made a parameter non-finite, or -1.
    """

    saved: dict[str, Array]
    step: Int[Array, "saved"]
    state: State
    status: Int[Array, ""]
    diverged_at: Int[Array, ""]


def simulate(
    process: AbstractProcess, *, key: PRNGKey, num_steps: int, every: int, probes: Sequence[Probe] = ()
) -> Trajectory:
    """Run `process` for `num_steps` steps and take the probes at steps 0, every, 2 every, ..., num_steps.

    One compiled scan; vmap it over learning rates, seeds or starts. A run that diverges stays at its last finite state
    and is labelled, so a sweep never raises for one of its runs.

    Args:
        process: what moves.
        key: for the first state.
        num_steps: how many steps; a multiple of `every`.
        every: steps between probes.
        probes: functions from a state to named arrays (``{"loss": ...}``), names as in `results.vocabulary`.

    Raises:
        InputError: the numbers do not fit, or two probes return the same name.

    Example:
        >>> import jax
        >>> from precipice import dynamics, problems
        >>> data = problems.chebyshev(2, 10)
        >>> problem = problems.Supervised(problems.FullyConnected((1, 4, 1)), data, problems.mean_half_squared_error)
        >>> process = dynamics.Descent(problem, dynamics.gradient_descent(0.1))
        >>> run = simulate(process, key=jax.random.key(0), num_steps=20, every=10)
        >>> [int(step) for step in run.step], int(run.status)
        ([0, 10, 20], 2)
    """
    check_schedule(num_steps, every)
    return _simulate(process, key, num_steps, every, tuple(probes))


@eqx.filter_jit
def _simulate(
    process: AbstractProcess, key: PRNGKey, num_steps: int, every: int, probes: tuple[Probe, ...]
) -> Trajectory:
    first = process.init(key)

    def block(carry, _):
        state, alive, _ = advance(process, carry[0], carry[1], every)
        return (state, alive), _masked(measured(probes, state), alive)

    (state, alive), later = jax.lax.scan(block, (first, jnp.array(True)), None, length=num_steps // every)
    saved = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), measured(probes, first), later)
    return Trajectory(
        saved=saved,
        step=jnp.arange(0, num_steps + 1, every),
        state=state,
        status=jnp.where(alive, int(Status.DONE), int(Status.DIVERGED)),
        diverged_at=jnp.where(alive, -1, state.step),
    )


def check_schedule(num_steps: int, every: int) -> None:
    """Refuse step counts below 1 and a number of steps that is no multiple of `every`."""
    at_least("num_steps", num_steps, 1)
    at_least("every", every, 1)
    if num_steps % every:
        raise InputError(f"num_steps must be a multiple of every ({every}); got {num_steps}.")


def measured(probes: Sequence[Probe], state: State) -> dict[str, Array]:
    """The results of all probes in one dictionary; flags become int8, which has room for "not measured"."""
    values: dict[str, Array] = {}
    for probe in probes:
        for name, value in probe(state).items():
            if name in values:
                raise InputError(f"each name must come from one probe; {name!r} comes from two.")
            array = jnp.asarray(value)
            values[name] = array.astype(jnp.int8) if array.dtype == bool else array
    return values


def _masked(values: dict[str, Array], alive: Array) -> dict[str, Array]:
    def mask(value):
        return jnp.where(alive, value, jnp.nan if jnp.issubdtype(value.dtype, jnp.inexact) else -1)

    return jax.tree.map(mask, values)
