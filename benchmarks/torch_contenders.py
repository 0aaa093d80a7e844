"""How monitor_peers.py calls each library for the largest Hessian eigenvalue, as its documentation shows.

Products are counted by wrapping the functions that the libraries call; nothing they return is changed. `doubted` is
whether the library itself says that the value may be off: a missed tolerance, an exception for it.
"""

import importlib
import unittest.mock
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import curvlinops
import hessian_eigenthings as eigenthings
import numpy as np
import pyhessian
import scipy.sparse.linalg
import torch
from torch_networks import Problem

from precipice.torch import Hessian, Objective, eigs, supervised


class Answer(NamedTuple):
    """The largest eigenvalue as a library gives it, its products, and whether it says that it may be off."""

    value: float
    products: int
    doubted: bool
    bound: float = np.nan


Contender = Callable[[Problem, int], Answer]
"""``(problem, seed) -> Answer``; the operator is built inside, so that its cost is part of a measurement."""


def precipice(rtol: float = 1e-4) -> Contender:
    """`eigs` of a `Hessian` from a cold start; `rtol` is the default."""

    def run(problem: Problem, seed: int) -> Answer:
        objective = Objective(problem.model, supervised(problem.criterion), [(problem.x, problem.y)])
        found = eigs(Hessian(objective), rtol=rtol, seed=seed)
        return Answer(float(found.values[0]), found.num_products, not found.converged, float(found.bounds[0]))

    return run


def by_pyhessian(**settings: Any) -> Contender:
    """``hessian(model, criterion, data=(x, y)).eigenvalues()``: power iteration."""

    def run(problem: Problem, seed: int) -> Answer:
        torch.manual_seed(seed)
        problem.model.zero_grad(set_to_none=True)
        module = importlib.import_module("pyhessian.hessian")
        product, calls = counted(module.hessian_vector_product)
        with warnings.catch_warnings(), unittest.mock.patch.object(module, "hessian_vector_product", product):
            warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
            solver = pyhessian.hessian(problem.model, problem.criterion, data=(problem.x, problem.y), cuda=False)
            values, _ = solver.eigenvalues(**settings)
        problem.model.zero_grad(set_to_none=True)  # breaks the cycles that create_graph leaves
        return Answer(max(values), calls[0], False)

    return run


def by_curvlinops(*, single: bool = False, check: bool = True, **settings: Any) -> Contender:
    """`HessianLinearOperator(...).to_scipy()` and scipy's `eigsh`; `single` exports in float32."""

    def run(problem: Problem, seed: int) -> Answer:
        params = [p for p in problem.model.parameters() if p.requires_grad]
        data = [(problem.x, problem.y)]
        hessian = curvlinops.HessianLinearOperator(
            problem.model, problem.criterion, params, data, check_deterministic=check
        )
        operator = hessian.to_scipy(dtype=np.dtype(np.float32)) if single else hessian.to_scipy()
        product, calls = counted(operator.matvec)
        wrapped = scipy.sparse.linalg.LinearOperator(operator.shape, matvec=product, dtype=operator.dtype)
        v0 = np.random.default_rng(seed).standard_normal(operator.shape[0]).astype(operator.dtype)
        try:
            values = scipy.sparse.linalg.eigsh(wrapped, v0=v0, return_eigenvectors=False, **settings)
        except scipy.sparse.linalg.ArpackNoConvergence as error:
            return Answer(max(error.eigenvalues, default=np.nan), calls[0], True)
        return Answer(float(max(values)), calls[0], False)

    return run


def by_eigenthings(algorithm: Callable = eigenthings.lanczos, **settings: Any) -> Contender:
    """``lanczos(HessianOperator(model, data, supervised_loss(criterion)))``."""

    def run(problem: Problem, seed: int) -> Answer:
        loss = eigenthings.supervised_loss(problem.criterion)
        operator = eigenthings.HessianOperator(problem.model, [(problem.x, problem.y)], loss)
        operator.matvec, calls = counted(operator.matvec)
        found = algorithm(operator, seed=seed, **settings)
        top = int(found.eigenvalues.argmax())
        return Answer(float(found.eigenvalues[top]), calls[0], not bool(found.converged[top]))

    return run


def counted(function: Callable) -> tuple[Callable, list[int]]:
    """`function`, unchanged but for a count of its calls."""
    calls = [0]

    def wrapped(*args: Any) -> Any:
        calls[0] += 1
        return function(*args)

    return wrapped, calls


AT_DEFAULTS: dict[str, Contender] = {
    "precipice, defaults": precipice(),
    "PyHessian, defaults (`tol=1e-3`, at most 100)": by_pyhessian(),
    "curvlinops + `eigsh(k=3, which='LM')`, as its documentation": by_curvlinops(k=3, which="LM"),
    "hessian-eigenthings `lanczos`, defaults (`k=10`: 20 products)": by_eigenthings(),
    "hessian-eigenthings `lanczos(k=5)`, as its README": by_eigenthings(k=5),
    "hessian-eigenthings `deflated_power_iteration`, defaults, `k=1`": by_eigenthings(
        eigenthings.deflated_power_iteration, k=1
    ),
}
TIGHTENED: dict[str, Contender] = {
    "precipice, `rtol=1e-6`": precipice(1e-6),
    "PyHessian, `tol=1e-6, maxIter=1000`": by_pyhessian(tol=1e-6, maxIter=1000),
    "curvlinops + `eigsh(k=1, which='LA', tol=1e-6)`": by_curvlinops(k=1, which="LA", tol=1e-6),
    "hessian-eigenthings `lanczos(k=5, max_iter=50, tol=1e-6)`": by_eigenthings(k=5, max_iter=50, tol=1e-6),
}

LADDERS: dict[str, list[dict[str, Contender]]] = {
    "PyHessian": [
        {f"tol={tol:g}, maxIter=1000": by_pyhessian(tol=tol, maxIter=1000) for tol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)}
    ],
    "curvlinops + eigsh": [
        {
            f"k=1, which='LA', tol={tol:g}, ncv={ncv}": by_curvlinops(
                single=True, check=False, k=1, which="LA", tol=tol, ncv=ncv
            )
            for tol in (1e-1, 1e-2, 1e-3, 1e-4)
        }
        for ncv in (10, 20)
    ],
    "hessian-eigenthings": [
        {
            f"lanczos, k=1, which='LA', max_iter={num}": by_eigenthings(k=1, which="LA", max_iter=num)
            for num in (8, 12, 16, 20, 25, 30, 40, 50)
        }
    ],
}
"""Ladders of settings from cheap to dear for each peer; (c) takes the first of a ladder that is right at every seed."""
