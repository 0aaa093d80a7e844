"""Curvature over eight devices: the numbers of one, bounded parts on each, and what is refused.

The eight are host devices of one process (`eight_devices.py`), made before JAX starts: hence a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eight_devices
from oracles import EPS
from precipice import curvature
from precipice._checks import InputError

BOUND = 50 * EPS
"""A mean of n terms in another order moves by n/2 roundings of them at most, and by about their square root."""


@pytest.fixture(scope="module")
def report():
    here = Path(__file__).parent
    flags = "--xla_force_host_platform_device_count=8"
    strict = "import conftest, runpy; runpy.run_path('eight_devices.py', run_name='__main__')"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", strict],
        cwd=here,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


ASKED = [(layout, name) for layout in eight_devices.LAYOUTS for name in eight_devices.asked(layout)]


@pytest.mark.long
@pytest.mark.parametrize(("layout", "name"), ASKED)
def test_numbers_of_one_device(report, layout, name):
    assert report["errors"][layout][name] <= BOUND


@pytest.mark.long
def test_the_kernel_is_that_of_one_device_and_each_holds_its_rows(report):
    assert report["kernel"]["error"] <= BOUND
    assert report["kernel"]["parts"] == [[56 * 8 // 8, 56 * 8]]


@pytest.mark.long
def test_each_device_holds_its_part_of_the_data(report):
    parts = report["memory"]
    assert parts["whole"] == [[56 // 8, 6]]
    assert parts["body"] == [[2, 3, 6]]
    assert parts["next"] == [[1, 1, 6]]
    assert parts["rest"] == [[5, 6]]


@pytest.mark.long
def test_memory_of_a_product_does_not_grow_with_the_data(report):
    few, many = report["memory"]["products"]
    assert few == many


@pytest.mark.long
def test_images_are_cut_as_the_vectors_are(report):
    for image in report["cuts"]["images"]:
        assert image == report["cuts"]["params"]
    assert report["cuts"]["params"] == [[4], [6, 4], [2], [4, 8]]


@pytest.mark.long
@pytest.mark.parametrize("name", ["spread", "kernel"])
def test_examples_that_the_devices_do_not_divide_are_refused(report, name):
    assert report["refusals"][name].startswith("number of examples must be a multiple of the 8 devices")


def test_bad_input():
    mesh, data = jax.make_mesh((1,), ("data",)), jnp.ones((3, 2))
    with pytest.raises(InputError, match="axis of the mesh 'date' is unknown; did you mean data"):
        curvature.spread(data, mesh, axis="date")
    with pytest.raises(InputError, match="axis of the mesh 'model' is unknown"):
        curvature.split(data, mesh, axis="model")
    with pytest.raises(InputError, match="size of a chunk must be at least 1; got 0"):
        curvature.spread_chunks(data, mesh, axis="data", size=0)
    with pytest.raises(InputError, match="number of examples must be at least 1; got 0"):
        curvature.spread_chunks(data[:0], mesh, axis="data")
    with pytest.raises(InputError, match="same number of examples"):
        curvature.spread_chunks((data, data[:2]), mesh, axis="data")
    with pytest.raises(InputError, match="chunk must be at least 1; got 0"):
        curvature.spread_kernel(lambda w, x: x @ w, jnp.ones((2, 1)), data, mesh, axis="data", chunk=0)


def test_numpy_data_are_copied():
    mesh, memory = jax.make_mesh((1,), ("data",)), np.zeros(4096 + 8)
    data = memory[-memory.ctypes.data % 64 // 8 :][:4096]  # aligned: JAX would take it as it is
    data[:] = np.arange(4096.0)
    whole, chunks = curvature.spread(data, mesh, axis="data"), curvature.spread_chunks(data, mesh, axis="data", size=7)
    data[:] = -1.0
    assert float(whole.sum()) == 4095 * 2048
    assert float(chunks.body.sum() + chunks.rest.body.sum()) == 4095 * 2048
