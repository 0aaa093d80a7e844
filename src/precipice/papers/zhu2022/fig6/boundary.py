"""The border of divergence as a study: a cell is a tile of the plane of starts, refined where its ends differ.

Of a tile `dynamics.basins` runs the coarse starts and, level by level, those beside the border: the others, inside of
cells whose corners end alike, are filled with a neighbour's end and have ``start_computed`` 0. Where tiles meet, starts
lie in both; one that either has run counts as run. A border that crosses into a tile whose own starts do not show it
is followed there by `border`, once all tiles are in, so that in the end all corners of each finest cell with
different ends were run, as in `dynamics.basins` of the whole plane.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice.papers.zhu2022.networks import scalar_network

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.dynamics import Descent
    from precipice.papers.figure import Context
    from precipice.papers.zhu2022.fig6.settings import Settings
    from precipice.studies import Study

SIDE = 32
"""Coarse cells along each side of a tile."""

AT_REST = 1e-12
"""A start of the grid whose loss comes below this does not diverge."""

_RESULTS = ("end_status", "start_computed")


def study(settings: "Settings", data_dir: Path | None = None) -> "Study":  # noqa: ARG001
    """The study of the plane of starts."""
    from precipice.papers.zhu2022.start_tiles import variables
    from precipice.studies import Study, counted

    side = min(SIDE, settings.grid - 1)
    num = -(-(settings.grid - 1) // side)
    points = range(side * 2**settings.levels + 1)
    names = ("grid_lr", "x_low", "x_high", "y_low", "y_high", "grid", "levels", "grid_steps")
    return Study(
        "zhu2022/fig6a",
        tile,
        (counted("tile_row", num), counted("tile_column", num)),
        variables(*_RESULTS),
        {name: getattr(settings, name) for name in names},
        own={"tile_x": points, "tile_y": points},
        key_axes=(),
        precision=settings.precision,
        traced=False,
        chunk={"tile_row": 1, "tile_column": 1},
    )


def tile(
    key: Any,
    *,
    tile_row: int,
    tile_column: int,
    grid_lr: float,
    x_low: float,
    x_high: float,
    y_low: float,
    y_high: float,
    grid: int,
    levels: int,
    grid_steps: int,
) -> "dict[str, Any]":
    """``end_status`` and ``start_computed`` of the finest starts [x, y] of a tile; past the end of the grid 0."""
    import numpy as np

    from precipice import dynamics
    from precipice.results import Status

    side = min(SIDE, grid - 1)
    x, y = (
        np.linspace(low, high, grid)[n * side : (n + 1) * side + 1]
        for n, low, high in ((tile_row, x_low, x_high), (tile_column, y_low, y_high))
    )
    found = dynamics.basins(_descent(grid_lr), x, y, levels=levels, **_budget(key, grid_steps))
    past = tuple((0, side * 2**levels + 1 - n) for n in found.status.shape)
    ends = {"end_status": found.status, "start_computed": found.computed.astype(np.int8)}
    return {name: np.pad(values, past) for name, values in ends.items()} | {"status": int(Status.DONE)}


def _descent(lr: float) -> "Descent":
    from precipice import dynamics

    return dynamics.Descent(scalar_network(4), dynamics.gradient_descent(lr))


def _budget(key: Any, num_steps: int) -> dict[str, Any]:
    """When a start has ended, for `dynamics.basins` and `dynamics.settle`; descent draws nothing from the key."""
    from precipice import dynamics

    check_every = max(steps for steps in range(1, 65) if num_steps % steps == 0)
    ended = dynamics.LossBelow(AT_REST)
    return {"key": key, "converged": ended, "num_steps": num_steps, "check_every": check_every}


def border(settings: "Settings", context: "Context") -> "xarray.Dataset":
    """The tiles of the study put together, and the border followed where it crosses from one into the next."""
    import numpy as np

    from precipice.dynamics.basins import refined
    from precipice.papers.studied import studied
    from precipice.results import to_dataset

    found = studied(study(settings), context)
    coarse = [
        np.linspace(low, high, settings.grid)
        for low, high in ((settings.x_low, settings.x_high), (settings.y_low, settings.y_high))
    ]
    x, y = (refined(axis, settings.levels) for axis in coarse)
    status, computed = _joined(found, len(x))
    _follow(settings, x, y, status, computed)
    saved = {"end_status": status, "start_computed": computed.astype(np.int8)}
    return to_dataset(saved, coords={"start_x": x, "start_y": y})


def _joined(found: "xarray.Dataset", num: int) -> "tuple[np.ndarray, np.ndarray]":
    """(status, computed) of the whole plane [num, num]; on the sides of tiles, of the one that ran the start."""
    import numpy as np

    status, computed = np.zeros((num, num), np.int8), np.zeros((num, num), bool)
    side = found.sizes["tile_x"] - 1
    for row in range(found.sizes["tile_row"]):
        for column in range(found.sizes["tile_column"]):
            place = np.s_[row * side : (row + 1) * side + 1, column * side : (column + 1) * side + 1]
            size = tuple(slice(n) for n in status[place].shape)
            one = found.isel(tile_row=row, tile_column=column)
            ends, ran = one["end_status"].values[size], one["start_computed"].values[size] == 1
            taken = ran | (status[place] == 0)
            status[place][taken] = ends[taken]
            computed[place] |= ran
    return status, computed


def _follow(settings: "Settings", x: "np.ndarray", y: "np.ndarray", status: "np.ndarray", computed: "np.ndarray"):
    """Run the corners of cells with different ends that were filled, until there are none; in place."""
    import jax
    import numpy as np

    from precipice import dynamics
    from precipice.dynamics.basins import corners

    while (missing := corners(status) & ~computed).any():
        i, j = np.nonzero(missing)
        starts = np.stack([x[i], y[j]], axis=1)
        found = dynamics.settle(_descent(settings.grid_lr), starts, **_budget(jax.random.key(0), settings.grid_steps))
        status[missing] = found.status
        computed |= missing
