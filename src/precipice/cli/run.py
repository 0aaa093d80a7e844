"""``precipice run``: figures computed, stored, drawn, and their claims judged."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from precipice._checks import InputError
from precipice.cli import text
from precipice.cli.check import judged, status_of
from precipice.cli.options import DEFAULT_OUT, Assignments, Data, Out, Panel, Resume, Size
from precipice.cli.status import Exit, reported, status_of_error

if TYPE_CHECKING:
    from precipice.cli.display import Display
    from precipice.papers.figure import Figure
    from precipice.papers.runner import Request


@reported
def run(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Figures, as `precipice list` names them.")
    ] = None,
    paper: Annotated[
        str | None, typer.Option("--paper", metavar="NAME", help="All figures of this paper.", show_default=False)
    ] = None,
    panel: Panel = None,
    scale: Size = "quick",
    assignments: Assignments = None,
    out: Out = DEFAULT_OUT,
    resume: Resume = None,
    data: Data = None,
    checkpoint_seconds: Annotated[
        float, typer.Option("--checkpoint-seconds", metavar="S", help="Time between checkpoints.")
    ] = 20.0,
) -> None:
    """Run figures: train, measure, store, draw, and judge the claims.

    Files: DIR/<paper>-<figure>.zarr (dataset) and .png (picture).
    What is changed by --set is recorded; the scale is then "reduced".
    Killed or interrupted, the same command continues from the last checkpoint.

    Exit status 0: all completed, whatever their claims say (see check).
    1: a run broke off with an error.
    2: bad input.
    """
    from precipice.papers.runner import Request, prepare

    requests = []
    for figure in _figures(ids or [], paper):
        chosen = _chosen(figure, scale, assignments or [], data)
        requests.append(
            Request(
                figure,
                chosen.settings,
                chosen.scale,
                out,
                data,
                resume,
                reduced=chosen.reduced,
                panel=panel,
                checkpoint_seconds=checkpoint_seconds,
            )
        )
    for request in requests:
        prepare(request)
    if len(requests) > 1:
        raise typer.Exit(_several(requests))
    run_one(requests[0])


def _figures(ids: Sequence[str], paper: str | None) -> "list[Figure]":
    from precipice.papers.registry import figure, figures_of

    if bool(ids) == bool(paper):
        raise InputError(f"run needs either figure ids or --paper; got {'both' if paper else 'neither'}.")
    return figures_of(paper) if paper else [figure(one) for one in dict.fromkeys(ids)]


def _chosen(figure: "Figure", scale: str, assignments: Sequence[str], data: Path | None):
    from precipice.papers.request import choose

    chosen = choose(figure, scale, assignments, data)
    if chosen.note:
        text.note(f"note: {chosen.note}")
    size = f" with {chosen.reduced}" if chosen.reduced else f": {figure.scales[scale].time} on two cores"
    text.note(f"{figure.id}, scale {scale}{size}")
    return chosen


def run_one(request: "Request") -> Exit:
    """Run one figure and print its claims and files; returns the status that `check` would have."""
    from precipice.cli.display import display
    from precipice.cli.stores import open_store
    from precipice.papers import runner

    with display() as shown:
        outcome = runner.run(request, shown.progress, shown.say)
    opened = open_store(str(outcome.store), request.out)
    status = status_of(judged(opened), opened)
    text.lines([("dataset", outcome.store), ("picture", outcome.picture), ("time", f"{outcome.seconds:.0f} s")])
    return status


def _several(requests: "Sequence[Request]") -> Exit:
    """Run figures one after the other, one that breaks off not stopping the others; a summary row for each."""
    from precipice.cli.display import display

    rows, statuses = [], []
    with display(len(requests)) as shown:
        for request in requests:
            row, status = _attempt(request, shown)
            rows.append(row)
            statuses.append(status)
            shown.finished()
    text.table(("figure", "scale", "time", "claims"), rows)
    done = [request for request, status in zip(requests, statuses, strict=True) if status == Exit.DONE]
    for request in done:
        text.lines([("dataset", request.store), ("picture", request.picture)])
    return max(statuses)


def _attempt(request: "Request", shown: "Display") -> tuple[tuple[str, ...], Exit]:
    """(summary row, status) of one figure among several."""
    from precipice.cli.stores import open_store
    from precipice.figures import report
    from precipice.papers import runner

    name = request.figure.id
    try:
        outcome = runner.run(request, shown.progress, shown.say)
        opened = open_store(str(outcome.store), request.out)
        words = [*report.divergences(opened.dataset), report.tally(judged(opened))]
    except InputError as error:
        shown.say(f"error: {name}: {error}")
        return (name, request.scale, "-", f"fails: {error}"), status_of_error(error)
    except Exception as error:
        shown.say(traceback.format_exc())
        return (name, request.scale, "-", f"fails: {type(error).__name__}: {error}"), Exit.FAILED
    return (name, request.scale, f"{outcome.seconds:.0f} s", "\n".join(words)), Exit.DONE
