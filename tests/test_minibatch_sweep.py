"""`MinibatchSweep`: each run is that of `MinibatchDescent` alone; one that diverges stops and leaves the others be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from long_rows import some
from precipice import problems
from precipice._checks import InputError
from precipice.dynamics import MinibatchDescent, MinibatchSweep, Optimiser, simulate, train
from precipice.dynamics.progress import quiet

DATA = problems.chebyshev(3, 20)
PROBLEM = problems.Supervised(problems.FullyConnected((1, 6, 1)), DATA, problems.mean_half_squared_error)


def sweep(rates, batch_size=4, **numbers):
    return MinibatchSweep(PROBLEM, Optimiser(optax.sgd, {"learning_rate": jnp.array(rates)} | numbers), batch_size)


@pytest.mark.parametrize("batch_size", some([1, 4, 20], 4))
def test_each_run_is_the_one_alone(batch_size):
    rates, key = [0.05, 0.2], jax.random.key(3)
    together = simulate(sweep(rates, batch_size, momentum=0.5), key=key, num_steps=30, every=10)
    for i, lr in enumerate(rates):
        optimiser = Optimiser(optax.sgd, {"learning_rate": lr, "momentum": 0.5})
        alone = simulate(MinibatchDescent(PROBLEM, optimiser, batch_size), key=key, num_steps=30, every=10)
        for a, b in zip(jax.tree.leaves(together.state.params), jax.tree.leaves(alone.state.params), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=0, atol=1e-13)


def test_a_run_that_diverges_stays_and_the_others_go_on():
    process, key = sweep([0.1, 1e12]), jax.random.key(0)
    found = train(process, key=key, num_steps=400, every=100, progress=quiet)
    taken = found.state.memory.taken
    assert found.state.memory.alive.tolist() == [True, False]
    assert int(taken[0]) == 400
    assert int(taken[1]) < 400
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(found.state.params))
    alone = simulate(sweep([0.1]), key=key, num_steps=400, every=400)
    for a, b in zip(jax.tree.leaves(found.state.params), jax.tree.leaves(alone.state.params), strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sweep(0.1), r"^optimiser must have numbers with one axis, of runs; got lengths \[\]\.$"),
        (
            lambda: sweep([0.1, 0.2], momentum=jnp.zeros(3)),
            r"^optimiser must have numbers with one axis, of runs; got lengths \[2, 3\]\.$",
        ),
        (lambda: sweep([0.1], 21), r"^batch_size must be at most 20 \(the number of examples\); got 21\.$"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(InputError, match=words):
        make()
