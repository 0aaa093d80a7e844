"""ahn2022/fig11: how the final gap and the bouncing steps of the losses l_beta depend on the learning rate."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, one_of, positive
from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import single_neuron
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("gap", "steps")
FITTED = float(np.exp(-2))
"""Powers are fitted to learning rates below this, as in the paper."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        loss: power (l_beta), or huber for all (the control).
        gap_betas: powers of the losses whose final gap is measured.
        gap_low: smallest learning rate there.
        gap_high: largest.
        gap_distance: d of the start sqrt((2 + d)/lr) (t, sqrt(1 + t^2)).
        count_betas: powers of the losses whose bouncing steps are counted.
        count_low: smallest learning rate there, for powers of 2 and above; lower powers start at three times this.
        count_high: largest.
        count_distance: d of the start there; above 1, so that y^2 falls through all of [2/lr, 3/lr].
        tilt: t of both.
        rates: learning rates of each.
        precision: float64.
    """

    loss: str
    gap_betas: str
    gap_low: float
    gap_high: float
    gap_distance: float
    count_betas: str
    count_low: float
    count_high: float
    count_distance: float
    tilt: float
    rates: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's powers; its start and rates are not given."""
    return Settings(
        loss="power",
        gap_betas="1.5,2,3,10",
        gap_low=0.01,
        gap_high=0.13,
        gap_distance=0.5,
        count_betas="1.3333333333333333,1.5,2,4",
        count_low=0.01,
        count_high=0.13,
        count_distance=2.0,
        tilt=0.75,
        rates=7,
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """More and smaller learning rates."""
    return dataclasses.replace(quick_settings(data_dir), gap_low=0.004, count_low=0.005, rates=14)


def control(settings: Settings) -> Settings:
    """The Huber loss in place of l_beta: its gap does not shrink with the learning rate."""
    return dataclasses.replace(settings, loss="huber")


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    one_of("loss", settings.loss, ("power", "huber"))
    one_of("precision", settings.precision, ("float64",))
    for name in ("gap_betas", "count_betas"):
        for beta in numbers(getattr(settings, name), name):
            if not beta > 1:
                raise InputError(f"entry of {name} must be above 1; got {beta}.")
    for name in ("gap_low", "gap_distance", "count_low", "tilt"):
        positive(name, getattr(settings, name))
    for low, high in (("gap_low", "gap_high"), ("count_low", "count_high")):
        if not 3 * getattr(settings, low) < getattr(settings, high):
            raise InputError(f"{high} must be above 3 {low}; got {getattr(settings, high)}.")
    if not settings.count_distance > 1:
        raise InputError(f"count_distance must be above 1; got {settings.count_distance}.")
    at_least("rates", settings.rates, 4)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """The final gap, and the bouncing steps, at each power and learning rate."""
    from precipice.results import to_dataset

    gap_betas = numbers(settings.gap_betas, "gap_betas")
    count_betas = numbers(settings.count_betas, "count_betas")
    index = range(settings.rates)
    with context.progress("powers", len(gap_betas) + len(count_betas)) as report:
        gaps, counts = [], []
        for beta in gap_betas:
            gaps.append(_gaps(settings, beta))
            report(len(gaps), f"gap of beta {beta:.3g}")
        for beta in count_betas:
            counts.append(_counts(settings, beta))
            report(len(gaps) + len(counts), f"steps of beta {beta:.3g}")
    left = {name: np.stack([gap[name] for gap in gaps]) for name in gaps[0]}
    right = {name: np.stack([count[name] for count in counts]) for name in counts[0]}
    one = to_dataset(left, coords={"beta": gap_betas, "rate_index": index})
    return one.merge(to_dataset(right, coords={"count_beta": count_betas, "rate_index": index}))


def _loss(settings: Settings, beta: float):
    from precipice import problems

    return problems.HuberLoss() if settings.loss == "huber" else problems.PowerLoss(beta)


def _gaps(settings: Settings, beta: float) -> dict[str, np.ndarray]:
    from precipice import measures

    rates = np.geomspace(settings.gap_low, settings.gap_high, settings.rates)
    found = [
        single_neuron.ends(
            _loss(settings, beta),
            measures.single_neuron_start(settings.gap_distance, settings.tilt, lr)[None],
            lr,
            10_000_000,
        )["final_sharpness"][0]
        for lr in rates
    ]
    return {"sharpness_gap": 2 / rates - np.array(found), "learning_rate": rates}


def _counts(settings: Settings, beta: float) -> dict[str, np.ndarray]:
    import jax
    import jax.numpy as jnp

    from precipice import measures

    low = settings.count_low * (3 if beta < 2 else 1)
    rates = np.geomspace(low, settings.count_high, settings.rates)
    starts = np.stack([measures.single_neuron_start(settings.count_distance, settings.tilt, lr) for lr in rates])
    loss = _loss(settings, beta)
    found = jax.vmap(lambda start, lr: measures.bouncing_steps(loss, start, lr))(
        jnp.asarray(starts), jnp.asarray(rates)
    )
    steps = np.where(np.asarray(found.finished), np.asarray(found.steps, float), np.nan)
    return {"bouncing_steps": steps, "counted_rate": rates}


def fits(dataset: "xarray.Dataset", panel: str) -> list[tuple[float, float, float, float]]:
    """(beta, fitted power, predicted power, offset) of each loss, over learning rates below `FITTED`.

    A predicted logarithm (beta 2, steps) is divided out before the fit.
    """
    from precipice import measures

    dim, value, rate = (
        ("beta", "sharpness_gap", "learning_rate")
        if panel == "gap"
        else ("count_beta", "bouncing_steps", "counted_rate")
    )
    found = []
    for index, beta in enumerate(dataset[dim].values):
        one = dataset.isel({dim: index})
        rates, values = one[rate].values, one[value].values.astype(float)
        if panel == "gap":
            predicted = measures.gap_exponent(float(beta))
        else:
            predicted, logarithm = measures.bouncing_exponents(float(beta))
            values = values / np.log(1 / rates) if logarithm else values
        used = (rates < FITTED) & np.isfinite(values) & (values > 0)
        if used.sum() >= 3:
            x, y = np.log(rates[used]), np.log(values[used])
            found.append((float(beta), float(np.polyfit(x, y, 1)[0]), predicted, float(np.mean(y - predicted * x))))
    return found


def _worst(dataset: "xarray.Dataset", panel: str) -> float | None:
    found = fits(dataset, panel)
    return max(abs(fitted - predicted) for _, fitted, predicted, _ in found) if found else None


def _law(dataset: "xarray.Dataset") -> float | None:
    from precipice import problems

    close = np.flatnonzero(np.isclose(dataset["beta"].values, 2))
    if not len(close):
        return None
    one = dataset.isel(beta=int(close[0]), rate_index=0)
    return float(one["sharpness_gap"] / one["learning_rate"]) * 2 * problems.PowerLoss(2.0).coefficient


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Both quantities on double logarithmic axes, with the predicted powers."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        _draw(ax, dataset, name)
    style.caption(
        picture,
        f"Single neuron l(xy) with the losses {'l_beta' if settings['loss'] == 'power' else 'Huber'}: final gap from "
        f"starts with y^2 - x^2 = (2 + {settings['gap_distance']:g})/lr, and steps with y^2 in [2/lr, 3/lr] from "
        f"starts with (2 + {settings['count_distance']:g})/lr. Dashed: predicted powers, offset fitted below e^-2; for "
        f"beta = 2 the predicted steps carry a factor log(1/lr). Starts and rates are not given in the paper; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw(ax, dataset: "xarray.Dataset", panel: str) -> None:
    from precipice.figures import style

    dim, value, rate = (
        ("beta", "sharpness_gap", "learning_rate")
        if panel == "gap"
        else ("count_beta", "bouncing_steps", "counted_rate")
    )
    found = {beta: (predicted, offset) for beta, _, predicted, offset in fits(dataset, panel)}
    for index, beta in enumerate(dataset[dim].values):
        one, colour = dataset.isel({dim: index}), style.COLOURS[index % len(style.COLOURS)]
        ax.plot(one[rate], one[value], "o", ms=4, color=colour, label=f"beta = {beta:.4g}")
        if float(beta) in found:
            predicted, offset = found[float(beta)]
            rates = np.geomspace(float(one[rate][0]), float(one[rate][-1]), 50)
            law = np.exp(offset) * rates**predicted
            ax.plot(rates, law * np.log(1 / rates) if panel == "steps" and beta == 2 else law, color=colour, ls="--")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("sharpness gap 2/lr - y^2" if panel == "gap" else "bouncing steps")
    ax.set_title("final gap" if panel == "gap" else "steps with y^2 in [2/lr, 3/lr]")
    ax.legend()


CLAIMS = (
    Claim(
        "gap-has-the-power-of-theorem-2",
        "The final gap is of the order lr^(1/(beta - 1)).",
        "ahn2022 figure 11 left; theorem 2 (TN-7)",
        (0.0, 0.1),
        "largest difference of the fitted from the predicted power over the losses",
        lambda dataset: _worst(dataset, "gap"),
    ),
    Claim(
        "steps-have-the-power-of-remark-3",
        "The bouncing steps are of the order lr^-2 for beta above 2, with a logarithm at 2, and lr^(-beta/(beta - 1)) "
        "below.",
        "ahn2022 figure 11 right; remark 3 (TN-10)",
        (0.0, 0.25),
        "largest difference of the fitted from the predicted power, the logarithm divided out; the rates are not small",
        lambda dataset: _worst(dataset, "steps"),
    ),
    Claim(
        "gap-law-at-beta-2",
        "At beta = 2 the gap is lr/(2 c).",
        "ahn2022; derived in the formula sheet (TN-9b)",
        (0.97, 1.03),
        "gap over the law at the smallest learning rate",
        _law,
    ),
)
FIGURE = Figure(
    id="ahn2022/fig11",
    title="A single neuron with the losses l_beta: powers of the final gap and of the bouncing steps",
    panels=PANELS,
    scales={"quick": Scale(quick_settings, "10 seconds", NO_DATA), "paper": Scale(paper_settings, "1 minute", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="gap-has-the-power-of-theorem-2",
    claim_panels={
        "gap-has-the-power-of-theorem-2": "gap",
        "gap-law-at-beta-2": "gap",
        "steps-have-the-power-of-remark-3": "steps",
    },
)
