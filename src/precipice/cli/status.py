"""Exit statuses, and the decorator that turns bad input and interruptions into a sentence and a status."""

import functools
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec

import typer

from precipice._checks import InputError

P = ParamSpec("P")


class Exit(IntEnum):
    """What a command returns to the shell. FAILED: a claim, or a run that broke off with an error."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    NOTHING_EVALUATED = 3
    INTERRUPTED = 130


def status_of_error(error: InputError) -> Exit:
    """FAILED where the disk refused, which no input mends; else BAD_INPUT."""
    from precipice.results import WriteError

    return Exit.FAILED if isinstance(error, WriteError) else Exit.BAD_INPUT


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """The command with `InputError` reported on one line, status 2 (1 where the disk refused).

    An interruption ends with status 130.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(status_of_error(error)) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; run the same command to continue", err=True)
            raise typer.Exit(Exit.INTERRUPTED) from None

    return wrapped
