"""zhu2022/fig22: rank-one factorisation of the identity: two vectors align, then end just below 2/lr for every lr."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022.networks import check_degree, parse_starts

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "sharpness", "trajectory", "alignment")

EARLY = 30
"""Steps over which the caption follows the alignment."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        edges: 2/lr of the runs.
        dimension: of each of the two vectors.
        norm: length of x at the start; that of y is 1/(2 norm).
        num_steps: of each run.
        seeds: draws of the directions.
        precision: float64.
    """

    edges: str
    dimension: int
    norm: float
    num_steps: int
    seeds: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rates and |x| |y| = 1/2; its dimension and lengths are not given."""
    return Settings(edges="8,10,12", dimension=10, norm=2.5, num_steps=1500, seeds=10)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Three seeds."""
    return dataclasses.replace(paper_settings(), seeds=3)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rates: starts are far below the edge and stay there."""
    edges = ",".join(f"{10 * edge:g}" for edge in parse_starts(settings.edges, "edges")[0])
    return dataclasses.replace(settings, edges=edges)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for edge in parse_starts(settings.edges, "edges")[0]:
        check_degree(4, 2 / edge, settings.precision)
    at_least("dimension", settings.dimension, 2)
    positive("norm", settings.norm)
    at_least("num_steps", settings.num_steps, 2 * EARLY)
    at_least("seeds", settings.seeds, 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend from each draw of directions at each learning rate."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, measures, problems
    from precipice.results import to_dataset

    problem = problems.RankOneFactorization(settings.dimension, settings.norm)
    size = 2 * settings.dimension

    def probe(state):
        hessian = jax.hessian(problem.loss)(state.params).reshape(size, size)
        return {
            "excess_loss": measures.rank_one_excess(state.params),
            "sharpness": jnp.linalg.eigvalsh(hessian)[-1],
            "vector_norms": measures.rank_one_norms(state.params),
            "alignment_gap": measures.rank_one_alignment(state.params),
        }

    def one(key, lr):
        process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=problem.init(key))
        found = dynamics.simulate(process, key=key, num_steps=settings.num_steps, every=1, probes=(probe,))
        return {**found.saved, "status": found.status}

    lrs = 2 / np.array(parse_starts(settings.edges, "edges")[0])
    keys = jax.vmap(jax.random.key)(jnp.arange(settings.seeds))
    found = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(keys, jnp.asarray(lrs))
    coords = {"seed": range(settings.seeds), "lr": lrs, "step": range(settings.num_steps + 1), "entry": range(2)}
    return to_dataset({name: np.asarray(value) for name, value in found.items()}, coords=coords)


# Claims -------------------------------------------------------------------------------------------------------------


def _gaps(dataset: "xarray.Dataset") -> "xarray.DataArray":
    """2/lr - final sharpness, in units of lr."""
    return (2 / dataset["lr"] - dataset["sharpness"].isel(step=-1)) / dataset["lr"]


def _largest_gap(dataset: "xarray.Dataset") -> float | None:
    gaps = _gaps(dataset)
    return float(gaps.max()) if bool(gaps.notnull().all()) else None


def _smallest_gap(dataset: "xarray.Dataset") -> float | None:
    gaps = _gaps(dataset)
    return float(gaps.min()) if bool(gaps.notnull().all()) else None


def _loss(dataset: "xarray.Dataset") -> float:
    return float(dataset["excess_loss"].isel(step=-1).max())


def _factor(dataset: "xarray.Dataset") -> float | None:
    """Geometric mean of xi'/xi over the first steps; the slowest learning rate."""
    xi = dataset["alignment_gap"]
    early = (xi.isel(step=EARLY) / xi.isel(step=0)) ** (1 / EARLY)
    return float(early.max()) if bool(early.notnull().all()) else None


def _straightness(dataset: "xarray.Dataset") -> float | None:
    """Correlation of log xi with the step over the first steps; the least straight learning rate."""
    import numpy as np

    xi = dataset["alignment_gap"].isel(step=slice(0, EARLY + 1)).transpose("lr", "step").values
    if not (np.isfinite(xi).all() and (xi > 0).all()):
        return None
    return float(max(np.corrcoef(np.arange(EARLY + 1), np.log(row))[0, 1] for row in xi))


