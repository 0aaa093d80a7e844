"""ahn2022/fig1: only learning rates beyond 8 pi/d^2 make the bias fall far, and the test accuracy rises with it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.ahn2022.relu_network import check_network, data_line, drawn, networks
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("bias", "accuracy")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dimension: d, inputs.
        num_examples: n.
        signal: lambda, size of the spike.
        lrs_over_threshold: learning rates over 8 pi/d^2, ascending.
        time: steps times learning rate of each training.
        num_test: fresh examples for the test accuracy.
        seeds: draws of the data and of the start.
        precision: float64.
    """

    dimension: int
    num_examples: int
    signal: float
    lrs_over_threshold: str
    time: float
    num_test: int
    seeds: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's data and time; its learning rates cannot be read off the text."""
    return Settings(
        dimension=200,
        num_examples=300,
        signal=3.0,
        lrs_over_threshold="0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.75,0.8,0.85,0.9,0.95,1,1.05,1.1,1.15,1.2,1.25,1.3,1.4,1.5,"
        "1.75,2,2.5,3,4,5",
        time=10.0,
        num_test=10_000,
        seeds=5,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """Nine learning rates, three seeds."""
    factors = "0.6,0.8,0.9,1,1.1,1.2,1.5,2,4"
    return dataclasses.replace(paper_settings(), lrs_over_threshold=factors, num_test=5000, seeds=3)


def control(settings: Settings) -> Settings:
    """No learning rate beyond the threshold."""
    return dataclasses.replace(settings, lrs_over_threshold="0.6,0.9")


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_network(settings)
    at_least(
        "number of learning rates", len(numbers(settings.lrs_over_threshold, "lrs_over_threshold", ascending=True)), 2
    )
    positive("time", settings.time)
    at_least("num_test", settings.num_test, 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train at each learning rate for the same time; keep the last bias and the accuracy on fresh examples."""
    import numpy as np

    from precipice import measures
    from precipice.results import to_dataset

    factors = np.array(numbers(settings.lrs_over_threshold, "lrs_over_threshold", ascending=True))
    lrs = factors * measures.mean_model_threshold(settings.dimension)
    ends = final_params(settings, lrs)
    saved = {"final_bias": ends[:, :, 2], "test_accuracy": accuracy_of(settings, ends), "edge": 2 / lrs}
    return to_dataset(saved, coords={"lr": lrs, "seed": range(settings.seeds)})


def final_params(settings: Settings, lrs: "np.ndarray") -> "np.ndarray":
    """(a-, a+, b) after the time of the settings [lr, seed, 3]."""
    import equinox as eqx
    import jax
    import numpy as np

    from precipice import dynamics

    made, starts = networks(settings)

    @eqx.filter_jit
    def ends(made, starts, lr, num_steps):
        def one(network, start):
            process = dynamics.Descent(network, dynamics.gradient_descent(lr), start=start)
            first = process.init(jax.random.key(0))
            return jax.lax.fori_loop(0, num_steps, lambda _, state: process.step(state), first).params

        return eqx.filter_vmap(one)(made, starts)

    rates = [(jax.numpy.asarray(lr), jax.numpy.asarray(round(settings.time / lr))) for lr in lrs]
    return np.stack([np.asarray(ends(made, starts, lr, num_steps)) for lr, num_steps in rates])


def accuracy_of(settings: Settings, ends: "np.ndarray") -> "np.ndarray":
    """Accuracy on fresh examples, the same for all learning rates of a seed [lr, seed]."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import problems

    found = []
    for seed in range(settings.seeds):
        *_, test_key = jax.random.split(jax.random.key(seed), 3)
        network = problems.ThresholdNetwork(drawn(settings, test_key, settings.num_test))
        outputs = jax.jit(jax.vmap(network.outputs))(jnp.asarray(ends[:, seed]))
        found.append([float(problems.accuracy(each, network.inputs.y)) for each in outputs])
    return np.array(found).T


# Claims -------------------------------------------------------------------------------------------------------------


def over_threshold(dataset: "xarray.Dataset") -> "np.ndarray":
    """Learning rates over 8 pi/d^2."""
    from precipice import measures
    from precipice.figures import style

    return dataset["lr"].values / measures.mean_model_threshold(style.parameters(dataset)["dimension"])


def kink(x: "np.ndarray", y: "np.ndarray") -> float:
    """Where two straight lines that meet fit y best, by least squares."""
    import numpy as np

    def misfit(place):
        basis = np.stack([np.ones_like(x), x, np.maximum(x - place, 0)], axis=1)
        return np.sum((y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]) ** 2)

    places = np.linspace(x[1], x[-2], 400)
    return float(places[np.argmin([misfit(place) for place in places])])


def _fall(dataset: "xarray.Dataset") -> float:
    bias = dataset["final_bias"].values
    return float(bias[-1] - bias[0])


def _kink(dataset: "xarray.Dataset") -> float | None:
    import numpy as np

    factors = over_threshold(dataset)
    if np.sum(factors < 1) < 3 or np.sum(factors > 1) < 3:
        return None
    return float(np.exp(kink(np.log(factors), dataset["final_bias"].values)))


def _spread_below(dataset: "xarray.Dataset") -> float | None:
    import numpy as np

    bias, below = dataset["final_bias"].values, over_threshold(dataset) <= 0.9 + 1e-9
    return float(np.ptp(bias[below]) / np.abs(bias[-1])) if below.sum() >= 2 and not below.all() else None


def _accuracy_gain(dataset: "xarray.Dataset") -> float | None:
    factors, accuracy = over_threshold(dataset), dataset["test_accuracy"].values
    below, beyond = factors < 1 - 1e-9, factors >= 1.5
    return float(accuracy[beyond].mean() - accuracy[below].mean()) if below.any() and beyond.any() else None


CLAIMS = (
    Claim(
        "large-learning-rates-learn-a-threshold",
        "The bias falls much further at large learning rates, in the same time.",
        "ahn2022 figure 1",
        (-5.0, -0.4),
        "final bias at the largest learning rate minus that at the smallest; reference runs have -1.09 at four times "
        "the threshold and -0.25 below it, and half of that difference would be plain",
        _fall,
    ),
    Claim(
        "drops-at-the-threshold",
        "The bias begins to drop at 8 pi/d^2.",
        "ahn2022 figure 1",
        (0.8, 1.4),
        "kink of the final bias against log lr (two lines that meet) over 8 pi/d^2; d = 200 is not infinite, and "
        "reference runs have -0.250, -0.271, -0.505 at 0.9, 1.1, 1.5 times it",
        _kink,
    ),
    Claim(
        "small-learning-rates-agree",
        "Below the threshold the learning rate makes no difference.",
        "ahn2022 figure 1",
        (0.0, 0.1),
        "range of the final biases up to 0.9 times the threshold, over that at the largest learning rate",
        _spread_below,
    ),
    Claim(
        "test-accuracy-is-higher-beyond",
        "The test accuracy is higher beyond the threshold.",
        "ahn2022 figure 1",
        (0.01, 0.5),
        "mean accuracy from 1.5 times the threshold on minus the mean below it; five standard errors of 5,000 "
        "examples are 0.03 for one run, and about 0.01 for the means, on common examples",
        _accuracy_gain,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Final bias and test accuracy against the learning rate, with the threshold."""
    from precipice import measures
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    threshold = measures.mean_model_threshold(settings["dimension"])
    for name, ax in zip(names, axes, strict=True):
        values = dataset[{"bias": "final_bias", "accuracy": "test_accuracy"}[name]]
        for seed in range(dataset.sizes["seed"]):
            label = "one seed each" if seed == 0 else None
            ax.plot(dataset["lr"], values.isel(seed=seed), ".-", color=style.COLOURS[0], lw=0.8, ms=4, label=label)
        ax.axvline(threshold, color="#4a4a4a", ls="--", lw=1.0, label=f"8 pi/d^2 = {threshold:.3g}")
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel({"bias": "final bias b", "accuracy": "test accuracy"}[name])
        ax.set_title({"bias": "bias", "accuracy": "accuracy on fresh examples"}[name])
        ax.legend(fontsize=8, loc="lower left" if name == "bias" else "upper left")
    style.caption(
        picture,
        f"{data_line(settings)}. Steps times learning rate is {settings['time']:g} for every run; "
        f"{settings['num_test']:,} test examples; {style.count(settings['seeds'], 'seed')}, scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig1",
    title="Large learning rates are needed to learn a threshold neuron",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "12 seconds", NO_DATA),
        "paper": Scale(paper_settings, "120 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="large-learning-rates-learn-a-threshold",
    claim_panels={
        "large-learning-rates-learn-a-threshold": "bias",
        "drops-at-the-threshold": "bias",
        "small-learning-rates-agree": "bias",
        "test-accuracy-is-higher-beyond": "accuracy",
    },
)
