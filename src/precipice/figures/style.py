"""One look for all figures: colours, panels, the edge line, captions under the picture."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

COLOURS = ("#1f5fa8", "#d1622b", "#3a8f5c", "#7d4ea3", "#8a6d3b", "#4a4a4a")
"""Distinguishable with common colour-vision deficiencies, in this order."""


def panels(num: int) -> "tuple[Picture, list[Axes]]":
    """A picture with `num` panels side by side, without the global state of pyplot."""
    picture, rows = grid(1, num)
    return picture, rows[0]


def grid(num_rows: int, num_columns: int) -> "tuple[Picture, list[list[Axes]]]":
    """A picture with rows of panels, the axes by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(5.2 * num_columns, 4.0 * num_rows + 0.4), layout="constrained", dpi=150)
    FigureCanvasAgg(picture)
    rows = [list(row) for row in picture.subplots(num_rows, num_columns, squeeze=False)]
    for ax in (ax for row in rows for ax in row):
        ax.grid(alpha=0.25, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    return picture, rows


DRAWN = 1e100
"""What is larger in size is not drawn: a diverged run's last values, whose axes matplotlib cannot label."""


def drawable(dataset: "xarray.Dataset") -> "tuple[xarray.Dataset, bool]":
    """The dataset with NaN in place of values beyond `DRAWN` in size, and whether there were any."""
    far = {name: abs(dataset[name]) > DRAWN for name in dataset.data_vars if dataset[name].dtype.kind == "f"}
    far = {name: beyond for name, beyond in far.items() if bool(beyond.any())}
    return dataset.assign({name: dataset[name].where(~beyond) for name, beyond in far.items()}), bool(far)


def seed_line(seed: int) -> dict[str, Any]:
    """Line style of a seed: the first stands out, the others are faint."""
    return {"linewidth": 1.3, "alpha": 1.0} if seed == 0 else {"linewidth": 0.8, "alpha": 0.4}


def edge_line(ax: "Axes", height: float, label: str, colour: str) -> None:
    """The edge as a dashed horizontal line, labelled at the right end."""
    ax.axhline(height, color=colour, linestyle="--", linewidth=1.0, label=label)


def caption(picture: "Picture", text: str) -> None:
    """A caption under the panels, wrapped to the width of the picture."""
    width = int(picture.get_figwidth() * 16)  # characters of 8 points, wide ones among them
    picture.supxlabel("\n".join(textwrap.wrap(text, width)), fontsize=8, color="#444444")


def parameters(dataset: "xarray.Dataset") -> dict[str, Any]:
    """The settings recorded with a dataset."""
    return json.loads(dataset.attrs["parameters"])


def count(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def network(settings: dict[str, Any]) -> str:
    """The network and its data in one clause, from recorded settings."""
    return (
        f"{settings['depth']} hidden layers of {settings['width']} {settings['activation']} units "
        f"({settings['initialisation']} initialisation), first {settings['num_examples']:,} training images of "
        f"{settings['dataset']} ({settings['preprocess'].replace('_', ' ')}), mean half squared error"
    )


def save(picture: "Picture", path: Path) -> None:
    """Write a PNG in one piece: a kill leaves the old file or the new one."""
    import io

    from precipice.results import write_bytes

    buffer = io.BytesIO()
    picture.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
