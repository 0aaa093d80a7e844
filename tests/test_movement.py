"""The movement-oscillation projection against numpy, on made trajectories and on the degree-4 network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import measures
from precipice._checks import InputError
from precipice.dynamics import Descent, State, gradient_descent, simulate
from precipice.problems import ScalarNetwork


def oracle(params, eigenvector, step):
    """Definitions 3 and 4 with the projection as corrected, in numpy."""
    end = params[-2:].mean(axis=0)
    v = eigenvector / np.linalg.norm(eigenvector)
    move = params[step - 1 : step + 1].mean(axis=0) - end
    move = move - v * (move @ v)
    move /= np.linalg.norm(move)
    offset = params - end
    rest = offset - np.outer(offset @ move, move) - np.outer(offset @ v, v)
    return offset @ move, offset @ v, np.linalg.norm(rest, axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_projection_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    params, eigenvector = rng.normal(size=(12, 5)), rng.normal(size=5)
    found = measures.movement_oscillation(jnp.asarray(params), jnp.asarray(eigenvector), step=3)
    for got, wanted in zip(found[:3], oracle(params, eigenvector, 3), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-13)
    np.testing.assert_allclose(found.movement_direction @ found.oscillation_direction, 0, atol=1e-14)
    total = found.movement**2 + found.oscillation**2 + found.residual**2
    np.testing.assert_allclose(total, np.sum((params - params[-2:].mean(axis=0)) ** 2, axis=1), rtol=1e-12)


def test_the_printed_projection_is_not_orthogonal():
    """ERR-M9: taking the projection of the eigenvector on the movement off the movement leaves an overlap."""
    rng = np.random.default_rng(0)
    move, v = rng.normal(size=5), rng.normal(size=5)
    v /= np.linalg.norm(v)
    printed = move - move * (move @ v) / (move @ move)
    assert abs(printed @ v) / np.linalg.norm(printed) > 0.1
    right = move - v * (v @ move)
    np.testing.assert_allclose(right @ v, 0, atol=1e-15)


def test_the_degree_four_network_moves_on_a_parabola():
    """Movement is c_m times b^2 of the oscillation near the end: both coordinates follow those of (a, b)."""
    lr, problem = 0.1, ScalarNetwork((2, 2), 0.25)
    process = Descent(problem, gradient_descent(lr), start=measures.degree_four_entries(jnp.array([0.2, 0.05]), lr))
    run = simulate(
        process, key=jax.random.key(0), num_steps=4000, every=1, probes=(measures.scalar_network_probe(problem),)
    )
    entries = run.saved["entries"]
    _, vectors = np.linalg.eigh(measures.scalar_network_hessian(problem, entries[-1]))
    found = measures.movement_oscillation(entries, jnp.asarray(vectors[:, -1]), step=100)
    offsets = np.asarray(jax.vmap(lambda p: measures.degree_four_offset(p, lr))(entries))[100:]
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)  # two entries: the plane is everything
    movement, oscillation = np.abs(found.movement[100:]), np.abs(found.oscillation[100:])
    assert np.corrcoef(movement, offsets[:, 0])[0, 1] > 0.99
    assert np.corrcoef(oscillation, np.abs(offsets[:, 1]))[0, 1] > 0.99


def test_bad_input_is_refused():
    points, v = jnp.zeros((6, 2)), jnp.ones(2)
    with pytest.raises(InputError, match=r"^step must be from 1 to 3, before the last two points; got 4\.$"):
        measures.movement_oscillation(points, v, step=4)
    with pytest.raises(InputError, match=r"^params must be a trajectory of at least 4 points; got 3\.$"):
        measures.movement_oscillation(points[:3], v, step=1)


def test_the_plane_of_four_points_is_that_of_the_trajectory():
    """As a probe, on parameters that are a pytree, without the trajectory."""
    rng = np.random.default_rng(5)
    params, eigenvector = rng.normal(size=(12, 5)), rng.normal(size=5)

    def tree(point):
        return {"a": jnp.asarray(point[:2]), "b": jnp.asarray(point[2:]).reshape(3, 1)}

    plane = measures.movement_plane(
        (tree(params[2]), tree(params[3])), (tree(params[-2]), tree(params[-1])), tree(eigenvector)
    )
    wanted = oracle(params, eigenvector, 3)
    for i, point in enumerate(params):
        state = State(jnp.zeros((), int), tree(point), (), jax.random.key(0), jnp.zeros(()))
        found = plane(state)
        got = [float(found[name]) for name in ("movement", "oscillation", "outside_plane")]
        np.testing.assert_allclose(got, [one[i] for one in wanted], atol=1e-13)
