"""Measures of the noise of batches: batch sharpness and the gradient noise scale, from the probe's batches."""

import numpy as np
import torch

from precipice._checks import InputError
from precipice.curvature.trace import Estimate
from precipice.torch.hessian import _grad, gradient_and_curvature
from precipice.torch.objective import Objective, flat
from precipice.torch.probe import num_examples


def batch_sharpness(objective: Objective, *, batch_size: int | None = None) -> Estimate:
    """The mean over batches of g_B^T H_B g_B/|g_B|^2, the batch Hessian's curvature along the batch's own gradient.

    Under plain SGD it is what settles at 2/lr, says its source. Batches shorter than the first (the last of an epoch)
    are left out, as they measure another size. NaN where a batch's gradient is zero, as it then has no direction. Costs
    about 2.5 gradients a batch.

    Args:
        objective: its probe set in whole batches of the training's size, on each rank; at least two of them.
        batch_size: examples of a training step, accumulated parts and all ranks together; None for the first batch's.

    Raises:
        InputError: batches cut by `chunk`, of another size than the training's, or fewer than two of the first one's.

    References: Andreyev and Beneventano 2024, Edge of stochastic stability (arXiv 2412.20553).
    """
    if reason := other_size(objective, batch_size) or too_few(objective, "batch sharpness", 2):
        raise InputError(reason)
    samples = []
    for index in _full_batches(objective):
        gradient, curved = gradient_and_curvature(objective, index)
        square = float(gradient @ gradient)
        samples.append(float(gradient @ curved) / square if square else float("nan"))
    values = np.array(objective.ranks.gather(samples))
    return Estimate(values.mean(), values.std(ddof=1) / len(values) ** 0.5)  # pyright: ignore[reportArgumentType]


def other_size(objective: Objective, batch_size: int | None) -> str | None:
    """Why the probe's batches are none of the training's, in one sentence; None where they are. Alike on all ranks."""
    if objective.cut:
        return "chunk must be None for the batch sharpness, which is that of whole batches; got one that cuts them."
    if batch_size is None:
        return None
    sizes = objective.ranks.gather([num_examples(objective.chunks[0].batch)])
    if all(size == batch_size for size in sizes):
        return None
    return (
        f"batches of the probe set must be of the training's batch size ({batch_size}, accumulated parts and all ranks "
        f"together) for the batch sharpness; got {sizes[0]} (hand data in batches of that size)."
    )


def too_few(objective: Objective, name: str, least: int) -> str | None:
    """That the probe holds too few batches of one size, on all ranks together, in one sentence; None where enough."""
    num = len(objective.ranks.gather([0.0] * len(_full_batches(objective))))
    if num >= least:
        return None
    return f"probe of a {name} must hold at least {least} batches of one size; got {num} (num_batches=)."


def gradient_noise_scale(objective: Objective) -> Estimate:
    """tr(Sigma)/|G|^2 in examples, from the gradients g_b of batches of size B and their mean G.

    |g_b|^2 has the mean |G|^2 + tr(Sigma)/B, and the mean of k batches B k in place of B: two unbiased estimates, whose
    ratio is the number; its standard error is the jackknife's over batches. Below 0 where |G|^2 is lost in the noise of
    so few batches, and its estimate is negative. Costs one gradient a batch, and holds k gradients.

    Args:
        objective: as for `batch_sharpness`; at least three batches.

    Raises:
        InputError: fewer than three batches of the first one's size.

    References: McCandlish et al. 2018, An empirical model of large-batch training, appendix A.1.
    """
    if reason := too_few(objective, "gradient noise scale", 3):
        raise InputError(reason)
    batches = _full_batches(objective)
    gradients = [_gradient(objective, index).double() for index in batches]
    squares = np.array(objective.ranks.gather([float(g @ g) for g in gradients]))
    k = len(squares)
    total = objective.ranks.sum_tensor(torch.stack(gradients).sum(0))
    along, whole = np.array(objective.ranks.gather([float(g @ total) for g in gradients])), float(total @ total)
    size = num_examples(objective.chunks[batches[0]].batch)
    value = _ratio(squares.mean(), whole / k**2, k, size)
    rest = (whole - 2 * along + squares) / (k - 1) ** 2  # |mean of the other batches|^2
    others = _ratio((squares.sum() - squares) / (k - 1), rest, k - 1, size)
    return Estimate(value, np.std(others) * (k - 1) ** 0.5)  # pyright: ignore[reportArgumentType]


def _ratio(small, large, k: int, size: int):
    """tr(Sigma)/|G|^2 from the mean |g_b|^2 and |mean g_b|^2 of k batches."""
    signal = (k * large - small) / (k - 1)
    noise = (small - large) * size * k / (k - 1)
    return noise / signal


def _gradient(objective: Objective, index: int) -> torch.Tensor:
    loss = objective.chunk_loss(index)
    return objective.inside(lambda _: flat(_grad([loss], objective.params, None, False, False)))


def _full_batches(objective: Objective) -> list[int]:
    sizes = [num_examples(chunk.batch) for chunk in objective.chunks]
    return [index for index, size in enumerate(sizes) if size == sizes[0]]
