"""The networks that the benchmarks run on, and the road to the edge of stability."""

from pathlib import Path

import common  # noqa: F401  (sets the threads before jax is imported)
import jax
import jax.numpy as jnp

from precipice import dynamics, measures, problems
from precipice._types import Params
from precipice.results import StopReason


def tanh_network(
    num_examples: int, width: int, data_dir: Path | None, *, dtype: jax.typing.DTypeLike = jnp.float32
) -> problems.Supervised:
    """A tanh network 3072-width-width-10 on the first CIFAR-10 images, channels standardised, half squared error."""
    data = problems.cifar10(num_examples, data_dir=data_dir, preprocess=problems.standardise_channels, dtype=dtype)
    widths = (data.x.shape[1], width, width, data.y.shape[1])
    network = problems.FullyConnected(widths, activation=problems.tanh, initialisation=problems.TORCH)
    return problems.Supervised(network, data, problems.mean_half_squared_error)


def in_float64(tree: Params) -> Params:
    """The same numbers in float64: parameters, or a whole problem with its data."""
    return jax.tree.map(lambda a: a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def at_the_edge(problem: problems.Supervised, lr: float, *, key: jax.Array, most_steps: int) -> dynamics.State:
    """Train by gradient descent until the sharpness reaches 2/lr.

    Raises:
        RuntimeError: it does not within `most_steps`.
    """
    init_key, tracker_key = jax.random.split(key)
    training = dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(lr)),
        key=init_key,
        num_steps=most_steps,
        every=10,
        trackers=(measures.track_hessian(problem, key=tracker_key, num=1, rtol=1e-3),),
        stops=(dynamics.at_least("hessian_eigenvalue", 2 / lr),),
        progress=dynamics.quiet,
    )
    sharpness = training.saved["hessian_eigenvalue"][:, 0]
    if training.stop_reason != StopReason.VALUE_REACHED:
        raise RuntimeError(f"sharpness must reach {2 / lr:g} within {most_steps} steps; it reached {sharpness.max():g}")
    print(
        f"trained to the edge: sharpness {sharpness[0]:.4g} at step 0, {sharpness[-1]:.4g} at step "
        f"{int(training.state.step)}; 2/lr = {2 / lr:g}\n"
    )
    return training.state
