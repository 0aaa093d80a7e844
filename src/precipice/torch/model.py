"""What is measured of a model: the module inside its wrappers, its parameters that move, and what is refused."""

from typing import Any, NamedTuple

import torch
from torch import nn

from precipice._checks import InputError

_SHARDED = "FullyShardedDataParallel"


class Parts(NamedTuple):
    """Detached copies of a model's tensors in the measurement's precision.

    Args:
        params: those that require a gradient, by name; tied ones once.
        frozen: the other parameters.
        buffers: such as the running statistics of BatchNorm.
    """

    params: dict[str, torch.Tensor]
    frozen: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        InputError: no module, or one whose parameters are sharded (FSDP).
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    kinds = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, kinds) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, kinds) else model._orig_mod  # pyright: ignore[reportAssignmentType]
    sharded = any(type(module).__name__ == _SHARDED for module in model.modules())
    if sharded or any(hasattr(p, "device_mesh") for p in model.parameters()):
        raise InputError(
            "model must not be sharded, as products with the Hessian need whole parameters; got FSDP (measure with DDP "
            "or with a copy on one device)."
        )
    return model


def parts(model: nn.Module, dtype: torch.dtype, *, copied: bool = True) -> Parts:
    """Copies of the model's tensors, cast to `dtype` where they are floating-point numbers.

    Args:
        model: whose.
        dtype: of the measurement.
        copied: False shares the memory of tensors that have this precision already: they must not change while the
            parts are in use.

    Raises:
        InputError: nothing requires a gradient, or there are parameters without values (lazy, meta), of complex numbers
            or on several devices.
    """
    named = dict(model.named_parameters())
    _check(named)
    return Parts(
        {name: _detached(p, dtype, copied).requires_grad_() for name, p in named.items() if p.requires_grad},
        {name: _detached(p, dtype, copied) for name, p in named.items() if not p.requires_grad},
        {name: _detached(b, dtype, copied) for name, b in model.named_buffers()},
    )


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters are."""
    return next(iter(model.parameters())).device


def precision_of(model: nn.Module) -> torch.dtype:
    """float32, or float64 where a parameter that requires a gradient has it."""
    return torch.float64 if any(p.dtype == torch.float64 for p in _moving(model)) else torch.float32


def _moving(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _check(named: dict[str, Any]) -> None:
    if not any(p.requires_grad for p in named.values()):
        raise InputError(f"model must have a parameter that requires a gradient; got {len(named)}, all frozen.")
    for name, p in named.items():
        if isinstance(p, nn.parameter.UninitializedParameter) or p.is_meta:
            raise InputError(
                f"parameters must have values; got {name} without (run a batch through a lazy model first)."
            )
        if p.is_complex():
            raise InputError(f"parameters must be real numbers; got {name} of {p.dtype}.")
    devices = sorted({str(p.device) for p in named.values()})
    if len(devices) > 1:
        raise InputError(f"model must lie on one device; got parameters on {' and '.join(devices)}.")


def _detached(tensor: torch.Tensor, dtype: torch.dtype, copied: bool) -> torch.Tensor:
    copied = copied or tensor.is_inference()  # which could never be differentiated
    return tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype, copy=copied)
