"""Dropout that lets everything through, whatever calls it: modules, functions, attention, recurrent networks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_F = nn.functional
_IDENTITIES = {
    *(_F.dropout, _F.dropout1d, _F.dropout2d, _F.dropout3d, _F.alpha_dropout, _F.feature_alpha_dropout),
    *(torch.dropout, torch.dropout_, torch.alpha_dropout, torch.alpha_dropout_),
    *(torch.feature_dropout, torch.feature_dropout_, torch.feature_alpha_dropout, torch.feature_alpha_dropout_),
}
_RATES = {torch.lstm: 5, torch.gru: 5, torch.rnn_tanh: 5, torch.rnn_relu: 5, _F.scaled_dot_product_attention: 4}
"""Functions with a rate of dropout, and its place among their arguments (one before where a batch is packed)."""


class NoDropout(TorchFunctionMode):
    """Inside, PyTorch's dropout functions return their input. The modules' own modes are left alone."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _IDENTITIES:
            return args[0] if args else kwargs["input"]
        if func is _F.multi_head_attention_forward:
            kwargs["training"] = False  # there it switches nothing but dropout
        elif func in _RATES:
            args, kwargs = _without_rate(args, kwargs, _RATES[func])
        return func(*args, **kwargs)


def _without_rate(args: tuple, kwargs: dict[str, Any], place: int) -> tuple[tuple, dict[str, Any]]:
    if "dropout_p" in kwargs:
        kwargs["dropout_p"] = 0.0
    rates = [i for i in (place, place + 1) if i < len(args) and isinstance(args[i], float)]
    return tuple(0.0 if i in rates[:1] else a for i, a in enumerate(args)), kwargs
