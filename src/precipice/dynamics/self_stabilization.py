"""The predicted dynamics of self-stabilization: displacement along the top eigenvector against excess sharpness."""

import math

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from precipice._checks import InputError, positive
from precipice._types import Number, PRNGKey, floating
from precipice.dynamics.process import AbstractProcess, State


class SelfStabilization(AbstractProcess):
    """x' = -(1 + lr y) x and y' = y + lr (alpha - beta x^2/2).

    x is the displacement along the top eigenvector from a point whose sharpness is 2/lr, y the predicted excess of the
    sharpness over 2/lr. Parameters are (x, y). Gradient descent on `problems.SelfStabilizing` takes the same steps.

    Args:
        lr: learning rate.
        alpha: rate of progressive sharpening, -grad L . grad S, positive.
        beta: |P grad S|^2 with P the projection off the top eigenvector: how strongly displacement lowers sharpness.
        x: displacement at the start, not 0: an exact 0 stays 0.
        y: excess sharpness at the start.

    Raises:
        InputError: lr, alpha or beta not positive, x zero or not finite, y not finite.

    References: shapira2023, definition 4.1; Damian et al. 2022 (REV-4).

    Example:
        >>> import jax
        >>> process = SelfStabilization(0.5, 1.0, 1.0, x=2.0, y=2.0)
        >>> [float(v) for v in process.step(process.init(jax.random.key(0))).params]
        [-4.0, 1.5]
    """

    lr: Array
    alpha: Array
    beta: Array
    start: Array

    def __init__(self, lr: Number, alpha: Number, beta: Number, *, x: Number, y: Number = 0.0):
        for name, value in (("lr", lr), ("alpha", alpha), ("beta", beta)):
            if not isinstance(value, Tracer):
                positive(name, float(value))
        for name, value in (("x", x), ("y", y)):
            if not isinstance(value, Tracer) and not math.isfinite(float(value)):
                raise InputError(f"{name} must be finite; got {float(value)}.")
        if not isinstance(x, Tracer) and float(x) == 0:
            raise InputError(f"x must not be 0, where it would stay; got {float(x)}.")
        first = floating(x)
        self.start = jnp.stack([first, jnp.asarray(y, first.dtype)])
        self.lr, self.alpha, self.beta = (jnp.asarray(v, self.start.dtype) for v in (lr, alpha, beta))

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return State(jnp.zeros((), int), self.start, (), key, jnp.full((), jnp.nan, self.start.dtype))

    def step(self, state: State) -> State:
        """One step."""
        x, y = state.params
        new = jnp.stack([-(1 + self.lr * y) * x, y + self.lr * (self.alpha - self.beta * x**2 / 2)])
        return state._replace(step=state.step + 1, params=new)
