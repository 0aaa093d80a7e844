"""The largest or smallest eigenpairs of an operator by the solver that the JAX side uses, on tensors."""

import itertools
from typing import Literal, NamedTuple

import numpy as np
import torch

from precipice._checks import NonFiniteError, at_least, at_most, one_of, positive
from precipice.curvature.lanczos import Limits, top_pairs
from precipice.torch.hessian import Operator
from precipice.torch.vectors import TensorVectors


class Eigs(NamedTuple):
    """Eigenpairs and what is known of their errors; see `curvature.Eigs` for each field.

    Args:
        values: [keep], descending for the largest, ascending for the smallest.
        vectors: [keep, size], orthonormal.
        residuals: [keep], |A v - value v|.
        bounds: [keep], of the error.
        num_products: products that were spent.
        converged: whether the bound of each of the `num` wanted values met the tolerance.
    """

    values: np.ndarray
    vectors: torch.Tensor
    residuals: np.ndarray
    bounds: np.ndarray
    num_products: int
    converged: bool


def eigs(
    op: Operator,
    *,
    num: int = 1,
    keep: int | None = None,
    rtol: float = 1e-4,
    max_products: int = 200,
    end: Literal["largest", "smallest"] = "largest",
    start: torch.Tensor | None = None,
    starts: int | None = None,
    explore: int = 3,
    seed: int = 0,
    basis: int | None = None,
    largest_basis: int | None = None,
) -> Eigs:
    """The `num` largest (or smallest) *algebraic* eigenpairs of a symmetric operator, to a relative tolerance.

    `curvature.eigs` on tensors: the same solver (`curvature/lanczos.py`), the same meaning of every argument and of the
    bounds. The long vectors are in the operator's precision, the small problem in float64.

    Args:
        op: the operator; one with a `gradient` begins there.
        num: how many pairs are to converge.
        keep: how many are returned, by default `num`.
        rtol: asked relative error of each value.
        max_products: the budget.
        end: which end of the spectrum.
        start: [m, size], vectors of an earlier measurement (`Eigs.vectors`).
        starts: random vectors to begin with beside `start`; 0 only with `start`.
        explore: products spent on the runner-up once the wanted pairs have converged.
        seed: of the random vectors, which leave the global generators alone; the same on all ranks.
        basis: vectors that are held at most, each with its image, and at least keep + 2: a full basis is cut back to
            its best Ritz vectors. None for 40 (200 up to 400 rows), or 3 keep + 10 if that is more.
        largest_basis: each time that it is cut back, two more are allowed, up to so many; None allows no more.

    Raises:
        InputError: num, keep, rtol, max_products, starts or end out of range.
        NonFiniteError: a product is not finite.

    Example:
        >>> class Diagonal:
        ...     size, dtype, device = 3, torch.float64, torch.device("cpu")
        ...     def mv(self, v):
        ...         return torch.tensor([-5.0, 1.0, 3.0], dtype=v.dtype) * v
        >>> [round(float(v), 6) for v in eigs(Diagonal(), num=2).values]
        [3.0, 1.0]
    """
    keep = num if keep is None else keep
    _check(op, num, keep, rtol, max_products, end, basis)
    if starts is None:
        starts = num if start is None and op.size <= 1000 else 1
    at_least("starts", starts, 0 if start is not None else 1)
    sign, draws = 1.0 if end == "largest" else -1.0, itertools.count()

    def fresh() -> torch.Tensor:
        generator = torch.Generator().manual_seed(1_000_003 * seed + next(draws))
        return torch.randn(op.size, dtype=torch.float64, generator=generator).to(op.device, op.dtype)

    def product(v: torch.Tensor) -> torch.Tensor:
        image = op.mv(v)
        if not np.isfinite(float(image @ image)):
            raise NonFiniteError("products of an operator must be finite; got NaN or inf (check parameters and data).")
        return sign * image

    queue = [fresh() for _ in range(starts)]
    queue[:1] = [_towards(vector, getattr(op, "gradient", None)) for vector in queue[:1]]
    if start is not None:
        queue = [*start.to(op.device, op.dtype), *queue]
    limits = Limits(
        num, keep, rtol, max_products, explore, op.size, float(torch.finfo(op.dtype).eps), basis, largest_basis
    )
    pairs = top_pairs(
        product,
        queue,
        fresh=fresh,
        empty=lambda capacity: TensorVectors(capacity, op.size, op.dtype, op.device),
        limits=limits,
    )
    vectors = torch.stack(pairs.vectors)
    return Eigs(sign * pairs.values, vectors, pairs.residuals, pairs.bounds, pairs.num_products, pairs.converged)


def _check(op: Operator, num: int, keep: int, rtol: float, max_products: int, end: str, basis: int | None) -> None:
    at_least("num", num, 1)
    at_most("num", num, op.size, "the size of the operator")
    at_least("keep", keep, num)
    at_most("keep", keep, op.size, "the size of the operator")
    positive("rtol", rtol)
    at_least("max_products", max_products, keep)
    one_of("end", end, ("largest", "smallest"))
    if basis is not None:
        at_least("basis", basis, 1)


def _towards(random: torch.Tensor, direction: torch.Tensor | None) -> torch.Tensor:
    """`random` plus `direction`, in equal parts; `random` alone where there is no direction or it has no length."""
    if direction is None:
        return random
    largest = float(direction.abs().max())
    if not 0 < largest < np.inf:
        return random
    unit = direction / largest
    return random + unit * (float(random @ random) / float(unit @ unit)) ** 0.5
