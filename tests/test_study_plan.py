"""The plan of a study: runs, programs, blocks that fit a limit, runs that are not pure, and limits by their words."""

import dataclasses
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import studies
from precipice._checks import InputError
from precipice.results import Status
from precipice.studies import Axis, counted, linear, open_study, plan, run_local
from precipice.studies.layouts import layout_of
from precipice.studies.measure import Measured, compiled_part, first_part, memory
from precipice.studies.plan import _cells_in
from studied import LRS, plain

WIDE = 1000


def wide(key, *, lr, seed):
    """8 kB of intermediates that no compiler can leave out."""
    return {"final_loss": jnp.sort(jax.random.uniform(key, (WIDE,)) * lr + seed.astype(float))[WIDE // 2]}


def wide_study(**changes):
    return plain(wide, (linear("lr", 0.1, 1.0, 40), counted("seed", 30)), **changes)


# --- blocks


@pytest.mark.parametrize("limit", [100_000, 1_000_000])
def test_blocks_keep_to_the_limit_as_the_compiler_counts(limit):
    grid = wide_study()
    found = plan(grid, limit_memory=limit)
    cells = np.prod(list(found.chunk.values()))
    assert found.memory_bytes <= limit == found.limit_bytes
    assert found.memory_bytes == memory(compiled_part(grid, first_part(grid, found.chunk, {})))
    assert 8 * WIDE * cells <= found.memory_bytes  # the draws alone
    assert found.memory_bytes >= limit / 8  # no smaller than need be, as far as the axes' divisors allow
    assert found.num_blocks == np.prod([-(-len(axis) // found.chunk[axis.name]) for axis in grid.axes])
    assert (found.num_cells, found.num_programs) == (1200, 1)


def test_a_grid_that_takes_less_than_a_block_is_one_block():
    found = plan(wide_study(), block_seconds=10.0)
    assert (found.num_blocks, found.chunk) == (1, {"lr": 40, "seed": 30})
    assert found.seconds == pytest.approx(found.block_seconds + found.compile_seconds)


@pytest.mark.long
def test_fixed_blocks_may_be_longer_than_an_axis(tmp_path):
    chunk = {"lr": 64, "seed": 30}
    grid = dataclasses.replace(wide_study(), chunk=chunk)
    opened = open_study(grid, tmp_path / "s")
    same = compiled_part(grid, first_part(grid, chunk, {}))  # filled up, as the block that will run
    assert opened.plan is not None
    assert opened.plan.memory_bytes == memory(same) > plan(wide_study()).memory_bytes
    assert run_local(opened.study, opened.store).cells == {Status.DONE: 1200}


def test_the_planned_memory_is_that_of_the_largest_values():
    def run(key, *, width, lr):
        return {"final_loss": jnp.sort(jax.random.uniform(key, (width,)))[0] * lr}

    widths = (10, 100_000, 1000)
    grid = plain(run, (Axis("width", widths, splits=True), Axis("lr", LRS)))
    found = plan(grid, limit_memory=10_000_000)
    assert found.chunk["width"] == 1
    assert 800_000 < found.memory_bytes <= 10_000_000
    assert found.num_programs == 3
    assert found.note == ""


def test_runs_that_are_not_traced_are_timed():
    def run(key, *, lr):
        time.sleep(0.01)
        return {"final_loss": lr}

    found = plan(plain(run, (linear("lr", 0.1, 1.0, 100),), traced=False), block_seconds=0.1)
    assert found.num_programs == 0
    assert 2 <= found.chunk["lr"] <= 10
    assert found.seconds >= 1.0


@pytest.mark.parametrize("sizes", [(10, 10**13), (10**13, 10)])
def test_one_cell_beyond_the_limit_does_not_stop_the_rest(tmp_path, sizes):
    def run(key, *, size, lr):
        return {"final_loss": jnp.sum(lr * jnp.arange(size, dtype=float)[::-1].at[3].set(lr))}

    grid = plain(run, (Axis("size", sizes, splits=True), Axis("lr", LRS)))
    opened = open_study(grid, tmp_path / "s")
    assert opened.plan
    assert "size=1e+13" in opened.plan.note
    assert "will be tried" in opened.plan.note
    cells = run_local(grid, opened.store).cells
    assert cells == {Status.DONE: 5, Status.FAILED: 5}


def test_a_plan_where_the_first_cells_raise():
    def run(key, *, width, lr):
        if width > 2:
            raise ValueError("too wide")
        return {"final_loss": lr * width}

    axes = (Axis("width", (3, 2), splits=True), Axis("lr", LRS))
    assert plan(plain(run, axes)).note == "Cells at width=3 raise ValueError and will be labelled as failed."
    by_hand = plan(plain(run, axes, traced=False))
    assert by_hand.note == "The first cell raises, which hides the time: ValueError: too wide"
    assert np.isnan(by_hand.seconds)


def giving(value, name="final_loss"):
    return plain(lambda key, *, lr: {name: value(lr)})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: plan(wide_study(), limit_memory=1000), r"limit_memory must be at least [\d,]+ bytes, .*; got 1,000"),
        (lambda: plan(wide_study(), limit_memory=0), "limit_memory must be positive"),
        (lambda: plan(wide_study(), block_seconds=-1.0), "block_seconds must be positive and finite; got -1.0"),
        (
            lambda: plan(giving(lambda lr: jnp.ones(3) @ jnp.ones(2))),
            "a cell that can be run; all raise: TypeEr",
        ),
        (
            lambda: plan(plain(lambda key, *, lr: lr)),
            "'demo' must give results by name, from its run or from prob",
        ),
        (lambda: layout_of(giving(lambda lr: lr, "los"), {"lr": 1}), "must give 'final_loss'; it gives los"),
        (lambda: layout_of(giving(lambda lr: lr * jnp.ones(3)), {"lr": 1}), r"must have shape \(\), .*; got \(3,\)"),
    ],
)
def test_what_cannot_be_planned_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_a_million_cells_are_planned_like_a_hundred(tmp_path):
    def run(key, *, x, y):
        return {"final_loss": x * y}

    grid = plain(run, (linear("x", 0.0, 1.0, 1000), linear("y", 0.0, 1.0, 1000)))
    found = plan(grid, limit_memory=1_000_000)
    assert found.num_cells == 10**6
    assert found.memory_bytes <= 1_000_000
    store = open_study(grid, tmp_path / "s").store
    assert run_local(grid, store).cells == {Status.DONE: 10**6}
    assert store.dataset()["final_loss"].values[123, 456] == grid.axes[0].values[123] * grid.axes[1].values[456]


def test_planning_an_absurd_product_costs_nothing():
    grid = plain(lambda key, *, a, b, c: {"final_loss": a + b + c}, [counted(name, 1_000_000) for name in "abc"])
    axes = [counted(name, 100_000) for name in "ab"]
    found = plan(plain(lambda key, *, a, b: {"final_loss": (a + b).astype(float)}, axes))
    assert grid.num_cells == 10**18
    assert found.num_cells == 10**10
    assert found.seconds > 1


# --- purity

COUNTER = itertools.count()

IMPURE = {
    "numpy's global state": lambda: np.random.uniform(),  # noqa: NPY002
    "a fresh generator": lambda: np.random.default_rng().uniform(),
    "a counter": lambda: float(next(COUNTER)),
    "the clock": lambda: time.perf_counter(),
}


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("source", IMPURE)
def test_a_run_that_is_not_pure_in_its_key_is_refused_and_nothing_is_written(tmp_path, source, traced):
    def run(key, *, lr):
        return {"final_loss": lr + IMPURE[source]()}

    words = "run of study 'demo' must depend on its key and arguments alone .*computed twice differs in 'final_loss'"
    with pytest.raises(InputError, match=words):
        open_study(plain(run, traced=traced), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_callback_that_is_not_pure_is_refused():
    def run(key, *, lr):
        shape = jax.ShapeDtypeStruct((), jnp.float64)
        return {"final_loss": jax.pure_callback(lambda x: x + next(COUNTER), shape, lr, vmap_method="expand_dims")}

    with pytest.raises(InputError, match="must depend on its key and arguments alone"):
        plan(plain(run))


def test_a_pure_run_that_gives_nan_is_not_taken_for_impure():
    assert plan(plain(lambda key, *, lr: {"final_loss": lr * jnp.nan})).num_cells == 5
    assert studies.plan(plain(lambda key, *, lr: {"final_loss": jax.random.normal(key)}, traced=False)).num_cells == 5


@pytest.mark.parametrize(
    ("seconds_of_one", "seconds_of_32", "cells"),
    [(3.4, 7.4, 238), (3.4, 100.0, 1), (0.01, 0.02, 15_470), (0.001, 0.032, 5000)],  # batching pays only in the first
)
def test_blocks_take_longer_where_one_cell_is_long_and_batching_pays(seconds_of_one, seconds_of_32, cells):
    one, few = (Measured(n, s, 0.0, 100 * n, {}) for n, s in ((1, seconds_of_one), (32, seconds_of_32)))
    assert _cells_in(one, few, 10**9, 5.0) == cells


def test_a_study_that_fixes_its_blocks_is_planned_without_a_run():
    def run(key, *, lr):
        raise AssertionError

    study = plain(run, (linear("lr", 0.1, 1.0, 10),), traced=False, chunk={"lr": 4})
    found = plan(study)
    assert (found.chunk, found.num_blocks, found.num_cells) == ({"lr": 4}, 3, 10)
    assert "nothing was run" in found.note


def test_fixed_blocks_are_refused_where_they_do_not_fit():
    with pytest.raises(InputError, match=r"blocks that study 'demo' fixes need; got 1,000\.$"):
        plan(dataclasses.replace(wide_study(), chunk={"lr": 40, "seed": 30}), limit_memory=1000)
    with pytest.raises(InputError, match="chunk of study 'demo' must have its axes"):
        dataclasses.replace(wide_study(), chunk={"lr": 40})
