"""The ReLU network that learns the basis, as figures 3 and 12 of ahn2022 train it: settings and runs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError, at_least, positive
from precipice.papers.ahn2022.relu_network import check_network
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray

VISIBLE = 0.05
"""A move of the mean weight counts as visible from this fraction of the largest on."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dimension: d, inputs.
        width: m, hidden units.
        num_examples: n.
        signal: lambda, size of the spike.
        lrs: three learning rates, ascending; each divides the largest an odd number of times.
        time: steps times learning rate of each training.
        seeds: draws of the data and of the start.
        precision: float64.
    """

    dimension: int
    width: int
    num_examples: int
    signal: float
    lrs: str
    time: float
    seeds: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's sizes; its learning rates and steps are not given."""
    return Settings(
        dimension=100, width=2000, num_examples=20_000, signal=5.0, lrs="0.008,0.024,0.072", time=7.2, seeds=1
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Half the inputs, 500 examples."""
    return Settings(
        dimension=50, width=2000, num_examples=500, signal=5.0, lrs="0.0084,0.0252,0.0756", time=3.024, seeds=3
    )


def control(settings: Settings) -> Settings:
    """A tenth of the learning rates, all below the edge of the start, and of the time: as many steps."""
    lrs = ",".join(f"{lr / 10:.6g}" for lr in numbers(settings.lrs, "lrs", ascending=True))
    return dataclasses.replace(settings, lrs=lrs, time=settings.time / 10)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_network(settings)
    at_least("width", settings.width, 1)
    positive("time", settings.time)
    lrs = numbers(settings.lrs, "lrs", ascending=True)
    at_least("time over the largest lr", settings.time / lrs[-1], 5)
    times = [lrs[-1] / lr for lr in lrs]
    if len(lrs) != 3 or any(abs(each - round(each)) > 1e-6 or round(each) % 2 == 0 for each in times):
        raise InputError(f"lrs must be three, the last an odd multiple of each; got {settings.lrs!r}.")


def run(settings: Settings) -> "xarray.Dataset":
    """Train at each learning rate for the same time; keep the times at which the largest takes its steps."""
    import numpy as np

    from precipice.results import to_dataset

    lrs = np.array(numbers(settings.lrs, "lrs", ascending=True))
    num = round(settings.time / lrs[-1])
    runs = [[one_run(settings, lr, seed, num, round(lrs[-1] / lr)) for seed in range(settings.seeds)] for lr in lrs]
    saved = {name: np.array([[one[name] for one in seeds] for seeds in runs]) for name in runs[0][0]}
    coords = {"lr": lrs, "seed": range(settings.seeds), "time": lrs[-1] * np.arange(num + 1)}
    return to_dataset({**saved, "edge": 2 / lrs}, coords=coords)


def one_run(settings: Settings, lr: float, seed: int, num: int, every: int) -> "dict[str, Any]":
    """Every `every`-th of `num` times as many steps; how often the loss rose and the mean weight turned, from all."""
    import equinox as eqx
    import jax
    import numpy as np

    from precipice import dynamics, problems

    data_key, start_key = jax.random.split(jax.random.key(seed))
    data = problems.sparse_coding(settings.dimension, settings.num_examples, settings.signal, key=data_key)
    network = problems.SparseCodingNetwork(data, settings.width)
    process = dynamics.Descent(network, dynamics.gradient_descent(lr), start=network.init(start_key))
    found = dynamics.simulate(process, key=start_key, num_steps=num * every, every=1, probes=(_probe,))
    last = eqx.filter_jit(network.loss)(found.state.params) if int(found.diverged_at) < 0 else np.nan
    loss = np.append(np.asarray(found.saved["last_loss"])[1:], last)
    bias, mean = (np.asarray(found.saved[name]) for name in ("bias", "mean"))
    return {
        "loss_in_time": loss[::every],
        "bias_in_time": bias[::every],
        "mean_output_weight_in_time": mean[::every],
        "status": int(found.status),
        "diverged_at": int(found.diverged_at),
        "loss_rises": int(np.sum(np.diff(loss) > 0)),
        "mean_output_weight_turns": visible_turns(mean),
    }


def _probe(state: Any) -> "dict[str, Any]":
    """A state carries the loss before its step: that of step k stands at k + 1."""
    return {"last_loss": state.loss, "bias": state.params["bias"], "mean": state.params["out"].mean()}


def visible_turns(values: "np.ndarray") -> float:
    """How often successive visible moves have opposite signs."""
    import numpy as np

    moves = np.diff(values)
    visible = np.abs(moves) >= VISIBLE * np.abs(moves).max()
    return float(np.sum((moves[1:] * moves[:-1] < 0) & visible[1:] & visible[:-1]))


def sizes_line(settings: dict[str, Any]) -> str:
    """The network and the data in one clause, from recorded settings."""
    return (
        f"f = sum_i a_i ReLU(w_i.x + b): d = {settings['dimension']}, m = {settings['width']}, n = "
        f"{settings['num_examples']:,}, lambda = {settings['signal']:g} (paper: d = 100, m = 2,000, n = 20,000, "
        "lambda = 5; it gives no learning rates); mean logistic loss"
    )


def draw(ax, dataset: "xarray.Dataset", name: str, label: str) -> None:
    """A variable of the first seed against the time, at each learning rate."""
    from precipice.figures import style

    one = dataset.isel(seed=0)
    for index in reversed(range(dataset.sizes["lr"])):
        text = f"lr = {float(dataset['lr'][index]):.3g}"
        ax.plot(dataset["time"], one[name].isel(lr=index), ".-", ms=2, lw=1.0, color=style.COLOURS[index], label=text)
    ax.set_xlabel("time (steps times learning rate)")
    ax.set_ylabel(label)
    ax.legend(fontsize=8)
