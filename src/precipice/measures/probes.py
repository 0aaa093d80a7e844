"""Probes: what can be read off a state in a compiled program.

Each function here takes a problem and returns a probe, a pytree called with a state that gives named arrays;
measurements with a memory are in `trackers.py`.

To add one:
1. Write a final `Module` with ``__call__(state) -> dict``, and a function that makes it and defines what is measured.
2. Add its names to `results/vocabulary.py`.
3. Export the function in `measures/__init__.py` and test it against a dense oracle in `tests/test_measures.py`.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from precipice import problems
from precipice._types import PRNGKey, Values
from precipice.curvature import Hessian, top_eigenvalue


class _Accuracy(eqx.Module):
    problem: problems.Supervised

    def __call__(self, state: Any) -> Values:
        return {"accuracy": problems.accuracy(self.problem.outputs(state.params), self.problem.data.y)}


def accuracy(problem: problems.Supervised) -> _Accuracy:
    """Probe ``accuracy``: the fraction of training examples whose class is predicted. One forward pass."""
    return _Accuracy(problem)


class _GradientNorm(eqx.Module):
    problem: problems.AbstractProblem

    def __call__(self, state: Any) -> Values:
        gradient = jax.grad(self.problem.loss)(state.params)
        return {"gradient_norm": jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))}


def gradient_norm(problem: problems.AbstractProblem) -> _GradientNorm:
    """Probe ``gradient_norm``: the Euclidean norm of the full-batch gradient. One gradient."""
    return _GradientNorm(problem)


class _Sharpness(eqx.Module):
    problem: problems.AbstractProblem
    key: PRNGKey
    depth: int = eqx.field(static=True)

    def __call__(self, state: Any) -> Values:
        top = top_eigenvalue(Hessian(self.problem.loss, state.params), key=self.key, depth=self.depth)
        return {"sharpness": top.value, "sharpness_residual": top.residual}


def sharpness(problem: problems.AbstractProblem, *, key: PRNGKey, depth: int = 30) -> _Sharpness:
    """Probe ``sharpness``, the largest algebraic Hessian eigenvalue of the loss, by `depth` Lanczos steps.

    For `simulate`: exact for at most `depth` parameters, else see ``sharpness_residual``, within which an eigenvalue
    lies. For real networks `track_hessian` costs less and meets a tolerance. Costs `depth` Hessian-vector products.
    """
    return _Sharpness(problem, key, depth)
