"""Losses: the mean over examples of a function of one example's outputs and targets.

The normalisation is in the name, because a factor of two moves the edge. All take outputs [n, C] and targets [n, C] and
return a scalar: the **mean over the n examples**, the **sum over the C outputs**. One is a sum over examples too and
says so in its name: operators that weight chunks of data as means (`curvature.Chunks`) do not take it.

To add one: write it here with the same signature and reduction, export it, add it to the table in
`tests/test_losses.py`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._checks import InputError
from precipice._types import Scalar

Outputs = Float[Array, "n C"]


def mean_half_squared_error(outputs: Outputs, targets: Outputs) -> Scalar:
    """(1/n) sum_i (1/2) |f_i - y_i|^2: the "MSE" of Cohen et al. 2021; its output Hessian is I/n."""
    return 0.5 * jnp.mean(jnp.sum((outputs - targets) ** 2, axis=1))


def sum_half_squared_error(outputs: Outputs, targets: Outputs) -> Scalar:
    """sum_i (1/2) |f_i - y_i|^2: the loss of agarwala2022, a **sum** over examples; its output Hessian is I."""
    return 0.5 * jnp.sum((outputs - targets) ** 2)


def mean_squared_error(outputs: Outputs, targets: Outputs) -> Scalar:
    """(1/n) sum_i |f_i - y_i|^2, without the half; its output Hessian is 2I/n."""
    return jnp.mean(jnp.sum((outputs - targets) ** 2, axis=1))


def mean_logistic(outputs: Outputs, targets: Outputs) -> Scalar:
    """(1/n) sum_i sum_c log(1 + exp(-y_ic f_ic)) with targets +1 or -1."""
    return jnp.mean(jnp.sum(jax.nn.softplus(-targets * outputs), axis=1))


def mean_softmax_cross_entropy(outputs: Outputs, targets: Outputs) -> Scalar:
    """-(1/n) sum_i sum_c y_ic log softmax(f_i)_c with targets that sum to 1 (one-hot or probabilities)."""
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(outputs, axis=1), axis=1))


def accuracy(outputs: Outputs, targets: Outputs) -> Scalar:
    """The fraction of examples whose class is predicted: by the sign of one output, or the largest of several."""
    if outputs.shape[1] == 1:
        right = jnp.sign(outputs[:, 0]) == jnp.sign(targets[:, 0])
    else:
        right = jnp.argmax(outputs, axis=1) == jnp.argmax(targets, axis=1)
    return jnp.mean(right.astype(outputs.dtype))


def check_mean(problem: object) -> None:
    """Refuse a problem whose loss is a sum over the examples, where it is to be weighted by them.

    Raises:
        InputError: for `sum_half_squared_error`.
    """
    if getattr(problem, "output_loss", None) is sum_half_squared_error:
        raise InputError("output_loss must be a mean over examples to be weighted by them; got sum_half_squared_error.")
