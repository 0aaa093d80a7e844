"""``precipice status``: what became of the cells of a study."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from precipice.cli import text
from precipice.cli.status import reported

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.results import CellStore

_MOST_MESSAGES = 8


@reported
def status(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="The store of a study.")],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Write the map as a PNG, too.", show_default=False),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and check it.")] = False,
) -> None:
    """Show the cells of a study: done, diverged, failed with their messages, missing; and a map of them.

    Nothing is executed: the study's code is not needed. The map shows the two longest axes; a place shows the worst
    of its cells.
    """
    from precipice.figures import grid_status, style
    from precipice.results import CellStore

    opened = CellStore(store)
    if verify:
        opened.verify()
    dataset = opened.dataset()
    cells = dataset["status"].load()
    text.lines(_rows(opened, dataset, store))
    _map(cells)
    _messages(opened)
    if picture is not None:
        style.save(grid_status.draw(cells, opened.layout.key["study"]), picture)
        text.lines([("picture", picture)])


def counts(codes: "np.ndarray") -> list[tuple[str, str]]:
    """How many cells ended how, a row each."""
    from precipice.figures.grid_status import COLOURS

    return [(code.name.lower(), f"{int((codes == code).sum()):,}") for code in COLOURS]


def _rows(store: "CellStore", dataset: "xarray.Dataset", path: Path) -> list[tuple[str, str]]:
    from precipice.results import Status

    shape = " x ".join(f"{len(values)} {name}" for name, values in store.layout.axes.items())
    claimed = store.claimed()
    rows = [
        ("study", store.layout.key["study"]),
        ("store", str(path)),
        ("cells", f"{dataset['status'].size:,} ({shape})"),
        *counts(dataset["status"].to_numpy()),
        ("blocks", f"{len(store.done()):,} of {len(store.blocks()):,} done, {len(claimed):,} in work"),
    ]
    if "diverged_at" in dataset:
        steps = dataset["diverged_at"].where(dataset["status"] == int(Status.DIVERGED))
        if bool(steps.notnull().any()):
            rows.append(("diverged at", f"step {float(steps.min()):,.0f} to {float(steps.max()):,.0f}"))
    return rows


def _map(cells: "xarray.DataArray") -> None:
    """The cells in letters, coloured on a terminal."""
    from rich.console import Console
    from rich.text import Text

    from precipice.figures.grid_status import COLOURS, LETTERS, lines, shown_axes

    axes = shown_axes(cells)
    styles = {LETTERS[code]: colour for code, colour in COLOURS.items()}
    console = Console(highlight=False)
    legend = ", ".join(f"{LETTERS[code]} {code.name.lower()}" for code in COLOURS)
    across = f"{axes[-1]} to the right" + (f", {axes[0]} down" if len(axes) == 2 else "")
    console.print(f"{across}; {legend}")
    for line in lines(cells):
        console.print(Text("").join(Text(letter, style=styles[letter]) for letter in line), soft_wrap=True)


def _messages(store: "CellStore") -> None:
    """Why cells failed: each message with how many cells say so and the first of them."""
    failures = store.failures()
    for message, num in Counter(failures.values()).most_common(_MOST_MESSAGES):
        cell = next(place for place, said in failures.items() if said == message)
        axes = store.layout.axes.items()
        where = ", ".join(f"{name}={values[i]:g}" for (name, values), i in zip(axes, cell, strict=True))
        typer.echo(f"failed: {num:,} of {len(failures):,} cells, first at {where}: {message}")
