"""What commands print: tables, lines, notes. Results to standard output, the rest to standard error."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from precipice.figures.claims import Verdict

_COLOURS = {"holds": "green", "fails": "bold red"}


def note(text: str) -> None:
    """A line on standard error."""
    import typer

    typer.echo(text, err=True)


def lines(pairs: Iterable[tuple[str, object]]) -> None:
    """Name and value on a line each, values aligned."""
    import typer

    shown = [(name, str(value)) for name, value in pairs]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {value}")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """A table on standard output that breaks between words; a verdict has a colour on a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, cells in zip(columns, zip(*rows, strict=True), strict=True):
        longest_word = max(len(word) for cell in (name, *cells) for word in cell.split() or [""])
        shown.add_column(name, no_wrap=name == columns[0], overflow="fold", min_width=min(longest_word, 16))
    for row in rows:
        shown.add_row(*(Text(cell, style=_COLOURS.get(cell.split(" ")[0], "")) for cell in row))
    Console().print(shown)


def claims(verdicts: "Sequence[Verdict]", title: str) -> None:
    """The claim table."""
    from precipice.figures import report

    table(report.COLUMNS, [[getattr(row, name) for name in report.COLUMNS] for row in report.rows(verdicts)], title)


def failures(verdicts: "Sequence[Verdict]") -> None:
    """For each claim that fails, what it says and what was measured."""
    import typer

    from precipice.figures.claims import FAILS

    for verdict in verdicts:
        if verdict.verdict == FAILS:
            claim = verdict.claim
            typer.echo(f"{claim.name} fails: {claim.says} Measured: {claim.reason}.")
