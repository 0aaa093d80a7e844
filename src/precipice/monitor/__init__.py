"""The monitor: how far is a training from its edge, at a stated cost. The core, shared by the JAX and PyTorch adapters.

`setting.py` says what numbers refer to, `reading.py` is one measurement, `history.py` all of them, `spacing.py` when to
measure, `limits.py` and `advice.py` what follows, `lines.py` warns, `summary.py`, `picture.py` and `scalars.py` show.
Nothing here imports PyTorch. The JAX adapter (`jax_monitor.py`, `jax_measures.py`, `stable_lr.py`) is imported when
one of its names is first asked for.

To add one (a measured number):
1. Name it in `results/monitor_vocabulary.py`, with its error.
2. Measure it in `jax_measures.py`, in `precipice.torch`, or in both.
3. Show it in `summary.py`; give it a line or an advice where something follows from it.
"""

import importlib
from typing import TYPE_CHECKING

from precipice.monitor.advice import Advice as Advice
from precipice.monitor.advice import advice as advice
from precipice.monitor.held import held_factor as held_factor
from precipice.monitor.history import History as History
from precipice.monitor.limits import balanced_batch_size as balanced_batch_size
from precipice.monitor.limits import curvature_factor as curvature_factor
from precipice.monitor.limits import trace_noise_kernel_norm as trace_noise_kernel_norm
from precipice.monitor.lines import EdgeWarning as EdgeWarning
from precipice.monitor.lines import Line as Line
from precipice.monitor.lines import crossed as crossed
from precipice.monitor.lines import default_lines as default_lines
from precipice.monitor.phase import phase as phase
from precipice.monitor.picture import picture as picture
from precipice.monitor.picture import save_picture as save_picture
from precipice.monitor.reading import Rates as Rates
from precipice.monitor.reading import Reading as Reading
from precipice.monitor.scalars import scalars as scalars
from precipice.monitor.scalars import to_tensorboard as to_tensorboard
from precipice.monitor.setting import Setting as Setting
from precipice.monitor.spacing import Spacing as Spacing
from precipice.monitor.spacing import first_step as first_step
from precipice.monitor.summary import print_summary as print_summary
from precipice.monitor.summary import summary as summary
from precipice.monitor.summary import summary_rows as summary_rows

if TYPE_CHECKING:
    from precipice.monitor.controller import curvature_step as curvature_step
    from precipice.monitor.controller import hold as hold
    from precipice.monitor.controller import noise_number as noise_number
    from precipice.monitor.controller import sharpness_number as sharpness_number
    from precipice.monitor.jax_critical import critical_step as critical_step
    from precipice.monitor.jax_loss import SplitLoss as SplitLoss
    from precipice.monitor.jax_measures import gauss_newton_top as gauss_newton_top
    from precipice.monitor.jax_measures import hessian_bottom as hessian_bottom
    from precipice.monitor.jax_measures import hessian_top as hessian_top
    from precipice.monitor.jax_measures import noise_trace as noise_trace
    from precipice.monitor.jax_monitor import JaxMonitor as JaxMonitor
    from precipice.monitor.jax_sampling import batch_curvature as batch_curvature
    from precipice.monitor.jax_sampling import gradient_noise as gradient_noise
    from precipice.monitor.stable_lr import StableLr as StableLr
    from precipice.monitor.stable_lr import largest_stable_lr as largest_stable_lr

_WITH_JAX = {
    "curvature_step": "controller",
    "hold": "controller",
    "noise_number": "controller",
    "sharpness_number": "controller",
    "critical_step": "jax_critical",
    "SplitLoss": "jax_loss",
    "batch_curvature": "jax_sampling",
    "hessian_top": "jax_measures",
    "noise_trace": "jax_measures",
    "gauss_newton_top": "jax_measures",
    "gradient_noise": "jax_sampling",
    "hessian_bottom": "jax_measures",
    "JaxMonitor": "jax_monitor",
    "StableLr": "stable_lr",
    "largest_stable_lr": "stable_lr",
}


def __getattr__(name: str) -> object:
    """A name of the JAX adapter, imported now."""
    if name not in _WITH_JAX:
        raise AttributeError(f"module 'precipice.monitor' has no attribute {name!r}")
    return getattr(importlib.import_module(f"precipice.monitor.{_WITH_JAX[name]}"), name)
