"""agarwala2024/fig7: measures of stability against the learning rate, for three kinds of kernel."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
        precision: float64.
    """

    num_examples: int
    num_params: int
    batch_size: int
    diagonal_scale: float
    jacobian_scale: float
    kernel_seed: int
    rates: str
    precision: str = "float64"


RATES = "0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's sizes. It gives no learning rates and no scale of J0: with 0.3 K fails as it says, with 1 not."""
    return Settings(100, 120, 5, diagonal_scale=0.1, jacobian_scale=0.3, kernel_seed=0, rates=RATES)


def paper_settings(data_dir: Path | None = None) -> Settings:
    """Four times as many learning rates."""
    rates = ", ".join(f"{rate:.4g}" for rate in np.linspace(0.025, 1.3, 52))
    return dataclasses.replace(quick_settings(data_dir), rates=rates)


def control(settings: Settings) -> Settings:
    """The full batch: no noise, and no stochastic edge."""
    return dataclasses.replace(settings, batch_size=settings.num_examples)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    linear.check_model(settings)
    linear.check_localized(settings)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Every measure at each learning rate, for the three kernels."""
    from precipice.results import to_dataset

    coords = {"setting": range(len(linear.SETTINGS)), "relative_lr": numbers(settings.rates, "rates")}
    return to_dataset(linear.in_settings(linear.SETTINGS, settings)[1], coords=coords)


LINES = (
    ("second_moment_radius", "spectral radius of T", "-"),
    ("linear_noise_kernel_norm", "K", "-"),
    ("linear_noise_kernel_norm_high_dimensional", "K_HD", "--"),
    ("linear_noise_kernel_norm_finite_size", "K_HD, finite size", ":"),
    ("linear_noise_kernel_norm_trace", "K_tr", "-."),
    ("mean_margin", "lr lambda_max / 2", "-"),
)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """A panel for each kernel."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        one = dataset.isel(setting=PANELS.index(name))
        for colour, (variable, label, dash) in zip(style.COLOURS, LINES, strict=True):
            ax.plot(one["learning_rate"], one[variable], dash, color=colour, lw=1.5, label=label)
        ax.axhline(1, color="#888888", lw=0.8)
        edge = float(one["second_moment_edge_lr"])
        if np.isfinite(edge):
            ax.axvline(edge, color="#888888", lw=0.8, label=f"radius 1 at lr = {edge:.3g}")
        ax.set_ylim(0, 2.2)
        ax.set_xlabel("learning rate")
        ax.set_ylabel("measure of stability")
        ax.set_title(name)
        ax.legend(fontsize=8, loc="upper left")
    style.caption(
        picture,
        f"Linear regression under SGD, D = {settings['num_examples']}, P = {settings['num_params']}, batches of "
        f"{settings['batch_size']} without replacement. Kernels: J J^T/D with J standard normal; eigenvalues "
        f"1/(a^2 + 1) with random eigenvectors; diag|s| + J0 J0^T/D with entries of standard deviation "
        f"{settings['diagonal_scale']:g} and {settings['jacobian_scale']:g}. K_HD and K_tr may exceed K, which the "
        f"paper denies (ERR-S6); the finite-size form never does. The paper gives no scale of J0; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def at_edge(dataset: "xarray.Dataset", name: str, setting: str) -> float | None:
    """A measure where the radius of T is 1, between the learning rates beside it."""
    one = dataset.isel(setting=linear.SETTINGS.index(setting))
    if np.isnan(float(one["second_moment_edge_lr"])):
        return None
    return float(np.interp(1.0, one["relative_lr"], one[name]))


def _margin(dataset: "xarray.Dataset") -> float:
    """The second moment's edge over the mean's, the largest of the three."""
    share = (dataset["second_moment_edge_lr"] / dataset["first_moment_edge_lr"]).fillna(1.0)
    return float(share.max())


def _least(dataset: "xarray.Dataset", larger: str, smaller: str) -> float:
    """The least of larger - smaller over all learning rates and kernels."""
    return float((dataset[larger] - dataset[smaller]).min())


def _monotone(dataset: "xarray.Dataset") -> float | None:
    k = dataset["linear_noise_kernel_norm"]
    return None if not bool((k > 0).all()) else float(k.diff("relative_lr").min())


CLAIMS = (
    Claim(
        "noise-makes-the-edge",
        "The largest eigenvalue is well below the edge of stability: any instability is due to noise.",
        "agarwala2024 figure 7, appendix A.4 (SEOS-F7)",
        (0.0, 0.8),
        "lr lambda_max/2 at the second moment's edge, largest of the three kernels: the dispersed one has .70",
        _margin,
    ),
    Claim(
        "radius-is-near-one-below",
        "The radius of T is close to 1 for small learning rates, until the edge is reached.",
        "agarwala2024 figure 7, appendix A.4 (SEOS-F7)",
        (0.9, 1.0),
        "the smallest radius at rates below the edge: 1 less twice lr times the smallest eigenvalue, 3 % at most",
        lambda dataset: float(dataset["second_moment_radius"].where(dataset["relative_lr"] < 0.99).min()),
    ),
    Claim(
        "k-grows-monotonically",
        "K starts at 0 and grows monotonically with the learning rate.",
        "agarwala2024 figure 7, appendix A.4 (SEOS-F7)",
        (0.0, np.inf),
        "its smallest increase from one learning rate to the next",
        _monotone,
    ),
    Claim(
        "k-marks-the-edge-of-flat-spectra",
        "K is 1 near the edge for a flat spectrum.",
        "agarwala2024 figure 7, left (SEOS-C10)",
        (0.95, 1.0),
        "K where the radius of T is 1: below 1, as pairs of modes add noise that K leaves out; 3 % in the reference",
        lambda dataset: at_edge(dataset, "linear_noise_kernel_norm", "flat"),
    ),
    Claim(
        "k-marks-the-edge-of-dispersed-spectra",
        "K still predicts the edge for a dispersed spectrum.",
        "agarwala2024 figure 7, middle (SEOS-C10)",
        (0.95, 1.0),
        "as for flat spectra",
        lambda dataset: at_edge(dataset, "linear_noise_kernel_norm", "dispersed"),
    ),
    Claim(
        "k-fails-for-localized-eigenvectors",
        "With localized eigenvectors the dynamics become unstable for K well below 1.",
        "agarwala2024 figure 7, right (U1)",
        (0.4, 0.8),
        "K where the radius is 1: .61 in the formula sheet for J0 of standard deviation 0.3 (and .96 for 1)",
        lambda dataset: at_edge(dataset, "linear_noise_kernel_norm", "localized"),
    ),
    Claim(
        "k-hd-fails-for-dispersed-spectra",
        "K_HD loses accuracy for a large spread of eigenvalues.",
        "agarwala2024 figure 7, middle (SEOS-C10)",
        (0.5, 0.8),
        "K_HD where the radius is 1: .65 in the reference, interpolated between learning rates here",
        lambda dataset: at_edge(dataset, "linear_noise_kernel_norm_high_dimensional", "dispersed"),
    ),
    Claim(
        "trace-is-below-k-hd",
        "K_tr is at most K_HD.",
        "agarwala2024 section 2.4 (SEOS-9)",
        (0.0, np.inf),
        "the smallest difference over all learning rates and kernels",
        lambda dataset: _least(dataset, "linear_noise_kernel_norm_high_dimensional", "linear_noise_kernel_norm_trace"),
    ),
    Claim(
        "finite-size-form-is-below-k",
        "The approximations underestimate K: true of the form for finite D, not of K_HD and K_tr as the paper has it.",
        "agarwala2024 section 2.4, corrected (ERR-S6)",
        (-1e-9, np.inf),
        "the smallest difference of K and s sum lr l/(2 - (1 - s) lr l); rounding aside not negative",
        lambda dataset: _least(dataset, "linear_noise_kernel_norm", "linear_noise_kernel_norm_finite_size"),
    ),
    Claim(
        "printed-order-is-violated",
        "K_HD lies above K for the flat spectrum, where the paper says K_HD <= K.",
        "agarwala2024 section 2.4, corrected (ERR-S6)",
        (1e-3, 0.1),
        "the largest K_HD - K at rates below the edge: .009 and .037 at the two learning rates of the reference",
        lambda dataset: (
            -_least(
                dataset.isel(setting=[0]).where(dataset["relative_lr"] < 1.05, drop=True),
                "linear_noise_kernel_norm",
                "linear_noise_kernel_norm_high_dimensional",
            )
        ),
    ),
)

FIGURE = Figure(
    id="agarwala2024/fig7",
    title="Measures of stability of SGD for flat, dispersed and localized kernels",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "9 seconds", NO_DATA),
        "paper": Scale(paper_settings, "30 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="noise-makes-the-edge",
    claim_panels={
        "noise-makes-the-edge": "dispersed",
        "radius-is-near-one-below": "flat",
        "k-grows-monotonically": "flat",
        "k-marks-the-edge-of-flat-spectra": "flat",
        "k-marks-the-edge-of-dispersed-spectra": "dispersed",
        "k-fails-for-localized-eigenvectors": "localized",
        "k-hd-fails-for-dispersed-spectra": "dispersed",
        "trace-is-below-k-hd": "dispersed",
        "finite-size-form-is-below-k": "flat",
        "printed-order-is-violated": "flat",
    },
)
