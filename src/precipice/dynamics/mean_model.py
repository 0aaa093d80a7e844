"""The mean model in (A, b): the sum of the second-layer weights of a ReLU network against its bias."""

import math

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from precipice._checks import InputError, positive
from precipice._types import Number, PRNGKey
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems.mean_model import smoothed_relu, symmetric_logistic


class MeanModelMap(AbstractProcess):
    """A' = A - 2 d^2 lr l'(A g(b)) g(b) and b' = b - lr l'(A g(b)) A g'(b), with l' = tanh(s/2)/2 and g' = Phi.

    Parameters are (A, b), with A = d (a- + a+). Gradient descent on `problems.MeanModel` takes the same steps; this is
    the cheaper of the two. b never rises. The loss of a state is l_sym(A g(b)) before the step.

    Args:
        lr: learning rate; beyond `measures.mean_model_threshold`, 8 pi/d^2, the bias falls by order 1.
        dimension: d, a number.
        weight_sum: A at the start.
        bias: b at the start.

    Raises:
        InputError: lr or dimension not positive, a start that is not finite.

    References: ahn2022, eq. 5 (TN-20).

    Example:
        >>> process = MeanModelMap(1e-3, 100, weight_sum=1.0)
        >>> A, b = process.step(process.init(jax.random.key(0))).params
        >>> round(float(A), 4), round(float(b) * 1e5, 4)
        (0.2146, -4.9217)
    """

    lr: Array
    dimension: Array
    start: Array

    def __init__(self, lr: Number, dimension: Number, *, weight_sum: Number, bias: Number = 0.0):
        for name, value in (("lr", lr), ("dimension", dimension)):
            if not isinstance(value, Tracer):
                positive(name, float(value))
        for name, value in (("weight_sum", weight_sum), ("bias", bias)):
            if not isinstance(value, Tracer) and not math.isfinite(float(value)):
                raise InputError(f"{name} must be finite; got {float(value)}.")
        dtype = jnp.result_type(float) if isinstance(weight_sum, int | float) else weight_sum.dtype
        self.start = jnp.stack([jnp.asarray(weight_sum, dtype), jnp.asarray(bias, dtype)])
        self.lr, self.dimension = jnp.asarray(lr, dtype), jnp.asarray(dimension, dtype)

    def init(self, key: PRNGKey) -> State:
        """The state at the start; nothing is drawn."""
        return State(jnp.zeros((), int), self.start, (), key, jnp.full((), jnp.nan, self.start.dtype))

    def step(self, state: State) -> State:
        """One step."""
        weight_sum, bias = state.params
        g, output = smoothed_relu(bias), weight_sum * smoothed_relu(bias)
        slope = jnp.tanh(output / 2) / 2
        change = jnp.stack([2 * self.dimension**2 * g, weight_sum * jax.scipy.special.ndtr(bias)])
        new = state.params - self.lr * slope * change
        return state._replace(step=state.step + 1, params=new, loss=symmetric_logistic(output))
