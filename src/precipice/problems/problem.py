"""The interface of the room: what every problem offers.

Implementations: `Supervised` (a network, data and a loss; `supervised.py`) and the minimal models, a file each:
`ScalarNetwork`, `RankOneFactorization`, `SingleNeuron`, `MeanModel`, `ThresholdNetwork` and `SparseCodingNetwork`,
`QuadraticRegression`, `QuadraticModel`, `TwoLayerLinear`, `SelfStabilizing`; `TaylorModel` (expand.py) stands for
another problem near a point.

To add one:
1. Write a final, frozen subclass of `AbstractProblem` in a file of its own, its data as array fields.
2. Give it `init(key)` and `loss(params, batch=None)`; say the reduction (mean or sum) in the docstring of `loss`.
3. Export it in `problems/__init__.py`.
4. Add a row to `tests/cases.py`: the battery (jit, vmap, grad, dtype, curvature against the dense oracle) runs on it.
"""

import abc
from typing import Any

import equinox as eqx

from precipice._types import Params, PRNGKey, Scalar


class AbstractProblem(eqx.Module):
    """Something to train: a frozen pytree that makes parameters and evaluates their loss."""

    @abc.abstractmethod
    def init(self, key: PRNGKey) -> Params:
        """Parameters to start from, drawn with `key`."""

    @abc.abstractmethod
    def loss(self, params: Params, batch: Any = None) -> Scalar:
        """The training loss at `params`, on `batch` if one is given and else on all the data."""
