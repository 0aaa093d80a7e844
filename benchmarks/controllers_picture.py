"""The picture of `controllers.py`: what each contender came to, and the learning rates that they took.

Run: ``.venv/bin/python benchmarks/controllers_picture.py OUT --to docs/controllers.png``
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from precipice.figures import style

DRAWN = ("constant", "cosine", "hold sharpness", "hold sharpness, cosine", "hold K", "curvature step")
ORDER = (*DRAWN[:2], "cosine, twice the steps", *DRAWN[2:])


def label(row: dict[str, Any]) -> str:
    """The contender and its value, and whether the value was tuned."""
    return f"{row['name']} {row['value']}{' (tuned)' if row['trials'] else ''}"


def draw_losses(ax: Any, rows: list[dict[str, Any]]) -> None:
    """A row for each contender: its seeds as dots, the median as a bar."""
    for place, row in enumerate(reversed(rows)):
        losses = np.array(row["loss"], float)
        colour = style.COLOURS[0] if row["trials"] else style.COLOURS[1]
        ax.plot(losses, np.full(len(losses), place), "o", color=colour, ms=4, alpha=0.7)
        ax.plot(np.median(losses), place, "|", color=colour, ms=14, mew=2)
    ax.set_yticks(range(len(rows)), [label(row) for row in reversed(rows)], fontsize=7)
    ax.set_xscale("log")
    ax.set(xlabel="final training loss (cross-entropy)", title=rows[0]["task"])
    ax.grid(alpha=0.25, linewidth=0.6)


def draw_rates(ax: Any, rows: list[dict[str, Any]]) -> None:
    """The learning rate of each tuned contender along the training."""
    tuned = [row for row in rows if row["trials"] and row["name"] in DRAWN]
    for number, row in enumerate(tuned):
        ax.plot(row["lr"], color=style.COLOURS[number], lw=1.2, label=label(row))
    ax.set_yscale("log")
    ax.set_ylim(bottom=1e-4)
    ax.set(xlabel="step", ylabel="learning rate (first seed)")
    ax.legend(fontsize=6)
    ax.grid(alpha=0.25, linewidth=0.6)


def main(options: argparse.Namespace) -> None:
    """Draw all tasks side by side."""
    found = [row for path in sorted(options.out.glob("*.json")) for row in json.loads(path.read_text())]
    names = [name for name in ("digits", "mnist", "cifar10") if any(row["task"] == name for row in found)]
    picture = Figure(figsize=(6.2 * len(names), 8.6), layout="constrained", dpi=110)
    FigureCanvasAgg(picture)
    axes = picture.subplots(2, len(names), squeeze=False)
    for column, name in enumerate(names):
        rows = sorted((row for row in found if row["task"] == name), key=lambda row: ORDER.index(row["name"]))
        draw_losses(axes[0, column], rows)
        draw_rates(axes[1, column], rows)
    style.caption(picture, options.caption)
    style.save(picture, options.to)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder that controllers.py wrote")
    parser.add_argument("--to", type=Path, required=True, help="the picture")
    parser.add_argument("--caption", default="", help="what was run")
    main(parser.parse_args())
