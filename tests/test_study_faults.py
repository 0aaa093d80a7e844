"""Faults done to studies for real, at small size: nothing finished is lost, and every bit is as if nothing had been."""

import time

import pytest

import faults
from fault_server import server
from long_rows import some
from precipice.results import atomic


@pytest.fixture(scope="module")
def drivers():
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


def test_a_clock_that_jumps_does_not_end_the_writing_of_a_living_process(tmp_path, monkeypatch):
    mine = atomic.aside_name(tmp_path / "commit", "tmp")
    mine.mkdir()
    good = time.time
    for jump in (-1e7, 1e7):
        monkeypatch.setattr(time, "time", lambda jump=jump: good() + jump)
        atomic.remove_leftovers(tmp_path / "commit")
        assert mine.exists()


TIMES = {"killed": 6, "damaged": 4}


SHORT = [fault for fault in faults.FAULTS if fault is not faults.out_of_memory]


@pytest.mark.parametrize("fault", some(faults.FAULTS, *SHORT), ids=lambda fault: fault.__name__)
def test_nothing_is_lost(drivers, folder, fault):
    row = fault(folder, drivers, TIMES.get(fault.__name__, 1))
    if row is None:
        pytest.skip("no right to mount a file system")
    assert row.passed, row
