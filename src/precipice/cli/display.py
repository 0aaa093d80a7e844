"""One progress display for all that a command runs: the trainings, and the figures where there are several."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from precipice.cli.text import note

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from precipice.dynamics.progress import Progress, Report


class Display(NamedTuple):
    """A display under way.

    Args:
        progress: what trainings report to.
        say: prints a line above the bars.
        finished: called after each figure.
    """

    progress: "Progress"
    say: Callable[[str], None]
    finished: Callable[[], None]


@contextlib.contextmanager
def display(num_figures: int = 1) -> Iterator[Display]:
    """Live bars on a terminal; elsewhere one plain line every 30 seconds, so that logs stay readable."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from precipice.dynamics import bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Display(bar, note, lambda: None)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Bars(*columns, console=console) as bars:
        figures = bars.add_task("figures", total=num_figures, text="", visible=num_figures > 1)
        yield Display(
            functools.partial(_training, bars, num_figures == 1),
            functools.partial(console.print, markup=False, highlight=False, soft_wrap=True),
            functools.partial(bars.advance, figures),
        )


@contextlib.contextmanager
def _training(bars: "Bars", stays: bool, title: str, total: int) -> "Iterator[Report]":
    """The bar of one training; it stays on the screen afterwards where there is one figure only."""
    task = bars.add_task(title, total=total, text="")
    try:
        yield lambda done, text: bars.update(task, completed=done, text=text)
    finally:
        bars.stop_task(task)
        if not stays:
            bars.remove_task(task)
