"""The three-parameter ReLU network as the figures of ahn2022 train it: settings, runs over seeds, the mean model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import at_least, positive
from precipice.papers.settings import check_precision, numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.problems import ThresholdNetwork


@dataclass(frozen=True)
class Settings:
    """What fixes a run of figures 4, 6 and 8; recorded with it.

    Args:
        dimension: d, inputs.
        num_examples: n.
        signal: lambda, size of the spike.
        lrs: learning rates, ascending.
        num_steps: of each training.
        seeds: draws of the data and of the start.
        precision: float64.
    """

    dimension: int
    num_examples: int
    signal: float
    lrs: str
    num_steps: int
    seeds: int
    precision: str = "float64"


def settings_of(lrs: str, num_steps: int, seeds: int = 3) -> Settings:
    """The paper's data: d = 200, n = 300, lambda = 3."""
    return Settings(dimension=200, num_examples=300, signal=3.0, lrs=lrs, num_steps=num_steps, seeds=seeds)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_network(settings)
    numbers(settings.lrs, "lrs", ascending=True)
    at_least("num_steps", settings.num_steps, 20)


def check_network(settings: Any) -> None:
    """Refuse data that cannot be drawn.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    at_least("dimension", settings.dimension, 1)
    at_least("num_examples", settings.num_examples, 1)
    positive("signal", settings.signal)
    at_least("seeds", settings.seeds, 1)
    check_precision(settings.precision)


def networks(settings: Any) -> "tuple[ThresholdNetwork, Any]":
    """Networks on the training data of each seed, and their starts (a-, a+, b) [seed, 3]; leaves lead with the seed."""
    import jax
    import jax.numpy as jnp

    from precipice.problems import ThresholdNetwork

    made, starts = [], []
    for seed in range(settings.seeds):
        data_key, start_key, _ = jax.random.split(jax.random.key(seed), 3)
        network = ThresholdNetwork(drawn(settings, data_key, settings.num_examples))
        made.append(network)
        starts.append(network.init(start_key))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *made), jnp.stack(starts)


def drawn(settings: Any, key: Any, num_examples: int):
    """Examples of the sparse coding task."""
    from precipice.problems import sparse_coding

    return sparse_coding(settings.dimension, num_examples, settings.signal, key=key)


def follow(settings: Any, lr: float, num_steps: int, *, sharpness: bool = False) -> "dict[str, np.ndarray]":
    """Gradient descent from each seed's start, at every step.

    Returns:
        ``loss``, ``weight_sum`` (d (a- + a+)), ``bias`` and, if asked for, ``sharpness`` [seed, step]; ``status`` and
        ``diverged_at`` [seed].
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics
    from precipice.curvature import Hessian

    def one(network, start):
        def probe(state):
            minus, plus, bias = state.params
            values = {"last_loss": state.loss, "weight_sum": settings.dimension * (minus + plus), "bias": bias}
            if sharpness:
                values["sharpness"] = jnp.linalg.eigvalsh(Hessian(network.loss, state.params).dense())[-1]
            return values

        process = dynamics.Descent(network, dynamics.gradient_descent(lr), start=start)
        run = dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=1, probes=(probe,))
        ended = {"status": run.status, "diverged_at": run.diverged_at}
        last = jnp.where(run.diverged_at < 0, network.loss(run.state.params), jnp.nan)
        return {**run.saved, **ended}, last

    saved, last = eqx.filter_jit(eqx.filter_vmap(one))(*networks(settings))
    saved = {name: np.asarray(value) for name, value in saved.items()}
    # A state carries the loss before its step: that of step k stands at k + 1.
    saved["loss"] = np.concatenate([saved.pop("last_loss")[:, 1:], np.asarray(last)[:, None]], axis=1)
    return saved


def follow_all(settings: Settings, *, sharpness: bool = False) -> "xarray.Dataset":
    """`follow` at each learning rate, as a dataset over (lr, seed, step) with the edge 2/lr of each."""
    import numpy as np

    from precipice.results import to_dataset

    lrs = np.array(numbers(settings.lrs, "lrs", ascending=True))
    runs = [follow(settings, float(lr), settings.num_steps, sharpness=sharpness) for lr in lrs]
    saved = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    coords = {"lr": lrs, "seed": range(settings.seeds), "step": range(settings.num_steps + 1)}
    return to_dataset({**saved, "edge": 2 / lrs}, coords=coords)


def mean_model(settings: Any, lr: float, num_steps: int, weight_sums: "np.ndarray") -> "dict[str, np.ndarray]":
    """The mean model from each weight sum A [seed] and b = 0: ``mean_model_weight_sum``, ``mean_model_bias``."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics

    def one(weight_sum):
        process = dynamics.MeanModelMap(lr, settings.dimension, weight_sum=weight_sum)
        probes = (lambda s: {"mean_model_weight_sum": s.params[0], "mean_model_bias": s.params[1]},)
        return dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=1, probes=probes).saved

    return {name: np.asarray(v) for name, v in jax.jit(jax.vmap(one))(jnp.asarray(weight_sums)).items()}


def oscillating(weight_sum: "np.ndarray") -> int:
    """How many steps pass until the weight sum no longer turns back at each, 0 if it never does."""
    import numpy as np

    moves = np.diff(weight_sum)
    turns = moves[1:] * moves[:-1] < 0
    kept = np.convolve(turns, np.ones(10), "valid") >= 9  # ten steps with at most one that does not turn
    return int(np.flatnonzero(kept)[-1]) + 10 if kept.any() else 0


def data_line(settings: dict[str, Any]) -> str:
    """The data and the start in one clause, from recorded settings."""
    return (
        f"d = {settings['dimension']}, n = {settings['num_examples']}, lambda = {settings['signal']:g}, a-, a+ ~ "
        "N(0, 1/(2d)), b = 0; mean logistic loss (the paper prints the sum, for which the threshold would be "
        "8 pi/(n d^2))"
    )


def paper_of(settings: Settings):
    """``settings(data_dir)`` of a scale."""

    def made(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
        return settings

    return made
