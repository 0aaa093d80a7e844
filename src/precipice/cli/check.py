"""``precipice check``: are the claims of a figure true of a dataset, and does its control break them?"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from precipice._checks import InputError
from precipice.cli import text
from precipice.cli.options import DEFAULT_OUT, Data, Out, Panel, Stores
from precipice.cli.status import Exit, reported

if TYPE_CHECKING:
    from precipice.cli.stores import Opened
    from precipice.figures.claims import Verdict


@reported
def check(
    stores: Stores,
    panel: Panel = None,
    control: Annotated[
        bool, typer.Option("--control", help="Run the figure's control instead: its main claim must not hold there.")
    ] = False,
    out: Out = DEFAULT_OUT,
    data: Data = None,
) -> None:
    """Judge the claims of datasets: measured, band, verdict.

    Exit status 0: every claim that could be evaluated holds; at least one was.
    1: a claim fails.
    2: bad input.
    3: no claim could be evaluated.
    With --control, 0: the main claim does not hold there; 1: it does.
    """
    from precipice.cli.stores import open_stores

    if control and panel:
        raise InputError(f"--panel must not be given with --control, which judges the main claim; got {panel!r}.")
    opened = open_stores(stores, out)
    if control:
        raise typer.Exit(_controls(opened, data))
    raise typer.Exit(worst([status_of(judged(one, panel), one) for one in opened]))


def judged(opened: "Opened", panel: str | None = None) -> "tuple[Verdict, ...]":
    """The verdicts on a dataset's claims; with `panel`, on the claims drawn in it.

    Raises:
        InputError: an unknown panel.
    """
    from precipice.figures.claims import evaluate
    from precipice.papers.request import check_panel

    figure = opened.figure
    check_panel(figure, panel)
    claims = [c for c in figure.claims if panel is None or figure.claim_panels[c.name] == panel]
    return evaluate(opened.dataset, claims)


def status_of(verdicts: "tuple[Verdict, ...]", opened: "Opened") -> Exit:
    """Print the claim table and what diverged; returns the exit status."""
    from precipice.figures import claims, report

    text.claims(verdicts, opened.heading + opened.size)
    text.failures(verdicts)
    if reduced := report.reduced(opened.dataset):
        typer.echo(f"reduced: {reduced}")
    for line in report.divergences(opened.dataset):
        typer.echo(line)
    typer.echo(report.tally(verdicts))
    found = {verdict.verdict for verdict in verdicts}
    if claims.FAILS in found:
        return Exit.FAILED
    return Exit.DONE if claims.HOLDS in found else Exit.NOTHING_EVALUATED


def worst(statuses: Iterable[Exit]) -> Exit:
    """A failing claim before a dataset that decides nothing before success."""
    statuses = set(statuses)
    order = (Exit.FAILED, Exit.NOTHING_EVALUATED)
    return next((status for status in order if status in statuses), Exit.DONE)


def _controls(opened: "list[Opened]", data: Path | None) -> Exit:
    from precipice.papers.runner import prepare

    requests = [_control_request(one, data) for one in opened]
    for request in requests:
        prepare(request)
    return worst([_control(request) for request in requests])


def _control_request(opened: "Opened", data: Path | None):
    from precipice.figures import report
    from precipice.papers.runner import Request, settings_of

    if opened.is_control:
        raise InputError(f"Store '{opened.path}' must be a figure's own run to have a control; it is a control.")
    figure = opened.figure
    return Request(
        figure,
        figure.control(settings_of(figure, opened.dataset)),
        opened.scale,
        opened.path.parent,
        data,
        resume=True,
        control=True,
        reduced=report.reduced(opened.dataset),
    )


def _control(request) -> Exit:
    from precipice.cli.display import display
    from precipice.cli.stores import open_store
    from precipice.figures.claims import HOLDS, evaluate
    from precipice.papers.runner import run

    with display() as shown:
        run(request, shown.progress, shown.say)
    opened = open_store(str(request.store), request.out)
    main = [claim for claim in request.figure.claims if claim.name == request.figure.main_claim]
    verdicts = evaluate(opened.dataset, main)
    text.claims(verdicts, f"{opened.heading}: the main claim must not hold here")
    broken = verdicts[0].verdict != HOLDS
    typer.echo(f"control {'passed: the claim does not hold' if broken else 'failed: the claim holds'} under it")
    return Exit.DONE if broken else Exit.FAILED
