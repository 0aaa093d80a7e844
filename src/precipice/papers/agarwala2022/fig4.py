"""agarwala2022/fig4: over the scales of residuals and Jacobian, where quadratic models end at the edge of stability."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import models
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

    from precipice.studies import Study

PANELS = ("first-size", "second-size")

BELOW = 1.5
"""Models that start with lr lambda_max above this count as started near the edge."""

EDGE = (1.85, 2.1)
"""lr lambda_max here is near the edge: finite sizes end a little below, unfinished two-cycles a little above."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        sizes: a pair (outputs d, parameters p) for each panel, two or one; the paper's are not given in the text.
        output_low: the least scale of the residuals times d, the paper's tilde sigma_z ...
        output_high: ... and the largest.
        jacobian_low: the least square of the scale of the Jacobian, tilde sigma_J^2 ...
        jacobian_high: ... and the largest.
        grid: cells along each axis.
        draws: of the model in each cell, the paper's 100; the cells of one draw share its z, J and Q up to scale.
        num_steps: the most steps of each run.
        precision: float64.
    """

    sizes: str
    output_low: float
    output_high: float
    jacobian_low: float
    jacobian_high: float
    grid: int
    draws: int
    num_steps: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Small models on a coarse grid."""
    return Settings(
        sizes="10x20; 20x20",
        output_low=0.005,
        output_high=1.5,
        jacobian_low=0.1,
        jacobian_high=0.55,
        grid=10,
        draws=15,
        num_steps=1000,
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """100 draws in each cell of a fine grid, at the size of figure 3 and at a square one that two cores hold."""
    return dataclasses.replace(quick_settings(data_dir), sizes="60x120; 30x30", grid=16, draws=100, num_steps=6000)


def control(settings: Settings) -> Settings:
    """A hundredth of the residuals throughout: nothing that starts below the edge reaches it."""
    return dataclasses.replace(
        settings, output_low=settings.output_low / 100, output_high=settings.output_low, draws=min(settings.draws, 5)
    )


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    if len(models.sizes(settings.sizes)) > len(PANELS):
        raise InputError(f"sizes must be at most {len(PANELS)} pairs, one a panel; got {settings.sizes!r}.")
    for axis in ("output", "jacobian"):
        low, high = getattr(settings, f"{axis}_low"), getattr(settings, f"{axis}_high")
        positive(f"{axis}_low", low)
        if not low < high < np.inf:
            raise InputError(f"{axis}_high must be finite and above {axis}_low ({low:g}); got {high}.")
    at_least("grid", settings.grid, 3)
    at_least("draws", settings.draws, 1)
    at_least("num_steps", settings.num_steps, 1)


def study(settings: Settings, data_dir: Path | None = None) -> "Study":  # noqa: ARG001
    """Where each cell of each draw ends. A block draws a model once for all scales, and a step is one product for them.

    The number of a draw is the seed of its model: `cell` takes nothing from the study's key.
    """
    from precipice.studies import Axis, Study, counted

    axes = (
        Axis("model_size", range(len(models.sizes(settings.sizes))), splits=True),
        counted("draw", settings.draws),
        Axis("output_scale", np.geomspace(settings.output_low, settings.output_high, settings.grid).tolist()),
        Axis(
            "jacobian_scale_squared", np.linspace(settings.jacobian_low, settings.jacobian_high, settings.grid).tolist()
        ),
    )
    return Study(
        "agarwala2022/fig4",
        cell,
        axes,
        MEASURED,
        {"sizes": settings.sizes, "num_steps": settings.num_steps},
        claims=CLAIMS,
        key_axes=(),
        precision=settings.precision,
        chunk={"model_size": 1, "draw": 1, "output_scale": settings.grid, "jacobian_scale_squared": settings.grid},
    )


MEASURED = ("rescaled_kernel_start", "rescaled_kernel_end", "steps_taken")


def cell(key, *, model_size: int, draw, output_scale, jacobian_scale_squared, sizes: str, num_steps: int):  # noqa: ARG001
    """The results named `MEASURED` of one draw at one pair of scales."""
    import jax
    import jax.numpy as jnp

    from precipice import measures
    from precipice.results import Status

    size = models.sizes(sizes)[model_size]
    unit = models.unit_rows(*size, jax.random.key(draw))
    scales = measures.rescaled_scales(*size, output=output_scale, jacobian=jnp.sqrt(jacobian_scale_squared))
    found = models.end(unit, scales.output, scales.jacobian, num_steps)
    status = jnp.where(found.loss < models.DIVERGED, int(Status.DONE), int(Status.DIVERGED))
    return {**dict(zip(MEASURED, (found.start, found.end, found.steps), strict=True)), "status": status}


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Where each cell of each draw ends; all scales of a draw are one block of the study."""
    from precipice.papers.studied import studied
    from precipice.results import to_dataset

    found = studied(study(settings), context).transpose(..., "draw")
    sizes = models.sizes(settings.sizes)
    saved = {name: found[name].values for name in (*MEASURED, "status")}
    saved |= {"model_outputs": np.array([d for d, _ in sizes]), "model_params": np.array([p for _, p in sizes])}
    return to_dataset(saved, coords={str(name): found[name].values for name in found["status"].dims})


def medians(dataset: "xarray.Dataset", name: str = "rescaled_kernel_end") -> np.ndarray:
    """The median over draws, a diverged run counting as infinite [sizes, output scales, Jacobian scales]."""
    values = dataset[name].transpose("model_size", "output_scale", "jacobian_scale_squared", "draw").values
    return np.median(np.where(np.isnan(values), np.inf, values), axis=-1)


def _shown(dataset: "xarray.Dataset", panel: str | None) -> tuple[str, ...]:
    there = PANELS[: dataset.sizes["model_size"]]
    if panel is not None and panel not in there:
        raise InputError(f"panel must be one of those that were run, {', '.join(there)}; got {panel!r}.")
    return there if panel is None else (panel,)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The median lr lambda_max at the end over the plane of scales; grey cells diverge."""
    from precipice.figures import style

    names, settings = _shown(dataset, panel), style.parameters(dataset)
    ends = medians(dataset)
    picture, axes = style.panels(len(names))
    outputs, squares = dataset["output_scale"].values, dataset["jacobian_scale_squared"].values
    for name, ax in zip(names, axes, strict=True):
        index = PANELS.index(name)
        shown = np.where(np.isfinite(ends[index]), ends[index], np.nan)
        mesh = ax.pcolormesh(outputs, squares, shown.T, cmap="RdBu_r", vmin=0, vmax=4, shading="nearest")
        start = dataset["rescaled_kernel_start"].isel(model_size=index).values[0].mean(axis=-1)
        ax.axhline(np.interp(2, start, squares), color="#4a4a4a", ls="--", lw=1.0, label="starts at 2")
        picture.colorbar(mesh, ax=ax, label="median of lr lambda_max at the end")
        ax.set_xscale("log")
        ax.grid(False)
        ax.set_facecolor("#b8b8b8")
        ax.set_xlabel("residual scale, s_z d")
        ax.set_ylabel("squared Jacobian scale, s_J^2 sqrt(d p)")
        ax.set_title(models.label(int(dataset["model_outputs"][index]), int(dataset["model_params"][index])))
        ax.legend(fontsize=8, loc="lower left")
    style.caption(
        picture,
        f"Quadratic regression, descent at lr = 1 on the sum of half squares, at most {settings['num_steps']:,} steps; "
        f"{settings['draws']} draws in each of {settings['grid']} x {settings['grid']} cells, which share them up to "
        f"scale; white near 2 is the edge, grey cells diverge. The text says r_NL = residual scale; it is half that "
        f"times sqrt(2 p/(p + d)). Sizes and grid are not given; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _rows(dataset: "xarray.Dataset"):
    """(start, ends [output scales]) of each Jacobian scale of each size whose median start is below the edge."""
    ends, starts = medians(dataset), medians(dataset, "rescaled_kernel_start")
    for size in range(dataset.sizes["model_size"]):
        for column in range(dataset.sizes["jacobian_scale_squared"]):
            if starts[size, 0, column] < BELOW:
                yield starts[size, 0, column], ends[size, :, column]


def _reaching(dataset: "xarray.Dataset") -> float | None:
    found = [bool(((row >= EDGE[0]) & (row <= EDGE[1])).any()) for _, row in _rows(dataset)]
    return float(np.mean(found)) if found else None


def _kept(dataset: "xarray.Dataset") -> float | None:
    found = [abs(row[0] / start - 1) for start, row in _rows(dataset)]
    return float(max(found)) if found else None


def _corner(dataset: "xarray.Dataset") -> float:
    """Fraction of the runs that diverge at the largest scales."""
    from precipice.results import Status

    last = dataset["status"].isel(output_scale=-1, jacobian_scale_squared=-1)
    return float((last.values == int(Status.DIVERGED)).mean())


CLAIMS = (
    Claim(
        "middle-residuals-end-at-the-edge",
        "For intermediate residuals models sharpen first and then settle near lr lambda_max = 2.",
        "agarwala2022 figure 4",
        (0.6, 1.0),
        f"fraction of the Jacobian scales that start below {BELOW:g} for which some residual scale has its median end "
        f"in [{EDGE[0]:g}, {EDGE[1]:g}]: the band of such scales is narrow, and a coarse grid misses some of it",
        _reaching,
    ),
    Claim(
        "small-residuals-keep-the-curvature",
        "With small residuals the curvature ends where it began.",
        "agarwala2022 figure 4",
        (0.0, 0.05),
        "largest relative change of the median at the smallest residual scale, of starts below the edge",
        _kept,
    ),
    Claim(
        "large-scales-diverge",
        "Large residuals with a large Jacobian diverge.",
        "agarwala2022 figure 4",
        (0.9, 1.0),
        "fraction of the runs of the last cell",
        _corner,
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig4",
    title="Phase planes of quadratic models: median curvature at the end over the scales of the start",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "3 hours", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="middle-residuals-end-at-the-edge",
    claim_panels={
        "middle-residuals-end-at-the-edge": "first-size",
        "small-residuals-keep-the-curvature": "first-size",
        "large-scales-diverge": "second-size",
    },
)
