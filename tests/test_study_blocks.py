"""Blocks of a study: keys by hand, results by a plain loop, sharing, padding, splits, types."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice._checks import InputError
from precipice.studies import Axis, counted
from precipice.studies.block import computer
from precipice.studies.layouts import layout_of
from studied import CURVATURES, DONE, EPS, LRS, descent, plain, study, whole

# --- keys


def folded_by_hand(root, /, **named):
    """The key as the documentation tells it: two words of SHA-256 of ``name=value``, little-endian, folded in."""
    key = jax.random.key(root)
    for name, value in named.items():
        digest = hashlib.sha256(f"{name}={value}".encode()).digest()
        for word in (digest[:4], digest[4:8]):
            key = jax.random.fold_in(key, int.from_bytes(word, "little"))
    return key


def draws(axes, **changes):
    grid = plain(lambda key, **_: {"final_loss": jax.random.uniform(key)}, axes, **changes)
    return whole(grid, [1 if axis.splits else len(axis) for axis in axes])[0]["final_loss"]


def test_keys_are_those_of_the_plain_rule():
    found = draws((Axis("lr", LRS), counted("seed", 3)))
    for i, lr in enumerate(LRS):
        for seed in range(3):
            assert found[i, seed] == jax.random.uniform(folded_by_hand(3, lr=lr, seed=seed))
    assert len(set(found.ravel().tolist())) == found.size


def test_more_values_change_no_other_cell():
    few = draws((Axis("lr", (0.1, 1.3)), counted("seed", 2)))
    many = draws((Axis("lr", (0.05, 0.1, 0.2, 1.3)), counted("seed", 5)))
    np.testing.assert_array_equal(many[[1, 3], :2], few)


def test_cells_that_agree_in_key_axes_have_common_random_numbers():
    axes = (Axis("lr", LRS), Axis("width", (1, 2), splits=True), counted("seed", 3))
    found = draws(axes, key_axes=["seed"])
    assert (found == found[0, 0]).all()
    assert [float(jax.random.uniform(folded_by_hand(3, seed=s))) for s in range(3)] == found[0, 0].tolist()
    assert draws(axes, key_axes=["width", "seed"])[0, 1, 2] == jax.random.uniform(folded_by_hand(3, width=2, seed=2))
    assert (draws(axes, key_axes=[]) == jax.random.uniform(jax.random.key(3))).all()


# --- results


def test_a_block_gives_what_plain_loops_give():
    values, status, messages = whole(study(), (2, 3, 1))
    assert (status == DONE).all()
    assert messages == {}
    for i, lr in enumerate(LRS):
        for j, curvature in enumerate(CURVATURES):
            for seed in range(2):
                key = folded_by_hand(3, lr=lr, curvature=curvature, seed=seed)
                losses = (
                    curvature * float(jax.random.normal(key)) ** 2 / 2 * (1 - lr * curvature) ** (2 * np.arange(21.0))
                )
                scale = 50 * 20 * EPS * losses.max()  # each step rounds once or twice
                np.testing.assert_allclose(values["loss"][i, j, seed], losses[:20], rtol=0, atol=scale)
                alone = descent(key, lr=lr, curvature=curvature)
                np.testing.assert_allclose(values["final_loss"][i, j, seed], alone["final_loss"], rtol=0, atol=scale)
                np.testing.assert_allclose(values["final_loss"][i, j, seed], losses[20], rtol=0, atol=scale)


def test_runs_that_are_not_traced_give_what_traced_ones_give():
    axes = (Axis("lr", LRS), Axis("curvature", CURVATURES))
    traced, by_hand = (whole(study(axes=axes, traced=t), (2, 2))[0] for t in (True, False))
    for name, array in traced.items():
        np.testing.assert_allclose(by_hand[name], array, rtol=0, atol=1000 * EPS * np.abs(array).max())


@pytest.mark.parametrize("traced", [True, False])
def test_splits_are_python_numbers_and_others_are_not(traced):
    seen = []

    def run(key, *, lr, width, note):
        seen.append((type(width), type(lr), note))
        return {"final_loss": lr * jnp.ones(width).sum()}

    axes = (Axis("lr", (0.1, 0.2)), Axis("width", (2, 3), splits=True))
    values, _, _ = whole(plain(run, axes, traced=traced, settings={"note": "kept"}), (2, 1))
    np.testing.assert_allclose(values["final_loss"], np.outer((0.1, 0.2), (2, 3)), rtol=4 * EPS)
    assert {(kind, note) for kind, _, note in seen} == {(int, "kept")}
    assert (float in {kind for _, kind, _ in seen}) is not traced


def test_one_program_for_each_split_whatever_the_blocks():
    traces = []

    def run(key, *, lr, width):
        traces.append(width)
        return {"final_loss": lr * width}

    axes = (Axis("width", (2, 3, 5), splits=True), Axis("lr", LRS))
    grid = plain(run, axes)
    layout = layout_of(grid, {"width": 1, "lr": 2})
    compute = computer(grid, layout)
    traces.clear()
    for block in layout.blocks():  # the last block of each row is cut by an edge
        compute(block)
    assert traces == [2, 3, 5]


def test_what_depends_on_one_axis_is_computed_once_for_each_of_its_values():
    seen = []

    def watch(lr, seed):
        seen.append((np.shape(lr), np.shape(seed)))
        return np.asarray(lr)

    def run(key, *, lr, seed):
        shape = jax.ShapeDtypeStruct((), jnp.float64)
        one = jax.pure_callback(lambda x: watch(x, 0), shape, lr, vmap_method="expand_dims")
        return {"final_loss": one * seed.astype(float)}

    values, _, _ = whole(plain(run, (Axis("lr", LRS), counted("seed", 7))), (5, 7))
    np.testing.assert_array_equal(values["final_loss"], np.outer(LRS, np.arange(7.0)))
    assert seen == [((5,), ())]


def test_a_block_at_an_edge_has_the_bits_of_a_whole_one():
    longer = study(axes=(Axis("lr", (*LRS, 2.0)), Axis("curvature", (*CURVATURES, 3.0)), counted("seed", 2)))
    cut, full = whole(study(), (2, 2, 2))[0], whole(longer, (2, 2, 2))[0]
    for name, array in cut.items():
        assert np.ascontiguousarray(full[name][:5, :3]).tobytes() == array.tobytes(), name


def test_types_and_precision_follow_the_study():
    def run(key, *, lr):
        return {"final_loss": lr, "stop_reason": jnp.asarray(1)}

    for precision in ("float64", "float32"):
        grid = study(run, axes=(Axis("lr", LRS),), variables=("final_loss", "stop_reason"), own={}, precision=precision)
        values, _, _ = whole(grid, (5,))
        assert (values["final_loss"].dtype, values["stop_reason"].dtype) == (precision, np.int8)
        np.testing.assert_array_equal(values["final_loss"], np.asarray(LRS, precision))


def test_a_block_of_several_values_of_an_axis_that_splits_is_refused():
    grid = plain(lambda key, *, lr, width: {"final_loss": lr}, (Axis("lr", LRS), Axis("width", (1, 2), splits=True)))
    with pytest.raises(InputError, match=r"chunk\['width'\] must be 1, for the axis splits; got 2"):
        layout_of(grid, {"lr": 1, "width": 2})
