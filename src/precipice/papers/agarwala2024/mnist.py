"""The MNIST experiments of agarwala2024: sweeps over batch size and learning rate, with K and the kernel watched.

The loss is the mean half squared error over the examples, one output an example, so that K is that of the paper with
its kernel Theta = J J^T/D, whose edge is 2/lr. The paper gives no initialisation, learning rates or epsilon of the
whitening: ours are in the settings.
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice.papers.agarwala2024.mnist_settings import DATA as DATA
from precipice.papers.agarwala2024.mnist_settings import PAPER as PAPER
from precipice.papers.agarwala2024.mnist_settings import Plan, Settings, plans
from precipice.papers.agarwala2024.mnist_settings import slower as slower
from precipice.papers.agarwala2024.mnist_settings import smaller as smaller
from precipice.papers.agarwala2024.mnist_settings import validate as validate
from precipice.papers.figure import Context
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.problems import Supervised
    from precipice.results import Variable
    from precipice.studies import Study


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


def study(settings: Settings, data_dir: Path | None = None, context: Context | None = None) -> "Study":
    """One cell a batch size and seed: all learning rates trained side by side, as one program on the same batches.

    The seed draws the start and the batches: `trained_row` takes nothing from the study's key.

    Args:
        settings: of the sweep.
        data_dir: the data directory, or None for the default.
        context: with a folder to keep checkpoints of the training in flight in; None keeps none.
    """
    from precipice.studies import Axis, Study, counted

    ratios = numbers(settings.lr_ratios, "lr_ratios")
    batches = [int(batch) for batch in numbers(settings.batch_sizes, "batch_sizes")]
    run_row = functools.partial(trained_row, data_dir=data_dir, context=context)
    fixed = {n: v for n, v in dataclasses.asdict(settings).items() if n not in ("batch_sizes", "seeds")}
    return Study(
        "agarwala2024/mnist",
        functools.update_wrapper(run_row, trained_row),
        (Axis("batch_size", batches, splits=True), counted("seed", settings.seeds)),
        _variables(),
        fixed,
        own={"lr_ratio": ratios, "measurement": range(settings.num_measurements + 1)},
        key_axes=(),
        precision=settings.precision,
        traced=False,
        chunk={"batch_size": 1, "seed": 1},
    )


BLOCK = 2000
"""Steps at most between two looks at the display and at the clock of checkpoints."""

MEASURED = ("training_loss", "noise_kernel_norm", "noise_kernel_norm_trace", "kernel_top_eigenvalue")


def _variables() -> "list[Variable]":
    """What a row gives, of each of its learning rates."""
    from precipice.results.vocabulary import variable

    found = [variable(name) for name in (*MEASURED, "diverged_at")]
    return [dataclasses.replace(v, dims=("lr_ratio", *v.dims)) for v in found]


def trained_row(
    key: Any,  # noqa: ARG001
    *,
    batch_size: int,
    seed: int,
    data_dir: Path | None = None,
    context: Context | None = None,
    **fixed: Any,
) -> dict[str, Any]:
    """The measurements of one batch size and seed at all learning rates, each [lr_ratio, measurement].

    Args:
        key: not used, see `study`.
        batch_size: B.
        seed: of start and batches.
        data_dir: the data directory, or None for the default.
        context: see `study`.
        fixed: the other fields of `Settings`.
    """
    import numpy as np

    from precipice.results import Status

    settings = Settings(batch_sizes=str(batch_size), seeds=1, **fixed)
    (plan,) = plans(settings)
    training = _trained(_problem(settings, data_dir), plan, context, seed)
    alive, taken = (np.asarray(getattr(training.state.memory, name)) for name in ("alive", "taken"))
    measured = {name: training.saved[name].T for name in MEASURED}
    return measured | {"diverged_at": np.where(alive, -1, taken), "status": int(Status.DONE)}


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train the grid as a study, a row at a time, and watch loss and kernel."""
    import numpy as np

    from precipice.papers.studied import studied
    from precipice.results import Status, StopReason, to_dataset

    problem_of(settings, context.data_dir)  # absent data are refused before any work
    declared, planned = study(settings, context.data_dir, context), plans(settings)
    found = studied(declared, context)
    found = found.transpose("batch_size", "lr_ratio", "seed", "measurement")
    saved: dict[str, Any] = {name: found[name].values.astype(float) for name in MEASURED}
    saved["run_lr"] = np.stack([np.repeat(plan.lrs[:, None], settings.seeds, axis=1) for plan in planned])
    steps = np.stack([plan.every * np.arange(settings.num_measurements + 1) for plan in planned])
    saved["measured_at"] = np.broadcast_to(steps[:, None, None], saved["training_loss"].shape)
    saved["diverged_at"] = found["diverged_at"].transpose("batch_size", "lr_ratio", "seed").values.astype(int)
    alive = saved["diverged_at"] < 0
    saved["status"] = np.where(alive, int(Status.DONE), int(Status.DIVERGED))
    saved["stop_reason"] = np.where(alive, int(StopReason.STEPS_SPENT), int(StopReason.DIVERGED))
    coords = {name: found[name].values for name in ("batch_size", "lr_ratio", "seed", "measurement")}
    return to_dataset(saved, coords=coords)


@functools.lru_cache(maxsize=1)
def _problem(settings: Settings, data_dir: Path | None) -> "Supervised":
    """`problem_of`, kept for the next row."""
    return problem_of(settings, data_dir)


def _trained(problem: "Supervised", plan: Plan, context: Context | None, seed: int):
    import jax.numpy as jnp
    import optax

    from precipice import dynamics
    from precipice.papers.networks import checkpoint_in, seed_keys

    lrs = jnp.asarray(plan.lrs, problem.data.x.dtype)
    kept: dict[str, Any] = {"progress": dynamics.quiet}
    if context is not None:
        kept = {
            "checkpoint": checkpoint_in(context, f"batch-{plan.batch_size}-seed-{seed}"),
            "checkpoint_seconds": context.checkpoint_seconds,
            "fingerprint": context.fingerprint,
            "progress": context.progress,
        }
    return dynamics.train(
        dynamics.MinibatchSweep(problem, dynamics.Optimiser(optax.sgd, {"learning_rate": lrs}), plan.batch_size),
        key=seed_keys(seed, 1)[0],
        num_steps=plan.num_steps,
        every=plan.every,
        block=max(size for size in range(1, BLOCK + 1) if plan.every % size == 0),
        trackers=(_watch(problem, plan),),
        title=f"batch size {plan.batch_size}, {len(plan.lrs)} learning rates, seed {seed}",
        **kept,
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
