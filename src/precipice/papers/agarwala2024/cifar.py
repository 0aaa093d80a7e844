"""The CIFAR-10 experiments of agarwala2024: sweeps over batch size and learning rate with momentum, L2 and a cosine.

The loss is the mean over examples of half the sum of squares over the ten outputs. The noise kernel norm is estimated
as lr_t tr(Theta)/(2 (1 - mu) B C) with Theta the Gram matrix of that loss (its edge is 2/lr), B whole examples and
C = 10 outputs each (SEOS-26). The paper does not say how it counts B or reduces the loss over outputs.
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice.papers.agarwala2024.cifar_settings import Plan, Settings, batches_of, blocks_of, plan_of, ratios_of
from precipice.papers.agarwala2024.cifar_settings import validate as validate
from precipice.papers.figure import Context

if TYPE_CHECKING:
    import jax
    import numpy as np
    import xarray

    from precipice.dynamics import Training
    from precipice.problems import AbstractNetwork, Dataset, Supervised
    from precipice.studies import Study


def network_of(settings: Settings) -> "AbstractNetwork":
    """ResNet-18 with LayerNorm and GELU, or MLP-Mixer S/16, with the blocks, width and first stride of the settings."""
    from precipice import problems

    blocks = blocks_of(settings)
    if settings.network == "mixer_s16":
        sizes = {"width": settings.width, "patch": settings.stride, "depth": blocks[0]}
        return problems.mixer_s16(10, image=(3, 32, 32), **sizes)
    full = problems.resnet18(10, width=settings.width, norm=problems.layer_norm, activation=problems.gelu)
    stem = full.stem._replace(stride=settings.stride)
    return dataclasses.replace(full, depths=blocks, channels=full.channels[: len(blocks)], stem=stem)


def problem_of(settings: Settings, data_dir: Path | None) -> "Supervised":
    """The network and the training images, channels standardised, one-hot targets."""
    from precipice import problems

    data = _images(settings, data_dir, "train", settings.num_examples)
    return problems.Supervised(network_of(settings), data, problems.mean_half_squared_error)


def start_of(problem: "Supervised", key: "jax.Array", *, head_scale: float, norm_scale: float) -> Any:
    """Initial parameters: the weights of the last layer times `head_scale`, the scales of the norms `norm_scale`."""
    import jax

    def shrunk(path: tuple[Any, ...], leaf: "jax.Array") -> "jax.Array":
        return leaf * norm_scale if getattr(path[-1], "key", None) == "scale" else leaf

    params = jax.tree_util.tree_map_with_path(shrunk, _initial()(problem, key))
    return params | {"head": params["head"] | {"weight": params["head"]["weight"] * head_scale}}


@functools.cache
def _initial():
    import equinox as eqx

    return eqx.filter_jit(lambda problem, key: problem.init(key))


def _images(settings: Settings, data_dir: Path | None, split: str, num: int) -> "Dataset":
    from precipice import problems
    from precipice.papers.networks import PRECISIONS

    options: dict[str, Any] = {"layout": problems.channels_first, "dtype": PRECISIONS[settings.precision]}
    return problems.cifar10(num, split=split, data_dir=data_dir, **options)


MEASURED = ("training_loss", "test_error", "scheduled_lr", "kernel_trace", "kernel_trace_sem",
            "momentum_noise_kernel_norm_trace")  # fmt: skip
"""Of each training, whatever is asked for."""

OF_THE_HESSIAN = ("training_sharpness", "training_hessian_trace", "training_hessian_trace_sem")
"""Where products or samples are asked for; NaN else."""


def study(settings: Settings, data_dir: Path | None = None, context: Context | None = None) -> "Study":
    """One cell a batch size, learning-rate ratio and seed; all cells of one batch size share their compiled program.

    The seed draws the start and the batches: `trained_cell` takes nothing from the study's key.

    Args:
        settings: of the sweep.
        data_dir: the data directory, or None for the default.
        context: with a folder to keep checkpoints of the training in flight in; None keeps none.
    """
    from precipice.studies import Axis, Study, counted

    run_cell = functools.partial(trained_cell, data_dir=data_dir, context=context)
    axes_of = ("batch_sizes", "lr_ratios", "seeds")
    return Study(
        "agarwala2024/cifar",
        functools.update_wrapper(run_cell, trained_cell),
        (
            Axis("batch_size", batches_of(settings), splits=True),
            Axis("lr_ratio", ratios_of(settings)),
            counted("seed", settings.seeds),
        ),
        (*MEASURED, *OF_THE_HESSIAN, "num_params", "diverged_at"),
        {name: value for name, value in dataclasses.asdict(settings).items() if name not in axes_of},
        own={"measurement": range(settings.num_measurements + 1)},
        key_axes=(),
        precision=settings.precision,
        traced=False,
        chunk={"batch_size": 1, "lr_ratio": 1, "seed": 1},
    )


def trained_cell(
    key: Any,  # noqa: ARG001
    *,
    batch_size: int,
    lr_ratio: float,
    seed: int,
    data_dir: Path | None = None,
    context: Context | None = None,
    **fixed: Any,
) -> dict[str, Any]:
    """The measurements [measurement] of one training; NaN once it has diverged.

    Args:
        key: not used, see `study`.
        batch_size: B.
        lr_ratio: peak learning rate over B (over `Settings.lr_batch` where that is given).
        seed: of start and batches.
        data_dir: the data directory, or None for the default.
        context: see `study`.
        fixed: the other fields of `Settings`.
    """
    import jax

    from precipice.results import Status

    settings = Settings(batch_sizes=str(batch_size), lr_ratios=repr(float(lr_ratio)), seeds=1, **fixed)
    problem, held_out = _data(settings, data_dir)
    training = _trained(settings, problem, held_out, plan_of(settings, batch_size, lr_ratio), context, seed)
    measured = {name: _padded(training, name, settings.num_measurements + 1) for name in MEASURED}
    measured |= _of_the_hessian(settings, training)
    size = sum(leaf.size for leaf in jax.tree.leaves(training.state.params))
    return measured | {"num_params": size, "diverged_at": training.diverged_at, "status": int(Status.DONE)}


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train the grid as a study, a cell at a time, and watch loss, error and curvature."""
    import numpy as np

    from precipice.papers.studied import studied
    from precipice.results import Status, StopReason, to_dataset

    problem_of(settings, context.data_dir)  # absent data are refused before any work
    found = studied(study(settings, context.data_dir, context), context)
    axes = ("batch_size", "lr_ratio", "seed")
    found = found.transpose(*axes, "measurement")
    batches, ratios = batches_of(settings), ratios_of(settings)
    plans = [[plan_of(settings, batch, ratio) for ratio in ratios] for batch in batches]
    saved: dict[str, Any] = {name: found[name].values.astype(float) for name in (*MEASURED, *OF_THE_HESSIAN)}
    saved["num_params"] = found["num_params"].values.astype(float)
    saved["run_lr"] = np.stack([np.array([[plan.lr] * settings.seeds for plan in row]) for row in plans])
    steps = np.array([row[0].every for row in plans])[:, None] * np.arange(settings.num_measurements + 1)
    saved["measured_at"] = np.broadcast_to(steps[:, None, None], saved["training_loss"].shape)
    saved["diverged_at"] = found["diverged_at"].values.astype(int)
    alive = saved["diverged_at"] < 0
    saved["status"] = np.where(alive, int(Status.DONE), int(Status.DIVERGED))
    saved["stop_reason"] = np.where(alive, int(StopReason.STEPS_SPENT), int(StopReason.DIVERGED))
    return to_dataset(saved, coords={name: found[name].values for name in (*axes, "measurement")})


