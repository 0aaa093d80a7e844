"""zhu2022/fig15: two-component factorisations with layers rescaled end distinguishably below 2/lr."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least, one_of, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers
from precipice.papers.zhu2022 import layered

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("linear", "elu")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        width: of the synthetic task and of every layer.
        layers: 2 in the paper.
        loss: a mean over the examples, of `problems`; with mean_squared_error all linear starts diverged.
        factors: of the layers.
        lr: learning rate.
        num_steps: of each training.
        every: steps between measurements.
        seeds: initialisations.
        precision: float64.
    """

    width: int
    layers: int
    loss: str
    factors: str
    lr: float
    num_steps: int
    every: int
    seeds: int
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rate and factors; it names neither the objectives nor the width."""
    return Settings(
        width=10,
        layers=2,
        loss="mean_half_squared_error",
        factors="5, 0.1",
        lr=0.05,
        num_steps=50_000,
        every=50,
        seeds=9,
        precision="float64",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A tenth of the steps."""
    return dataclasses.replace(paper_settings(), num_steps=5000, every=10, seeds=5)


def control(settings: Settings) -> Settings:
    """Five layers, not rescaled, at twice the learning rate: deep networks end within a few hundredths of 2/lr."""
    return dataclasses.replace(
        settings, layers=5, factors="1, 1, 1, 1, 1", lr=2 * settings.lr, num_steps=10_000, every=20
    )


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule

    at_least("width", settings.width, 2)
    at_least("layers", settings.layers, 2)
    one_of("loss", settings.loss, ("mean_half_squared_error", "mean_squared_error"))
    positive("lr", settings.lr)
    at_least("seeds", settings.seeds, 1)
    one_of("precision", settings.precision, ("float64",))
    check_schedule(settings.num_steps, settings.every)
    given = len(numbers(settings.factors, "factors"))
    at_least("number of factors (one for each layer)", given, settings.layers)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train a linear and an ELU network for each seed."""
    import jax

    from precipice.results import to_dataset

    factors = numbers(settings.factors, "factors")
    cells = []
    for seed in range(settings.seeds):
        row = []
        for activation in ("identity", "elu"):
            problem = layered.network_on_task(settings.width, settings.layers, activation, settings.loss)
            start = layered.rescaled(problem.init(jax.random.key(seed)), factors)
            row.append([layered.training(problem, start, settings.lr, settings.num_steps, settings.every)])
        cells.append(row)
    saved = {name: value[:, :, 0] for name, value in layered.stacked(cells).items()}
    saved["edge"] = np.full(saved["status"].shape, 2 / settings.lr)
    steps = range(0, settings.num_steps + 1, settings.every)
    return to_dataset(saved, coords={"seed": range(settings.seeds), "network": range(2), "probe_step": steps})


# Claims -------------------------------------------------------------------------------------------------------------


def _ratio(dataset: "xarray.Dataset", step: int) -> float | None:
    value = (dataset["sharpness"].isel(probe_step=step) / dataset["edge"]).values
    value = value[np.isfinite(value)]
    return float(value.min() if step == 0 else value.max()) if len(value) else None


def _starts_above(dataset: "xarray.Dataset") -> float | None:
    return _ratio(dataset, 0)


def _ends_below(dataset: "xarray.Dataset") -> float | None:
    return _ratio(dataset, -1)


def _falls(dataset: "xarray.Dataset") -> float | None:
    loss = dataset["probe_loss"].values
    ratio = loss[:, -1] / loss[:, 0]
    ratio = ratio[np.isfinite(ratio)]
    return float(ratio.max()) if len(ratio) else None


CLAIMS = (
    Claim(
        "starts-above-the-edge",
        "The initial sharpness is larger than 2/lr.",
        "zhu2022 figure 15",
        (1.0, np.inf),
        "the smaller of the two initial sharpnesses over 2/lr",
        _starts_above,
    ),
    Claim(
        "ends-distinguishably-below",
        "Both end distinguishably below 2/lr.",
        "zhu2022 figure 15",
        (0.0, 0.95),
        "the larger of the two final sharpnesses over 2/lr; deep networks end within a few hundredths of it",
        _ends_below,
    ),
    Claim(
        "loss-falls",
        "Both fit the data.",
        "zhu2022 figure 15",
        (0.0, 1e-2),
        "the larger last loss over the loss at the start",
        _falls,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Sharpness of each seed against the step, 2/lr dashed."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    settings = style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        index = PANELS.index(name)
        for seed in range(dataset.sizes["seed"]):
            one = dataset["sharpness"].isel(network=index, seed=seed)
            ax.plot(
                dataset["probe_step"], one, color=style.COLOURS[index], label=f"seed {seed}", **style.seed_line(seed)
            )
        style.edge_line(ax, 2 / settings["lr"], f"2/lr = {2 / settings['lr']:g}", "#4a4a4a")
        ax.set_title(f"{settings['layers']}-layer {name} network")
        layered.sharpness_axes(ax)
    style.caption(
        picture,
        f"Gradient descent at lr = {settings['lr']:g}, synthetic linear task, {settings['loss'].replace('_', ' ')}, "
        f"layers of width {settings['width']} rescaled by {settings['factors']}; {settings['seeds']} seeds. "
        f"The paper does not name its two objectives: a linear and an ELU network are our choice; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="zhu2022/fig15",
    title="Two-component factorisations end below the edge",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "6 seconds", NO_DATA),
        "paper": Scale(paper_settings, "a minute", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="ends-distinguishably-below",
    claim_panels={"starts-above-the-edge": "linear", "ends-distinguishably-below": "linear", "loss-falls": "linear"},
)
