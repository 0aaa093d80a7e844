"""Cells that raise, diverge, give nonsense or need too much memory are labelled; all others keep their bits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice.results import Status
from precipice.studies import Axis
from studied import DIVERGED, DONE, EPS, FAILED, LRS, descent, plain, study, whole


def bad_where(lr, how):
    """Raise for one learning rate, in a compiled program."""
    if how == "error_if":
        return eqx.error_if(lr, lr == 0.7, "the step is too long")

    def refuse(value):
        if (value == 0.7).any():
            raise RuntimeError("the step is too long")
        return value

    return jax.pure_callback(refuse, jax.ShapeDtypeStruct((), jnp.float64), lr, vmap_method="expand_dims")


@pytest.mark.parametrize("how", ["error_if", "callback"])
def test_a_traced_cell_that_raises_fails_alone_and_others_keep_their_bits(how):
    def run(key, *, lr, curvature):
        return descent(key, lr=bad_where(lr, how), curvature=curvature)

    values, status, messages = whole(study(run), (5, 2, 2))
    good, _, _ = whole(study(), (5, 2, 2))
    expected = np.full((5, 3, 2), DONE)
    expected[2] = FAILED
    np.testing.assert_array_equal(status, expected)
    assert set(messages) == set(zip(*np.nonzero(expected == FAILED), strict=True))
    assert all(text.endswith("RuntimeError: the step is too long") for text in messages.values()), messages
    for name, array in values.items():
        assert np.isnan(array[2]).all()
        rest = [0, 1, 3, 4]
        assert array[rest].tobytes() == good[name][rest].tobytes(), name


@pytest.mark.parametrize("traced", [True, False])
def test_what_raises_for_a_split_fails_with_one_message_a_cell(traced):
    def run(key, *, lr, width):
        if width == 3:
            raise ValueError(f"width {width} does not divide 4\nsee the manual")
        return {"final_loss": lr * 1.0}

    axes = (Axis("width", (2, 3, 4), splits=True), Axis("lr", LRS))
    values, status, messages = whole(plain(run, axes, traced=traced), (1, 2))
    np.testing.assert_array_equal(status, np.where(np.arange(3)[:, None] == 1, FAILED, np.full((3, 5), DONE)))
    assert messages == {(1, i): "ValueError: width 3 does not divide 4" for i in range(5)}
    np.testing.assert_array_equal(values["final_loss"][[0, 2]], [LRS, LRS])


@pytest.mark.parametrize("traced", [True, False])
def test_divergence_is_seen_in_the_numbers_or_told(traced):
    def seen(key, *, lr):
        return {"final_loss": jnp.where(lr > 1, jnp.inf, lr)}

    def told(key, *, lr):
        status = jnp.where(lr > 1, DIVERGED, jnp.where(lr == 0.1, int(Status.RUNNING), DONE))
        return {"final_loss": jnp.where(lr == 0.25, jnp.nan, lr), "status": status}

    for run in (seen, told):
        _, status, messages = whole(plain(run, traced=traced), (3,))
        np.testing.assert_array_equal(status, [DONE, DONE, DONE, DIVERGED, DIVERGED])
        assert messages == {}


@pytest.mark.parametrize("traced", [True, False])
def test_a_code_that_is_none_fails_its_cell_alone(traced):
    def run(key, *, lr):
        return {"stop_reason": jnp.where(lr == 0.7, 9, 1)}

    grid = study(run, axes=(Axis("lr", LRS),), variables=("stop_reason",), own={}, traced=traced)
    values, status, messages = whole(grid, (5,))
    assert status.tolist() == [DONE, DONE, FAILED, DONE, DONE]
    assert messages == {(2,): "ValueError: 'stop_reason' must be one of the codes [0, 1, 2, 3, 4, 5]; got other values"}
    assert values["stop_reason"].tolist() == [1, 1, -1, 1, 1]


def test_a_code_that_is_no_number_fails_its_cell():
    grid = study(
        lambda key, *, lr: {"stop_reason": np.nan if lr == 0.7 else 1},
        axes=(Axis("lr", LRS),),
        variables=("stop_reason",),
        own={},
        traced=False,
    )
    _, _, messages = whole(grid, (5,))
    assert messages == {(2,): "ValueError: 'stop_reason' must be whole numbers that int8 holds; got nan"}


def test_a_cell_beyond_all_memory_fails_and_the_rest_is_computed():
    def run(key, *, size, lr):
        return {"final_loss": jnp.sum(lr * jnp.arange(size, dtype=float)[::-1].at[3].set(lr))}

    values, status, messages = whole(plain(run, (Axis("size", (10, 10**13), splits=True), Axis("lr", LRS))), (1, 5))
    np.testing.assert_array_equal(status, [[DONE] * 5, [FAILED] * 5])
    assert all("RESOURCE_EXHAUSTED" in text and "80000000000" in text for text in messages.values()), messages
    np.testing.assert_allclose(values["final_loss"][0], [lr * (39 + lr) for lr in LRS], rtol=20 * EPS)


def test_a_block_too_big_for_memory_is_computed_in_halves(monkeypatch):
    grid, sizes, good = plain(lambda key, *, lr: {"final_loss": jnp.exp(lr)}), [], jax.block_until_ready

    def block_until_ready(found):
        sizes.append(found["final_loss"].size)
        if sizes[-1] > 3:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return good(found)

    monkeypatch.setattr(jax, "block_until_ready", block_until_ready)
    values, status, messages = whole(grid, (5,))
    assert messages == {}
    assert (status == DONE).all()
    assert sizes == [5, 5, 2, 3]
    np.testing.assert_allclose(values["final_loss"], np.exp(LRS), rtol=2 * EPS)
