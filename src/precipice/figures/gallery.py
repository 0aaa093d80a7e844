"""Contact sheets: all pictures of a folder on one page, and beside it a text with what was run and the claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError
from precipice.figures import report
from precipice.figures.report import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

CELL_WIDTH = 9.0
"""Width of one picture on the sheet, in inches at `DPI` dots each."""

DPI = 110


@dataclass(frozen=True)
class Entry:
    """One picture of a gallery.

    Args:
        heading: which figure, and whether it is a control.
        title: one line.
        scale: the scale's name.
        reduced: what was changed from the scale's own settings, or empty.
        tally: how many claims hold; for a control, whether the main claim fails as it must.
        ran: what was run, in a sentence.
        origin: with what and when it was run, in a sentence.
        picture: the PNG.
        rows: the claim table.
        figure: the figure's id.
        control_of: name of the figure's main claim if this is its control, else empty.
    """

    heading: str
    title: str
    scale: str
    reduced: str
    tally: str
    ran: str
    origin: str
    picture: Path
    rows: tuple[Row, ...]
    figure: str
    control_of: str


def write(entries: Sequence[Entry], folder: Path) -> tuple[Path, Path]:
    """Write ``gallery.png`` and ``gallery.md`` to `folder`, whose pictures the entries are; returns both paths.

    Raises:
        InputError: there are no entries, or a picture cannot be read.
    """
    from precipice.figures import style
    from precipice.results import write_bytes

    if not entries:
        raise InputError(f"a gallery needs at least one complete run; got none in {folder}.")
    png, text = folder / "gallery.png", folder / "gallery.md"
    style.save(sheet(entries), png)
    write_bytes(text, markdown(entries, png.name).encode())
    return png, text


def write_page(entries: Sequence[Entry], page: Path) -> Path:
    """Write a page of documentation: Markdown at `page`, pictures of 128 colours in a folder of its name beside it.

    Controls stand in the table of all claims at its end only. Pictures of an earlier page are replaced; returns the
    folder.

    Raises:
        InputError: there are no entries, or a picture cannot be read.
    """
    from precipice.results import write_bytes

    shown = [entry for entry in entries if not entry.control_of]
    if not shown:
        raise InputError("a gallery needs at least one complete run; got none.")
    folder = page.with_suffix("")
    for entry in shown:
        write_bytes(folder / entry.picture.name, _small(entry.picture))
    text = markdown(shown, "", f"{folder.name}/") + "\n" + all_claims(entries)
    write_bytes(page, text.encode())
    return folder


def _small(path: Path) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    try:
        with Image.open(path) as image:
            image.convert("RGB").quantize(128).save(buffer, format="png", optimize=True)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"Picture '{path}' cannot be read; delete it and it is drawn again.") from error
    return buffer.getvalue()


def sheet(entries: Sequence[Entry]) -> "Picture":
    """The pictures in a grid of one or two columns, each under its heading."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(entries))
    num_rows = -(-len(entries) // columns)
    images = [_image(entry.picture) for entry in entries]
    heights = [CELL_WIDTH * image.shape[0] / image.shape[1] + 0.5 for image in images]
    tall = [max(heights[row * columns : (row + 1) * columns]) for row in range(num_rows)]
    picture = Figure(figsize=(CELL_WIDTH * columns, sum(tall)), layout="constrained", dpi=DPI)
    FigureCanvasAgg(picture)
    axes = picture.subplots(num_rows, columns, squeeze=False, height_ratios=tall).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, image, entry in zip(axes, images, entries, strict=False):
        _show(ax, image, entry)
    return picture


def _show(ax: "Axes", image, entry: Entry) -> None:
    ax.imshow(image, interpolation="antialiased", interpolation_stage="rgba")
    ax.set_anchor("N")
    ax.set_title(f"{entry.heading}, scale {entry.scale}: {entry.tally.split(';')[0]}", fontsize=11, loc="left")


def _image(path: Path):
    from matplotlib.image import imread

    try:
        return imread(path)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on a file that is no PNG
        raise InputError(f"Picture '{path}' cannot be read; delete it and it is drawn again.") from error


HEADER = (
    "Each figure as precipice draws it, with its claims. The line *Run* says what was run and, where that differs from "
    "the paper's caption or the paper gives no numbers, so."
)


def markdown(entries: Sequence[Entry], png: str = "", prefix: str = "") -> str:
    """The text of a gallery: each picture, its title, its scale, what was run, its claim table.

    Args:
        entries: what it shows.
        png: name of the contact sheet, or empty for none.
        prefix: of the pictures' names.
    """
    head = f"All pictures on one page: [{png}]({png}). {HEADER}" if png else HEADER
    return "\n".join(["# Gallery", "", head, "", *(_section(entry, prefix) for entry in entries)])


def _section(entry: Entry, prefix: str) -> str:
    lines = [
        f"## {entry.heading}: {entry.title}",
        "",
        f"![{entry.heading}]({prefix}{entry.picture.name})",
        "",
        f"- Scale {entry.scale}{': ' if entry.reduced else ''}{entry.reduced}.",
        f"- Run: {entry.ran}",
        f"- {entry.origin}",
        f"- {entry.tally}.",
        "",
        claim_table(entry.rows),
        "",
    ]
    return "\n".join(lines)


def all_claims(entries: Sequence[Entry]) -> str:
    """One table of all claims: band, measured, verdict, and the main claim's number under the figure's control."""
    controls = {
        entry.figure: next(row for row in entry.rows if row.claim == entry.control_of)
        for entry in entries
        if entry.control_of
    }
    lines = [
        "## All claims",
        "",
        "The last column has the main claim's number under the figure's control, a setting under which the claim "
        "must not hold.",
        "",
        "| figure | claim | band | measured | verdict | control |",
        "|" + " --- |" * 6,
    ]
    for entry in entries:
        control = controls.get(entry.figure)
        for row in entry.rows if not entry.control_of else ():
            under = f"{control.measured}: {control.verdict}" if control and control.claim == row.claim else ""
            cells = (entry.figure, row.claim, row.band, row.measured, row.verdict, under)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def claim_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with what the paper says and what each number means."""
    columns = (*report.COLUMNS, "says", "meaning")
    named = (*report.COLUMNS, "the paper, in our words", "what is measured, and why this band")
    head = ["| " + " | ".join(named) + " |", "|" + " --- |" * len(named)]
    body = ["| " + " | ".join(getattr(row, name).replace("|", "\\|") for name in columns) + " |" for row in rows]
    return "\n".join(head + body)
