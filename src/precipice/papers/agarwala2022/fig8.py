"""agarwala2022/fig8: the symmetric model, eigenvalues 1 and -1, sharpens in a small region and never feels the edge."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import plane
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("without-offset", "with-offset", "ends")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        epsilon: the second eigenvalue is -epsilon; 1 in the figure.
        offset: E of the second panel, rescaled; the first has 0.
        z_limit: starts have z from -this to this ...
        t_limit: ... and T(0) up to this.
        grid: starts along each axis; those that belong to no model are left out.
        num_steps: the most steps of each.
        precision: float64.
    """

    epsilon: float
    offset: float
    z_limit: float
    t_limit: float
    grid: int
    num_steps: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure gives neither E nor its window."""
    return Settings(epsilon=1.0, offset=1.0, z_limit=1.0, t_limit=4.6, grid=60, num_steps=20_000)


def paper_settings(data_dir: Path | None = None) -> Settings:
    """More starts."""
    return dataclasses.replace(quick_settings(data_dir), grid=200)


def control(settings: Settings) -> Settings:
    """A second eigenvalue with epsilon = 0.005, the model of figure 2: starts concentrate at the edge."""
    return dataclasses.replace(settings, epsilon=0.005)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    plane.check_epsilon(settings.epsilon)
    if not (np.isfinite(settings.offset) and settings.offset != 0):
        raise InputError(f"offset must be finite and not 0; got {settings.offset}.")
    for name in ("z_limit", "t_limit"):
        if not 0 < getattr(settings, name) < np.inf:
            raise InputError(f"{name} must be positive and finite; got {getattr(settings, name)}.")
    at_least("grid", settings.grid, 4)
    at_least("num_steps", settings.num_steps, 64)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Where each start of the grid ends, with and without the offset."""
    from precipice.results import Status, to_dataset

    z, t = plane.grid((-settings.z_limit, settings.z_limit), (0.0, settings.t_limit), settings.grid)
    offsets = (0.0, settings.offset)
    cells = []
    for offset in offsets:
        starts, feasible = plane.feasible_starts(z, t, -settings.epsilon, offset)
        found = plane.ends(starts[feasible], -settings.epsilon, settings.num_steps, offset)
        cell = {"final_t": np.full(feasible.shape, np.nan), "status": np.full(feasible.shape, int(Status.MISSING))}
        for name, values in cell.items():
            values[feasible] = found[name]
        cells.append(cell)
    saved = {name: np.stack([cell[name] for cell in cells]) for name in cells[0]}
    return to_dataset(saved, coords={"offset": offsets, "plane_start_z": z, "plane_start_t": t})


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Both planes with signs of motion, and the final against the initial curvature."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "ends":
            _draw_ends(ax, dataset)
            continue
        offset = float(dataset["offset"][PANELS.index(name)])
        z, t = plane.grid((-settings["z_limit"], settings["z_limit"]), (0.0, settings["t_limit"]), 18)
        plane.draw_plane(ax, z, t, -settings["epsilon"], offset)
        ax.axhline(2, color="#4a4a4a", ls="--", lw=1.0, label="T(0) = 2: the edge")
        ax.set_title(f"E = {offset:g}")
        ax.legend(fontsize=8, loc="lower left")
    style.caption(
        picture,
        f"Quadratic regression with eigenvalues 1 and -{settings['epsilon']:g}: arrows show the signs of one step, "
        f"grey is no model; right: T(0) where {settings['grid']} x {settings['grid']} starts end (those that belong to "
        f"a model and converge). E here is lr E; E and the window are not given in the paper; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_ends(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for index, offset in enumerate(dataset["offset"].values):
        start, end = _pairs(dataset, index)
        ax.plot(start, end, ".", ms=2, color=style.COLOURS[index], label=f"E = {offset:g}")
    limit = float(dataset["plane_start_t"].max())
    ax.plot([0, limit], [0, limit], color="#888888", lw=0.8, label="unchanged")
    ax.axhline(2, color="#4a4a4a", ls="--", lw=1.0, label="T(0) = 2: the edge")
    ax.set_xlabel("initial T(0) (learning rate x NTK)")
    ax.set_ylabel("final T(0) (learning rate x NTK)")
    ax.set_title("where starts end")
    ax.legend(fontsize=8)


def _pairs(dataset: "xarray.Dataset", index: int) -> tuple[np.ndarray, np.ndarray]:
    """(initial, final) T(0) of the starts that converged, at one offset."""
    end = dataset["final_t"].isel(offset=index).values
    start = np.broadcast_to(dataset["plane_start_t"].values, end.shape)
    found = np.isfinite(end)
    return start[found], end[found]


def _concentration(dataset: "xarray.Dataset") -> float | None:
    """Of the converged starts with T(0) above 1: the fraction that ends within 0.02 below 2, the larger of both."""
    found = []
    for index in range(dataset.sizes["offset"]):
        start, end = _pairs(dataset, index)
        end = end[start > 1]
        if len(end) >= 20:
            found.append(float(np.mean((end > 1.98) & (end <= 2))))
    return max(found) if found else None


def _sharpened(dataset: "xarray.Dataset", index: int) -> float | None:
    start, end = _pairs(dataset, index)
    return float(np.mean(end > start + 1e-6)) if len(end) >= 20 else None


CLAIMS = (
    Claim(
        "no-concentration-at-the-edge",
        "There is no edge-of-stability effect.",
        "agarwala2022 figure 8, right (QR-11)",
        (0.0, 0.1),
        "fraction of the converged starts with T(0) above 1 that end within 0.02 below 2, a fiftieth of the range from "
        "1 to 2; the larger of both offsets",
        _concentration,
    ),
    Claim(
        "no-sharpening-without-offset",
        "For E = 0 the curvature only falls, as T' - T = z^2 (T - 4).",
        "agarwala2022 eq. 11 (QR-11)",
        (0.0, 0.0),
        "fraction of the converged starts that end with a larger T(0)",
        lambda dataset: _sharpened(dataset, 0),
    ),
    Claim(
        "small-sharpening-region-with-offset",
        "Other values of E have a region of progressive sharpening.",
        "agarwala2022 figure 8, middle and right",
        (0.005, 0.5),
        "fraction of the converged starts that end with a larger T(0); a minority, but not nothing",
        lambda dataset: _sharpened(dataset, 1),
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig8",
    title="The symmetric two-eigenvalue model: phase portraits and where starts end",
    panels=PANELS,
    scales={"quick": Scale(quick_settings, "5 seconds", NO_DATA), "paper": Scale(paper_settings, "9 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="no-concentration-at-the-edge",
    claim_panels={claim.name: "ends" for claim in CLAIMS},
)
