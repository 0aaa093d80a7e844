"""agarwala2022/fig5: near the edge the residual's top mode oscillates and the kernel's top eigenvalue crosses 2/lr."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.agarwala2022.fig5.claims import CLAIMS
from precipice.papers.agarwala2022.fig5.picture import PANELS, plot
from precipice.papers.agarwala2022.fig5.settings import (
    Settings,
    control,
    paper_settings,
    quick_settings,
    validate,
)
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train to the onset of the edge, then measure the kernel at every step of the window."""
    from precipice.papers.networks import class_pair, problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes))
    windows = [_window(problem, settings, context, seed) for seed in range(settings.seeds)]
    runs = [{"loss": w.loss, **{name: w.saved[name] for name in MEASURED}} for _, w in windows]
    saved = pad_runs(runs, "step", "probe_step")
    saved["window_start"] = np.array([start for start, _ in windows])
    saved["status"] = np.array([int(w.status) for _, w in windows])
    saved["diverged_at"] = np.array([w.diverged_at for _, w in windows])
    saved["edge"] = np.full(settings.seeds, 2 / settings.lr)
    lengths = {"step": saved["loss"].shape[1], "probe_step": saved["residual_projection"].shape[1]}
    coords = {name: range(length) for name, length in lengths.items()}
    return to_dataset(saved, coords={"seed": range(settings.seeds), **coords})


MEASURED = ("residual_projection", "ntk_eigenvalue", "ntk_eigenvalue_bound", "ntk_products", "ntk_converged")


def _window(problem, settings: Settings, context: Context, seed: int):
    """(step at which the window begins, the training through it)."""
    from precipice import dynamics, measures
    from precipice.papers.networks import checkpoint_in, seed_keys

    key, before_key, window_key = seed_keys(seed, 3)
    optimiser = dynamics.gradient_descent(settings.lr)
    onset = settings.onset * 2 / settings.lr
    before = dynamics.train(
        dynamics.Descent(problem, optimiser),
        key=key,
        num_steps=settings.max_steps_before,
        every=settings.every_before,
        trackers=(measures.track_ntk(problem, key=before_key, num=1, rtol=1e-3),),
        stops=(dynamics.at_least("ntk_eigenvalue", onset),),
        checkpoint=checkpoint_in(context, f"before-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, to the onset at {onset:.4g}",
        progress=context.progress,
    )
    window = dynamics.train(
        dynamics.Descent(problem, optimiser, start=before.state.params),
        key=key,
        num_steps=settings.window,
        every=1,
        trackers=(measures.track_ntk(problem, key=window_key, num=2, rtol=settings.rtol),),
        checkpoint=checkpoint_in(context, f"window-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, window",
        progress=context.progress,
    )
    return int(before.state.step), window


FIGURE = Figure(
    id="agarwala2022/fig5",
    title="Near the onset of the edge: residual along the top kernel mode, and kernel eigenvalues",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "about 40 minutes", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="z1-oscillates",
    claim_panels={
        "z1-grows": "z1",
        "z1-oscillates": "z1",
        "every-other-step-is-smooth": "two-step",
        "lambda1-crosses-more-than-once": "eigenvalues",
        "lambda2-stays-below": "eigenvalues",
    },
)
