"""The state in which a measurement runs, and out of which it returns everything as it was.

Inside: gradients on, inference mode and autocast off, attention by plain mathematics (the fused kernels have no second
derivative), compiled functions run eagerly, dropout as the policy says, random states kept.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from precipice.torch.no_dropout import NoDropout
from precipice.torch.random_state import kept_random_state

Dropout = Literal["off", "fixed"] | None
"""'off': dropout lets everything through, all else as it is; 'fixed': one mask for all products; None: refuse."""


@contextlib.contextmanager
def quiet(model: nn.Module, devices: frozenset[torch.device], dropout: Dropout) -> Iterator[None]:
    """Run a measurement's forward and backward passes; see the module's docstring."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_random_state(devices))
        stack.enter_context(own_precision(devices))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if "torch._dynamo" in sys.modules:  # else nothing has been compiled, and importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if dropout == "off":
            stack.enter_context(NoDropout())
        stack.enter_context(_without_wrapped_forward(model))
        yield


@contextlib.contextmanager
def own_precision(devices: frozenset[torch.device]) -> Iterator[None]:
    """Outside of the training's autocast and inference mode: also where the solver adds up."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for kind in {"cpu", *(device.type for device in devices)}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def _without_wrapped_forward(model: nn.Module) -> Iterator[None]:
    """Without the autocast that accelerate (Hugging Face's Trainer) puts around a model's `forward`."""
    original = model.__dict__.get("_original_forward")
    wrapped = model.__dict__.get("forward")
    if original is None or wrapped is None:
        yield
        return
    try:
        model.__dict__["forward"] = original
        yield
    finally:
        model.__dict__["forward"] = wrapped
