"""agarwala2024/fig9: small batches raise the first difference of the largest eigenvalues and lower the second."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.agarwala2024 import models
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("first-difference", "second-difference")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        num_examples: d, the paper's 400.
        num_params: p, the paper's 600.
        batch_sizes: ascending; the paper's are not given.
        lr: learning rate of the mean loss, the same for all batch sizes; not given in the paper.
        lr_power: of the batch size, by which the learning rate grows from the smallest batch on; 0 in the paper.
        output_scale: standard deviation of the residuals.
        modes: how many of the largest eigenvalues are averaged.
        draws: of the model, the paper's 30; each is used with both signs of the residuals.
        precision: float64.
    """

    num_examples: int
    num_params: int
    batch_sizes: str
    lr: float
    lr_power: float
    output_scale: float
    modes: int
    draws: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A smaller model."""
    return Settings(
        num_examples=60,
        num_params=90,
        batch_sizes="2, 5, 10, 20, 30",
        lr=0.01,
        lr_power=0.0,
        output_scale=1.0,
        modes=5,
        draws=10,
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """The paper's size and number of draws."""
    return dataclasses.replace(
        quick_settings(data_dir),
        num_examples=400,
        num_params=600,
        batch_sizes="2, 5, 10, 20, 50, 100, 200",
        lr=0.005,
        draws=30,
    )


def control(settings: Settings) -> Settings:
    """A learning rate that grows as the root of the batch size: the first difference is then the same for all."""
    return dataclasses.replace(settings, lr_power=0.5)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    for name in ("num_examples", "num_params", "modes"):
        at_least(name, getattr(settings, name), 1)
    at_least("draws", settings.draws, 2)
    models.batches(settings.batch_sizes, settings.num_examples)
    positive("lr", settings.lr)
    positive("output_scale", settings.output_scale)
    if not np.isfinite(settings.lr_power):
        raise InputError(f"lr_power must be finite; got {settings.lr_power}.")
    least = min(settings.num_examples, settings.num_params)
    if settings.modes > least:
        raise InputError(f"modes must be at most {least}, the rank of the Jacobian; got {settings.modes}.")


