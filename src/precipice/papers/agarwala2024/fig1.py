"""agarwala2024/fig1: linear regression under SGD diverges beyond a learning rate far below that of the mean."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least
from precipice.figures.claims import Claim
from precipice.papers.agarwala2024 import linear
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("trajectories", "measures", "losses")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        num_examples: D.
        num_params: P.
        batch_size: B.
        kernel_seed: of the draw of J, standard normal [D, P].
        rates: learning rates over the one at which the second moment's radius is 1, ascending.
        num_steps: of each run, a multiple of every.
        every: steps between recorded losses.
        seeds: runs with different starts and batches at each rate.
        precision: float64.
    """

    num_examples: int
    num_params: int
    batch_size: int
    kernel_seed: int
    rates: str
    num_steps: int
    every: int
    seeds: int
    precision: str = "float64"


RATES = "0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's sizes and steps; its learning rates are not given."""
    return Settings(100, 120, 5, kernel_seed=0, rates=RATES, num_steps=10_000, every=100, seeds=3)


def paper_settings(data_dir: Path | None = None) -> Settings:
    """More seeds."""
    return dataclasses.replace(quick_settings(data_dir), seeds=10)


def control(settings: Settings) -> Settings:
    """The full batch: there is no noise, and nothing diverges before the mean does."""
    return dataclasses.replace(settings, batch_size=settings.num_examples)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule

    linear.check_model(settings)
    check_schedule(settings.num_steps, settings.every)
    at_least("seeds", settings.seeds, 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Losses of SGD and every measure of stability at each learning rate."""
    import jax.numpy as jnp

    from precipice import measures
    from precipice.results import to_dataset

    kernels, saved = linear.in_settings(("flat",), settings)
    saved |= linear.losses(kernels, saved["learning_rate"], settings, settings.every)
    saved = {name: values[0] for name, values in saved.items()}
    at_edge = np.nan
    if not np.isnan(saved["stochastic_edge_lr"]):
        at = {"lr": float(saved["stochastic_edge_lr"]), "batch_size": settings.batch_size}
        at_edge = float(jnp.linalg.eigvalsh(measures.diagonal_second_moment(jnp.asarray(kernels[0]), **at))[-1])
    return to_dataset(
        {**saved, "diagonal_radius_at_stochastic_edge": at_edge},
        coords={
            "relative_lr": numbers(settings.rates, "rates"),
            "seed": range(settings.seeds),
            "step": np.arange(0, settings.num_steps + 1, settings.every),
        },
    )


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Losses of runs, K and the radii against the learning rate, last losses against K."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    draw = {"trajectories": _draw_trajectories, "measures": _draw_measures, "losses": _draw_losses}
    for name, ax in zip(names, axes, strict=True):
        draw[name](ax, dataset)
    style.caption(
        picture,
        f"Linear regression, D = {settings['num_examples']} examples, P = {settings['num_params']} parameters, J "
        f"standard normal (one draw), minibatches of {settings['batch_size']} without replacement, mean half squared "
        f"error; {settings['num_steps']:,} steps, {style.count(settings['seeds'], 'seed')} of start and batches at "
        f"each rate; losses drawn up to {linear.SATURATED:g}. K: largest eigenvalue of (I-A)^-1 B; A has the factor "
        f"lr^2 that eq. 8 lacks as printed (ERR-S2). The paper's learning rates are not given; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_trajectories(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    rates = dataset["relative_lr"].values
    shown = [int(np.argmin(np.abs(rates - rate))) for rate in (0.25, 0.7, 0.95, 1.1, 1.3)]
    for colour, index in zip(style.COLOURS, dict.fromkeys(shown), strict=False):
        one = dataset.isel(relative_lr=index, seed=0)
        ax.plot(
            one["step"],
            one["loss"].clip(max=1e7),
            color=colour,
            lw=1.0,
            label=f"lr = {float(one['learning_rate']):.3g}, K = {float(one['linear_noise_kernel_norm']):.2f}",
        )
    ax.set_yscale("log")
    ax.set_ylim(1e-10, 1e6)
    ax.set_xlabel("gradient step")
    ax.set_ylabel("training loss")
    ax.set_title("trajectories, seed 0")
    ax.legend(fontsize=8, loc="lower left")


def _draw_measures(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    lines = (
        ("linear_noise_kernel_norm", "K", "-"),
        ("diagonal_moment_radius", "largest eigenvalue of A + B", "--"),
        ("second_moment_radius", "spectral radius of T", ":"),
        ("mean_margin", "lr lambda_max / 2", "-."),
    )
    for colour, (name, label, dash) in zip(style.COLOURS, lines, strict=False):
        ax.plot(dataset["learning_rate"], dataset[name], dash, color=colour, lw=1.6, label=label)
    edge = float(dataset["stochastic_edge_lr"])
    if np.isfinite(edge):
        ax.axvline(edge, color="#888888", lw=0.8, label=f"K = 1 at lr = {edge:.3g}")
    ax.axhline(1, color="#888888", lw=0.8)
    ax.set_xlabel("learning rate")
    ax.set_ylabel("measure of stability")
    ax.set_title("measures")
    ax.legend(fontsize=8, loc="upper left")


def _draw_losses(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for seed in range(dataset.sizes["seed"]):
        last = linear.saturated(dataset["final_loss"].isel(seed=seed))
        marks = {"color": style.COLOURS[0], **style.seed_line(seed)}
        ax.plot(dataset["linear_noise_kernel_norm"], last, "o-", ms=3, **marks)
    ax.axvline(1, color=style.COLOURS[1], ls="--", lw=1.0, label="K = 1")
    ax.set_yscale("log")
    ax.set_xlabel("noise kernel norm K")
    ax.set_ylabel(f"loss after the run (up to {linear.SATURATED:g})")
    ax.set_title("losses")
    ax.legend(fontsize=8, loc="upper left")


def _first_diverging(dataset: "xarray.Dataset") -> float:
    """The smallest rate from which on runs end above their start, over the mean's limit."""
    index = int(linear.transition(dataset))
    if index == dataset.sizes["relative_lr"]:
        return 1.0
    return float(dataset["learning_rate"][index] / dataset["first_moment_edge_lr"])


def _share(dataset: "xarray.Dataset", above: float, below: float, grows: bool) -> float | None:
    """Of the runs at relative rates in (above, below): the share whose loss grows, or falls."""
    rates = dataset["relative_lr"]
    chosen = dataset["final_loss"].where((rates > above) & (rates < below), drop=True)
    if not chosen.size or np.isnan(float(dataset["second_moment_edge_lr"])):
        return None
    start = dataset["start_loss"].sel(relative_lr=chosen["relative_lr"])
    fell = chosen <= start
    return float((~fell if grows else fell).mean())


def _at_small_rates(dataset: "xarray.Dataset") -> float | None:
    """K over K_tr at the smallest rate."""
    one = dataset.isel(relative_lr=0)
    if float(one["linear_noise_kernel_norm"]) == 0:
        return None
    return float(one["linear_noise_kernel_norm"] / one["linear_noise_kernel_norm_trace"])


def _at_edge(dataset: "xarray.Dataset") -> float | None:
    value = float(dataset["diagonal_radius_at_stochastic_edge"])
    return None if np.isnan(value) else value - 1


CLAIMS = (
    Claim(
        "diverges-while-the-mean-is-stable",
        "SGD diverges by its noise, at learning rates far below the edge of stability 2/lambda_max.",
        "agarwala2024 figure 1, left and right (SEOS-F1)",
        (0.0, 0.5),
        "the first rate from which on the loss ends above its start, over 2/lambda_max: half is far below",
        _first_diverging,
    ),
    Claim(
        "k-is-one-where-a-plus-b-is",
        "K is 1 precisely where the largest eigenvalue of A + B is.",
        "agarwala2024 figure 1, middle; theorem 2.1 (SEOS-7)",
        (-1e-9, 1e-9),
        "that eigenvalue minus 1 at the root of K = 1: an identity, so that only rounding is left",
        _at_edge,
    ),
    Claim(
        "diverges-beyond-the-edge",
        "The loss after 10^4 steps diverges for K above 1.",
        "agarwala2024 figure 1, right (SEOS-F1)",
        (0.95, 1.0),
        "share of rates from 1.25 times the second moment's edge on whose loss ends above its start; nearer to the "
        "edge the mean square grows by rare runs, and a single run may still fall",
        lambda dataset: _share(dataset, 1.25, np.inf, True),
    ),
    Claim(
        "converges-below-the-edge",
        "It converges for K below 1.",
        "agarwala2024 figure 1, right (SEOS-F1)",
        (0.95, 1.0),
        "share of rates below 0.92 times that edge whose loss ends below its start",
        lambda dataset: _share(dataset, 0.0, 0.92, False),
    ),
    Claim(
        "k-grows-from-zero",
        "K goes to 0 with the learning rate, as its trace form does.",
        "agarwala2024 figure 1, middle; eq. 11 (SEOS-9)",
        (0.85, 1.15),
        "K over K_tr at a tenth of the edge: 1 but for terms of the order of lr lambda_max/2 (2 %) and of the batch's "
        "share of the data (5 %), and for eigenvectors that are not quite even",
        _at_small_rates,
    ),
)

FIGURE = Figure(
    id="agarwala2024/fig1",
    title="Linear regression under SGD diverges at the stochastic edge of stability",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "9 seconds", NO_DATA),
        "paper": Scale(paper_settings, "20 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="diverges-while-the-mean-is-stable",
    claim_panels={
        "diverges-while-the-mean-is-stable": "losses",
        "k-is-one-where-a-plus-b-is": "measures",
        "diverges-beyond-the-edge": "losses",
        "converges-below-the-edge": "losses",
        "k-grows-from-zero": "measures",
    },
)
