"""Progress displays for loops driven from the host: a context manager that gives a function to report with."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Report = Callable[[int, str], None]
"""``report(steps_done, text)``."""

Progress = Callable[[str, int], AbstractContextManager[Report]]
"""``progress(title, total_steps)``, a context manager that gives a `Report`."""


@contextlib.contextmanager
def quiet(title: str, total: int) -> Iterator[Report]:  # noqa: ARG001
    """No display."""
    yield lambda done, text: None  # noqa: ARG005


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Report]:
    """A rich progress bar on standard error, with steps, time left and the latest measurement.

    On a terminal it is live; elsewhere one plain line every 30 seconds is written, so that logs stay readable.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(functools.partial(console.print, soft_wrap=True), title, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Bar(*columns, console=console) as shown:
        task = shown.add_task(title, total=total, text="")
        yield lambda done, text: shown.update(task, completed=done, text=text)


def _lines(write: Callable[[str], None], title: str, total: int, every_seconds: float = 30) -> Report:
    last = time.monotonic()

    def report(done: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_seconds:
            last = time.monotonic()
            write(f"{title}: step {done} of {total} {text}")

    return report
