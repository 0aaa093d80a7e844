"""The state of a monitored training as a table."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.monitor.advice import not_finite
from precipice.monitor.history import History
from precipice.monitor.phase import phase, with_error

if TYPE_CHECKING:
    from rich.table import Table

CHEAPER = "a smaller probe set, a wider rtol, fewer samples of the trace"
"""What makes a measurement shorter, in any loop."""

_SHOWN = (
    ("preconditioned_sharpness", "preconditioned sharpness", "meets the edge"),
    ("sharpness", "sharpness", "largest algebraic Hessian eigenvalue"),
    ("normalised_sharpness", "normalised sharpness", "1 is the edge of the optimiser"),
    ("smallest_hessian_eigenvalue", "smallest eigenvalue", "of the Hessian"),
    ("critical_sharpness", "critical sharpness", "2/lr at which the loss rises along the update"),
    ("batch_sharpness", "batch sharpness", "of training batches; settles at 2/lr under plain SGD"),
    ("noise_kernel_norm_estimate", "K", "1 is the stochastic edge"),
    ("gradient_noise_scale", "gradient noise scale", "examples; below 0: the mean gradient is lost in noise"),
)


def summary_rows(history: History) -> list[tuple[str, str, str]]:
    """(what, value with error, note) for each number that was measured, from the latest reading that holds it.

    Raises:
        InputError: the history holds no reading.

    Example:
        >>> from precipice.monitor.reading import Rates, Reading
        >>> from precipice.monitor.setting import Setting
        >>> history = History(Setting("squared", "sgd", batch_size=8, num_examples=100))
        >>> summary_rows(history.appended(Reading(3, (Rates(0.1, 20.0),), {"sharpness": 15.0})))[:4]
        [('step', '3', ''), ('lr', '0.1', 'sgd'), ('edge', '20', 'of sgd'),
         ('sharpness', '15', 'largest algebraic Hessian eigenvalue')]
    """
    last, setting, before = history.last, history.setting, history.finite_part
    rows = [("step", f"{last.step:,}", "")]
    if (warning := not_finite(history)) is not None:
        numbers = f"numbers below are of step {before.last.step:,} or earlier" if before.readings else ""
        rows.append(("loss", f"not finite since step {warning.value:,.0f}", numbers))
    for group, rates in zip(setting.groups, last.rates, strict=True):
        of = "" if len(setting.groups) == 1 else f" of {group}"
        rows += [(f"lr{of}", f"{rates.lr:.3g}", setting.optimiser), (f"edge{of}", f"{rates.edge:.4g}", _edge(history))]
    for name, words, note in _SHOWN:
        reading = before.latest(name)
        if reading is not None:
            when = "" if reading.step == last.step else f" (step {reading.step:,})"
            rows.append((words, with_error(reading, name) + when, note))
    rows.append(("phase", phase(history), ""))
    return rows + _times(history)


def summary(history: History) -> "Table":
    """The table of `summary_rows`, for ``rich``; `print_summary` prints it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    setting = history.setting
    caption = f"{setting.convention}. Model: {setting.mode}; solver: {setting.precision}."
    table = Table(title="Distance from the edge", title_justify="left", caption=caption, box=SIMPLE_HEAD)
    table.caption_justify = "left"
    for column in ("", "value", "note"):
        table.add_column(column)
    for row in summary_rows(history):
        table.add_row(*row)
    return table


def print_summary(history: History) -> None:
    """Print `summary` to standard output."""
    from rich.console import Console

    Console().print(summary(history))


def _edge(history: History) -> str:
    adaptive = history.latest("preconditioned_sharpness") is not None
    return f"of {history.setting.optimiser}" + (", for the preconditioned sharpness" if adaptive else "")


def _times(history: History) -> list[tuple[str, str, str]]:
    spacing = history.spacing
    if spacing is None or np.isnan(spacing.overhead):
        return []
    budget = "" if spacing.budget is None else f" (budget {100 * spacing.budget:.3g} %)"
    plural = "" if spacing.num == 1 else "s"
    note = f"{spacing.num} measurement{plural}; set-up {spacing.setup_seconds:.2g} s beside it"
    rows = [("overhead", f"{100 * spacing.overhead:.2g} %{budget}", note)]
    if spacing.budget is not None and spacing.total_overhead > spacing.budget:
        spent = spacing.setup_seconds + spacing.measuring_seconds
        until = f"a training of {spent / spacing.budget:.2g} s pays for it; cheaper: {CHEAPER}"
        rows.append(("overhead with set-up", f"{100 * spacing.total_overhead:.2g} %", until))
    return rows
