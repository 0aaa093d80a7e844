"""Basins of a plane of starts against `settle` on the whole grid; the box-counting dimension of known borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import measures
from precipice._checks import InputError
from precipice.dynamics import Descent, LossBelow, basins, gradient_descent, settle
from precipice.problems import RankOneFactorization, ScalarNetwork

KEY = jax.random.key(0)
DESCENT = Descent(ScalarNetwork((2, 2), 0.25), gradient_descent(0.2))
DONE = LossBelow(1e-10)


def run(levels, num=9, **options):
    x, y = np.linspace(2.0, 3.4, num), np.linspace(0.1, 1.5, num)
    return basins(DESCENT, x, y, key=KEY, converged=DONE, num_steps=1280, levels=levels, **options)


def test_without_levels_it_is_settle_on_the_grid():
    found = run(0)
    starts = np.stack(np.meshgrid(found.x, found.y, indexing="ij"), axis=-1).reshape(-1, 2)
    wanted = settle(DESCENT, jnp.asarray(starts), key=KEY, converged=DONE, num_steps=1280)
    np.testing.assert_array_equal(found.params.reshape(-1, 2), wanted.params)
    for name in ("step", "status", "stop_reason"):
        np.testing.assert_array_equal(getattr(found, name).ravel(), getattr(wanted, name))
    assert found.computed.all()
    assert set(found.status.ravel()) == {2, 3}


def test_refined_points_are_those_of_the_full_grid():
    """What was run is exact; what was not has the full grid's label but for a few islands."""
    found, full = run(3), run(0, 65)
    np.testing.assert_allclose(found.x, full.x, rtol=1e-14)
    same = found.status == full.status
    assert same[found.computed].all()
    assert same.mean() > 0.97
    assert found.computed.mean() < 0.6
    np.testing.assert_array_equal(found.step[found.computed], full.step[found.computed])


def test_the_border_is_computed():
    """Wherever neighbours differ on the finest grid, both were run."""
    found = run(2)
    differ = found.label[1:] != found.label[:-1]
    assert differ.any()
    assert np.all(~differ | (found.computed[1:] & found.computed[:-1]))


def test_any_process_starts_and_labels():
    problem = RankOneFactorization(2)
    found = basins(
        Descent(problem, gradient_descent(0.1)),
        np.array([-1.0, -0.5, 0.5, 1.0]),
        np.array([0.4, 0.9]),
        key=KEY,
        converged=LossBelow(0.25 + 1e-9),
        num_steps=640,
        levels=1,
        start=lambda point: jnp.stack([jnp.stack([point[0], 0.0 * point[0]]), jnp.stack([point[1], 0.0 * point[1]])]),
        label=lambda ends: np.sign(ends.params[:, 0, 0]),
    )
    assert found.params.shape == (7, 3, 2, 2)
    np.testing.assert_array_equal(found.label[:, 0], [-1, -1, -1, 0, 1, 1, 1])


def test_dimensions_of_known_borders():
    rng = np.random.default_rng(0)
    mixed = measures.box_dimension(rng.integers(0, 2, (257, 257)), sizes=(4, 8, 16, 32))
    np.testing.assert_allclose(mixed.value, 2, atol=0.01)
    line = measures.box_dimension(np.add.outer(np.arange(257), 2 * np.arange(257)) > 400)
    np.testing.assert_allclose(line.value, 1, atol=0.1)
    index = np.arange(729)
    cantor = np.all([(index // 3**k) % 3 != 1 for k in range(6)], axis=0)  # of dimension log 2/log 3, times a line
    product = measures.box_dimension(np.repeat(cantor[:, None], 729, axis=1), sizes=(3, 9, 27, 81))
    np.testing.assert_allclose(product.value, 1 + np.log(2) / np.log(3), atol=0.05 + 3 * product.sem)


def test_counts_of_boxes():
    label = np.zeros((5, 5), bool)
    label[2:, 2:] = True
    found = measures.box_dimension(label, sizes=(1, 2, 4))
    assert found.counts.tolist() == [5, 3, 1]


def test_bad_input_is_refused():
    axis = np.array([0.0, 1.0])
    with pytest.raises(InputError, match=r"^x must be finite and ascending; got \[1\. 0\.\]\.$"):
        basins(DESCENT, axis[::-1], axis, key=KEY, converged=DONE, num_steps=64)
    with pytest.raises(InputError, match=r"^number of points of y must be at least 2; got 0\.$"):
        basins(DESCENT, axis, axis[:0], key=KEY, converged=DONE, num_steps=64)
    with pytest.raises(InputError, match=r"^levels must be at least 0; got -1\.$"):
        basins(DESCENT, axis, axis, key=KEY, converged=DONE, num_steps=64, levels=-1)
    with pytest.raises(InputError, match=r"^label must have a border; got one label in all whole boxes\.$"):
        measures.box_dimension(np.zeros((9, 9)), sizes=(1, 2, 4))
    with pytest.raises(InputError, match=r"^sizes must be from 1 to 8, the cells of the grid; got 9\.$"):
        measures.box_dimension(np.zeros((9, 9)), sizes=(1, 2, 9))
