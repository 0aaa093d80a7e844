"""The hazards of `tests/torch_bench` put to each library: right, wrong by how much, or refused, and what it changed.

Each library's operator is multiplied by every unit vector in the model's float32 and compared with the bench's truth,
differences of ordinary gradients in float64. Solvers play no part here.
"""

import contextlib
import copy
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import curvlinops
import hessian_eigenthings as eigenthings
import numpy as np
import pyhessian
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from precipice.torch import Hessian, Objective
from precipice.torch.losses import loss_value
from torch_bench.bench import CASES, CE, MSE, Case, prepared_case, truth_model
from torch_bench.truth import dense_hessian, snapshot

RIGHT = 1e-4
Product = Callable[[torch.Tensor], torch.Tensor]

OFFERED_BY_US = "not offered"
NO_FORM = "no form for this loss"


class NoForm(Exception):
    """A library has no way to say what the case asks for."""


def by_precipice(case: Case, kwargs: dict) -> Product:
    """The bench's own use."""
    return Hessian(Objective(case.model, case.loss, case.batches, **kwargs)).mv


def by_pyhessian(case: Case, kwargs: dict) -> Product:
    """`hessian(model, criterion, data or dataloader, cuda=False)`."""
    criterion, batches = _criterion(case), case.batches
    _only_plain(kwargs)
    data = {"data": batches[0]} if len(batches) == 1 else {"dataloader": batches}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
        solver = pyhessian.hessian(case.model, criterion, cuda=False, **data)
    shapes = [p.shape for p in solver.params]

    def product(v: torch.Tensor) -> torch.Tensor:
        pieces = [u.view(s) for u, s in zip(v.split([s.numel() for s in shapes]), shapes, strict=True)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
            if solver.full_dataset:
                images = solver.dataloader_hv_product(pieces)[1]
            else:
                images = pyhessian.utils.hessian_vector_product(solver.gradsH, solver.params, pieces)
        return torch.cat([h.detach().reshape(-1) for h in images])

    return product


class _Logits(nn.Module):
    """What curvlinops' documentation does with batches that are mappings: a module from the mapping to the outputs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> torch.Tensor:
        return self.model.net(x["inputs"])


def by_curvlinops(case: Case, kwargs: dict) -> Product:
    """`HessianLinearOperator(model, loss, params, data)`, its check of determinism on, as by default."""
    _only_plain(kwargs)
    params, batches, more = [p for p in case.model.parameters() if p.requires_grad], case.batches, {}
    if isinstance(batches[0], dict):
        model, criterion = _Logits(case.model), nn.CrossEntropyLoss()
        batches = [({"inputs": batch["inputs"]}, batch["labels"]) for batch in batches]
        more["batch_size_fn"] = lambda x: len(x["inputs"])
    else:
        model, criterion = case.model, _criterion(case)
    operator = curvlinops.HessianLinearOperator(model, criterion, params, batches, **more)
    return lambda v: (operator @ v).detach()


def by_eigenthings(case: Case, kwargs: dict) -> Product:
    """`HessianOperator(model, batches, loss_fn)`; `loss_fn(model, batch)` takes any loss."""
    chunk = kwargs.get("chunk")
    _only_plain({**kwargs, "chunk": None})

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return loss_value(case.loss(model, batch))

    return eigenthings.HessianOperator(case.model, case.batches, loss, microbatch_size=chunk).matvec


LIBRARIES = {
    "precipice": by_precipice,
    "PyHessian": by_pyhessian,
    "curvlinops": by_curvlinops,
    "hessian-eigenthings": by_eigenthings,
}


def _criterion(case: Case) -> nn.Module:
    """The criterion of outputs and targets, which two of the peers ask for."""
    if case.loss is MSE:
        return nn.MSELoss()
    if case.loss is CE:
        return nn.CrossEntropyLoss()
    raise NoForm(NO_FORM)


def _only_plain(kwargs: dict) -> None:
    """Refuse what only precipice offers; dropout off is left to what the library makes of a model in training mode."""
    if kwargs.get("dropout") == "fixed" or kwargs.get("weight") or kwargs.get("chunk"):
        raise NoForm(OFFERED_BY_US)


def judged(case: Case) -> list[str]:
    """The cells of one row: each library on a model of its own, against one truth."""
    case, weights, kwargs = prepared_case(case)
    reference = truth_model(case._replace(model=copy.deepcopy(case.model)))
    truth = dense_hessian(reference, case.loss, case.batches, weights)
    return [
        _judged(library, case._replace(model=copy.deepcopy(case.model)), kwargs, truth)
        for library in LIBRARIES.values()
    ]


def _judged(library: Callable[[Case, dict], Product], case: Case, kwargs: dict, truth: np.ndarray) -> str:
    before = snapshot(case.model)
    torch.manual_seed(0)
    try:
        product = library(case, kwargs)
        matrix = torch.stack([product(row) for row in torch.eye(len(truth))], 1).double().numpy()
    except NoForm as reason:
        return str(reason)
    except Exception as error:  # whatever a library raises is the finding
        return f"**{type(error).__name__}**: {_short(error)}"
    return _verdict(matrix, truth) + _changed(before, snapshot(case.model))


def _short(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or ["(no message)"]
    return lines[0].split(". ")[0][:110].replace("|", "/")


def _verdict(matrix: np.ndarray, truth: np.ndarray) -> str:
    """Right, or off by how much: the sharpness, and the matrix where that says more."""
    scale = np.linalg.norm(truth, 2)
    if not np.all(np.isfinite(matrix)):
        return "**not finite**"
    error = np.linalg.norm(matrix - truth, 2) / (scale or 1.0)
    if error <= RIGHT:
        return "right"
    top, exact = np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1], np.linalg.eigvalsh(truth)[-1]
    return f"**wrong**: sharpness by {abs(top / exact - 1):.1%}, matrix by {error:.1%}"


def _changed(before: dict, after: dict) -> str:
    """What the library left changed, in a word or two."""
    kinds = {"value": "buffers", "mode": "mode", "grad": "gradients", "needs": "parameters"}
    found = []
    for name, old in before.items():
        kind, new = kinds.get(name.split()[0]), after[name]
        same = torch.equal(old, new) if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor) else old is new
        same = same or (not isinstance(old, torch.Tensor) and not isinstance(new, torch.Tensor) and old == new)
        if kind and not same and kind not in found:
            found.append(kind)
    return f" (changes {', '.join(found)})" if found else ""


def cases() -> dict[str, Case]:
    """The bench's, and with one batch alone those whose batches are uneven beside another hazard."""
    found = {}
    for name, make in CASES.items():
        case = make()
        sizes = [len(next(iter(b.values() if isinstance(b, dict) else b))) for b in case.batches]
        found[f"{name}; batches of {', '.join(map(str, sizes))}" if len(sizes) > 1 else name] = case
        if len(sizes) > 1 and name not in ("uneven batches", "chunks", "weights of the caller"):
            found[f"{name}; one batch"] = make()._replace(batches=case.batches[:1])
    return found


def report() -> None:
    """The table."""
    rows = []
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # curvlinops prints what differs
        warnings.simplefilter("ignore")
        for name, case in cases().items():
            rows.append((name, *judged(case)))
            print(rows[-1], file=sys.stderr, flush=True)
    common.print_table(
        "The hazards of tests/torch_bench: each library's matrix against differences of gradients in float64",
        ("case", *LIBRARIES),
        rows,
    )