def _data(settings: Settings, data_dir: Path | None) -> "tuple[Supervised, Dataset]":
    """The problem and the held-out images, kept for the next cell."""
    return _kept(dataclasses.replace(settings, batch_sizes="1", lr_ratios="1"), data_dir)


@functools.lru_cache(maxsize=1)
def _kept(settings: Settings, data_dir: Path | None) -> "tuple[Supervised, Dataset]":
    return problem_of(settings, data_dir), _images(settings, data_dir, "test", settings.held_out)


def _trained(
    settings: Settings, problem: "Supervised", held_out: "Dataset", plan: Plan, context: Context | None, seed: int
) -> "Training":
    import jax
    import jax.numpy as jnp
    import optax

    from precipice import dynamics
    from precipice.papers.agarwala2024.cifar_trackers import trackers
    from precipice.papers.networks import checkpoint_in, seed_keys

    peak = jnp.asarray(plan.lr, problem.data.x.dtype)
    schedule = dynamics.WarmUpCosine(peak, plan.num_steps, plan.warmup_steps)
    optimiser = dynamics.Optimiser(optax.sgd, {"learning_rate": schedule, "momentum": settings.momentum})
    kept: dict[str, Any] = {"progress": dynamics.quiet}
    if context is not None:
        name = f"batch-{plan.batch_size}-lr-{plan.lr:g}-seed-{seed}"
        kept = {
            "checkpoint": checkpoint_in(context, name),
            "checkpoint_seconds": context.checkpoint_seconds,
            "fingerprint": context.fingerprint,
            "progress": context.progress,
        }
    key, measuring, starting = seed_keys(seed, 3)
    # block: XLA slows convolutions within a loop on the CPU (design/training.md)
    start = start_of(problem, starting, head_scale=settings.head_scale, norm_scale=settings.norm_scale)
    return dynamics.train(
        dynamics.EpochDescent(problem, optimiser, plan.batch_size, l2=settings.l2, start=start),
        key=key,
        num_steps=plan.num_steps,
        every=plan.every,
        block=1 if jax.default_backend() == "cpu" else problem.data.num_examples // plan.batch_size,
        trackers=trackers(settings, problem, held_out, optimiser, plan.batch_size, measuring),
        title=f"batch size {plan.batch_size}, learning rate {plan.lr:g}, seed {seed}",
        **kept,
    )


def _padded(training: "Training", name: str, length: int) -> "np.ndarray":
    """A scalar result of each measurement, NaN after the last one taken."""
    import numpy as np

    values = np.full(length, np.nan)
    values[: len(training.probe_step)] = np.reshape(training.saved[name], (len(training.probe_step), -1))[:, 0]
    return values


def _of_the_hessian(settings: Settings, training: "Training") -> "dict[str, np.ndarray]":
    """What was asked for of the Hessian, NaN else; the L2 term raises each eigenvalue by l2."""
    import numpy as np

    length = settings.num_measurements + 1
    found = {name: np.full(length, np.nan) for name in OF_THE_HESSIAN}
    if settings.hessian_products:
        found["training_sharpness"] = _padded(training, "hessian_eigenvalue", length) + settings.l2
    if settings.trace_samples:
        for name in OF_THE_HESSIAN[1:]:
            found[name] = _padded(training, name.removeprefix("training_"), length)
    return found
