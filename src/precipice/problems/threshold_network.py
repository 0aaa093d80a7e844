"""Two-layer ReLU networks for the sparse coding task, with the basis known (three parameters) and unknown."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from precipice._checks import InputError, at_least
from precipice._types import PRNGKey, Scalar
from precipice.problems.activations import relu
from precipice.problems.data.dataset import Dataset
from precipice.problems.losses import mean_logistic
from precipice.problems.mean_model import weights_and_bias
from precipice.problems.problem import AbstractProblem


class SortedInputs(eqx.Module):
    """Inputs sorted within each example, with the sums of the smallest k: all that `ThresholdNetwork` needs of x.

    Make it with `sorted_inputs`.

    Args:
        values: inputs in ascending order [n, d].
        sums: sum of the k smallest, for k from 0 to d [n, d + 1].
        y: labels, +1 or -1 [n, 1].
    """

    values: Float[Array, "n d"]
    sums: Float[Array, "n d_plus_1"]
    y: Float[Array, "n 1"]


def sorted_inputs(data: Dataset) -> SortedInputs:
    """The inputs of `data` sorted; n d log d operations, done once."""
    values = jnp.sort(data.x, axis=1)
    zero = jnp.zeros((data.num_examples, 1), values.dtype)
    return SortedInputs(values, jnp.concatenate([zero, jnp.cumsum(values, axis=1)], axis=1), data.y)


class ThresholdNetwork(AbstractProblem):
    """f(x) = a- sum_i ReLU(-x_i + b) + a+ sum_i ReLU(x_i + b), trained on the **mean** logistic loss.

    Parameters are (a-, a+, b). Negative b makes threshold neurons, which cut noise off. An example enters through its
    two sums alone, and these are piecewise linear in b with corners at its inputs. So the inputs are sorted once, and a
    loss, gradient or Hessian costs n log d operations (a ReLU's derivative at its corner is taken as 0) and memory n d
    for the data alone.

    Args:
        data: examples x [n, d], labels y +1 or -1 [n, 1], as `sparse_coding` makes them.

    Raises:
        InputError: labels other than +1 and -1, or more than one output.

    References: ahn2022, eq. 2 (TN-30, 31). The paper writes the sum over examples; its threshold 8 pi/d^2 is that of
    the mean (ERR-T2).

    Example:
        >>> from precipice import problems
        >>> data = problems.from_arrays(jnp.array([[2.0, -1.0]]), jnp.array([[1.0]]))
        >>> problem = ThresholdNetwork(data)
        >>> float(problem.outputs(jnp.array([-1.0, 3.0, 0.5]))[0, 0])
        6.0
    """

    inputs: SortedInputs

    def __init__(self, data: Dataset):
        _check_task(data)
        self.inputs = sorted_inputs(data)

    def init(self, key: PRNGKey) -> Float[Array, "3"]:
        """Weights a- and a+ normal of variance 1/(2 d) as in the paper's experiments, b = 0.

        That makes d (a- + a+) of order sqrt(d); the theory's order 1 wants the variance 1/(2 d^2) (ERR-T3).
        """
        return weights_and_bias(key, 1 / (2 * self.inputs.values.shape[1]), self.inputs.values.dtype)

    def outputs(self, params: Float[Array, "3"], batch: SortedInputs | None = None) -> Float[Array, "n 1"]:
        """Outputs f(x) for each example of `batch`, by default of all the data."""
        weight_minus, weight_plus, bias = params
        minus, plus = _relu_sums(self.inputs if batch is None else batch, bias)
        return (weight_minus * minus + weight_plus * plus)[:, None]

    def loss(self, params: Float[Array, "3"], batch: SortedInputs | None = None) -> Scalar:
        """The mean over the examples of log(1 + exp(-y f))."""
        return mean_logistic(self.outputs(params, batch), (self.inputs if batch is None else batch).y)


def _relu_sums(inputs: SortedInputs, bias: Scalar) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """sum_i ReLU(-x_i + b) and sum_i ReLU(x_i + b) of each example."""
    below = _rank(inputs.values, bias, "left")  # how many x_i < b
    above = _rank(inputs.values, -bias, "right")  # how many x_i <= -b
    num = inputs.values.shape[1]
    minus = below.astype(bias.dtype) * bias - _picked(inputs.sums, below)
    plus = (num - above).astype(bias.dtype) * bias + inputs.sums[:, -1] - _picked(inputs.sums, above)
    return minus, plus


def _rank(values: Float[Array, "n d"], point: Scalar, side: str) -> Int[Array, "n"]:
    place = jax.lax.stop_gradient(point)
    return jax.vmap(lambda row: jnp.searchsorted(row, place, side=side))(values)


def _picked(sums: Float[Array, "n d_plus_1"], index: Int[Array, "n"]) -> Float[Array, "n"]:
    return jnp.take_along_axis(sums, index[:, None], axis=1)[:, 0]


class SparseCodingNetwork(AbstractProblem):
    """f(x) = sum_i a_i ReLU(w_i . x + b), m hidden units that share one bias, trained on the **mean** logistic loss.

    Parameters are a dictionary: ``weight`` [m, d] (w), ``out`` [m] (a), ``bias`` (b, a scalar). A loss costs n m d
    operations and memory n m.

    Args:
        data: examples x [n, d], labels y +1 or -1 [n, 1].
        width: m.

    Raises:
        InputError: a width below 1, labels other than +1 and -1, or more than one output.

    References: ahn2022, eq. 7 and appendix B.1 (TN-32).

    Example:
        >>> from precipice import problems
        >>> data = problems.sparse_coding(5, 8, 3.0, key=jax.random.key(0))
        >>> problem = SparseCodingNetwork(data, 16)
        >>> params = problem.init(jax.random.key(1))
        >>> params["weight"].shape, problem.outputs(params).shape
        ((16, 5), (8, 1))
    """

    data: Dataset
    width: int = eqx.field(static=True)

    def __check_init__(self):
        at_least("width", self.width, 1)
        _check_task(self.data)

    def init(self, key: PRNGKey) -> dict[str, Array]:
        """Weights w normal of variance 1/d, a normal of variance 1/m, b = 0."""
        out_key, weight_key = jax.random.split(key)
        num, dtype = self.data.x.shape[1], self.data.x.dtype
        return {
            "weight": jax.random.normal(weight_key, (self.width, num), dtype) / num**0.5,
            "out": jax.random.normal(out_key, (self.width,), dtype) / self.width**0.5,
            "bias": jnp.zeros((), dtype),
        }

    def outputs(self, params: dict[str, Array], batch: Dataset | None = None) -> Float[Array, "n 1"]:
        """Outputs f(x) for each example of `batch`, by default of all the data."""
        x = (self.data if batch is None else batch).x
        return (relu(x @ params["weight"].T + params["bias"]) @ params["out"])[:, None]

    def loss(self, params: dict[str, Array], batch: Dataset | None = None) -> Scalar:
        """The mean over the examples of log(1 + exp(-y f))."""
        return mean_logistic(self.outputs(params, batch), (self.data if batch is None else batch).y)


def _check_task(data: Dataset) -> None:
    if isinstance(data.x, Tracer) or isinstance(data.y, Tracer):
        return
    if data.x.ndim != 2 or data.y.shape[1] != 1:
        raise InputError(f"data must have x [n, d] and y [n, 1]; got {data.x.shape} and {data.y.shape}.")
    if not np.all(np.abs(np.asarray(data.y)) == 1):
        raise InputError(f"labels must be +1 or -1; got values from {data.y.min():g} to {data.y.max():g}.")
