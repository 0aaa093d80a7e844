"""Where each point of a plane of starts ends, refined where neighbours end differently: basins and their borders."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from precipice._checks import InputError, at_least, at_most, whole
from precipice._types import Params, PRNGKey
from precipice.dynamics.process import AbstractProcess, State
from precipice.dynamics.progress import Progress, quiet
from precipice.dynamics.settle import Settled, settle

MOST_LEVELS = 16

FEWEST = 256
"""Starts of one level, at least; fewer are filled up, so that few sizes are compiled."""


class Basins(NamedTuple):
    """The ends of a grid of starts (x, y).

    Args:
        x: first coordinate of the starts [nx].
        y: second coordinate [ny].
        params: the last parameters, a pytree with leading axes [nx, ny].
        step: steps taken [nx, ny].
        status: `results.Status` [nx, ny].
        stop_reason: `results.StopReason` [nx, ny].
        label: what neighbours are compared by [nx, ny].
        computed: whether the start was run; elsewhere everything is that of a neighbour in a uniform cell [nx, ny].
    """

    x: np.ndarray
    y: np.ndarray
    params: PyTree
    step: np.ndarray
    status: np.ndarray
    stop_reason: np.ndarray
    label: np.ndarray
    computed: np.ndarray


def _check_axis(name: str, axis: np.ndarray) -> None:
    at_least(f"number of points of {name}", len(axis), 2)
    if not (np.all(np.isfinite(axis)) and np.all(np.diff(axis) > 0)):
        raise InputError(f"{name} must be finite and ascending; got {np.array2string(np.asarray(axis))}.")


def _fine_axes(x: np.ndarray, y: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    whole("levels", levels, 0)
    at_most("levels", levels, MOST_LEVELS, "each doubles both axes")
    _check_axis("x", x)
    _check_axis("y", y)
    return refined(x, levels), refined(y, levels)


def by_status(found: Settled) -> np.ndarray:
    """Label ends by whether they diverged."""
    return found.status


def pair(point: Float[Array, "2"]) -> Params:
    """A start (x, y) as the parameters themselves."""
    return point


def basins(
    process: AbstractProcess,
    x: np.ndarray,
    y: np.ndarray,
    *,
    key: PRNGKey,
    converged: Callable[[State], Bool[Array, ""]],
    num_steps: int,
    levels: int = 0,
    start: Callable[[Float[Array, "2"]], Params] = pair,
    label: Callable[[Settled], np.ndarray] = by_status,
    check_every: int = 64,
    chunk: int = 16384,
    progress: Progress = quiet,
) -> Basins:
    """Settle `process` from a grid of starts, doubling the grid `levels` times where corners of a cell differ.

    At each level only the points of cells whose corners have different labels are run, and from there the border is
    followed: in the end all corners of each cell with different labels were run. A border of dimension D costs about
    2^D per level in place of 4. An island that no run touches is not seen. Memory: the results on the finest grid, and
    what `settle` holds. Labels that are NaN count as equal. Of a process that draws, a start's noise depends on the
    level at which it is run.

    Args:
        process: what moves.
        x: first coordinates of the coarse grid, ascending [at least 2].
        y: second coordinates, ascending [at least 2].
        key: see `settle`; the noise of each start is its own within a level only.
        converged: see `settle`.
        num_steps: the budget of each start; a multiple of `check_every`.
        levels: doublings; the finest grid has (n - 1) 2^levels + 1 points along an axis.
        start: (x, y) [2] -> parameters to start from.
        label: ends [m] -> labels [m], compared for equality; by default whether they diverged.
        check_every: steps between checks.
        chunk: starts at a time on each core, a power of two.
        progress: a display of starts that have ended.

    Raises:
        InputError: an axis of fewer than two points, not ascending or not finite, levels below 0, or as `settle`.

    References: zhu2022, figures 2b and 6a; the refinement is ours.

    Example:
        >>> from precipice import dynamics, problems
        >>> descent = dynamics.Descent(problems.ScalarNetwork((1, 1)), dynamics.gradient_descent(0.2))
        >>> axis = np.array([1.0, 2.0, 9.0])
        >>> done = dynamics.LossBelow(1e-10)
        >>> found = basins(descent, axis, axis, key=jax.random.key(0), converged=done, num_steps=640)
        >>> found.status.tolist()
        [[2, 2, 3], [2, 2, 3], [3, 3, 3]]
    """
    fine_x, fine_y = _fine_axes(x, y, levels)

    def ends(mask: np.ndarray) -> Settled:
        places = np.argwhere(mask)
        i, j = np.pad(places, ((0, max(FEWEST - len(places), 0)), (0, 0)), mode="edge").T  # few shapes to compile
        found = settle(
            process,
            jax.vmap(start)(jnp.asarray(np.stack([fine_x[i], fine_y[j]], axis=1))),
            key=key,
            converged=converged,
            num_steps=num_steps,
            check_every=check_every,
            chunk=chunk,
            progress=progress,
            title="basins",
        )
        return jax.tree.map(lambda leaf: leaf[: len(places)], found)

    shape = (len(fine_x), len(fine_y))
    computed, stride = np.zeros(shape, bool), 2**levels
    computed[::stride, ::stride] = True
    found = ends(computed)
    fields = jax.tree.map(lambda leaf: _spread(leaf, computed), (found, label(found)))
    while stride > 1:
        new, stride = _between(fields[1][::stride, ::stride]), stride // 2
        for leaf in jax.tree.leaves(fields):
            _fill(leaf[::stride, ::stride])
        while (missing := _at(new, stride, shape) & ~computed).any():
            found = ends(missing)
            for leaf, values in zip(jax.tree.leaves(fields), jax.tree.leaves((found, label(found))), strict=True):
                leaf[missing] = values
            computed |= missing
            new = corners(fields[1][::stride, ::stride])
    settled, labels = fields
    return Basins(fine_x, fine_y, settled.params, settled.step, settled.status, settled.stop_reason, labels, computed)


def refined(axis: np.ndarray, levels: int) -> np.ndarray:
    """An axis with `levels` halvings of each step: [(n - 1) 2^levels + 1]."""
    axis = np.asarray(axis, float)
    places = np.linspace(0, len(axis) - 1, (len(axis) - 1) * 2**levels + 1)
    return np.interp(places, np.arange(len(axis)), axis)


def _spread(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An array over the grid with `values` where `mask` is set, in order."""
    grid = np.zeros((*mask.shape, *np.shape(values)[1:]), np.asarray(values).dtype)
    grid[mask] = values
    return grid


