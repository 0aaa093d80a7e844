"""Traces by sampling, each with its standard error: of any operator, and of the Gauss-Newton matrix in one pass."""

from collections.abc import Callable

import numpy as np
import torch

from precipice._checks import InputError, at_least
from precipice.curvature.trace import Estimate
from precipice.torch.gauss_newton import GaussNewton
from precipice.torch.hessian import Operator, _grad
from precipice.torch.losses import OutputLoss
from precipice.torch.objective import Objective

Sampler = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""``sample(outputs, generator) -> targets``: targets drawn from the distribution whose log likelihood the loss is."""


def trace(op: Operator, *, num: int = 30, seed: int = 0) -> Estimate:
    """The sum of the eigenvalues: the mean of s^T A s over `num` vectors of random signs. Costs `num` products.

    Args:
        op: the operator.
        num: samples; at least 2, for the standard error.
        seed: of the signs.

    Raises:
        InputError: `num` below 2.

    References: Hutchinson 1989.

    Example:
        >>> class Diagonal:
        ...     size, dtype, device = 3, torch.float64, torch.device("cpu")
        ...     def mv(self, v):
        ...         return torch.tensor([1.0, 2.0, 3.0], dtype=v.dtype) * v
        >>> float(trace(Diagonal()).value)
        6.0
    """
    at_least("num of a trace", num, 2)
    generator = torch.Generator().manual_seed(seed)

    def sample() -> float:
        signs = torch.randint(0, 2, (op.size,), generator=generator).to(op.device, op.dtype) * 2 - 1
        return float(signs @ op.mv(signs))

    return _estimate([sample() for _ in range(num)])


def part_traces(
    op: Operator,
    parts: torch.Tensor | None,
    *,
    num_parts: int,
    num: int,
    seed: int = 0,
    deflate: torch.Tensor | None = None,
) -> np.ndarray:
    """Samples [num, num_parts] of the trace's share of each part of the parameters; their mean is unbiased.

    The share of part g is the sum of the diagonal over its entries. With orthonormal vectors V to deflate (leading
    eigenvectors, of this operator or of a similar one) the shares of V V^T A are exact, and signs sample the rest,
    whose variance is much smaller where a few eigenvalues dominate. Costs num products, and one for each vector.

    Args:
        op: the operator.
        parts: [size], the part of each entry, negative for none; None where all are of the one part.
        num_parts: how many parts.
        num: samples; at least 2.
        seed: of the signs.
        deflate: [m, size], orthonormal.

    Raises:
        InputError: `num` below 2.

    References: Hutchinson 1989; Meyer et al. 2021 (Hutch++) for the deflation.
    """
    at_least("num of a trace", num, 2)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.zeros(0, op.size, dtype=op.dtype, device=op.device) if deflate is None else deflate
    exact = sum((_shares(v * op.mv(v), parts, num_parts) for v in vectors), np.zeros(num_parts))

    def sample() -> np.ndarray:
        signs = torch.randint(0, 2, (op.size,), generator=generator).to(op.device, op.dtype) * 2 - 1
        image = op.mv(signs)
        return _shares(signs * (image - (vectors @ image) @ vectors), parts, num_parts)

    return exact + np.array([sample() for _ in range(num)])


def gauss_newton_samples(
    op: GaussNewton,
    root: torch.Tensor | float,
    *,
    num: int,
    seed: int = 0,
    deflate: torch.Tensor | None = None,
) -> np.ndarray:
    """`part_traces` of S^1/2 G S^1/2 for one part, [num, 1], from inner products of J v alone: `GaussNewton.forms`.

    Args:
        op: G.
        root: [size], S^1/2; or one number.
        num: samples; at least 2.
        seed: of the signs, the same as those of `part_traces`.
        deflate: [m, size], orthonormal.

    Raises:
        InputError: `num` below 2.
    """
    at_least("num of a trace", num, 2)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.zeros(0, op.size, dtype=op.dtype, device=op.device) if deflate is None else deflate
    drawn = [torch.randint(0, 2, (op.size,), generator=generator).to(op.device, torch.bool) for _ in range(num)]

    def signs(index: int) -> torch.Tensor:
        return drawn[index].to(op.dtype).mul_(2).sub_(1)

    scaled = list(vectors) if isinstance(root, float) and root == 1 else [v * root for v in vectors]
    found = op.forms(scaled, lambda j: signs(j).mul_(root), num)
    inner = np.array([(vectors @ signs(j)).double().cpu().numpy() for j in range(num)]).reshape(num, len(vectors))
    return (found.own.sum() + found.sampled - np.einsum("ij,ji->j", found.mixed, inner))[:, None]


def _shares(products: torch.Tensor, parts: torch.Tensor | None, num_parts: int) -> np.ndarray:
    if parts is None:
        return np.array([float(products.sum(dtype=torch.float64))])
    sums = torch.zeros(num_parts + 1, dtype=torch.float64, device=products.device)
    return sums.index_add(0, parts + 1, products.double())[1:].cpu().numpy()


def gauss_newton_trace(objective: Objective, sample_targets: Sampler, *, num: int = 10, seed: int = 0) -> Estimate:
    """tr(J^T H_out J) by targets drawn from the model (Bartlett's second identity): num gradients in one pass.

    The mean of sum_c w_c n_c |grad of the chunk's loss on drawn targets|^2, n_c its examples. Needs no second
    derivative at all. The noise kernel norm is lr/(2 (1 - mu) B C) times it (`measures.noise_kernel_norm_trace`).
    Smaller chunks err less: the cross terms within a chunk are its variance. With BatchNorm in training mode examples
    depend on each other and the identity does not hold: refused.

    Args:
        objective: its loss is an `OutputLoss` whose criterion reads the targets as ``batch[1]`` (`supervised`).
        sample_targets: `categorical_targets` for cross-entropy, `gaussian_targets(...)` for squared errors.
        num: samples; at least 2.
        seed: of the draws.

    Raises:
        InputError: `num` below 2, a loss that is not split, BatchNorm in training mode.

    References: agarwala2024, eq. 130 (SEOS-25); Bartlett 1953; Martens 2020, section 5.
    """
    at_least("num of a trace", num, 2)
    if not isinstance(objective.loss, OutputLoss):
        raise InputError("loss of a Gauss-Newton trace must be split at the model's outputs; got one that is not.")
    if objective.mixes_examples:
        raise InputError("model must not mix examples for a trace by drawn targets; got BatchNorm in training mode.")
    generator = torch.Generator().manual_seed(seed)
    total = np.zeros(num)
    for index, chunk in enumerate(objective.chunks):
        outputs = objective.chunk_outputs(index)
        squares = [_drawn(objective, outputs, index, sample_targets, generator) for _ in range(num)]
        total += chunk.weight * len(outputs) * np.array(squares)
    return _estimate([objective.ranks.sum(float(value)) for value in total])


def categorical_targets(outputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Classes drawn with the probabilities softmax(outputs) [n, C]: for cross-entropy."""
    probabilities = torch.softmax(outputs.detach().double().cpu(), -1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(outputs.device)


def gaussian_targets(variance: float) -> Sampler:
    """Targets outputs + noise: `variance` is 1 for half squared errors summed over outputs, C/2 for ``nn.MSELoss``."""

    def sample(outputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
        return outputs.detach() + variance**0.5 * noise.to(outputs)

    return sample


def _drawn(
    objective: Objective, outputs: torch.Tensor, index: int, sample: Sampler, generator: torch.Generator
) -> float:
    """|grad|^2 of the chunk's mean loss on drawn targets."""
    assert isinstance(objective.loss, OutputLoss)
    criterion, batch = objective.loss.criterion, objective.chunks[index].batch
    free = outputs.detach().requires_grad_()
    (slope,) = torch.autograd.grad(criterion(free, (batch[0], sample(outputs, generator))), free)
    grads = objective.inside(lambda _: _grad([outputs], objective.params, [slope], True, False))
    return sum(float(g.double().square().sum()) for g in grads)


def _estimate(samples: list[float]) -> Estimate:
    values = np.array(samples)
    return Estimate(values.mean(), values.std(ddof=1) / len(values) ** 0.5)  # pyright: ignore[reportArgumentType]
