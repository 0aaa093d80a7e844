"""precipice/adam-edge: Adam's preconditioned sharpness comes to 38/lr on a real network, and hovers there."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.figure import Context, Figure, Scale
from precipice.papers.own.adam_edge.claims import CLAIMS
from precipice.papers.own.adam_edge.picture import PANELS, plot
from precipice.papers.own.adam_edge.settings import (
    Run,
    Settings,
    control,
    paper_settings,
    quick_settings,
    runs,
    validate,
)

if TYPE_CHECKING:
    import xarray

MEASURED = (
    "normalised_sharpness",
    "normalised_sharpness_bound",
    "preconditioned_sharpness",
    "preconditioned_sharpness_bound",
    "hessian_eigenvalue",
    "hessian_eigenvalue_bound",
    "hessian_products",
    "hessian_converged",
)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train by full-batch Adam at two learning rates and at another beta1, measuring both sharpnesses."""
    from precipice import measures
    from precipice.papers.networks import cells, problem_for
    from precipice.results import to_dataset

    problem, plan = problem_for(settings, context.data_dir), runs(settings)
    trainings = [[_training(problem, settings, context, one, seed) for seed in range(settings.seeds)] for one in plan]
    saved, coords = cells(trainings, MEASURED)
    saved["edge"] = np.array([measures.adam_edge(one.lr, one.beta1) for one in plan])
    return to_dataset(saved, coords={"lr": [one.lr for one in plan], "seed": range(settings.seeds), **coords})


def _training(problem, settings: Settings, context: Context, one: Run, seed: int):
    import optax

    from precipice import dynamics, measures
    from precipice.papers.networks import checkpoint_in, seed_keys

    key, scaled_key, plain_key = seed_keys(seed, 3)
    adam = dynamics.Optimiser(optax.adam, {"learning_rate": one.lr, "b1": one.beta1, "b2": settings.beta2})
    return dynamics.train(
        dynamics.Descent(problem, adam),
        key=key,
        num_steps=settings.num_steps,
        every=settings.every,
        trackers=(
            measures.track_normalised_sharpness(problem, adam, key=scaled_key, rtol=settings.rtol),
            measures.track_hessian(problem, key=plain_key, num=1, rtol=settings.rtol),
        ),
        checkpoint=checkpoint_in(context, f"lr-{one.lr!r}-seed-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"lr {one.lr:g}, beta1 {one.beta1:g}, seed {seed}",
        progress=context.progress,
    )


FIGURE = Figure(
    id="precipice/adam-edge",
    title="Adam's preconditioned sharpness rises to 38/lr on a real network and hovers there",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about a minute", "digits"),
        "paper": Scale(paper_settings, "about an hour", "mnist"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="hovers-at-the-edge",
    claim_panels={
        "hovers-at-the-edge": "edge",
        "stays-there": "edge",
        "rises-to-it": "edge",
        "half-lr-twice-as-high": "edge",
        "beta1-sets-the-factor": "edge",
        "plain-sharpness-is-not-held": "sharpness",
        "loss-is-not-monotone": "loss",
        "loss-still-falls": "loss",
    },
)