def _mixed(label: np.ndarray) -> np.ndarray:
    """The cells whose corners differ."""
    first = label[:-1, :-1]
    others = (label[1:, :-1], label[:-1, 1:], label[1:, 1:])
    blank = [(other != other) & (first != first) for other in others]  # NaN
    return np.any([(other != first) & ~both for other, both in zip(others, blank, strict=True)], axis=0)


def _between(label: np.ndarray) -> np.ndarray:
    """The points of the grid twice as fine that lie in, or on the sides of, cells whose corners differ."""
    return _touching(_mixed(label), 2)


def corners(label: np.ndarray) -> np.ndarray:
    """The corners of cells whose corners differ."""
    return _touching(_mixed(label), 1)


def _touching(cells: np.ndarray, side: int) -> np.ndarray:
    """The points of a grid with `side` steps to a cell that lie in `cells`, sides and corners included."""
    points = np.zeros((side * cells.shape[0] + 1, side * cells.shape[1] + 1), bool)
    for i in range(side + 1):
        for j in range(side + 1):
            points[i : i + side * cells.shape[0] : side, j : j + side * cells.shape[1] : side] |= cells
    return points


def _at(points: np.ndarray, stride: int, shape: tuple[int, int]) -> np.ndarray:
    """Points of a coarse grid on the finest."""
    mask = np.zeros(shape, bool)
    mask[::stride, ::stride] = points
    return mask


def _fill(view: np.ndarray) -> None:
    """Give the points between those of even index the values of their lower neighbour, in place."""
    view[1::2, ::2] = view[:-1:2, ::2]
    view[:, 1::2] = view[:, :-1:2]
