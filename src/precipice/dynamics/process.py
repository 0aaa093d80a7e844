"""The interface of the room: something that moves by steps.

Implementations: `Descent` (descent.py), gradient descent of any optax transformation on a problem, and
`MinibatchDescent` (minibatch.py) on batches of it, many side by side in `MinibatchSweep`
(minibatch_sweep.py); `EpochDescent` (epochs.py) on shuffled epochs, as networks are trained at size;
`FunctionSpaceDescent` (function_space.py), in outputs and Jacobian;
`LabelNoise` and `GradientNoise` (noisy.py), gradient descent with noise; `SelfStabilization` (self_stabilization.py),
`MeanModelMap` (mean_model.py), those of quadratic models (quadratic.py) and `CubicMap` (cubic_map.py), reduced maps;
`LinearSgd` (linear_regression.py), SGD on a linear model seen in its outputs.

To add one:
1. Write a final, frozen subclass of `AbstractProcess` in a file of its own; numbers that vary are array fields.
2. Its state is a `State`: whatever it moves goes into `params`, what it carries besides into `memory`.
3. Export it in `dynamics/__init__.py` and add a row to `tests/cases.py`; `simulate` and `train` then run it.
"""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Int, PyTree

from precipice._types import Params, PRNGKey


class State(NamedTuple):
    """Where a process is.

    Args:
        step: steps taken so far.
        params: the point.
        memory: what the process carries besides, such as an optimiser's moments.
        key: for processes that draw.
        loss: the loss at the point from which the last step was taken; NaN before the first, and for maps without one.
    """

    step: Int[Array, ""]
    params: Params
    memory: PyTree
    key: PRNGKey
    loss: Float[Array, ""]


class AbstractProcess(eqx.Module):
    """A frozen pytree that makes a first state and maps a state to the next."""

    @abc.abstractmethod
    def init(self, key: PRNGKey) -> State:
        """The state before the first step."""

    @abc.abstractmethod
    def step(self, state: State) -> State:
        """The next state."""
