"""The peers of top2_hessian.py, used as their documentation shows, on the same parameters and data as precipice."""

import importlib
import unittest.mock
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import curvlinops
import numpy as np
import pyhessian
import scipy.sparse.linalg
import torch

from precipice import problems
from precipice._types import Params

torch.set_num_threads(common.THREADS)


class HalfSquaredError(torch.nn.Module):
    """(1/n) sum_i (1/2) |f_i - y_i|^2, the loss of the problem."""

    reduction = "mean"

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss."""
        return 0.5 * ((outputs - targets) ** 2).sum(1).mean()


class Torch(NamedTuple):
    """A problem at a point, in PyTorch."""

    model: torch.nn.Module
    loss: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor


class Answer(NamedTuple):
    """Eigenvalues in descending order, eigenvectors laid out as precipice's parameters, products spent."""

    values: np.ndarray
    vectors: list[Params]
    num_products: int


def in_torch(problem: problems.Supervised, params: Params) -> Torch:
    """The same tanh network, parameters and data."""
    layers = []
    for layer in params:
        fan_in, fan_out = layer["weight"].shape
        linear = torch.nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(layer["weight"]).T))
            linear.bias.copy_(torch.tensor(np.asarray(layer["bias"])))
        layers += [linear, torch.nn.Tanh()]
    x, y = (torch.tensor(np.asarray(a)) for a in (problem.data.x, problem.data.y))
    return Torch(torch.nn.Sequential(*layers[:-1]), HalfSquaredError(), x, y)


def loss_and_gradient_norm(point: Torch) -> tuple[float, float]:
    """To compare with precipice's before anything is timed."""
    loss = point.loss(point.model(point.x), point.y)
    gradient = torch.autograd.grad(loss, list(point.model.parameters()))
    return loss.item(), sum((g.double() ** 2).sum().item() for g in gradient) ** 0.5


def by_pyhessian(point: Torch, seed: int, tol: float) -> Answer:
    """Power iteration with deflation (Yao et al. 2020), at most 100 products a pair (its default)."""
    torch.manual_seed(seed)
    point.model.zero_grad(set_to_none=True)
    module = importlib.import_module("pyhessian.hessian")
    product, calls = _counted(module.hessian_vector_product)
    with warnings.catch_warnings(), unittest.mock.patch.object(module, "hessian_vector_product", product):
        warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
        solver = pyhessian.hessian(point.model, point.loss, data=(point.x, point.y), cuda=False)
        values, vectors = solver.eigenvalues(tol=tol, top_n=2)
    order = np.argsort(values)[::-1]
    return Answer(np.array(values)[order], [_as_params(list(vectors[i])) for i in order], calls[0])


def by_curvlinops(point: Torch, seed: int, tol: float) -> Answer:
    """Eigsh of scipy (ARPACK, implicitly restarted Lanczos, 20 vectors by default) on curvlinops' Hessian."""
    params = list(point.model.parameters())
    hessian = curvlinops.HessianLinearOperator(
        point.model,
        point.loss,
        params,
        [(point.x, point.y)],
        check_deterministic=False,  # saves it two products
        num_data=len(point.x),
    )
    operator = hessian.to_scipy(dtype=np.dtype(np.float32))
    product, calls = _counted(operator.matvec)
    counted = scipy.sparse.linalg.LinearOperator(operator.shape, matvec=product, dtype=operator.dtype)
    v0 = np.random.default_rng(seed).standard_normal(operator.shape[0]).astype(np.float32)
    values, vectors = scipy.sparse.linalg.eigsh(counted, k=2, which="LA", tol=tol, v0=v0)
    order = np.argsort(values)[::-1]
    sizes = [p.numel() for p in params]
    split = [torch.from_numpy(vectors[:, i].copy()).split(sizes) for i in order]
    pairs = [[part.reshape(p.shape) for part, p in zip(parts, params, strict=True)] for parts in split]
    return Answer(values[order], [_as_params(parts) for parts in pairs], calls[0])


def _as_params(tensors: list[torch.Tensor]) -> Params:
    arrays = [t.detach().numpy() for t in tensors]
    return tuple({"weight": w.T, "bias": b} for w, b in zip(arrays[::2], arrays[1::2], strict=True))


def _counted(function: Callable) -> tuple[Callable, list[int]]:
    """`function`, unchanged but for a count of its calls."""
    calls = [0]

    def wrapped(*args: Any) -> Any:
        calls[0] += 1
        return function(*args)

    return wrapped, calls
