"""Random states put back as they were: PyTorch's on each device, numpy's and Python's."""

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def kept_random_state(devices: Iterable[torch.device]) -> Iterator[None]:
    """What is drawn inside leaves no trace in the global generators of the CPU and of `devices`."""
    kept = _states(devices)
    try:
        yield
    finally:
        for put_back, state in kept:
            put_back(state)


def _states(devices: Iterable[torch.device]) -> list[tuple[Callable[[Any], None], Any]]:
    kept: list[tuple[Callable[[Any], None], Any]] = [
        (torch.set_rng_state, torch.get_rng_state()),
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002 the user's legacy state is what is kept
        (random.setstate, random.getstate()),
    ]
    for device in set(devices):
        if device.type == "cuda":
            kept.append((partial(torch.cuda.set_rng_state, device=device), torch.cuda.get_rng_state(device)))
        elif device.type == "mps":
            kept.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))
    return kept
