"""``precipice plot`` and ``precipice gallery``: pictures of stored datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from precipice._checks import InputError
from precipice.cli import text
from precipice.cli.options import DEFAULT_OUT, Panel
from precipice.cli.status import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from precipice.cli.stores import Opened
    from precipice.figures.claims import Verdict
    from precipice.figures.gallery import Entry


@reported
def plot(
    store: Annotated[
        str, typer.Argument(metavar="PATH|ID", help="A dataset (folder ending in .zarr), or a figure id.")
    ],
    panel: Panel = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of the picture, and of the dataset where an id is given; by default the dataset's folder, "
            "and out for an id.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw the picture of a dataset again, or one panel of it."""
    from precipice.cli.stores import open_store
    from precipice.papers.request import check_panel, picture_beside
    from precipice.papers.runner import draw
    from precipice.results import check_writable

    opened = open_store(store, out or DEFAULT_OUT)
    check_panel(opened.figure, panel)
    path = picture_beside(opened.path, panel, out)
    check_writable(path.parent)
    draw(opened.figure, opened.dataset, path, panel)
    typer.echo(path)


@reported
def gallery(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.")],
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE",
            help="Write a page of documentation here instead, with small copies of the pictures beside it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Put all pictures of a folder on one page, with their claims.

    Writes DIR/gallery.png (all pictures) and DIR/gallery.md (what was run, claim tables).
    With --page FILE: Markdown for a documentation site (docs/gallery.md is one).
    A dataset that is damaged is left out and named, with exit status 2.
    """
    from precipice.cli.stores import open_store
    from precipice.figures.gallery import write, write_page
    from precipice.papers.registry import FIGURES
    from precipice.results import check_writable

    if not folder.is_dir():
        raise InputError(f"gallery needs a folder of results; '{folder}' is none.")
    opened, refused = [], []
    for path in sorted(folder.glob("*.zarr")):
        try:
            opened.append(open_store(str(path), folder))
        except InputError as error:
            refused.append(error)
    unread = " ".join(map(str, refused))
    if refused and not opened:
        raise InputError(unread)
    check_writable(page.parent if page else folder)
    places = list(FIGURES)
    ordered = sorted(opened, key=lambda one: (one.is_control, places.index(one.figure.id)))
    entries = [_entry(one) for one in ordered]
    if page:
        text.lines([("pictures", write_page(entries, page)), ("text", page)])
    else:
        png, written = write(entries, folder)
        text.lines([("pictures", png), ("text", written)])
    if refused:
        raise InputError(f"{unread} The gallery was made without {'it' if len(refused) == 1 else 'them'}.")


def _entry(opened: "Opened") -> "Entry":
    """A dataset as an entry; its picture is drawn if it is not there."""
    from precipice.cli.check import judged
    from precipice.figures import report
    from precipice.figures.gallery import Entry
    from precipice.papers.request import picture_beside
    from precipice.papers.runner import draw

    attrs, picture, verdicts = opened.dataset.attrs, picture_beside(opened.path), judged(opened)
    if not picture.exists():
        draw(opened.figure, opened.dataset, picture)
    return Entry(
        heading=opened.heading,
        title=opened.figure.title,
        scale=opened.scale,
        reduced=report.reduced(opened.dataset),
        tally="; ".join((_tally(opened, verdicts), *report.divergences(opened.dataset))),
        ran=caption(opened),
        origin=f"precipice {attrs['precipice_version']}, JAX {attrs['jax_version']}, {attrs['precision']} on "
        f"{attrs['device']}, {attrs['num_threads']} threads, "
        f"{attrs['wall_time_seconds']:.0f} s, {attrs['created_at']}.",
        picture=picture,
        rows=report.rows(verdicts),
        figure=opened.figure.id,
        control_of=opened.figure.main_claim if opened.is_control else "",
    )


def _tally(opened: "Opened", verdicts: "Sequence[Verdict]") -> str:
    from precipice.figures import claims, report

    if not opened.is_control:
        return report.tally(verdicts)
    main = next(v for v in verdicts if v.claim.name == opened.figure.main_claim)
    return (
        f"{main.claim.name} {'holds, as it must not' if main.verdict == claims.HOLDS else 'is broken, as it must be'}"
    )


def caption(opened: "Opened") -> str:
    """What was run, in the words under the picture."""
    return " ".join(opened.figure.picture(opened.dataset, opened.figure.panels[0]).get_supxlabel().split())
