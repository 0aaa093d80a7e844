"""What is watched along agarwala2024's CIFAR-10 trainings: loss, error, the kernel's trace and K, the Hessian."""

import functools
from typing import TYPE_CHECKING, Any

from precipice.papers.agarwala2024.cifar_settings import NUM_OUTPUTS, Settings

if TYPE_CHECKING:
    import jax

    from precipice._types import Tracker
    from precipice.curvature import Estimate
    from precipice.dynamics import Optimiser
    from precipice.problems import Dataset, Supervised


def trackers(
    settings: Settings,
    problem: "Supervised",
    held_out: "Dataset",
    optimiser: "Optimiser",
    batch_size: int,
    key: "jax.Array",
) -> "tuple[Tracker, ...]":
    """The trackers of one training: K and errors always, of the Hessian what the settings ask for."""
    import jax

    from precipice import measures, problems

    sharpness_key, trace_key = jax.random.split(key)
    found = [_watch(settings, problem, held_out, optimiser, batch_size)]
    of_subset = problems.Supervised(
        problem.network, first(problem.data, settings.hessian_examples), problem.output_loss
    )
    chunk = min(settings.chunk_size, settings.hessian_examples)
    if settings.hessian_products:
        options = {"max_products": settings.hessian_products, "chunk_size": chunk}
        found.append(measures.track_hessian(of_subset, key=sharpness_key, num=1, rtol=settings.hessian_rtol, **options))
    if settings.trace_samples:
        found.append(_track_trace(of_subset, trace_key, settings.trace_samples, chunk))
    return tuple(found)


def first(data: "Dataset", num: int) -> "Dataset":
    """The first `num` examples."""
    import jax

    return jax.tree.map(lambda leaf: leaf[:num], data)


def kernel_trace(problem: "Supervised", params: Any, num: int, chunk: int) -> "Estimate":
    """tr(Theta) of all the data from the first `num` examples, exact for these, and its standard error.

    Each chunk's mean is a sample; the error is that of a mean of them, drawn without replacement from all the examples.

    Args:
        problem: a network without BatchNorm and a mean loss.
        params: the point.
        num: examples; a multiple of `chunk`.
        chunk: whose gradients are held at a time.
    """
    return _compiled_trace()(problem, params, first(problem.data, num), chunk)


@functools.cache
def _compiled_trace():
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from precipice.curvature import Estimate, chunked, gram_trace

    @eqx.filter_jit
    def estimated(problem, params, subset, chunk):
        def one(batch):
            return gram_trace(problem.outputs, problem.loss_of_outputs, params, batch).value

        samples = jax.lax.map(one, chunked(subset, chunk).body)
        left = 1 - subset.num_examples / problem.data.num_examples
        return Estimate(jnp.mean(samples), jnp.std(samples, ddof=1) * (left / samples.size) ** 0.5)

    return estimated


@functools.cache
def _compiled_probe():
    import equinox as eqx

    return eqx.filter_jit(lambda probe, state: probe(state))


def _watch(
    settings: Settings, problem: "Supervised", held_out: "Dataset", optimiser: "Optimiser", batch_size: int
) -> "Tracker":
    from precipice import measures
    from precipice._types import Tracker

    on_training = measures.evaluation(problem, problem.data, chunk_size=settings.chunk_size)
    on_others = measures.evaluation(problem, held_out, chunk_size=settings.chunk_size)
    numbers = {"batch_size": batch_size, "num_outputs": NUM_OUTPUTS, "momentum": settings.momentum}

    def update(state: Any, memory: Any) -> tuple[dict[str, Any], Any]:
        lr = measures.optax_numbers(optimiser, state.memory.optimiser)["learning_rate"]
        trace = kernel_trace(problem, state.params, settings.kernel_examples, settings.kernel_chunk)
        return {
            "training_loss": _compiled_probe()(on_training, state)["held_out_loss"],
            "test_error": 1 - _compiled_probe()(on_others, state)["held_out_accuracy"],
            "scheduled_lr": lr,
            "kernel_trace": trace.value,
            "kernel_trace_sem": trace.sem,
            "momentum_noise_kernel_norm_trace": lr * measures.noise_kernel_norm_trace(trace.value, lr=1.0, **numbers),
        }, memory

    return Tracker(lambda state: (), update)  # noqa: ARG005


def _track_trace(problem: "Supervised", key: "jax.Array", num: int, chunk: int) -> "Tracker":
    """The trace of the Hessian of the loss, without the L2 term."""
    import jax

    from precipice import measures
    from precipice._types import Tracker
    from precipice.curvature import chunked

    chunks = chunked(problem.data, chunk)

    def update(state: Any, memory: Any) -> tuple[dict[str, Any], Any]:
        own = jax.random.fold_in(key, state.step)
        found = measures.hessian_trace(problem, state.params, key=own, num=num, chunks=chunks)
        return {"hessian_trace": found.value, "hessian_trace_sem": found.sem}, memory

    return Tracker(lambda state: (), update)  # noqa: ARG005
