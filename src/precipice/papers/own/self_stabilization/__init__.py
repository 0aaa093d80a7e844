"""precipice/self-stabilization: Damian's predicted (x, y) against real descent of a small network at the edge."""

from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, positive
from precipice.papers.figure import Context, Figure, Scale
from precipice.papers.own.self_stabilization.claims import CLAIMS
from precipice.papers.own.self_stabilization.picture import PANELS, plot
from precipice.papers.own.self_stabilization.settings import (
    Settings,
    control,
    paper_settings,
    quick_settings,
    validate,
)

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train to the edge, go to the point that the theory wants, displace it along u, descend and predict."""
    from precipice.papers.networks import class_pair, problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes))
    found = [_one(problem, settings, context, seed) for seed in range(settings.seeds)]
    saved = pad_runs([{name: run.pop(name) for name in ALONG} for run in found], "step")
    saved |= {name: np.array([run[name] for run in found]) for name in found[0]}
    saved["edge"] = np.full(settings.seeds, 2 / settings.lr)
    return to_dataset(saved, coords={"seed": range(settings.seeds), "step": range(settings.window + 1)})


ALONG = ("top_displacement", "excess_sharpness", "real_displacement", "real_excess", "real_sharpness_excess")


def _one(problem, settings: Settings, context: Context, seed: int) -> dict:
    """One seed: to the edge by training, to the point by projection, and from there twice, by descent and by theory."""
    import jax

    from precipice import measures
    from precipice.papers.networks import seed_keys

    keys = seed_keys(seed, 4)
    before = _to_the_edge(problem, settings, context, seed, keys)
    try:
        point = measures.project_to_edge(problem, before.state.params, settings.lr, key=keys[2])
        positive("alpha", point.alpha)
    except InputError:  # training never came near the edge, or there is no progressive sharpening at it
        return _without_point(settings, int(before.state.step))
    x = settings.displacement * measures.turning_displacement(point.alpha, point.beta)
    start = jax.tree.map(lambda p, u: p + x * u, point.params, point.direction)
    window = _from_the_edge(problem, settings, context, seed, keys, point, start)
    predicted = _predicted(settings, point, x)
    return {
        "top_displacement": predicted["x"],
        "excess_sharpness": predicted["y"],
        "real_displacement": window.saved["edge_displacement"],
        "real_excess": window.saved["edge_excess"],
        "real_sharpness_excess": window.saved["hessian_eigenvalue"][:, 0] - 2 / settings.lr,
        "window_start": int(before.state.step),
        "stabilization_alpha": point.alpha,
        "stabilization_beta": point.beta,
        "status": int(window.status),
        "diverged_at": window.diverged_at,
    }


def _to_the_edge(problem, settings: Settings, context: Context, seed: int, keys):
    from precipice import dynamics, measures
    from precipice.papers.networks import checkpoint_in

    return dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(settings.lr)),
        key=keys[0],
        num_steps=settings.max_steps_before,
        every=settings.every_before,
        trackers=(measures.track_hessian(problem, key=keys[1], num=1, rtol=1e-4),),
        stops=(dynamics.at_least("hessian_eigenvalue", 2 / settings.lr),),
        checkpoint=checkpoint_in(context, f"before-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, to the edge",
        progress=context.progress,
    )


def _from_the_edge(problem, settings: Settings, context: Context, seed: int, keys, point, start):
    from precipice import dynamics, measures
    from precipice.papers.networks import checkpoint_in

    return dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(settings.lr * settings.lr_factor), start=start),
        key=keys[0],
        num_steps=settings.window,
        every=1,
        probes=(measures.edge_coordinates(point),),
        trackers=(measures.track_hessian(problem, key=keys[3], num=1, rtol=settings.rtol),),
        checkpoint=checkpoint_in(context, f"window-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, from the edge",
        progress=context.progress,
    )


def _predicted(settings: Settings, point, x: float) -> dict[str, np.ndarray]:
    import jax

    from precipice import dynamics

    found = dynamics.simulate(
        dynamics.SelfStabilization(settings.lr, point.alpha, point.beta, x=x),
        key=jax.random.key(0),  # the map draws nothing
        num_steps=settings.window,
        every=1,
        probes=(lambda state: {"x": state.params[0], "y": state.params[1]},),
    )
    return {name: np.asarray(value) for name, value in found.saved.items()}


def _without_point(settings: Settings, step: int) -> dict:
    """The result of a seed for which the theory has no point to begin from."""
    from precipice.results import Status

    along = {name: np.full(settings.window + 1, np.nan) for name in ALONG}
    missing = {"stabilization_alpha": np.nan, "stabilization_beta": np.nan}
    return along | missing | {"window_start": step, "status": int(Status.FAILED), "diverged_at": -1}


FIGURE = Figure(
    id="precipice/self-stabilization",
    title="Self-stabilization of a real network: the predicted (x, y) against gradient descent",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "15 seconds", "digits"),
        "paper": Scale(paper_settings, "40 seconds", "digits"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="displacement-grows-and-shrinks",
    claim_panels={
        "displacement-grows-and-shrinks": "displacement",
        "turns-at-sqrt-2-alpha-over-beta": "displacement",
        "peak-of-the-excess": "excess",
        "falls-when-predicted": "excess",
        "sharpness-follows": "excess",
        "error-over-the-cycle": "error",
    },
)
