"""ahn2022/fig8: the mean model follows the ReLU network through the first phase of its training."""

import dataclasses
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022.relu_network import (
    Settings,
    data_line,
    follow_all,
    mean_model,
    paper_of,
    settings_of,
    validate,
)
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("weight-sum", "bias")


def control(settings: Settings) -> Settings:
    """A spike as large as all the noise together, which the mean model leaves out."""
    return dataclasses.replace(settings, signal=0.4 * settings.dimension)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train the network, and run the mean model from the same weight sums."""
    import numpy as np

    from precipice.results import to_dataset

    networks = follow_all(settings)
    models = [
        mean_model(settings, float(lr), settings.num_steps, networks["weight_sum"].values[i, :, 0])
        for i, lr in enumerate(networks["lr"].values)
    ]
    saved = {name: np.stack([model[name] for model in models]) for name in models[0]}
    coords = {name: networks[name].values for name in ("lr", "seed", "step")}
    return networks.merge(to_dataset(saved, coords=coords))


# Claims -------------------------------------------------------------------------------------------------------------


def first_phase(one: "xarray.Dataset") -> int:
    """The step at which the mean model has done 0.9 of the fall of its bias."""
    import numpy as np

    bias = one["mean_model_bias"].values
    return int(np.argmax(bias <= 0.9 * bias[-1])) + 1


def of_each(dataset: "xarray.Dataset", measure) -> float:
    """The largest of the measure over the learning rates."""
    return float(max(measure(dataset.isel(lr=i)) for i in range(dataset.sizes["lr"])))


def _bias_error(dataset: "xarray.Dataset") -> float:
    def error(one):
        end = first_phase(one)
        return float(abs(one["bias"] - one["mean_model_bias"])[:end].max() / abs(one["mean_model_bias"][-1]))

    return of_each(dataset, error)


def moves(values: "xarray.DataArray", end: int) -> "np.ndarray":
    """Sizes of the steps."""
    import numpy as np

    return np.abs(np.diff(values.values[: end + 1]))


def _amplitude_error(dataset: "xarray.Dataset") -> float:
    import numpy as np

    def error(one):
        end = first_phase(one)
        network, model = moves(one["weight_sum"], end), moves(one["mean_model_weight_sum"], end)
        return float(np.median(np.abs(network - model) / model))

    return of_each(dataset, error)


CLAIMS = (
    Claim(
        "mean-model-follows-the-bias",
        "The mean model tracks the bias of the network well through the first phase.",
        "ahn2022 figure 8",
        (0.0, 0.25),
        "largest difference of the biases until the mean model has done 0.9 of its fall, over that fall, the worst "
        "learning rate; sums over d = 200 inputs scatter by 10 %, and a lag of a few steps adds as much",
        _bias_error,
    ),
    Claim(
        "mean-model-follows-the-oscillation",
        "It tracks the oscillation of the weight sum.",
        "ahn2022 figure 8",
        (0.0, 0.3),
        "median over the same steps of the relative difference in the sizes of the steps of A, the worst learning "
        "rate; same reasons",
        _amplitude_error,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Network and mean model of the first seed at each learning rate."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    first = dataset.isel(seed=0)
    for name, ax in zip(names, axes, strict=True):
        (draw_sums if name == "weight-sum" else draw_biases)(ax, first)
        ax.set_xlabel("step")
        ax.set_title(name.replace("-", " "))
        ax.legend(fontsize=8, loc="upper right")
    style.caption(
        picture,
        f"{data_line(settings)}. Mean model from the same A and b, first of {style.count(settings['seeds'], 'seed')}; "
        f"learning rates and steps are ours; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def draw_sums(ax, first: "xarray.Dataset") -> None:
    """Every other step of A at the largest learning rate: the upper and the lower end of the oscillation."""
    from precipice.figures import style

    one = first.isel(lr=-1)
    lr, step = float(one["lr"]), one["step"].values
    for parity in (0, 1):
        label = f"network, lr = {lr:.3g}, even and odd steps" if parity == 0 else None
        model = "mean model" if parity == 0 else None
        ax.plot(step[parity::2], one["weight_sum"][parity::2], color=style.COLOURS[1], lw=1.4, label=label)
        ax.plot(step[parity::2], one["mean_model_weight_sum"][parity::2], "k--", lw=0.9, label=model)
    ax.set_ylabel("weight sum A = d (a- + a+)")


def draw_biases(ax, first: "xarray.Dataset") -> None:
    """The bias at every learning rate."""
    from precipice.figures import style

    for index, lr in enumerate(first["lr"].values):
        one = first.isel(lr=index)
        ax.plot(one["step"], one["bias"], color=style.COLOURS[index], lw=1.4, label=f"network, lr = {lr:.3g}")
        ax.plot(one["step"], one["mean_model_bias"], "k--", lw=0.9, label="mean model" if index == 0 else None)
    ax.set_ylabel("bias b")


FIGURE = Figure(
    id="ahn2022/fig8",
    title="The mean model follows the ReLU network at first",
    panels=PANELS,
    scales={
        "quick": Scale(paper_of(settings_of("1.25e-3,2.5e-3", 600)), "7 seconds", NO_DATA),
        "paper": Scale(paper_of(settings_of("8e-4,1.25e-3,2.5e-3", 2000, seeds=5)), "10 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="mean-model-follows-the-bias",
    claim_panels={
        "mean-model-follows-the-bias": "bias",
        "mean-model-follows-the-oscillation": "weight-sum",
    },
)