CLAIMS = (
    Claim(
        "adapts-to-each-learning-rate",
        "From one start, the sharpness ends around 2/lr for each learning rate.",
        "zhu2022 figure 22a, theorem 3.2",
        (0.0, 20 / 3),
        "largest (2/lr - sharpness)/lr; the theorem has |x|^2 + |y|^2 within 10/3 lr of 1/lr, and the sharpness is "
        "twice the sum",
        _largest_gap,
    ),
    Claim(
        "ends-as-the-scalar-model",
        "Once aligned the lengths move as the degree-4 scalar network, so that it ends where that does.",
        "zhu2022 figure 22a, section 3.3",
        (0.25, 0.55),
        "smallest (2/lr - sharpness)/lr; the scalar network has 0.30 at lr 1/4, 0.40 at 1/6 and 1/2 as lr goes to 0",
        _smallest_gap,
    ),
    Claim(
        "loss-vanishes",
        "The loss above its minimum (d - 1)/4 falls exponentially.",
        "zhu2022 figure 22a, theorem 3.2",
        (0.0, 1e-6),
        "largest last excess; at 2/lr = 12 the last residual shrinks by 1 - 0.4 lr^2 = 0.989 a step, 1e-9 of the "
        "excess in 1,000 steps",
        _loss,
    ),
    Claim(
        "alignment-decays-fast",
        "In the first 30 iterations the alignment indicator decreases.",
        "zhu2022 figure 22b, lemma 20",
        (0.0, 0.7),
        "geometric mean of its factor per step at the slowest learning rate: at most 0.7 in the proof, and "
        "(1 - lr (|x|^2 + |y|^2)/2)^2 = 1/4 at the edge minimum",
        _factor,
    ),
    Claim(
        "alignment-decays-geometrically",
        "It decreases geometrically.",
        "zhu2022 figure 22b, lemma 20",
        (-1.0, -0.95),
        "correlation of its logarithm with the step; -1 for one factor, while here it changes with the lengths",
        _straightness,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Excess loss, sharpness, lengths and alignment; the first seed."""
    from precipice.figures import style

    names, settings, first = PANELS if panel is None else (panel,), style.parameters(dataset), dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    labels = {
        "loss": ("gradient step", "loss - (d - 1)/4"),
        "sharpness": ("gradient step", "sharpness (largest Hessian eigenvalue)"),
        "trajectory": ("length |x|", "length |y|"),
        "alignment": ("gradient step", "alignment |x|² |y|² - (x · y)²"),
    }
    for name, ax in zip(names, axes, strict=True):
        for i, lr in enumerate(dataset["lr"].values):
            draw(ax, name, first.isel(lr=i), float(lr), style.COLOURS[i % len(style.COLOURS)])
        ax.set_yscale("log" if name in ("loss", "alignment") else "linear")
        ax.set_xlabel(labels[name][0])
        ax.set_ylabel(labels[name][1])
        ax.set_title({"trajectory": "every other step", "loss": "excess loss"}.get(name, name))
        ax.legend(fontsize=8, loc="upper right")
    style.caption(
        picture,
        f"Loss |I - x y^T x y^T|_F^2/4 (the square is missing in print), d = {settings['dimension']}, |x| = "
        f"{settings['norm']:g} and |x| |y| = 1/2 at the start, uniform directions, no perturbation; first of "
        f"{style.count(settings['seeds'], 'seed')}, {settings['num_steps']:,} steps. The loss is drawn above its "
        f"minimum (d - 1)/4. Squares: ends. d and |x| are ours; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def draw(ax, name: str, one: "xarray.Dataset", lr: float, colour: str) -> None:
    """One run in one panel."""
    from precipice.figures import style

    label = f"lr = {lr:.4g}"
    if name == "trajectory":
        x, y = one["vector_norms"].transpose("entry", "step").values
        for parity in (0, 1):
            ax.plot(x[parity::2], y[parity::2], ".-", color=colour, lw=0.7, ms=2, label=None if parity else label)
        ax.plot(x[-1], y[-1], "s", color=colour, ms=5)
        return
    values = one[{"loss": "excess_loss", "alignment": "alignment_gap"}.get(name, name)]
    shown = slice(0, 2 * EARLY + 1) if name == "alignment" else slice(None)
    ax.plot(one["step"][shown], values[shown], color=colour, lw=1.0, label=label)
    if name == "sharpness":
        style.edge_line(ax, 2 / lr, f"2/lr = {2 / lr:.4g}", colour)


FIGURE = Figure(
    id="zhu2022/fig22",
    title="Rank-one factorisation of the identity: alignment, and sharpness that adapts to the learning rate",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "5 seconds", NO_DATA),
        "paper": Scale(paper_settings, "20 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="adapts-to-each-learning-rate",
    claim_panels={
        "adapts-to-each-learning-rate": "sharpness",
        "ends-as-the-scalar-model": "sharpness",
        "loss-vanishes": "loss",
        "alignment-decays-fast": "alignment",
        "alignment-decays-geometrically": "alignment",
    },
)
