"""Compiled blocks of steps that stop moving at the first non-finite parameter."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from precipice._types import Params
from precipice.dynamics.process import AbstractProcess, State


def advance(
    process: AbstractProcess, state: State, alive: Bool[Array, ""], num_steps: int
) -> tuple[State, Bool[Array, ""], Float[Array, "num_steps"]]:
    """`num_steps` steps in one scan, whose result does not depend on how they are cut into blocks.

    A step that would make a parameter non-finite is not taken, nor is any after it: the state returned is the last
    finite one and its `step` says how many steps were taken.

    Returns:
        The state, whether it still moves, and the loss before each step (NaN where it no longer moved).
    """

    def one(carry, _):
        state, alive, loss = advance_once(process, *carry)
        return (state, alive), loss

    (state, alive), losses = jax.lax.scan(one, (state, alive), None, length=num_steps)
    return state, alive, losses


def advance_once(
    process: AbstractProcess, state: State, alive: Bool[Array, ""]
) -> tuple[State, Bool[Array, ""], Float[Array, ""]]:
    """One step as `advance` takes it, without a loop: on a CPU, XLA's convolutions are several times slower in one."""
    new = process.step(state)
    loss = jnp.where(alive, new.loss, jnp.nan)
    alive = alive & all_finite(new.params)
    return jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, state), alive, loss


def all_finite(params: Params) -> Bool[Array, ""]:
    """Whether no parameter is NaN or infinite."""
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))
