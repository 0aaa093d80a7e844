"""Every hazard: dense float64 truth by differences, the model left exactly as found, float32 to 1e-4."""
# ruff: noqa: E402 (PyTorch is optional)

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from precipice.torch import GaussNewton, Hessian, Objective, OutputLoss, eigs
from torch_bench.bench import CASES, prepared, truth_model
from torch_bench.truth import assert_same, dense_hessian, snapshot


def dense(op):
    return torch.stack([op.mv(row) for row in torch.eye(op.size, dtype=op.dtype)], 1).numpy()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n.startswith("dropout of every kind") else n for n in CASES]
)
def test_hessian_is_the_dense_truth_and_the_model_untouched(name):
    case, weights, kwargs = prepared(name)
    truth = dense_hessian(
        truth_model(copy.copy(case)._replace(model=copy.deepcopy(case.model))), case.loss, case.batches, weights
    )
    (case.model.weight if isinstance(case.model, torch.nn.Linear) else next(case.model.parameters())).grad = None
    next(case.model.parameters()).grad = torch.ones_like(next(case.model.parameters()))
    before = snapshot(case.model)
    objective = Objective(case.model, case.loss, case.batches, dtype=torch.float64, **kwargs)
    scale = max(abs(truth).max(), 1e-3)
    for keep_graph in (True, False):
        measured = dense(Hessian(objective, keep_graph=keep_graph))
        np.testing.assert_allclose(measured, truth, atol=3e-8 * scale, rtol=0)
    assert_same(before, snapshot(case.model))

    single = Objective(case.model, case.loss, case.batches, **kwargs)
    assert single.dtype == torch.float32
    if abs(truth).max() > 0:
        found = eigs(Hessian(single), num=2, rtol=1e-5, max_products=400)
        reference = np.linalg.eigvalsh(truth)[::-1][:2]
        np.testing.assert_allclose(found.values, reference, atol=1e-4 * abs(truth).max(), rtol=0)
        assert np.all(abs(found.values - reference) <= found.bounds + 1e-5 * abs(truth).max())
    assert_same(before, snapshot(case.model))


@pytest.mark.parametrize("name", [n for n in CASES if isinstance(CASES[n]().loss, OutputLoss)])
def test_gauss_newton_is_j_h_j(name):
    case, _, kwargs = prepared(name)
    before = snapshot(case.model)
    objective = Objective(case.model, case.loss, case.batches, dtype=torch.float64, **kwargs)
    matrix = 0.0
    for index, chunk in enumerate(objective.chunks):  # dense Jacobian and output Hessian, row by row
        outputs = objective.chunk_outputs(index)
        rows = []
        for entry in outputs.reshape(-1):
            grads = objective.inside(
                lambda _, e=entry: torch.autograd.grad(
                    e, objective.params, retain_graph=True, allow_unused=True, materialize_grads=True
                )
            )
            rows.append(torch.cat([g.reshape(-1) for g in grads]))
        j = torch.stack(rows)
        batch = chunk.batch
        h = torch.autograd.functional.hessian(lambda f, b=batch: case.loss.criterion(f, b), outputs.detach())
        h = h.reshape(outputs.numel(), outputs.numel())
        matrix = matrix + chunk.weight * (j.T @ h @ j)
    for keep_graph in (True, False):
        measured = dense(GaussNewton(objective, keep_graph=keep_graph))
        np.testing.assert_allclose(measured, matrix.numpy(), atol=1e-12 * float(matrix.abs().max()), rtol=0)
    assert_same(before, snapshot(case.model))
