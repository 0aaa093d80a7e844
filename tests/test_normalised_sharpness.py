"""The tracker of the normalised sharpness against the dense preconditioned Hessian."""

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from precipice import curvature, dynamics, measures, problems

PROBLEM = problems.Supervised(
    problems.FullyConnected((1, 4, 1)), problems.chebyshev(3, 12), problems.mean_half_squared_error
)


@pytest.mark.parametrize(
    ("optimiser", "factor", "chunk_size"),
    [
        (dynamics.Optimiser(optax.adam, {"learning_rate": 0.01, "b1": 0.5}), 6 / 0.01, None),
        (dynamics.Optimiser(optax.sgd, {"learning_rate": 0.1, "momentum": 0.9}), 3.8 / 0.1, 5),
    ],
    ids=("adam", "momentum"),
)
def test_is_the_dense_eigenvalue_over_the_edge(optimiser, factor, chunk_size):
    process = dynamics.Descent(PROBLEM, optimiser)
    tracker = measures.track_normalised_sharpness(
        PROBLEM, optimiser, key=jax.random.key(1), rtol=1e-10, chunk_size=chunk_size
    )
    state, step = eqx.filter_jit(process.init)(jax.random.key(0)), eqx.filter_jit(process.step)
    values, memory = tracker.update(state, tracker.init(state))
    assert all(np.isnan(value) for value in values.values())
    for _ in range(2):
        state = step(step(state))
        values, memory = tracker.update(state, memory)
    hessian = np.asarray(curvature.Hessian(PROBLEM.loss, state.params).dense())
    threshold = measures.optax_threshold(optimiser, state.memory)
    p = np.ones(len(hessian))
    if threshold.preconditioner is not None:
        p = np.asarray(ravel_pytree(threshold.preconditioner)[0])
    top = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(p, p)))[-1]
    assert values["preconditioned_sharpness"] == pytest.approx(top, rel=1e-8)
    assert values["normalised_sharpness"] == pytest.approx(top / factor, rel=1e-8)
    assert 0 <= values["normalised_sharpness_bound"] < 1e-8
