"""Means and estimates over batches that are never all held, against the same over all the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import PROBLEMS
from oracles import point
from precipice import curvature
from precipice._checks import InputError
from precipice.curvature import Estimate

CUTS = ((0, 3), (3, 4), (4, None))


def batches_of(problem):
    return [jax.tree.map(lambda leaf, a=a, b=b: leaf[a:b], problem.data) for a, b in CUTS]


@pytest.mark.parametrize("name", ["half squared", "cross-entropy"])
def test_uneven_batches_have_the_mean_of_all_examples(name):
    problem = PROBLEMS[name]()
    params = point(problem)
    found = curvature.streamed_mean(lambda batch: jax.grad(problem.loss)(params, batch), batches_of(problem))
    wanted = jax.grad(problem.loss)(params, problem.data)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_estimates_of_batches_add_up_with_their_errors(key):
    values, sems, seen = [1.0, 2.0, 6.0], [0.3, 0.2, 0.1], []

    def fn(batch, key):
        seen.append(tuple(jax.random.key_data(key).tolist()))
        number = len(seen) - 1
        assert len(batch) == (1, 2, 5)[number]
        return Estimate(jnp.array(values[number]), jnp.array(sems[number]))

    found = curvature.streamed_estimate(fn, [jnp.zeros(n) for n in (1, 2, 5)], key=key)
    shares = np.array([1, 2, 5]) / 8
    np.testing.assert_allclose(found.value, shares @ values)
    np.testing.assert_allclose(found.sem, np.sqrt(np.sum((shares * sems) ** 2)))
    assert len(set(seen)) == 3


def test_no_batch_is_refused(key):
    with pytest.raises(InputError, match="at least one batch; got none"):
        curvature.streamed_mean(jnp.mean, [])
    with pytest.raises(InputError, match="at least one batch; got none"):
        curvature.streamed_estimate(lambda batch, key: Estimate(batch, batch), [], key=key)
