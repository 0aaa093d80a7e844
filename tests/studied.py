"""Studies that the tests of blocks share, and all of a study's cells computed block by block."""

import jax
import numpy as np

from precipice.results import Status
from precipice.studies import Axis, Study, counted
from precipice.studies.block import computer
from precipice.studies.layouts import layout_of

EPS = np.finfo(np.float64).eps
DONE, DIVERGED, FAILED = (int(s) for s in (Status.DONE, Status.DIVERGED, Status.FAILED))


def descent(key, *, lr, curvature, num_steps=20):
    """Gradient descent on curvature x^2 / 2 from a random start, with its losses."""
    start = jax.random.normal(key)
    x, losses = jax.lax.scan(lambda x, _: (x - lr * curvature * x, curvature * x**2 / 2), start, None, num_steps)
    return {"final_loss": curvature * x**2 / 2, "loss": losses}


LRS, CURVATURES = (0.1, 0.25, 0.7, 1.3, 1.9), (0.5, 1.0, 1.25)


def study(run=descent, **changes):
    fields = {
        "name": "demo",
        "run": run,
        "axes": (Axis("lr", LRS), Axis("curvature", CURVATURES), counted("seed", 2)),
        "variables": ("final_loss", "loss"),
        "own": {"step": range(20)},
        "seed": 3,
    }
    return Study(**(fields | changes))


ONE_AXIS = (Axis("lr", LRS),)


def plain(run, axes=ONE_AXIS, **changes):
    return study(run, axes=axes, variables=("final_loss",), own={}, **changes)


def whole(grid, chunk):
    """Every cell, by blocks of `chunk`: (values, status, messages)."""
    layout = layout_of(grid, dict(zip([a.name for a in grid.axes], chunk, strict=True)))
    compute, messages = computer(grid, layout), {}
    values = {
        v.name: np.empty(layout.shape + tuple(len(layout.own[d]) for d in v.dims), v.dtype) for v in layout.variables
    }
    status = np.empty(layout.shape, np.int8)
    for block in layout.blocks():
        found, cells = compute(block), layout.cells(block)
        for name, array in found.values.items():
            values[name][cells] = array
        status[cells] = found.status
        messages |= found.messages
    return values, status, messages
