"""Fifty images, half of class 0 and half of class 1, and the same training in the coordinates of their span.

The gradient of the first layer's weights is a combination of the inputs, so that what is orthogonal to all of them
never moves and changes no output. In an orthonormal basis of the inputs' span (50 coordinates for 3,072 pixels) losses,
steps and the Hessian's eigenvalues other than 0 are the same, for a fifth of the arithmetic.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from precipice import problems
from precipice._checks import InputError
from precipice.papers.networks import ACTIVATIONS, INITIALISATIONS, NetworkSettings, images_for

if TYPE_CHECKING:
    from precipice._types import Params, PRNGKey

CLASSES = (0, 1)
"""Airplane, labelled -1, and automobile, labelled +1."""


def fifty_images(settings: NetworkSettings, data_dir: Path | None) -> problems.Supervised:
    """The first images of class 0 and as many of class 1, under (1/n) sum |f - y|^2 with y = -1 and +1.

    Args:
        settings: network, data and precision; `num_examples` is the number of both classes together.
        data_dir: the data directory, or None for the default.

    Raises:
        InputError: the data are not found, damaged, or fewer than asked for.

    References: zhu2022, appendix A.1.3.
    """
    each = settings.num_examples // 2
    halves = [images_for(settings, each, data_dir, (number,), problems.parity) for number in CLASSES]
    x, y = (np.concatenate([np.asarray(getattr(half, name)) for half in halves]) for name in "xy")
    labels = np.repeat(np.arange(2), each)
    data = problems.from_arrays(x, y, labels, " ".join(half.provenance for half in halves))
    network = problems.FullyConnected(
        (x.shape[1], *[settings.width] * settings.depth, 1),
        activation=ACTIVATIONS[settings.activation],
        initialisation=INITIALISATIONS[settings.initialisation],
    )
    return problems.Supervised(network, data, problems.mean_squared_error)


def in_span(problem: problems.Supervised, params: "Params") -> "tuple[problems.Supervised, Params]":
    """The problem and a point of it in an orthonormal basis of the inputs' span.

    Args:
        problem: a fully connected network whose initialisation has no factors in its forward pass.
        params: its parameters.

    Returns:
        A problem with min(n, inputs) inputs, and the point in it: `problem.outputs` are the same.

    Raises:
        InputError: another kind of network.
    """
    data, network = problem.data, problem.network
    if not isinstance(network, problems.FullyConnected):
        raise InputError(f"problem must have a FullyConnected network; got {type(network).__name__}.")
    basis, coordinates = np.linalg.qr(np.asarray(data.x).T)  # [inputs, k], [k, n]
    first, *later = params
    inside = {**first, "weight": jnp.asarray(basis.T @ np.asarray(first["weight"]))}
    smaller = problems.FullyConnected(
        (len(coordinates), *network.widths[1:]),
        activation=network.activation,
        initialisation=network.initialisation,
    )
    moved = dataclasses.replace(data, x=jnp.asarray(coordinates.T))
    return problems.Supervised(smaller, moved, problem.output_loss), (inside, *later)


def started(settings: NetworkSettings, data_dir: Path | None, key: "PRNGKey") -> "tuple[problems.Supervised, Params]":
    """`fifty_images` and a start drawn with `key`, both in the images' span."""
    problem = fifty_images(settings, data_dir)
    return in_span(problem, problem.init(key))
