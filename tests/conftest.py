"""Strict modes for every test: 64 bits, no silent dtype or rank promotion, shapes checked by jaxtyping and beartype."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of what tests compile runs once; JAX's own tests do so too. `make test LONG=1` compiles as users do.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for subprocesses, and for libraries not loaded yet
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch: more threads than cores spin and take ten times as long
# What one test compiles serves the next, and subprocesses. A folder for each worker: its files are not locked.
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="precipice-compiled-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax
import jaxtyping
import pytest
import threadpoolctl

atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
threadpoolctl.threadpool_limits(1, "blas")  # small matrices: many times faster on a busy machine
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Before the first import of the package. Figures, papers and the command line hint at types that they import lazily.
ROOMS = ("problems", "curvature", "results", "measures", "dynamics")
jaxtyping.install_import_hook([f"precipice.{room}" for room in ROOMS], "typechecker.checked")


MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def _forget_what_was_compiled():
    """Compiled programs hold memory maps, of which a process may have 65,530: thousands of programs end in a crash."""
    yield
    if not MAPS.exists() or MAPS.read_bytes().count(b"\n") > 10_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def optimised():
    """For the test that runs longer than it compiles."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def key():
    return jax.random.key(0)
