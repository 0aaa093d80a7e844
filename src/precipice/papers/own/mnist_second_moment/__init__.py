"""precipice/mnist-second-moment: how good K is on real eigenvectors, against the second moment itself.

K leaves out how two modes of the kernel move together. On the kernel of a network trained on MNIST the spectral radius
of the whole second moment's operator T is computed, and the learning rate at which it is 1, beside K.
"""

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


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Compute K, its trace form, T's radius and norm at learning rates around the edge, at both ends of a training."""
    from precipice.results import to_dataset

    problem = mnist.problem_of(sweep_of(settings), context.data_dir)
    batches = [int(batch) for batch in numbers(settings.batch_sizes, "batch_sizes")]
    relative = numbers(settings.relative_lrs, "relative_lrs", ascending=True)
    total, done, cells = settings.seeds * 2 * len(batches), 0, []
    with context.progress("kernels and batch sizes", total) as report:
        for seed in range(settings.seeds):
            for params in _ends(problem, settings, seed):
                kernel = _kernel(problem, params)
                for batch in batches:
                    cells.append(_cell(kernel, batch, relative))
                    done += 1
                    report(done, f"seed {seed}, batch size {batch}")
    shape = (settings.seeds, 2, len(batches))
    saved = {
        name: np.stack([cell[name] for cell in cells]).reshape(*shape, *np.shape(cells[0][name])) for name in cells[0]
    }
    coords = {"seed": range(settings.seeds), "stage": range(2), "batch_size": batches, "relative_lr": relative}
    return to_dataset(saved, coords=coords)


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
        "paper": Scale(paper_settings, "about three hours", "mnist"),
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