def _rates(settings: Settings) -> np.ndarray:
    sizes = np.array(models.batches(settings.batch_sizes, settings.num_examples), float)
    return settings.lr * (sizes / sizes[0]) ** settings.lr_power


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Differences of the largest modes, averaged over batches and both signs of the residuals, draw by draw."""
    import jax

    from precipice.results import to_dataset

    sizes = models.batches(settings.batch_sizes, settings.num_examples)
    found = []
    with context.progress("draws", len(models.SPECTRA) * settings.draws) as report:
        one = jax.jit(lambda spectrum, key: _differences(settings, spectrum, key))
        for index, spectrum in enumerate(models.SPECTRA):
            for draw in range(settings.draws):
                found.append(jax.device_get(one(index, jax.random.key(draw))))
                report(len(found), spectrum)
    shape = (len(models.SPECTRA), settings.draws, len(sizes), settings.modes)
    saved = {name: np.moveaxis(np.stack([one[name] for one in found]).reshape(shape), 1, 2) for name in found[0]}
    coords = {"spectrum": range(len(models.SPECTRA)), "batch_size": sizes, "draw": range(settings.draws)}
    return to_dataset(saved, coords=coords)


def _differences(settings: Settings, spectrum, key):
    """Measured differences of one draw and their laws [batch sizes, modes]."""
    import jax
    import jax.numpy as jnp

    from precipice import measures

    d, p = settings.num_examples, settings.num_params
    draw_key, batch_key = jax.random.split(key)
    rows = models.rows(spectrum, d, p, output_scale=settings.output_scale, jacobian_scale=1.0, key=draw_key)
    sigma = jnp.linalg.svd(rows.g, compute_uv=False)[: settings.modes]
    of_sigma = models.variance(spectrum)(jnp.linalg.svd(rows.g, compute_uv=False))[: settings.modes]
    named = ("eigenvalue_first_difference", "singular_value_second_difference")
    found = {name: [] for name in (*named, *(f"{name}_law" for name in named))}
    for size, rate in zip(models.batches(settings.batch_sizes, d), _rates(settings), strict=True):
        first, second = models.differences(
            rows, size, settings.modes, lr=float(rate), key=jax.random.fold_in(batch_key, size)
        )
        whole = models.differences(rows, d, settings.modes, lr=float(rate), key=batch_key)[1]
        given = {"lr": rate, "batch_size": size, "output_variance": settings.output_scale**2}
        given["curvature_variance"] = of_sigma
        found[named[0]].append(first)
        found[named[1]].append(second - whole)
        found[f"{named[0]}_law"].append(measures.eigenvalue_first_difference(jnp.sum(rows.g**2) / d, p, **given))
        found[f"{named[1]}_law"].append(measures.singular_value_second_difference(sigma, d, p, **given))
    return {name: jnp.stack(values) for name, values in found.items()}


def _mean(dataset: "xarray.Dataset", name: str) -> tuple[np.ndarray, np.ndarray]:
    """(mean over draws and modes, its standard error over draws) [spectra, batch sizes]."""
    values = dataset[name].mean("mode").values
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / values.shape[-1] ** 0.5


NAMES = {"first-difference": "eigenvalue_first_difference", "second-difference": "singular_value_second_difference"}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Both differences against 1/B, with their laws, for both spectra."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    inverse = 1 / dataset["batch_size"].values
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        (mean, error), law = _mean(dataset, NAMES[name]), _mean(dataset, f"{NAMES[name]}_law")[0]
        for index, spectrum in enumerate(models.SPECTRA):
            colour = style.COLOURS[index]
            ax.errorbar(inverse, mean[index], error[index], fmt="o", color=colour, label=models.TITLES[spectrum])
            ax.plot(inverse, law[index], color=colour, lw=1.0, label=None if index else "lines: laws")
        ax.axhline(0, color="#888888", lw=0.6)
        ax.set_xlabel("1/B (B: examples in a batch)")
        first = name == "first-difference"
        ax.set_ylabel("mean first difference" if first else "mean second difference, less the full batch's")
        ax.set_title("eigenvalues of J J^T, one step" if first else "singular values of J, two steps")
        ax.legend(fontsize=8)
    style.caption(
        picture,
        f"Quadratic regression with {settings['num_examples']} outputs, {settings['num_params']} parameters; minibatch "
        f"SGD on the mean half squared error, lr = {settings['lr']:g}, z ~ N(0, {settings['output_scale']:g}^2), J ~ "
        f"N(0, 1); the {settings['modes']} largest modes, {settings['draws']} draws with both signs of z, all batches "
        f"of a partition. Laws have p + 1, and p + 2 and 1 - B/d, where eqs. 16 and 17 have p. lr and B are not "
        f"given in the paper; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _power(dataset: "xarray.Dataset") -> float | None:
    mean = _mean(dataset, NAMES["first-difference"])[0][0]
    return float(np.polyfit(np.log(dataset["batch_size"].values), np.log(mean), 1)[0]) if (mean > 0).all() else None


def _over_law(dataset: "xarray.Dataset", panel: str) -> float:
    """Mean over the law at the smallest batch, flat spectrum."""
    return float(_mean(dataset, NAMES[panel])[0][0, 0] / _mean(dataset, f"{NAMES[panel]}_law")[0][0, 0])


def _shaped_over_flat(dataset: "xarray.Dataset", panel: str) -> float:
    mean = _mean(dataset, NAMES[panel])[0][:, 0]
    return float(mean[1] / mean[0])


CLAIMS = (
    Claim(
        "first-difference-rises-with-small-batches",
        "The first difference of the eigenvalues increases as the batch size decreases, as 1/B.",
        "agarwala2024 figure 9, left; eq. 16 (SEOS-23)",
        (-1.1, -0.9),
        "fitted power of B in the mean first difference, flat spectrum; the law is exact, the rest chance",
        _power,
    ),
    Claim(
        "first-difference-is-the-law",
        "It is that of the theorem.",
        "agarwala2024 figure 9, left; eq. 16 (SEOS-23)",
        (0.9, 1.1),
        "mean over the law at the smallest batch, flat spectrum; chance of a few percent",
        lambda dataset: _over_law(dataset, "first-difference"),
    ),
    Claim(
        "second-difference-falls-with-small-batches",
        "The second difference decreases with the batch size, as the theorem says.",
        "agarwala2024 figure 9, right; eq. 17, corrected (SEOS-24)",
        (0.7, 1.3),
        "mean over the (negative) law at the smallest batch, flat spectrum; the law is of lowest order in lr",
        lambda dataset: _over_law(dataset, "second-difference"),
    ),
    Claim(
        "shaped-spectrum-rises-more",
        "The increase is more extreme for the shaped spectrum.",
        "agarwala2024 figure 9, left",
        (1.1, np.inf),
        "shaped over flat first difference at the smallest batch: V of the largest modes over its mean",
        lambda dataset: _shaped_over_flat(dataset, "first-difference"),
    ),
    Claim(
        "shaped-spectrum-falls-more",
        "So is the decrease of the second difference.",
        "agarwala2024 figure 9, right",
        (1.1, np.inf),
        "shaped over flat second difference at the smallest batch, both negative",
        lambda dataset: _shaped_over_flat(dataset, "second-difference"),
    ),
)

FIGURE = Figure(
    id="agarwala2024/fig9",
    title="First and second differences of the largest kernel modes against the batch size",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "1 hour", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="first-difference-rises-with-small-batches",
    claim_panels={
        "first-difference-rises-with-small-batches": "first-difference",
        "first-difference-is-the-law": "first-difference",
        "second-difference-falls-with-small-batches": "second-difference",
        "shaped-spectrum-rises-more": "first-difference",
        "shaped-spectrum-falls-more": "second-difference",
    },
)
