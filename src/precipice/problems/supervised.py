"""A network, data and a loss, as one problem."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import Params, PRNGKey, Scalar
from precipice.problems.abstract_network import AbstractNetwork
from precipice.problems.data.dataset import Dataset
from precipice.problems.losses import mean_logistic, mean_softmax_cross_entropy
from precipice.problems.lowered import Lowered
from precipice.problems.problem import AbstractProblem


class Supervised(AbstractProblem):
    """Fit `network` to `data` under `output_loss`: L(theta) = output_loss(f(theta, x), y), a mean over the examples.

    Args:
        network: the model, such as `FullyConnected` or one of `problems.architectures`.
        data: inputs [n, ...], targets [n, outputs].
        output_loss: a function of `problems.losses`, or any mean over examples of (outputs [n, C], targets [n, C]).

    Raises:
        InputError: the network does not fit the data, or the targets do not fit the loss.

    Example:
        >>> import jax
        >>> from precipice import problems
        >>> data = problems.chebyshev(3, 20)
        >>> problem = Supervised(problems.FullyConnected((1, 16, 1)), data, problems.mean_half_squared_error)
        >>> problem.loss(problem.init(jax.random.key(0))).shape
        ()
    """

    network: AbstractNetwork
    data: Dataset
    output_loss: Callable = eqx.field(static=True)

    def __check_init__(self):
        if isinstance(self.data.x, jax.Array | np.ndarray):
            self.network.check(self.data.x.shape, self.data.y.shape[1])
            _check_targets(self.output_loss, self.data.y)

    @property
    def couples_examples(self) -> bool:
        """Whether the outputs of an example depend on the rest of its batch (BatchNorm)."""
        return self.network.couples_examples

    @property
    def computed_in(self) -> Any:
        """The dtype that the network works in where it is `Lowered`, else None: that of the parameters."""
        return self.network.dtype if isinstance(self.network, Lowered) else None

    def init(self, key: PRNGKey) -> Params:
        """Parameters drawn with `key`, in the precision of the data."""
        return self.network.init(key, self.data.x.dtype)

    def predict(self, params: Params, x: Float[Array, "n ..."]) -> Float[Array, "n outputs"]:
        """The network's outputs for n examples."""
        return self.network.many(params, x)

    def outputs(self, params: Params, batch: Any = None) -> Float[Array, "n outputs"]:
        """The network's outputs on `batch` (any object with fields x and y), by default on all the data."""
        return self.predict(params, (self.data if batch is None else batch).x)

    def loss_of_outputs(self, outputs: Float[Array, "n outputs"], batch: Any = None) -> Scalar:
        """The loss as a function of the outputs: what Gauss-Newton and the kernel differentiate twice."""
        return self.output_loss(outputs, (self.data if batch is None else batch).y)

    def loss(self, params: Params, batch: Any = None) -> Scalar:
        """The mean over the examples of `batch` (by default of all the data) of the loss of one."""
        return self.loss_of_outputs(self.outputs(params, batch), batch)


def _check_targets(output_loss: Callable, targets: Array) -> None:
    if isinstance(targets, Tracer):
        return
    y = np.asarray(targets)
    if output_loss is mean_logistic and not np.all(np.abs(y) == 1):
        raise InputError(f"mean_logistic needs targets +1 or -1; got values from {y.min():g} to {y.max():g}.")
    if output_loss is mean_softmax_cross_entropy and not np.allclose(y.sum(axis=1), 1, atol=1e-5):
        raise InputError("mean_softmax_cross_entropy needs targets that sum to 1 for each example; these do not.")
