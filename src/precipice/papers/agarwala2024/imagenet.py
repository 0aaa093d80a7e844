"""The trainings of agarwala2024's figure 16: softmax cross-entropy on images that come from files, K by Bartlett.

K = lr_t tr(H_GN)/(2 (1 - mu) B), H_GN the Gauss-Newton matrix of the mean loss (eq. 130): the paper's form, without a
factor 1/C for the C outputs of an example (SEOS-26).
"""

import dataclasses
import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from precipice._checks import InputError
from precipice.papers.agarwala2024.imagenet_settings import NETWORKS, Settings, blocks_of, lrs_of, networks_of
from precipice.papers.figure import Context

if TYPE_CHECKING:
    import jax
    import numpy as np
    import xarray

    from precipice._types import Tracker
    from precipice.dynamics import Optimiser, Training
    from precipice.problems import AbstractImages, AbstractNetwork, ImageStream, Supervised

MEASURED = ("test_error", "scheduled_lr", "training_gauss_newton_trace", "training_gauss_newton_trace_sem",
            "gauss_newton_noise_kernel_norm")  # fmt: skip


class Streams(NamedTuple):
    """Batches to train on, and the images that are measured, in their middle."""

    training: "ImageStream"
    traced: "ImageStream"
    held_out: "ImageStream"


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train each network at each learning rate and watch K and the error on held-out images."""
    import numpy as np

    from precipice.results import Status, StopReason, to_dataset

    images = images_of(settings, context)
    names, lrs, seeds = networks_of(settings), lrs_of(settings), range(settings.seeds)
    found = []
    for seed in seeds:
        streams = streams_of(settings, *images, seed)
        found += [_trained(settings, streams, name, lr, seed, context) for name in names for lr in lrs]
        for stream in streams:
            stream.close()
    shape = (settings.seeds, len(names), len(lrs))
    saved = {
        name: np.moveaxis(np.reshape([row[name] for row in found], (*shape, *np.shape(found[0][name]))), 0, 2)
        for name in found[0]
    }
    alive = saved["diverged_at"] < 0
    saved["status"] = np.where(alive, int(Status.DONE), int(Status.DIVERGED))
    saved["stop_reason"] = np.where(alive, int(StopReason.STEPS_SPENT), int(StopReason.DIVERGED))
    measurement = range(settings.num_measurements + 1)
    numbers = [NETWORKS.index(name) for name in names]
    return to_dataset(saved, coords={"network": numbers, "lr": lrs, "seed": seeds, "measurement": measurement})


def images_of(settings: Settings, context: Context) -> "tuple[AbstractImages, AbstractImages]":
    """Training and validation images, as many as the settings ask for, readable or refused.

    Raises:
        InputError: images, classes or shards that are missing, or images that cannot be decoded, counted and named.
    """
    from precipice import problems

    if settings.dataset == "imagenet":
        splits = [problems.imagenet(split, data_dir=context.data_dir) for split in ("train", "val")]
    else:
        splits = [problems.image_folder(folder) for folder in _generated(settings, context.folder / "generated")]
    problems.check_same_classes(*splits)
    if len(splits[0].classes) != settings.num_classes:
        raise InputError(
            f"num_classes must be that of the images, {len(splits[0].classes)}; got {settings.num_classes}."
        )
    checked = problems.refuse_unreadable if settings.unreadable == "refuse" else problems.skip_unreadable
    train, held_out = (
        problems.spread_images(images, num)
        for images, num in zip(splits, (settings.num_examples, settings.held_out), strict=True)
    )
    return checked(train), checked(held_out)


def _generated(settings: Settings, folder: Path) -> tuple[Path, Path]:
    """Folders of generated images; written aside and moved, so that a folder that is there is whole."""
    from precipice.problems import write_generated_images

    found = folder / "train", folder / "val"
    for seed, (target, num) in enumerate(zip(found, (settings.num_examples, settings.held_out), strict=True)):
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                write_generated_images(Path(aside) / "new", num, settings.num_classes, seed=seed)
                os.replace(Path(aside) / "new", target)
    return found


def streams_of(settings: Settings, train: "AbstractImages", held_out: "AbstractImages", seed: int) -> Streams:
    """Batches of random parts of the training images, and passes over the middle of some and of the held-out ones."""
    from precipice import problems
    from precipice.papers.networks import PRECISIONS

    options: dict[str, Any] = {"dtype": PRECISIONS[settings.precision]}
    size = settings.image_size
    middle = problems.CentreCrop(size, round(size * 256 / 224))
    traced = problems.spread_images(train, min(settings.trace_examples, len(train)))
    return Streams(
        problems.ImageStream(train, problems.RandomCrop(size), settings.batch_size, seed=seed, **options),
        problems.ImageStream(traced, middle, min(settings.trace_batch, len(traced)), **options),
        problems.ImageStream(held_out, middle, min(settings.trace_batch, len(held_out)), **options),
    )


def network_of(settings: Settings, name: str) -> "AbstractNetwork":
    """ResNet-50 with LayerNorm and GELU, or ViT S/16, cut as the settings say."""
    from precipice import problems

    image = (3, settings.image_size, settings.image_size)
    if name == "vit_s16":
        sizes = {"width": settings.width, "patch": settings.patch, "depth": settings.depth}
        return problems.vit_s16(settings.num_classes, image=image, **sizes)
    kind = {"norm": problems.layer_norm, "activation": problems.gelu}
    full = problems.resnet50(settings.num_classes, image=image, width=settings.width, **kind)
    blocks = blocks_of(settings)
    return dataclasses.replace(full, depths=blocks, channels=full.channels[: len(blocks)])


def _trained(
    settings: Settings, streams: Streams, name: str, lr: float, seed: int, context: Context
) -> "dict[str, np.ndarray]":
    """The measurements of one training [measurement], NaN after a divergence, with its step and the parameters."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from precipice import dynamics, problems
    from precipice.papers.networks import checkpoint_in, seed_keys

    key, drawing = seed_keys(seed, 2)
    first = streams.training(0)
    problem = problems.Supervised(network_of(settings, name), first, problems.mean_softmax_cross_entropy)
    per_epoch = streams.training.epoch_steps
    peak = jnp.asarray(lr, first.x.dtype)
    schedule = dynamics.WarmUpCosine(peak, settings.epochs * per_epoch, settings.warmup_epochs * per_epoch)
    optimiser = dynamics.Optimiser(optax.sgd, {"learning_rate": schedule, "momentum": settings.momentum})
    chunk = settings.chunk_size if settings.chunk_size < settings.batch_size else None
    training = dynamics.train(
        dynamics.EpochDescent(problem, optimiser, settings.batch_size, chunk_size=chunk),
        key=key,
        num_steps=settings.epochs * per_epoch,
        every=settings.epochs // settings.num_measurements * per_epoch,
        block=per_epoch,
        feed=streams.training,
        trackers=(_watch(settings, problem, streams, optimiser, drawing),),
        title=f"{name}, learning rate {lr:g}, seed {seed}",
        checkpoint=checkpoint_in(context, f"{name}-lr-{lr:g}-seed-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        progress=context.progress,
    )
    params = sum(leaf.size for leaf in jax.tree.leaves(training.state.params))
    found = {measured: _padded(training, measured, settings.num_measurements + 1) for measured in MEASURED}
    found["measured_at"] = (
        settings.epochs // settings.num_measurements * per_epoch * np.arange(len(found["test_error"]))
    )
    return found | {"num_params": np.float64(params), "diverged_at": np.int64(training.diverged_at)}


def _padded(training: "Training", name: str, length: int) -> "np.ndarray":
    import numpy as np

    values = np.full(length, np.nan)
    values[: len(training.probe_step)] = np.reshape(training.saved[name], -1)
    return values


def _watch(
    settings: Settings, problem: "Supervised", streams: Streams, optimiser: "Optimiser", key: "jax.Array"
) -> "Tracker":
    """The error on held-out images; trace and K, with the learning rate of the next step."""
    import jax

    from precipice import curvature, measures
    from precipice._types import Tracker

    error, trace = _compiled()
    unit = measures.noise_kernel_norm_trace(1.0, lr=1.0, batch_size=settings.batch_size, momentum=settings.momentum)

    def update(state: Any, memory: Any) -> tuple[dict[str, Any], Any]:
        def traced(batch, own):
            return trace(problem, state.params, batch, own, settings.trace_chunk, settings.trace_samples)

        lr = measures.optax_numbers(optimiser, state.memory.optimiser)["learning_rate"]
        own = jax.random.fold_in(key, state.step)
        found = curvature.streamed_estimate(traced, streams.traced.one_pass(), key=own)
        held_out = streams.held_out.one_pass()
        wrong = curvature.streamed_mean(lambda batch: error(problem, state.params, batch), held_out)
        return {
            "test_error": wrong,
            "scheduled_lr": lr,
            "training_gauss_newton_trace": found.value,
            "training_gauss_newton_trace_sem": found.sem,
            "gauss_newton_noise_kernel_norm": float(unit) * lr * found.value,
        }, memory

    return Tracker(lambda state: (), update)  # noqa: ARG005


@functools.cache
def _compiled():
    """Programs kept for all trainings: (problem, params, batch) -> error, and -> trace with key, chunk and samples."""
    import equinox as eqx

    from precipice import curvature, problems

    @eqx.filter_jit
    def error(problem, params, batch):
        return 1 - problems.accuracy(problem.predict(params, batch.x), batch.y)

    @eqx.filter_jit
    def trace(problem, params, batch, key, chunk, num):
        loss, chunks = problem.output_loss, curvature.chunked(batch, chunk)
        sample = problems.target_sampler(loss)
        return curvature.gram_trace_bartlett(problem.outputs, loss, sample, params, chunks, key=key, num=num)

    return error, trace
