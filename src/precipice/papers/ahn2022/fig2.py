"""ahn2022/fig2: a large learning rate makes the bias fall, the loss rise and fall, and the weights oscillate."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError, positive
from precipice.figures.claims import Claim
from precipice.papers.ahn2022.relu_network import check_network, data_line, follow
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("bias", "loss", "weight-sum")
VARIABLES = {"bias": "bias_in_time", "loss": "loss_in_time", "weight-sum": "weight_sum_in_time"}
LABELS = {"bias": "bias b", "loss": "training loss", "weight-sum": "weight sum A = d (a- + a+)"}


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dimension: d, inputs.
        num_examples: n.
        signal: lambda, size of the spike.
        lrs: learning rates, ascending; each divides the largest a whole number of times.
        time: steps times learning rate of each training.
        seeds: draws of the data and of the start.
        precision: float64.
    """

    dimension: int
    num_examples: int
    signal: float
    lrs: str
    time: float
    seeds: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's."""
    return Settings(dimension=200, num_examples=300, signal=3.0, lrs="2.5e-5,2.5e-4,2.5e-3", time=10.0, seeds=3)


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A quarter of the time."""
    return dataclasses.replace(paper_settings(), time=2.5)


def control(settings: Settings) -> Settings:
    """A fifth of the learning rates: the largest is below the threshold too; a fifth of the time keeps the steps."""
    lrs = ",".join(f"{lr / 5:.6g}" for lr in numbers(settings.lrs, "lrs", ascending=True))
    return dataclasses.replace(settings, lrs=lrs, time=settings.time / 5)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_network(settings)
    positive("time", settings.time)
    lrs = numbers(settings.lrs, "lrs", ascending=True)
    if len(lrs) != 3 or any(abs(lrs[-1] / lr - round(lrs[-1] / lr)) > 1e-6 for lr in lrs):
        raise InputError(f"lrs must be three, each a whole fraction of the last; got {settings.lrs!r}.")


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train at each learning rate for the same time; keep the times at which the largest takes its steps."""
    import numpy as np

    from precipice.results import to_dataset

    lrs = np.array(numbers(settings.lrs, "lrs", ascending=True))
    num = round(settings.time / lrs[-1])
    runs = [thinned(settings, float(lr), num, round(lrs[-1] / lr)) for lr in lrs]
    saved = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    coords = {"lr": lrs, "seed": range(settings.seeds), "time": lrs[-1] * np.arange(num + 1)}
    return to_dataset({**saved, "edge": 2 / lrs}, coords=coords)


def thinned(settings: Settings, lr: float, num: int, every: int) -> "dict[str, np.ndarray]":
    """Every `every`-th of `num` times as many steps; how often the loss rose and A turned back, from all of them."""
    import numpy as np

    run = follow(settings, lr, num * every)
    moves = np.diff(run["weight_sum"], axis=1)
    return {
        "status": run["status"],
        "diverged_at": run["diverged_at"],
        "loss_in_time": run["loss"][:, ::every],
        "weight_sum_in_time": run["weight_sum"][:, ::every],
        "bias_in_time": run["bias"][:, ::every],
        "loss_rises": np.sum(np.diff(run["loss"], axis=1) > 0, axis=1),
        "weight_sum_turns": np.sum(moves[:, 1:] * moves[:, :-1] < 0, axis=1),
    }


# Claims -------------------------------------------------------------------------------------------------------------


def _bias_ratio(dataset: "xarray.Dataset") -> float:
    last = dataset["bias_in_time"].isel(time=-1).values
    return float(last[2] / last[1])


def _small_agree(dataset: "xarray.Dataset") -> float:
    bias = dataset["bias_in_time"].values
    return float(abs(bias[0] - bias[1]).max() / abs(bias[1, -1]))


def _rises(dataset: "xarray.Dataset") -> float:
    return float(dataset["loss_rises"].values[2])


def _rises_small(dataset: "xarray.Dataset") -> float:
    return float(dataset["loss_rises"].values[:2].max())


def _turns(dataset: "xarray.Dataset") -> float:
    return float(dataset["weight_sum_turns"].values[2])


CLAIMS = (
    Claim(
        "only-the-largest-learning-rate-lowers-the-bias",
        "The bias falls noticeably at the largest learning rate alone.",
        "ahn2022 figure 2",
        (2.0, 1000.0),
        "last bias at the largest learning rate over that at the middle one, in the same time; reference runs have "
        "-1.09 and -0.25 at the end, a ratio of 4",
        _bias_ratio,
    ),
    Claim(
        "ten-times-the-smallest-changes-nothing",
        "Between the two smaller learning rates there is no difference.",
        "ahn2022 figure 2",
        (0.0, 0.1),
        "largest difference of their biases at equal times over the last bias; both follow the gradient flow, with "
        "errors of order lr times the sharpness in the first steps",
        _small_agree,
    ),
    Claim(
        "loss-is-not-monotone",
        "At the largest learning rate the loss rises and falls.",
        "ahn2022 figure 2",
        (10.0, 1e6),
        "how many steps raise the loss there; the reference run at 1.5 times the threshold has 200, larger steps "
        "settle sooner, and ten are no accident of the start",
        _rises,
    ),
    Claim(
        "loss-is-monotone-below-the-threshold",
        "At the smaller ones it falls at every step.",
        "ahn2022 figure 2",
        (0.0, 0.0),
        "how many steps raise the loss at the two smaller learning rates, the worse; descent below the edge has none",
        _rises_small,
    ),
    Claim(
        "weight-sum-oscillates",
        "d (a- + a+) oscillates wildly at the largest learning rate.",
        "ahn2022 figure 2",
        (100.0, 1e6),
        "how many steps there turn A back; an oscillation at the edge turns at each, for as long as it lasts",
        _turns,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Bias, loss and weight sum of the first seed against the time."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    first = dataset.isel(seed=0)
    for name, ax in zip(names, axes, strict=True):
        for index in reversed(range(dataset.sizes["lr"])):  # the oscillating one behind
            values = first[VARIABLES[name]].isel(lr=index)
            label = f"lr = {float(dataset['lr'][index]):.3g}"
            ls = "--" if index == 0 else "-"
            ax.plot(dataset["time"], values, color=style.COLOURS[index], lw=(1.8, 1.4, 0.5)[index], ls=ls, label=label)
        ax.set_xlabel("time (steps times learning rate)")
        ax.set_ylabel(LABELS[name])
        ax.set_title(name.replace("-", " "))
        ax.legend(fontsize=8)
    style.caption(
        picture,
        f"{data_line(settings)}. First of {style.count(settings['seeds'], 'seed')}; the smaller learning rates are "
        f"drawn at the times at which the largest takes its steps; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig2",
    title="Large learning rates: the bias falls, the loss is not monotone, the weight sum oscillates",
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
    main_claim="only-the-largest-learning-rate-lowers-the-bias",
    claim_panels={
        "only-the-largest-learning-rate-lowers-the-bias": "bias",
        "ten-times-the-smallest-changes-nothing": "bias",
        "loss-is-not-monotone": "loss",
        "loss-is-monotone-below-the-threshold": "loss",
        "weight-sum-oscillates": "weight-sum",
    },
)
