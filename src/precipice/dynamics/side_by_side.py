"""Several host-driven loops at once, one a thread."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from precipice.results.provenance import num_threads

Item = TypeVar("Item")


def num_workers() -> int:
    """Threads that pay: as many as JAX computes with where arrays live on the CPU, one on an accelerator."""
    return num_threads() if _device().platform == "cpu" else 1


def side_by_side(loops: list[Iterator[Item]]) -> Iterator[Item]:
    """What `loops` yield, in the order in which it comes; each has a thread, a single one the caller's.

    Compiled JAX functions release the interpreter, so that loops that mostly wait for them use all cores. Threads take
    over the caller's 64-bit setting and default device, which JAX keeps for each thread, and no other of its context
    managers. The first error of a loop is
    raised, and the others are left at their next item, as they are when the caller goes away.
    """
    if len(loops) == 1:
        yield from loops[0]
        return
    items: queue.Queue = queue.Queue()
    left = threading.Event()
    device, wide = _device(), jnp.result_type(float) == np.float64

    def run(loop: Iterator[Item]) -> None:
        try:
            with jax.default_device(device), jax.enable_x64(wide):
                for item in loop:
                    items.put((item, None))
                    if left.is_set():
                        return
            items.put(None)
        except BaseException as error:  # raised again by the caller's thread
            items.put((None, error))

    with ThreadPoolExecutor(len(loops)) as threads:
        try:
            for loop in loops:
                threads.submit(run, loop)
            for _ in loops:
                while (found := items.get()) is not None:
                    item, error = found
                    if error is not None:
                        raise error
                    yield item
        finally:
            left.set()


def _device() -> Any:
    return next(iter(jnp.zeros(()).devices()))
