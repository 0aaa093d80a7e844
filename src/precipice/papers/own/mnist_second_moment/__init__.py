"""precipice/mnist-second-moment: how good K is on real eigenvectors, against the second moment itself.

K leaves out how two modes of the kernel move together. On the kernel of a network trained on MNIST the spectral radius
of the whole second moment's operator T is computed, and the learning rate at which it is 1, beside K.
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice.papers.agarwala2024 import mnist
from precipice.papers.agarwala2024.mnist import DATA
from precipice.papers.figure import Context, Figure, Scale
from precipice.papers.own.mnist_second_moment.claims import CLAIMS
from precipice.papers.own.mnist_second_moment.picture import PANELS, plot
from precipice.papers.own.mnist_second_moment.settings import (
    Settings,
    control,
    paper_settings,
    quick_settings,
    sweep_of,
    validate,
)
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import xarray

    from precipice.problems import Supervised
    from precipice.studies import Study

EDGES = ("second_moment_edge_lr", "stochastic_edge_lr", "first_moment_edge_lr")
MEASURED = ("linear_noise_kernel_norm", "linear_noise_kernel_norm_trace", "second_moment_radius")


def study(settings: Settings, data_dir: Path | None = None) -> "Study":
    """One cell a seed, end of the training and batch size; the seed draws the training, nothing the study's key."""
    from precipice.results.vocabulary import variable
    from precipice.studies import Axis, Study, counted

    batches = [int(batch) for batch in numbers(settings.batch_sizes, "batch_sizes")]
    relative = numbers(settings.relative_lrs, "relative_lrs", ascending=True)
    rows = [dataclasses.replace(variable(name), dims=("relative_lr",)) for name in MEASURED]
    fixed = {n: v for n, v in dataclasses.asdict(settings).items() if n not in ("batch_sizes", "seeds")}
    return Study(
        "precipice/mnist-second-moment",
        functools.update_wrapper(functools.partial(measured_cell, data_dir=data_dir), measured_cell),
        (counted("seed", settings.seeds), counted("stage", 2), Axis("batch_size", batches, splits=True)),
        [*EDGES, *rows],
        fixed,
        own={"relative_lr": relative},
        key_axes=(),
        precision="float64",  # of what is measured
        traced=False,
        chunk={"seed": 1, "stage": 1, "batch_size": 1},
    )


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Compute K, its trace form, T's radius and norm at learning rates around the edge, at both ends of a training."""
    from precipice.papers.studied import studied
    from precipice.results import to_dataset

    mnist.problem_of(sweep_of(settings), context.data_dir)  # absent data are refused before any work
    found = studied(study(settings, context.data_dir), context).transpose("seed", "stage", "batch_size", "relative_lr")
    saved = {name: found[name].values for name in (*EDGES, *MEASURED)}
    return to_dataset(saved, coords={str(name): found[name].values for name in found.dims})


def measured_cell(
    key: Any,  # noqa: ARG001
    *,
    seed: int,
    stage: int,
    batch_size: int,
    data_dir: Path | None = None,
    **fixed: Any,
) -> dict[str, Any]:
    """The edges, and the measures at each learning rate [relative_lr].

    Args:
        key: not used, see `study`.
        seed: of start and batches.
        stage: 0 the start of the training, 1 its end.
        batch_size: B, for which the measures are computed.
        data_dir: the data directory, or None for the default.
        fixed: the other fields of `Settings`.
    """
    settings = Settings(batch_sizes=str(batch_size), seeds=1, **fixed)
    anywhere = dataclasses.replace(settings, batch_sizes="1")  # the kernels do not depend on B
    return _cell(_kernels(anywhere, data_dir, seed)[stage], batch_size, numbers(settings.relative_lrs, "relative_lrs"))


@functools.lru_cache(maxsize=1)
def _kernels(settings: Settings, data_dir: Path | None, seed: int) -> list[np.ndarray]:
    """The kernels at both ends of a training, kept for the next batch size."""
    problem = mnist.problem_of(sweep_of(settings), data_dir)
    return [_kernel(problem, params) for params in _ends(problem, settings, seed)]


def _ends(problem: "Supervised", settings: Settings, seed: int) -> list[Any]:
    """Parameters at the start and at the end of a training."""
    import equinox as eqx

    from precipice import dynamics
    from precipice.papers.networks import seed_keys

    process = dynamics.MinibatchDescent(problem, dynamics.gradient_descent(settings.train_lr), settings.train_batch)
    num_steps = max(settings.epochs * settings.num_examples // settings.train_batch, 1)
    key = seed_keys(seed, 1)[0]
    found = dynamics.simulate(process, key=key, num_steps=num_steps, every=num_steps)
    return [eqx.filter_jit(process.init)(key).params, found.state.params]


def _kernel(problem: "Supervised", params: Any) -> np.ndarray:
    from precipice import measures

    return np.asarray(measures.layerwise_gram(problem, params), float)


def _cell(kernel: np.ndarray, batch_size: int, relative: list[float]) -> dict[str, Any]:
    from precipice import measures

    edge = float(measures.second_moment_edge_lr(kernel, batch_size=batch_size))
    found: dict[str, Any] = {
        "second_moment_edge_lr": edge,
        "stochastic_edge_lr": float(measures.stochastic_edge_lr(kernel, batch_size=batch_size)),
        "first_moment_edge_lr": float(measures.first_moment_edge_lr(np.linalg.eigvalsh(kernel))),
    }
    rows = [_at(kernel, batch_size, edge * factor, found["first_moment_edge_lr"]) for factor in relative]
    return found | {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _at(kernel: np.ndarray, batch_size: int, lr: float, limit: float) -> dict[str, float]:
    """The measures at one learning rate; K is not defined where the mean is unstable."""
    from precipice import measures

    given = {"lr": lr, "batch_size": batch_size}
    defined = lr < limit
    return {
        "linear_noise_kernel_norm": float(measures.noise_kernel_norm(kernel, **given)) if defined else np.nan,
        "linear_noise_kernel_norm_trace": float(measures.noise_kernel_norm_trace(np.trace(kernel), **given)),
        "second_moment_radius": float(measures.second_moment_radius(kernel, **given)),
    }


FIGURE = Figure(
    id="precipice/mnist-second-moment",
    title="The noise kernel norm against the second moment itself, on the kernel of an MNIST network",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 90 seconds", DATA),
        "paper": Scale(paper_settings, "about two hours", "mnist"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="the-edge-lies-below-K-of-one",
    claim_panels={
        "the-edge-lies-below-K-of-one": "edge",
        "and-after-training": "edge",
        "K-at-the-edge": "radius",
        "the-edge-is-that-of-T": "radius",
        "T-decides": "radius",
    },
)
