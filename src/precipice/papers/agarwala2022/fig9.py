"""agarwala2022/fig9: the plane (z, T(0)) of models with two eigenvalues: which points belong to one, and nullclines."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import plane
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("negative-eigenvalue", "positive-eigenvalue")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        negative: second eigenvalue of the first panel; the first eigenvalue is 1.
        positive: second eigenvalue of the other panel.
        offset: E, rescaled.
        z_limit: the window has z from -this to this ...
        t_limit: ... and T(0) up to this.
        grid: points along each axis.
        precision: float64.
    """

    negative: float
    positive: float
    offset: float
    z_limit: float
    t_limit: float
    grid: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure gives neither eigenvalues nor E nor its window."""
    return Settings(negative=-0.5, positive=0.5, offset=1.0, z_limit=1.5, t_limit=4.0, grid=200)


def control(settings: Settings) -> Settings:
    """Both eigenvalues exchanged: the allowed region is the larger one then."""
    return dataclasses.replace(settings, negative=settings.positive, positive=settings.negative)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    for name in ("negative", "positive"):
        value = getattr(settings, name)
        if not (-1 <= value < 1 and value != 0):
            raise InputError(f"{name} must lie in [-1, 1) and not be 0; got {value}.")
    if not np.isfinite(settings.offset):
        raise InputError(f"offset must be finite; got {settings.offset}.")
    positive("z_limit", settings.z_limit)
    positive("t_limit", settings.t_limit)
    at_least("grid", settings.grid, 10)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Which points belong to a model, and how far a step moves a point on a nullcline along its own coordinate."""
    from precipice import measures
    from precipice.results import to_dataset

    z, t = plane.grid((-settings.z_limit, settings.z_limit), (0.0, settings.t_limit), settings.grid)
    values = (settings.negative, settings.positive)
    allowed = np.stack([plane.feasible_starts(z, t, value, settings.offset)[1] for value in values])
    errors = []
    for value in values:
        of_z, of_t = measures.one_step_nullclines(z, value, settings.offset)
        moved_z = np.abs(measures.two_eigenvalue_step(z, of_z, value, settings.offset)[0] - z)
        moved_t = np.abs(measures.two_eigenvalue_step(z, of_t, value, settings.offset)[1] - of_t)
        inside = (np.abs(of_z) < settings.t_limit) & (np.abs(of_t) < settings.t_limit)
        errors.append(np.maximum(moved_z, moved_t)[inside].max(initial=0.0))
    return to_dataset(
        {"allowed": allowed.astype(float), "nullcline_error": np.array(errors)},
        coords={"second_eigenvalue": values, "plane_start_z": z, "plane_start_t": t},
    )


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The plane of both models."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        value = float(dataset["second_eigenvalue"][PANELS.index(name)])
        z, t = plane.grid((-settings["z_limit"], settings["z_limit"]), (0.0, settings["t_limit"]), 20)
        plane.draw_plane(ax, z, t, value, settings["offset"], signs_only=False)
        ax.axvline(0, color="#4a4a4a", lw=1.0, label="z = 0: minima")
        ax.set_title(f"eigenvalues 1 and {value:g}")
        ax.legend(fontsize=8, loc="lower right")
    style.caption(
        picture,
        f"Quadratic regression with two eigenvalues and E = {settings['offset']:g} (rescaled by the learning rate): "
        f"directions of one step of gradient descent, one-step nullclines, and in grey the points that belong to no "
        f"model. The paper gives no numbers; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _area_ratio(dataset: "xarray.Dataset") -> float:
    areas = dataset["allowed"].mean(("plane_start_z", "plane_start_t")).values
    return float(areas[1] / areas[0])


def _at_minimum(dataset: "xarray.Dataset") -> float:
    """Fraction of the T(0) axis that is allowed nearest to z = 0, for the second eigenvalue over the first."""
    middle = int(np.argmin(np.abs(dataset["plane_start_z"].values)))
    share = dataset["allowed"].isel(plane_start_z=middle).mean("plane_start_t").values
    return float(share[1] / share[0])


CLAIMS = (
    Claim(
        "smaller-for-a-positive-eigenvalue",
        "For a positive second eigenvalue the allowed region is smaller.",
        "agarwala2022 figure 9 (QR-13)",
        (0.0, 0.5),
        "its area in the window over that for the negative one",
        _area_ratio,
    ),
    Claim(
        "small-range-at-the-minima",
        "For a positive one it meets z = 0 in a small range only.",
        "agarwala2022 figure 9 (QR-13)",
        (0.0, 0.3),
        "share of T(0) that is allowed at z = 0, over that for the negative one; the range is from w E to E",
        _at_minimum,
    ),
    Claim(
        "nullclines-are-solved",
        "Nullclines can be solved for analytically.",
        "agarwala2022 figure 9; eqs. 57 and 58 (QR-14)",
        (0.0, 1e-10),
        "largest change of a coordinate in one step from its own nullcline, in the window",
        lambda dataset: float(dataset["nullcline_error"].max()),
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig9",
    title="Phase planes of two-eigenvalue models: allowed regions and nullclines",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "2 seconds", NO_DATA), "paper": Scale(paper_settings, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="smaller-for-a-positive-eigenvalue",
    claim_panels={
        "smaller-for-a-positive-eigenvalue": "positive-eigenvalue",
        "small-range-at-the-minima": "positive-eigenvalue",
        "nullclines-are-solved": "negative-eigenvalue",
    },
)
