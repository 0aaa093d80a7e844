"""Where descent ends from a grid of starts, as a study: a cell is a tile of starts that `dynamics.settle` runs.

A traced run for each start would take the steps of the slowest start of its block in all of them; `settle` lets those
that have ended leave. A start's end depends on it alone, so that tiles change no bit of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice.papers.zhu2022 import grids

if TYPE_CHECKING:
    import numpy as np

    from precipice.papers.figure import Context
    from precipice.results import Variable
    from precipice.studies import Study

SIDE = 500
"""Starts along each side of a tile, two seconds of work; with half of it the tails of `settle` cost a third more."""

_RESULTS = ("final_sharpness", "final_loss", "end_status")


def study(settings: Any, data_dir: Path | None = None) -> "Study":  # noqa: ARG001
    """The study of a figure's grid of starts at one learning rate.

    Args:
        settings: with the fields degree, lr, x_low, x_high, y_low, y_high, grid, grid_steps and precision.
        data_dir: not used.
    """
    from precipice.studies import Study, counted

    side = min(SIDE, settings.grid)
    num = -(-settings.grid // side)
    names = ("degree", "lr", "x_low", "x_high", "y_low", "y_high", "grid", "grid_steps")
    return Study(
        "zhu2022/fig2b",
        tile,
        (counted("tile_row", num), counted("tile_column", num)),
        variables(*_RESULTS),
        {name: getattr(settings, name) for name in names},
        own={"tile_x": range(side), "tile_y": range(side)},
        key_axes=(),
        precision=settings.precision,
        traced=False,
        chunk={"tile_row": 1, "tile_column": 1},
    )


def variables(*names: str) -> "list[Variable]":
    """Variables of the vocabulary over the points of a tile."""
    import dataclasses

    from precipice.results.vocabulary import variable

    return [dataclasses.replace(variable(name), dims=("tile_x", "tile_y")) for name in names]


def tile(
    key: Any,  # noqa: ARG001
    *,
    tile_row: int,
    tile_column: int,
    degree: int,
    lr: float,
    x_low: float,
    x_high: float,
    y_low: float,
    y_high: float,
    grid: int,
    grid_steps: int,
) -> "dict[str, Any]":
    """``final_sharpness``, ``final_loss`` and ``end_status`` of a tile's starts [x, y]; past the grid's end its last.

    Descent draws nothing, and the study's key is not used.
    """
    import numpy as np

    from precipice.papers.zhu2022.networks import ends
    from precipice.results import Status

    axes = np.linspace(x_low, x_high, grid), np.linspace(y_low, y_high, grid)
    places = np.arange(min(SIDE, grid))
    x, y = (
        a[np.minimum(n * len(places) + places, grid - 1)] for a, n in zip(axes, (tile_row, tile_column), strict=True)
    )
    found = ends(degree, np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1), lr, grid_steps)
    ended = {"final_sharpness": found["final_sharpness"], "final_loss": found["final_loss"]}
    return ended | {"end_status": found["status"], "status": int(Status.DONE)}


def final_sharpness(settings: Any, context: "Context") -> "dict[str, np.ndarray]":
    """`grids.final_sharpness` by the study, a tile at a time."""
    from precipice.papers.studied import studied

    found = studied(study(settings), context)
    n = len(grids.grid_of(settings)[0])
    whole = {
        name: found[name].transpose("tile_row", "tile_x", "tile_column", "tile_y").values for name in _RESULTS
    }  # [rows, side, columns, side]
    joined = {name: v.reshape(v.shape[0] * v.shape[1], -1)[:n, :n] for name, v in whole.items()}
    return {"final_sharpness": joined["final_sharpness"], "final_loss": joined["final_loss"]} | {
        "status": joined["end_status"]
    }
