"""A Ray cluster: connected to, its nodes counted, workers hired on them. Ray is imported here and nowhere else."""

import contextlib
import dataclasses
import functools
import inspect
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from precipice._checks import InputError, one_line
from precipice.results import CellStore
from precipice.studies.study import Study
from precipice.studies.worker import Parcel, Worker

_CONFIG = (
    "jax_platforms",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
)
_VARIABLES = ("XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION")
_ANSWER_SECONDS = 5.0
_OBJECTS = 80 * 2**20  # bytes: results go to the store


@contextlib.contextmanager
def connected(asked: int | None, address: str | None, threads: int) -> Iterator[ModuleType]:
    """Ray, connected: as it is, to `address`, or to a new cluster on this machine that ends with the body.

    Args:
        asked: workers that a new cluster is to have room for; None: all cores.
        address: as `ray.init` takes it, or None.
        threads: of a worker.

    Raises:
        InputError: there is no Ray, or no cluster at the address.
    """
    ray = imported()
    if ray.is_initialized():
        if address is not None:
            raise InputError(f"address must be None where Ray is connected already; got {address!r}.")
        yield ray
        return
    quietly = {"logging_level": "ERROR", "log_to_driver": False}
    own = {"include_dashboard": False, "object_store_memory": _OBJECTS}
    own |= {"num_cpus": None if asked is None else asked * threads}
    try:
        with _unreachable(address), warnings.catch_warnings():
            # Ray's processes are forked, and are others at once: JAX need not warn.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(address=address or "local", **quietly, **({} if address else own))
        yield ray
    finally:
        ray.shutdown()


def imported() -> ModuleType:
    """Ray.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("A run on a cluster must have Ray; install precipice[cluster].") from None
    return ray


@contextlib.contextmanager
def _unreachable(address: str | None) -> Iterator[None]:
    """Say in one sentence that there is no cluster at an address; Ray itself tries for two minutes."""
    try:
        host, _, port = (address or "").rpartition("://")[2].rpartition(":")
        if port.isdecimal():
            socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if address is None:
            raise
        said = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"address must be that of a Ray cluster; {address!r}: {said[0]}") from error


@contextlib.contextmanager
def quiet(ray: ModuleType) -> Iterator[None]:
    """Within it Ray does not print that workers died, which it does whatever its settings: `say` is told."""
    inner = ray._private.worker
    before = getattr(inner, "print_to_stdstream", None)
    if before is None:
        yield
        return
    inner.print_to_stdstream = lambda *args, **named: None  # noqa: ARG005
    try:
        yield
    finally:
        inner.print_to_stdstream = before


def _platform() -> str:
    import jax

    return jax.devices()[0].platform


def _resources(store: CellStore) -> dict[str, int]:
    """What a worker needs of its node: the cores of its threads, and an accelerator where the key names one."""
    return {"num_cpus": store.layout.key["threads"]} | ({"num_gpus": 1} if _platform() == "gpu" else {})


def num_workers(ray: ModuleType, asked: int | None, store: CellStore) -> int:
    """Workers that fit the nodes, at most as many as asked for.

    Raises:
        InputError: none fits.
    """
    needs = {{"num_cpus": "CPU", "num_gpus": "GPU"}[name]: n for name, n in _resources(store).items()}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = sum(min(int(node.get(name, 0) // n) for name, n in needs.items()) for node in nodes)
    if not fit:
        words = " and ".join(f"{n} {name}" for name, n in needs.items())
        raise InputError(f"The cluster must have a node with {words} for a worker; it has none.")
    return fit if asked is None else min(asked, fit)


def hire(ray: ModuleType, study: Study, store: CellStore, lease: float) -> Callable[[], Any]:
    """A function that starts a worker.

    Raises:
        InputError: the study cannot be sent.
    """
    parcel = Parcel(study.name, _pickled(ray, study), str(store.path), lease, [os.path.abspath(p) for p in sys.path])
    actor = ray.remote(Worker).options(
        max_restarts=0,
        max_concurrency=2,
        runtime_env={"env_vars": _environment(store.layout.key["threads"])},
        **_resources(store),
    )
    return functools.partial(actor.remote, ray.put(parcel))


def _pickled(ray: ModuleType, study: Study) -> bytes:
    """The study without its claims, which are the driver's. Functions that cannot be imported are sent by value."""
    names = {inspect.unwrap(f).__module__ for f in (study.run, *study.probes) if inspect.isfunction(inspect.unwrap(f))}
    modules = [sys.modules[name] for name in names if name in sys.modules and not _is_importable(name)]
    for module in modules:
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        return ray.cloudpickle.dumps(dataclasses.replace(study, claims=()))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise InputError(f"Study {study.name!r} must be sent to workers; {one_line(error)}.") from error
    finally:
        for module in modules:
            ray.cloudpickle.unregister_pickle_by_value(module)


def _is_importable(name: str) -> bool:
    """Whether another process with our `sys.path` finds the module; `__main__` is always sent by value."""
    top = name.partition(".")[0]
    return name == "__main__" or any(finder.find_spec(top, None) is not None for finder in sys.meta_path)


def _environment(threads: int) -> Mapping[str, str]:
    """Variables that workers start with: their threads, and what changes numbers in JAX as it is set here."""
    import jax

    config = {name.upper(): jax.config.values.get(name) for name in _CONFIG}
    found = {name: os.environ.get(name) for name in _VARIABLES}
    found |= {name: None if value is None else str(value) for name, value in config.items()}
    number = str(threads)
    found |= {"NPROC": number, "OMP_NUM_THREADS": number, "OPENBLAS_NUM_THREADS": number}
    return {name: value for name, value in found.items() if value is not None}
