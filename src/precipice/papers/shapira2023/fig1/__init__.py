"""shapira2023/fig1: sharpness of a tanh network rises to 2/lr and hovers there (Cohen et al. 2021)."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.figure import Context, Figure, Scale
from precipice.papers.shapira2023.fig1.claims import CLAIMS
from precipice.papers.shapira2023.fig1.picture import PANELS, plot
from precipice.papers.shapira2023.fig1.settings import (
    Settings,
    control,
    paper_settings,
    quick_settings,
    validate,
)

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train at `lr` and at `lr_other`, measuring both spectra."""
    from precipice.papers.networks import cells, problem_for
    from precipice.results import to_dataset

    problem = problem_for(settings, context.data_dir)
    plan = (
        (settings.lr, settings.num_steps, settings.seeds),
        (settings.lr_other, settings.num_steps_other, settings.seeds_other),
    )
    trainings = [
        [
            _training(problem, settings, context, lr, steps, seed) if seed < seeds else None
            for seed in range(settings.seeds)
        ]
        for lr, steps, seeds in plan
    ]
    saved, coords = cells(trainings, MEASURED)
    rates = [lr for lr, _, _ in plan]
    saved["edge"] = 2 / np.array(rates)
    return to_dataset(saved, coords={"lr": rates, "seed": range(settings.seeds), **coords})


MEASURED = (
    "accuracy",
    "gradient_norm",
    "hessian_eigenvalue",
    "hessian_eigenvalue_bound",
    "hessian_products",
    "hessian_converged",
    "ntk_eigenvalue",
    "ntk_eigenvalue_bound",
    "ntk_products",
    "ntk_converged",
)


def _training(problem, settings: Settings, context: Context, lr: float, num_steps: int, seed: int):
    from precipice import dynamics, measures
    from precipice.papers.networks import both_spectra, checkpoint_in, seed_keys

    key, tracker_key = seed_keys(seed, 2)
    stops = (dynamics.accuracy_at_least(settings.stop_accuracy),) if settings.stop_accuracy > 0 else ()
    return dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(lr)),
        key=key,
        num_steps=num_steps,
        every=settings.every,
        probes=(measures.accuracy(problem), measures.gradient_norm(problem)),
        trackers=both_spectra(problem, tracker_key, settings.num_eigenvalues, settings.rtol),
        stops=stops,
        checkpoint=checkpoint_in(context, f"lr-{lr!r}-seed-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"lr {lr:g}, seed {seed}",
        progress=context.progress,
    )


FIGURE = Figure(
    id="shapira2023/fig1",
    title="A tanh network at the edge of stability: loss and sharpness under gradient descent",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about 80 seconds", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "about an hour", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="hovering",
    claim_panels={
        "progressive-sharpening": "sharpness",
        "reaches-the-edge": "sharpness",
        "hovering": "sharpness",
        "half-lr-twice-as-sharp": "sharpness",
        "loss-is-not-monotone": "loss",
        "loss-still-falls": "loss",
    },
)
