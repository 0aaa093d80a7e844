"""The MNIST experiments of agarwala2024: sweeps over batch size and learning rate, with K and the kernel watched.

The loss is the mean half squared error over the examples, one output an example, so that K is that of the paper with
its kernel Theta = J J^T/D, whose edge is 2/lr. The paper gives no initialisation, learning rates or epsilon of the
whitening: ours are in the settings.
"""

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from precipice._checks import InputError, at_least, at_most, one_of, positive
from precipice.papers.figure import Context
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.problems import Supervised

DATA = "mnist (else digits)"


@dataclass(frozen=True)
class Settings:
    """What fixes a sweep; recorded with it.

    Args:
        dataset: mnist or digits.
        num_examples: the first so many training images, labelled +1 (odd) and -1 (even).
        zca_epsilon: added to the variances of pixels when they are whitened.
        width: units in each hidden layer.
        depth: hidden layers.
        batch_sizes: examples in a minibatch, ascending.
        lr_ratios: lr/B up to `small_batch`; above it learning rates are those of `small_batch`. Ascending.
        small_batch: up to it a training sees `epochs` of the data; above it the number of steps is that of this size.
        epochs: passes over the data.
        num_measurements: of loss and kernel along each training, after that of the start.
        seeds: draws of the start and of the batches.
        precision: of the training, float32 or float64; K is computed in float64.
    """

    dataset: str
    num_examples: int
    zca_epsilon: float
    width: int
    depth: int
    batch_sizes: str
    lr_ratios: str
    small_batch: int
    epochs: int
    num_measurements: int
    seeds: int
    precision: str


PAPER = Settings(
    dataset="mnist",
    num_examples=2500,
    zca_epsilon=0.1,
    width=256,
    depth=2,
    batch_sizes="1, 2, 4, 8, 16, 32, 64, 128, 256, 512",
    lr_ratios="0.00125, 0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025, 0.03, 0.04",
    small_batch=32,
    epochs=480,
    num_measurements=24,
    seeds=1,
    precision="float32",
)
"""The paper's sweep; the learning rates are ours."""


def smaller(settings: Settings, data_dir: Path | None, **changes: Any) -> Settings:
    """`settings` with `changes`, on digits where no MNIST is found."""
    from precipice.problems import found

    there = {Path(name).name for name in found(data_dir)["mnist"].present}
    dataset = "mnist" if "train-images-idx3-ubyte.gz" in there else "digits"
    return dataclasses.replace(settings, dataset=dataset, **changes)


def slower(settings: Settings) -> Settings:
    """A tenth of the learning rates, one seed."""
    ratios = numbers(settings.lr_ratios, "lr_ratios", ascending=True)
    return dataclasses.replace(settings, lr_ratios=", ".join(f"{ratio / 10:g}" for ratio in ratios), seeds=1)


class Plan(NamedTuple):
    """How one batch size is trained: learning rates, steps, and steps between measurements."""

    batch_size: int
    lrs: "np.ndarray"
    num_steps: int
    every: int


def plans(settings: Settings) -> list[Plan]:
    """What is trained, a row for each batch size."""
    import numpy as np

    rows = []
    for number in numbers(settings.batch_sizes, "batch_sizes", ascending=True):
        batch = int(number)
        counted = min(batch, settings.small_batch)
        lrs = np.array(numbers(settings.lr_ratios, "lr_ratios", ascending=True)) * counted
        every = settings.epochs * settings.num_examples // counted // settings.num_measurements
        rows.append(Plan(batch, lrs, every * settings.num_measurements, every))
    return rows


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.papers.networks import DATASETS, PRECISIONS

    one_of("dataset", settings.dataset, ("mnist", "digits"))
    one_of("precision", settings.precision, PRECISIONS)
    positive("zca_epsilon", settings.zca_epsilon)
    for name in ("num_examples", "width", "depth", "small_batch", "epochs", "num_measurements", "seeds"):
        at_least(name, getattr(settings, name), 1)
    at_most("num_examples", settings.num_examples, DATASETS[settings.dataset].examples, "images of " + settings.dataset)
    numbers(settings.lr_ratios, "lr_ratios", ascending=True)
    for batch in numbers(settings.batch_sizes, "batch_sizes", ascending=True):
        if batch != int(batch):
            raise InputError(f"each of batch_sizes must be a whole number; got {batch:g}.")
        at_most("each of batch_sizes", int(batch), settings.num_examples, "num_examples")
    for plan in plans(settings):
        if plan.every < 1:
            raise InputError(
                f"epochs must leave a step between measurements; batches of {plan.batch_size} take "
                f"{settings.epochs * settings.num_examples // min(plan.batch_size, settings.small_batch)} steps for "
                f"{settings.num_measurements} measurements."
            )


