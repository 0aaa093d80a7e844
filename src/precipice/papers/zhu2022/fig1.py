"""zhu2022/fig1: deep and degree-4 networks end just below 2/lr for each lr, two linear layers far below."""

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

PANELS = ("deep", "linear", "scalar")
TITLES = ("5-layer ReLU network", "2-layer linear network", "degree-4 scalar network")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        width_deep: of the synthetic task and of every layer, for the deep network.
        width: the same for the linear network.
        layers: of the deep network.
        activation: of the deep network.
        edges_deep: 2/lr of the trainings of the deep network.
        factors: of the two layers of the linear network.
        edges_linear: 2/lr over the initial sharpness, for the linear network.
        start: (x, y) of the scalar network.
        edges_scalar: 2/lr of the trainings of the scalar network.
        num_steps: of each training.
        every: steps between measurements.
        seeds: initialisations of the two layered networks.
        precision: float64.
    """

    width_deep: int
    width: int
    layers: int
    activation: str
    edges_deep: str
    factors: str
    edges_linear: str
    start: str
    edges_scalar: str
    num_steps: int
    every: int
    seeds: int
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Learning rates and width are not given in the paper; these are ours."""
    return Settings(
        width_deep=20,
        width=10,
        layers=5,
        activation="relu",
        edges_deep="60, 100, 150",
        factors="4, 0.1",
        edges_linear="0.65, 0.6, 0.55",
        start="2.6, 0.3",
        edges_scalar="8, 10, 12",
        num_steps=100_000,
        every=200,
        seeds=3,
        precision="float64",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A tenth of the steps."""
    return dataclasses.replace(paper_settings(), num_steps=10_000, every=50)


def control(settings: Settings) -> Settings:
    """A deep network of one linear layer is a linear model: its sharpness never moves, so it cannot meet 2/lr."""
    return dataclasses.replace(settings, layers=1)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule

    at_least("width", settings.width, 2)
    at_least("width_deep", settings.width_deep, 2)
    at_least("layers", settings.layers, 1)
    one_of("activation", settings.activation, ("relu", "tanh", "elu", "identity"))
    one_of("precision", settings.precision, ("float64",))
    at_least("seeds", settings.seeds, 1)
    check_schedule(settings.num_steps, settings.every)
    counts = {len(numbers(getattr(settings, f"edges_{name}"), f"edges_{name}")) for name in PANELS}
    at_least("numbers of learning rates that agree between the three networks", 1, len(counts))
    at_least("number of factors", len(numbers(settings.factors, "factors")), 2)
    for entry in numbers(settings.start, "start"):
        positive("entry of start", entry)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train each network from one initialisation at three learning rates, for each seed."""
    from precipice.results import to_dataset

    cells, rates = [], []
    for seed in range(settings.seeds):
        row_cells, row_rates = [], []
        for problem, start, edges in _networks(settings, seed):
            trainings = [layered.training(problem, start, 2 / e, settings.num_steps, settings.every) for e in edges]
            row_cells.append(trainings)
            row_rates.append([2 / edge for edge in edges])
        cells.append(row_cells)
        rates.append(row_rates)
    saved = layered.stacked(cells)
    saved["learning_rate"] = np.array(rates)
    saved["edge"] = 2 / saved["learning_rate"]
    steps = range(0, settings.num_steps + 1, settings.every)
    num = saved["edge"].shape[2]
    coords = {"seed": range(settings.seeds), "network": range(3), "run": range(num), "probe_step": steps}
    return to_dataset(saved, coords=coords)


def _networks(settings: Settings, seed: int):
    """(problem, start, 2/lr of each training) of the three networks."""
    import jax
    import jax.numpy as jnp

    from precipice import problems

    deep_key, linear_key = jax.random.split(jax.random.key(seed))
    deep = layered.network_on_task(settings.width_deep, settings.layers, settings.activation)
    yield deep, deep.init(deep_key), numbers(settings.edges_deep, "edges_deep")
    linear = layered.network_on_task(settings.width, 2, "identity")
    start = layered.rescaled(linear.init(linear_key), numbers(settings.factors, "factors"))
    first = layered.initial_sharpness(linear, start)
    fractions = numbers(settings.edges_linear, "edges_linear")
    yield linear, start, [fraction * first for fraction in fractions]
    entries = jnp.array(numbers(settings.start, "start"))
    yield problems.ScalarNetwork((2, 2), 0.25), entries, numbers(settings.edges_scalar, "edges_scalar")


# Claims -------------------------------------------------------------------------------------------------------------


def final_ratio(dataset: "xarray.Dataset", network: int) -> np.ndarray:
    """Median sharpness of the last quarter over 2/lr, for each learning rate that did not diverge."""
    one = dataset.isel(network=network)
    last = one["sharpness"].isel(probe_step=slice(-one.sizes["probe_step"] // 4, None)).median("probe_step")
    ratio = (last / one["edge"]).values
    return ratio[np.isfinite(ratio)]


def _worst(dataset: "xarray.Dataset", network: int) -> float | None:
    ratio = final_ratio(dataset, network)
    return float(np.abs(ratio - 1).max()) if len(ratio) else None


def _adapts(dataset: "xarray.Dataset") -> float | None:
    return _worst(dataset, 0)


def _scalar(dataset: "xarray.Dataset") -> float | None:
    return _worst(dataset, 2)


def _far_below(dataset: "xarray.Dataset") -> float | None:
    ratio, deep = final_ratio(dataset, 1), _worst(dataset, 0)
    return float((1 - np.median(ratio)) / deep) if len(ratio) and deep else None


def _converges(dataset: "xarray.Dataset") -> float | None:
    last = dataset["probe_loss"].isel(network=[1, 2], probe_step=-1).values
    last = last[np.isfinite(last)]
    return float(last.max()) if len(last) else None


CLAIMS = (
    Claim(
        "deep-network-adapts",
        "From one initialisation the 5-layer network ends with a sharpness very close to 2/lr at each learning rate.",
        "zhu2022 figure 1a",
        (0.0, 0.1),
        "largest |sharpness lr/2 - 1| over the learning rates, median of the last quarter; 2/lr differs by a factor 2 "
        "between them, so a tenth shows that sharpness follows it",
        _adapts,
    ),
    Claim(
        "linear-network-ends-far-below",
        "Two linear layers end significantly below 2/lr, the deep network does not.",
        "zhu2022 figure 1b",
        (2.0, np.inf),
        "median of 1 - sharpness lr/2 of the linear network over the worst |sharpness lr/2 - 1| of the deep one; 1 "
        "would be equally close",
        _far_below,
    ),
    Claim(
        "scalar-network-adapts",
        "The degree-4 scalar network ends very close to 2/lr as well.",
        "zhu2022 figure 1c",
        (0.0, 0.05),
        "largest |sharpness lr/2 - 1|; theory (MIN-10) gives lr^2/4 or less, 0.016 at lr 1/4",
        _scalar,
    ),
    Claim(
        "loss-goes-to-zero",
        "The networks that can fit the data exactly do.",
        "zhu2022 figure 1b, 1c",
        (0.0, 1e-6),
        "largest last loss of the linear and of the scalar network",
        _converges,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Sharpness against the step for each network, 2/lr dashed."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        draw(ax, dataset.isel(network=PANELS.index(name), seed=0))
        ax.set_title(TITLES[PANELS.index(name)])
    settings = style.parameters(dataset)
    style.caption(
        picture,
        f"Gradient descent from one start at three learning rates. Synthetic linear task: {settings['layers']} "
        f"layers of width {settings['width_deep']} ({settings['activation']}); 2 linear layers of width "
        f"{settings['width']}, rescaled by {settings['factors']}. (1 - x^2 y^2)^2/4 from ({settings['start']}). Seed 0 "
        f"of {settings['seeds']}; learning rates and widths are ours; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def draw(ax, one: "xarray.Dataset") -> None:
    """Sharpness of the trainings of one network."""
    from precipice.figures import style

    for index in range(one.sizes["run"]):
        colour, edge = style.COLOURS[index], float(one["edge"][index])
        ax.plot(one["probe_step"], one["sharpness"].isel(run=index), color=colour, lw=1.0, label=f"lr = {2 / edge:.4g}")
        style.edge_line(ax, edge, f"2/lr = {edge:.4g}", colour)
    layered.sharpness_axes(ax)


FIGURE = Figure(
    id="zhu2022/fig1",
    title="Three networks at three learning rates: which ends at 2/lr",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "15 seconds", NO_DATA),
        "paper": Scale(paper_settings, "6 minutes", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="deep-network-adapts",
    claim_panels={
        "deep-network-adapts": "deep",
        "linear-network-ends-far-below": "linear",
        "scalar-network-adapts": "scalar",
        "loss-goes-to-zero": "linear",
    },
)
