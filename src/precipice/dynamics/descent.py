"""Full-batch descent: an optax transformation applied to a problem's loss."""

from collections.abc import Callable
from typing import Any, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jaxtyping import PyTree

from precipice._checks import InputError, positive
from precipice._types import Number, Params, PRNGKey
from precipice.dynamics.process import AbstractProcess, State
from precipice.problems import AbstractProblem


def _as_arrays(numbers: dict[str, Any]) -> dict[str, Any]:
    """Floats as arrays, which a compiled function takes as arguments; flags and counts stay as they are."""
    return {name: jnp.asarray(value) if isinstance(value, float) else value for name, value in numbers.items()}


def _is_known(value: Any) -> TypeGuard[float]:
    """Whether it is one number that can be looked at: no schedule, no tracer, no row of them."""
    return value is not None and not callable(value) and not isinstance(value, Tracer) and jnp.ndim(value) == 0


class Optimiser(eqx.Module):
    """An optax transformation kept as its maker and its numbers, so that a new learning rate does not recompile.

    A bare optax transformation is made of closures: it works wherever an `Optimiser` does, but compiles anew each time
    one is made, and no measure can read its learning rate. Numbers are cast to the precision of the parameters.

    Args:
        make: an optax function such as ``optax.sgd``.
        numbers: its arguments by name, ``{"learning_rate": 0.1, "momentum": 0.9}``; they may be traced.

    Raises:
        InputError: the learning rate is not positive and finite, or the momentum outside [0, 1).

    Example:
        >>> import optax
        >>> float(Optimiser(optax.sgd, {"learning_rate": 0.25}).numbers["learning_rate"])
        0.25
    """

    make: Callable[..., optax.GradientTransformation] = eqx.field(static=True)
    numbers: dict[str, Any] = eqx.field(converter=_as_arrays)

    def __check_init__(self):
        rate, momentum = self.numbers.get("learning_rate"), self.numbers.get("momentum")
        if _is_known(rate):
            positive("learning_rate", float(rate))
        if _is_known(momentum) and not 0 <= float(momentum) < 1:
            raise InputError(f"momentum must lie in [0, 1); got {float(momentum)}.")

    def init(self, params: Params) -> PyTree:
        """The optimiser's state at `params`."""
        return self._made(params).init(params)

    def update(self, gradient: Params, memory: PyTree, params: Params) -> tuple[Params, PyTree]:
        """(update to add to the parameters, next state)."""
        return self._made(params).update(gradient, memory, params)

    def _made(self, params: Params) -> optax.GradientTransformation:
        dtype = jnp.result_type(*jax.tree.leaves(params))
        numbers = {k: v.astype(dtype) if isinstance(v, jax.Array) else v for k, v in self.numbers.items()}
        return self.make(**numbers)


def gradient_descent(lr: Number) -> Optimiser:
    """Plain gradient descent, theta' = theta - lr grad L."""
    return Optimiser(optax.sgd, {"learning_rate": lr})


class Descent(AbstractProcess):
    """theta' = theta + update(grad L(theta)), with the loss and its gradient over all the data.

    Args:
        problem: what is trained.
        optimiser: an `Optimiser`, or any optax transformation.
        start: parameters to start from; by default ``problem.init(key)``.

    Example:
        >>> import jax
        >>> from precipice import problems
        >>> data = problems.chebyshev(2, 10)
        >>> problem = problems.Supervised(problems.FullyConnected((1, 4, 1)), data, problems.mean_half_squared_error)
        >>> process = Descent(problem, gradient_descent(0.1))
        >>> int(process.step(process.init(jax.random.key(0))).step)
        1
    """

    problem: AbstractProblem
    optimiser: Any
    start: Params | None = None

    def __check_init__(self):
        if not (hasattr(self.optimiser, "init") and hasattr(self.optimiser, "update")):
            raise InputError(f"optimiser must have init and update, as optax has; got {type(self.optimiser).__name__}.")

    def init(self, key: PRNGKey) -> State:
        """The state at the start: parameters, the optimiser's state, and the key."""
        init_key, run_key = jax.random.split(key)
        params = self.problem.init(init_key) if self.start is None else jax.tree.map(jnp.array, self.start)
        loss = jnp.full((), jnp.nan, jax.eval_shape(self.problem.loss, params).dtype)
        return State(jnp.zeros((), int), params, self.optimiser.init(params), run_key, loss)

    def step(self, state: State) -> State:
        """One full-batch step; `loss` is the loss before it."""
        loss, gradient = jax.value_and_grad(self.problem.loss)(state.params)
        params, memory = updated(self.optimiser, gradient, state.memory, state.params)
        return State(state.step + 1, params, memory, state.key, loss)


def updated(optimiser: Any, gradient: Params, memory: PyTree, params: Params) -> tuple[Params, PyTree]:
    """Parameters and the optimiser's state after one update along `gradient`."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python and traced numbers (Adam's bias correction)
        update, memory = optimiser.update(gradient, memory, params)
        return optax.apply_updates(params, update), memory
