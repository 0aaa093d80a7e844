"""agarwala2024/fig8: the loss after 10^4 steps against measures of stability, for three kinds of kernel."""

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

PANELS = linear.SETTINGS


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        num_examples: D.
        num_params: P.
        batch_size: B.
        diagonal_scale: standard deviation of s in the localized kernel diag|s| + J0 J0^T/D.
        jacobian_scale: standard deviation of the entries of J0.
        kernel_seed: of the draws of the kernels.
        rates: learning rates over the one at which the second moment's radius is 1, ascending.
        num_steps: of each run.
        seeds: runs with different starts and batches at each rate.
        precision: float64.
    """

    num_examples: int
    num_params: int
    batch_size: int
    diagonal_scale: float
    jacobian_scale: float
    kernel_seed: int
    rates: str
    num_steps: int
    seeds: int
    precision: str = "float64"


RATES = "0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.6"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's sizes and steps; its learning rates and the scale of J0 are not given (see figure 7)."""
    return Settings(
        100, 120, 5, diagonal_scale=0.1, jacobian_scale=0.3, kernel_seed=0, rates=RATES, num_steps=10_000, seeds=3
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """More learning rates and seeds."""
    rates = ", ".join(f"{rate:.4g}" for rate in np.linspace(0.05, 1.6, 32))
    return dataclasses.replace(quick_settings(data_dir), rates=rates, seeds=10)


def control(settings: Settings) -> Settings:
    """The full batch: nothing diverges before the mean does."""
    return dataclasses.replace(settings, batch_size=settings.num_examples)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    linear.check_model(settings)
    linear.check_localized(settings)
    at_least("num_steps", settings.num_steps, 1)
    at_least("seeds", settings.seeds, 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """The measures of figure 7, and the loss after the steps for each seed."""
    from precipice.results import to_dataset

    kernels, saved = linear.in_settings(linear.SETTINGS, settings)
    runs = linear.losses(kernels, saved["learning_rate"], settings, settings.num_steps)
    saved |= {name: runs[name] for name in ("final_loss", "start_loss", "status")}
    coords = {
        "setting": range(len(linear.SETTINGS)),
        "relative_lr": numbers(settings.rates, "rates"),
        "seed": range(settings.seeds),
    }
    return to_dataset(saved, coords=coords)


LINES = (
    ("second_moment_radius", "spectral radius of T", "o-"),
    ("linear_noise_kernel_norm", "K", "s-"),
    ("linear_noise_kernel_norm_high_dimensional", "K_HD", "^-"),
)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """A panel for each kernel: the loss against three measures."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        one = dataset.isel(setting=PANELS.index(name))
        for colour, (variable, label, mark) in zip(style.COLOURS, LINES, strict=False):
            for seed in range(dataset.sizes["seed"]):
                looks = {"color": colour, **style.seed_line(seed)}
                last = linear.saturated(one["final_loss"].isel(seed=seed))
                ax.plot(one[variable], last, mark, ms=3, label=label if seed == 0 else None, **looks)
        ax.axvline(1, color="#888888", lw=0.8)
        ax.set_yscale("log")
        ax.set_xlim(0, 2.2)
        ax.set_xlabel("measure of stability")
        ax.set_ylabel(f"loss after the run (up to {linear.SATURATED:g})")
        ax.set_title(name)
        ax.legend(fontsize=8, loc="lower right")
    style.caption(
        picture,
        f"Linear regression under SGD, D = {settings['num_examples']}, P = {settings['num_params']}, batches of "
        f"{settings['batch_size']} without replacement, {settings['num_steps']:,} steps, "
        f"{style.count(settings['seeds'], 'seed')} of start and batches (the first stands out); each point is a "
        f"learning rate, losses drawn up to {linear.SATURATED:g}. Kernels as in figure 7, J0 of standard deviation "
        f"{settings['jacobian_scale']:g}, a scale that the paper does not give; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _at(dataset: "xarray.Dataset", name: str, setting: str) -> float | None:
    if np.isnan(dataset["second_moment_edge_lr"].values).any():
        return None
    return float(linear.at_transition(dataset, name)[linear.SETTINGS.index(setting)])


def _least_that_grows(dataset: "xarray.Dataset", setting: str) -> float | None:
    """The smallest K of a run that ends above its start."""
    one = dataset.isel(setting=linear.SETTINGS.index(setting))
    grows = ~(one["final_loss"] <= one["start_loss"])
    if not bool(grows.any()):
        return None
    return float(one["linear_noise_kernel_norm"].where(grows).min())


def _margin(dataset: "xarray.Dataset") -> float:
    """Lr lambda_max/2 where the loss turns, the largest of the three kernels."""
    return float(linear.at_transition(dataset, "mean_margin").max())


def _turn(dataset: "xarray.Dataset", setting: str) -> float | None:
    """The learning rate where the loss turns over the one of radius 1."""
    turn = _at(dataset, "learning_rate", setting)
    edge = float(dataset["second_moment_edge_lr"][linear.SETTINGS.index(setting)])
    return None if turn is None else turn / edge


def _farthest(dataset: "xarray.Dataset") -> float | None:
    """The learning rate where the loss turns over the one of radius 1: the value farthest from 1 of the three."""
    if np.isnan(dataset["second_moment_edge_lr"].values).any():
        return None
    ratios = linear.at_transition(dataset, "learning_rate") / dataset["second_moment_edge_lr"].values
    return float(ratios[np.argmax(np.abs(np.log(ratios)))])


CLAIMS = (
    Claim(
        "loss-turns-while-the-mean-is-stable",
        "SGD diverges by its noise in all three settings.",
        "agarwala2024 figure 8, appendix A.4 (SEOS-F8)",
        (0.0, 0.95),
        "lr lambda_max/2 between the last learning rate whose loss falls and the first whose loss grows, the largest "
        "of the three kernels; the dispersed one's edge lies at .70, and rates up to 1.2 times that are possible",
        _margin,
    ),
    Claim(
        "radius-predicts-the-turn",
        "A radius of T of 1 predicts the transition from convergent to divergent well in all settings.",
        "agarwala2024 figure 8, appendix A.4 (SEOS-F8)",
        (0.9, 1.4),
        "the learning rate where the loss turns over the one of radius 1, the farthest from 1 of the three kernels: a "
        "single run grows when the mean of its log does, which comes no sooner than its mean square",
        _farthest,
    ),
    Claim(
        "k-predicts-the-turn-of-flat-spectra",
        "K = 1 predicts it for flat spectra.",
        "agarwala2024 figure 8, left (SEOS-F8)",
        (0.9, 1.3),
        "K where the loss turns",
        lambda dataset: _at(dataset, "linear_noise_kernel_norm", "flat"),
    ),
    Claim(
        "k-below-one-is-safe-for-dispersed-spectra",
        "For a dispersed spectrum K still tells the convergent regime.",
        "agarwala2024 figure 8, middle (SEOS-F8)",
        (0.95, 2.5),
        "the smallest K of a run that ends above its start: the mean square grows from K = .97 on",
        lambda dataset: _least_that_grows(dataset, "dispersed"),
    ),
    Claim(
        "single-runs-turn-later-for-dispersed-spectra",
        "Beyond the paper: with one dominant mode a single run falls where the mean square already grows.",
        "agarwala2024 figure 8, middle (ours)",
        (1.03, 1.4),
        "the learning rate where the loss turns over the one of radius 1; 1.1 to 1.25 in 16 seeds looked at",
        lambda dataset: _turn(dataset, "dispersed"),
    ),
    Claim(
        "k-is-too-low-for-localized-eigenvectors",
        "With localized eigenvectors only the radius predicts it.",
        "agarwala2024 figure 8, right (SEOS-F8)",
        (0.4, 0.85),
        "K where the loss turns; .61 at the edge, for J0 of standard deviation 0.3",
        lambda dataset: _at(dataset, "linear_noise_kernel_norm", "localized"),
    ),
)

FIGURE = Figure(
    id="agarwala2024/fig8",
    title="Loss after 10^4 steps of SGD against measures of stability",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "40 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="loss-turns-while-the-mean-is-stable",
    claim_panels={
        "loss-turns-while-the-mean-is-stable": "dispersed",
        "radius-predicts-the-turn": "localized",
        "k-predicts-the-turn-of-flat-spectra": "flat",
        "k-below-one-is-safe-for-dispersed-spectra": "dispersed",
        "single-runs-turn-later-for-dispersed-spectra": "dispersed",
        "k-is-too-low-for-localized-eigenvectors": "localized",
    },
)
