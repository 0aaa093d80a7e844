"""The two-step map of the degree-4 network in b at a frozen offset a: the map whose bifurcations its runs resemble."""

import math

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from precipice._checks import InputError
from precipice._types import Number, PRNGKey, floating
from precipice.dynamics.process import AbstractProcess, State


class CubicMap(AbstractProcess):
    """b' = b (1 + 8A - 16 b^2), with A = a kappa the scaled offset from the edge minimum.

    Parameters are b, one number. Its fixed points, their multipliers and where orbits escape are in
    `measures.cubic_map_fixed_point` and the functions beside it.

    Args:
        offset: A; orbits stay bounded for A from -1/4 to 1/4, where abs(b) starts below sqrt((1 + 4A)/8).
        start: b at the start; an exact 0 stays 0.

    Raises:
        InputError: offset or start not finite.

    References: zhu2022, section 5 and figure 6c (MIN-12).

    Example:
        >>> import jax
        >>> process = CubicMap(0.125, start=0.25)
        >>> float(process.step(process.init(jax.random.key(0))).params)
        0.25
    """

    offset: Array
    start: Array

    def __init__(self, offset: Number, *, start: Number = 0.1):
        for name, value in (("offset", offset), ("start", start)):
            if not isinstance(value, Tracer) and not math.isfinite(float(value)):
                raise InputError(f"{name} must be finite; got {float(value)}.")
        self.offset = floating(offset)
        self.start = jnp.asarray(start, self.offset.dtype)

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return State(jnp.zeros((), int), self.start, (), key, jnp.full((), jnp.nan, self.start.dtype))

    def step(self, state: State) -> State:
        """One step, of two steps of gradient descent."""
        b = state.params
        return state._replace(step=state.step + 1, params=b * (1 + 8 * self.offset - 16 * b**2))
