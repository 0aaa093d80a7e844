"""`side_by_side`: all items of all loops, the caller's precision and device on each thread, the first error raised."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice.dynamics.side_by_side import num_workers, side_by_side


def counted(start, num):
    for i in range(num):
        yield start + i, threading.get_ident()


def test_all_items_come_each_loop_in_its_order():
    found = list(side_by_side([counted(0, 50), counted(100, 50)]))
    assert sorted(item for item, _ in found) == [*range(50), *range(100, 150)]
    for low in (0, 100):
        own = [item for item, _ in found if low <= item < low + 50]
        assert own == sorted(own)
    assert threading.get_ident() not in {thread for _, thread in found}


def test_a_single_loop_runs_on_the_callers_thread():
    assert {thread for _, thread in side_by_side([counted(0, 3)])} == {threading.get_ident()}


@pytest.mark.parametrize("wide", [True, False])
def test_threads_compute_in_the_callers_precision(wide):
    def loop():
        yield jnp.asarray(np.ones(2)).dtype

    with jax.enable_x64(wide):
        found = list(side_by_side([loop(), loop()]))
    assert found == [np.dtype("float64" if wide else "float32")] * 2


def test_an_error_is_raised_and_the_other_loop_is_left():
    taken, before = [0], threading.active_count()

    def endless():
        while True:
            taken[0] += 1
            yield 0

    def failing():
        yield 1
        raise ValueError("a loop that fails")

    with pytest.raises(ValueError, match="a loop that fails"):
        list(side_by_side([endless(), failing()]))
    assert taken[0] > 0
    assert threading.active_count() == before


def test_as_many_workers_as_jax_has_threads_on_the_cpu(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    assert num_workers() == 3
