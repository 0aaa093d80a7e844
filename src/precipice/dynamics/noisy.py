"""Gradient descent with noise: on the label of a scalar network, or on the gradient of any problem."""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from precipice._checks import at_least, positive
from precipice._types import Number, Params, PRNGKey, Scalar
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems import AbstractProblem, ScalarNetwork


class LabelNoise(AbstractProcess):
    """theta' = theta - lr grad L(theta; label 1 + delta), with a fresh delta ~ N(0, scale^2) at each step.

    Near a minimum the noise pushes across the valley only, and the sharpness falls to that of the flattest minimum.

    Args:
        problem: a scalar network, whose label is 1.
        lr: learning rate.
        scale: standard deviation of the label's noise; 0 is gradient descent.
        start: parameters to start from; by default ``problem.init(key)``.

    Raises:
        InputError: lr is not positive and finite, or scale is negative.

    References: zhu2022, appendix A.7, figure 27 (MIN-18).

    Example:
        >>> problem = ScalarNetwork((2, 2), 0.25)
        >>> process = LabelNoise(problem, 0.2, 0.01, start=jnp.array([1.0, 1.0]))
        >>> int(process.step(process.init(jax.random.key(0))).step)
        1
    """

    problem: ScalarNetwork
    lr: Array
    scale: Array
    start: Params | None

    def __init__(self, problem: ScalarNetwork, lr: Number, scale: Number, *, start: Params | None = None):
        self.problem, self.start = problem, start
        self.lr, self.scale = _checked(lr, scale)

    def init(self, key: PRNGKey) -> State:
        """The state at the start, with the key that the noise is drawn from."""
        return _first(self.problem, self.start, key)

    def step(self, state: State) -> State:
        """One step; `loss` is that before it, without noise."""
        key, use = jax.random.split(state.key)
        loss = self.problem.loss(state.params)
        label = 1 + self.scale.astype(loss.dtype) * jax.random.normal(use, (), loss.dtype)
        gradient = jax.grad(self.problem.loss)(state.params, label)
        return State(state.step + 1, _descended(state.params, gradient, self.lr), state.memory, key, loss)


class GradientNoise(AbstractProcess):
    """theta' = theta - lr (grad L(theta) + delta), with fresh independent delta_i ~ N(0, scale^2) at each step.

    Args:
        problem: any problem, with its full-batch gradient.
        lr: learning rate.
        scale: standard deviation of the noise of each component; 0 is gradient descent.
        start: parameters to start from; by default ``problem.init(key)``.

    Raises:
        InputError: lr is not positive and finite, or scale is negative.

    References: zhu2022, appendix A.7, figure 28 (MIN-19).

    Example:
        >>> problem = ScalarNetwork((2, 2), 0.25)
        >>> process = GradientNoise(problem, 0.2, 0.0, start=jnp.array([1.0, 1.0]))
        >>> process.step(process.init(jax.random.key(0))).params.tolist()
        [1.0, 1.0]
    """

    problem: AbstractProblem
    lr: Array
    scale: Array
    start: Params | None

    def __init__(self, problem: AbstractProblem, lr: Number, scale: Number, *, start: Params | None = None):
        self.problem, self.start = problem, start
        self.lr, self.scale = _checked(lr, scale)

    def init(self, key: PRNGKey) -> State:
        """The state at the start, with the key that the noise is drawn from."""
        return _first(self.problem, self.start, key)

    def step(self, state: State) -> State:
        """One step; `loss` is that before it."""
        key, use = jax.random.split(state.key)
        loss, gradient = jax.value_and_grad(self.problem.loss)(state.params)
        return State(state.step + 1, _descended(state.params, self._noisy(gradient, use), self.lr), (), key, loss)

    def _noisy(self, gradient: Params, key: PRNGKey) -> Params:
        leaves, shape = jax.tree.flatten(gradient)
        keys = jax.random.split(key, len(leaves))
        noisy = [
            g + self.scale.astype(g.dtype) * jax.random.normal(k, g.shape, g.dtype)
            for g, k in zip(leaves, keys, strict=True)
        ]
        return jax.tree.unflatten(shape, noisy)


def _checked(lr: Number, scale: Number) -> tuple[Array, Array]:
    if not isinstance(lr, Tracer):
        positive("lr", float(lr))
    if not isinstance(scale, Tracer):
        at_least("scale", float(scale), 0)
    return jnp.asarray(lr), jnp.asarray(scale)


def _first(problem: AbstractProblem, start: Params | None, key: PRNGKey) -> State:
    init_key, run_key = jax.random.split(key)
    params = problem.init(init_key) if start is None else jax.tree.map(jnp.array, start)
    loss: Scalar = jnp.full((), jnp.nan, jax.eval_shape(problem.loss, params).dtype)
    return State(jnp.zeros((), int), params, (), run_key, loss)


def _descended(params: Params, gradient: Params, lr: Array) -> Params:
    return jax.tree.map(lambda p, g: p - lr.astype(p.dtype) * g, params, gradient)
