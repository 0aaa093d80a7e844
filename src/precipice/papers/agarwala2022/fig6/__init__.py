"""agarwala2022/fig6: near the edge Q stays, z1 follows its kernel eigenvalue, and its non-linear part grows."""

from typing import TYPE_CHECKING, Any

import numpy as np

from precipice.papers.agarwala2022.fig6.claims import CLAIMS
from precipice.papers.agarwala2022.fig6.picture import PANELS, plot
from precipice.papers.agarwala2022.fig6.settings import (
    Settings,
    control,
    paper_settings,
    quick_settings,
    validate,
)
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray

    from precipice.papers.agarwala2022.near_edge import Window

MEASURED = ("residual_projection", "ntk_eigenvalue", "ntk_converged", "top_mode_curvature")


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Figure 5's training with the curvature along the top mode at each step; the spectra of v . Q at both ends."""
    from precipice import measures
    from precipice.papers.agarwala2022.near_edge import ends, window
    from precipice.papers.networks import LAYOUTS, class_pair, problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes), LAYOUTS[settings.layout])

    def track(problem, key):
        return measures.track_top_mode(problem, key=key, rtol=settings.rtol)

    windows = [window(problem, settings, context, seed, track) for seed in range(settings.seeds)]
    runs = [{name: w.training.saved[name] for name in MEASURED} for w in windows]
    saved = pad_runs(runs, "probe_step") | ends(windows, settings.lr)
    spectra = [_spectra(problem, w, settings, seed) for seed, w in enumerate(windows)]
    saved["model_curvature_node"] = np.stack([nodes for nodes, _ in spectra])
    saved["model_curvature_weight"] = np.stack([weights for _, weights in spectra])
    coords = {"seed": range(settings.seeds), "probe_step": range(saved["residual_projection"].shape[1])}
    return to_dataset(saved, coords=coords)


def _spectra(problem: Any, found: "Window", settings: Settings, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, weights) [projection, random vector, node]: along v1 at both ends, and along a random unit direction."""
    import equinox as eqx
    import jax

    from precipice import curvature
    from precipice.papers.networks import seed_keys

    start_key, end_key, random_key, density_key = seed_keys(seed + 1000, 4)  # other keys than the training's
    last = found.training.state.params
    random = jax.random.normal(random_key, problem.data.y.shape, problem.data.y.dtype)
    cases = (
        (found.params, _top_vector(problem, found.params, settings, start_key)),
        (last, _top_vector(problem, last, settings, end_key)),
        (found.params, random / jax.numpy.linalg.norm(random)),
    )
    nodes, weights, compiled = [], [], eqx.filter_jit(curvature.density)
    for params, direction in cases:
        operator = curvature.ModelCurvature(problem.outputs, params, problem.data, direction)
        depth = min(settings.nodes, operator.size)
        density = compiled(operator, key=density_key, num=settings.vectors, depth=depth)
        nodes.append(np.asarray(density.nodes))
        weights.append(np.asarray(density.weights))
    return np.stack(nodes), np.stack(weights)


def _top_vector(problem: Any, params: Any, settings: Settings, key: Any):
    """The kernel's top eigenvector [n, C]."""
    from precipice import curvature

    operator = curvature.gram(problem.outputs, problem.loss_of_outputs, params, problem.data)
    return curvature.eigs(operator, key=key, num=1, rtol=settings.rtol).vectors[0]


FIGURE = Figure(
    id="agarwala2022/fig6",
    title="Near the edge: spectrum of the model's curvature, two-step change of z1, and non-linear ratio",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10"),
        "paper": Scale(paper_settings, "hours", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="two-step-change-is-2yz",
    claim_panels={
        "spectrum-stays": "spectrum",
        "larger-than-along-a-random-direction": "spectrum",
        "two-step-change-is-2yz": "two-step",
        "two-step-change-is-2yz-of-one-step": "two-step",
        "ratio-small-while-sharpening": "ratio",
        "ratio-grows-before-each-fall": "ratio",
        "ratio-of-order-one": "ratio",
    },
)