def problem_of(settings: Settings, data_dir: Path | None) -> "Supervised":
    """The network and the whitened images with targets +1 and -1."""
    from precipice import problems
    from precipice.papers.networks import PRECISIONS

    options: dict[str, Any] = {
        "targets": problems.parity,
        "preprocess": problems.zca(epsilon=settings.zca_epsilon),
        "dtype": PRECISIONS[settings.precision],
    }
    if settings.dataset == "digits":
        data = problems.digits(settings.num_examples, **options)
    else:
        data = problems.mnist(settings.num_examples, data_dir=data_dir, **options)
    widths = (data.x.shape[1], *[settings.width] * settings.depth, 1)
    network = problems.FullyConnected(widths, activation=problems.erf)
    return problems.Supervised(network, data, problems.mean_half_squared_error)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train the grid, all learning rates of a batch size at once, and watch loss and kernel."""
    import numpy as np

    from precipice.results import Status, StopReason, to_dataset

    problem = problem_of(settings, context.data_dir)
    seeds, planned = range(settings.seeds), plans(settings)
    rows = [[_trained(problem, plan, context, seed) for seed in seeds] for plan in planned]
    saved: dict[str, Any] = {
        name: np.stack([np.stack([training.saved[name].T for training in row], axis=1) for row in rows])
        for name in MEASURED
    }  # [batch_size, lr_ratio, seed, measurement]
    alive, taken = (
        np.stack([np.stack([np.asarray(getattr(t.state.memory, name)) for t in row], axis=1) for row in rows])
        for name in ("alive", "taken")
    )
    saved["run_lr"] = np.stack([np.repeat(plan.lrs[:, None], settings.seeds, axis=1) for plan in planned])
    saved["measured_at"] = np.broadcast_to(
        np.stack([row[0].probe_step for row in rows])[:, None, None], saved["training_loss"].shape
    )
    saved["status"] = np.where(alive, int(Status.DONE), int(Status.DIVERGED))
    saved["stop_reason"] = np.where(alive, int(StopReason.STEPS_SPENT), int(StopReason.DIVERGED))
    saved["diverged_at"] = np.where(alive, -1, taken)
    coords = {
        "batch_size": [plan.batch_size for plan in planned],
        "lr_ratio": numbers(settings.lr_ratios, "lr_ratios"),
        "seed": seeds,
        "measurement": range(settings.num_measurements + 1),
    }
    return to_dataset(saved, coords=coords)


MEASURED = ("training_loss", "noise_kernel_norm", "noise_kernel_norm_trace", "kernel_top_eigenvalue")


def _trained(problem: "Supervised", plan: Plan, context: Context, seed: int):
    import jax.numpy as jnp
    import optax

    from precipice import dynamics
    from precipice.papers.networks import checkpoint_in, seed_keys

    lrs = jnp.asarray(plan.lrs, problem.data.x.dtype)
    return dynamics.train(
        dynamics.MinibatchSweep(problem, dynamics.Optimiser(optax.sgd, {"learning_rate": lrs}), plan.batch_size),
        key=seed_keys(seed, 1)[0],
        num_steps=plan.num_steps,
        every=plan.every,
        trackers=(_watch(problem, plan),),
        checkpoint=checkpoint_in(context, f"batch-{plan.batch_size}-seed-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"batch size {plan.batch_size}, {len(plan.lrs)} learning rates, seed {seed}",
        progress=context.progress,
    )


def _watch(problem: "Supervised", plan: Plan):
    """Loss, K, its trace form and the kernel's largest eigenvalue of each run; NaN once it has diverged."""
    import jax
    import numpy as np

    from precipice._types import Tracker

    def update(state: Any, memory: Any) -> tuple[dict[str, Any], Any]:
        rows = np.full((len(plan.lrs), len(MEASURED)), np.nan)
        for number in np.flatnonzero(np.asarray(state.memory.alive)):
            params = jax.tree.map(lambda leaf, i=number: leaf[i], state.params)
            rows[number] = spectral(problem, params, plan.lrs[number], plan.batch_size)
        return dict(zip(MEASURED, rows.T, strict=True)), memory

    return Tracker(lambda state: (), update)  # noqa: ARG005


def spectral(problem: "Supervised", params: Any, lr: float, batch_size: int) -> "np.ndarray":
    """[loss, K, trace form of K, largest eigenvalue] at `params`, from the kernel in float64; K is NaN past 2/lr."""
    import jax.numpy as jnp
    import numpy as np

    return np.array(_compiled()(problem, params, jnp.asarray(lr, float), jnp.asarray(batch_size, float)))


@functools.cache
def _compiled():
    import equinox as eqx
    import jax.numpy as jnp

    from precipice import measures

    @eqx.filter_jit
    def measured(problem, params, lr, batch_size):
        kernel = measures.layerwise_gram(problem, params).astype(float)
        norm = measures.noise_kernel_norm(kernel, lr=lr, batch_size=batch_size)
        trace = measures.noise_kernel_norm_trace(jnp.trace(kernel), lr=lr, batch_size=batch_size)
        top = jnp.linalg.eigvalsh(kernel)[-1]
        return jnp.stack([problem.loss(params).astype(float), norm, trace, top])

    return measured
