"""Taylor models of a network beside it, expanded at its initialisation and near the edge: figures 7 and 14."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice.papers.agarwala2022.expansion.reading import NETWORK, ORDERS
from precipice.papers.agarwala2022.expansion.settings import Settings, mean_lr, orders
from precipice.papers.figure import Context

if TYPE_CHECKING:
    import xarray

    from precipice.dynamics.train import Training


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train the network to the onset and beyond, and its Taylor models from both points.

    Everything is computed with the mean of half squares at `mean_lr`, whose steps are those of the sum at `lr`.
    """
    from precipice.papers.networks import LAYOUTS, class_pair, problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes), LAYOUTS[settings.layout])
    found = [_one(problem, settings, context, seed) for seed in range(settings.seeds)]
    cells = [row for rows, _ in found for row in rows]
    saved = pad_runs(cells, "step", "probe_step", "window_step")
    saved = {name: a.reshape(settings.seeds, len(ORDERS), *a.shape[1:]) for name, a in saved.items()}
    saved["window_start"] = np.array([start for _, start in found])
    saved["edge"] = np.full(settings.seeds, 2 / mean_lr(settings))
    coords = {
        "seed": range(settings.seeds),
        "taylor_order": ORDERS,
        "step": range(saved["loss"].shape[-1]),
        "probe_step": settings.every_before * np.arange(saved["ntk_eigenvalue"].shape[2]),
        "window_step": range(saved["window_projection"].shape[-1]),
    }
    return to_dataset(saved, coords=coords)


def _one(problem: Any, settings: Settings, context: Context, seed: int) -> tuple[list[dict[str, Any]], int]:
    """(results of the network and of each order, the step at which the network is near the edge)."""
    from precipice.papers.agarwala2022.near_edge import to_onset
    from precipice.papers.networks import seed_keys

    keys = seed_keys(seed, 4)
    before = to_onset(problem, dataclasses.replace(settings, lr=mean_lr(settings)), context, seed, keys[:2])
    start, total = int(before.state.step), int(before.state.step) + settings.window
    near = {NETWORK: _from(problem, before.state.params, settings, context, keys[2], f"near-{seed}-network")}
    for order in orders(settings.orders_near_edge, "orders_near_edge"):
        model = _expanded(problem, before.state.params, order)
        near[order] = _from(model, before.state.params, settings, context, keys[2], f"near-{seed}-{order}")
    at_start = {}
    for order in orders(settings.orders_at_start, "orders_at_start"):
        at_start[order] = _from_start(problem, settings, context, (keys[0], keys[3]), order, total, seed)
    rows = [
        _long(order, before, near[NETWORK], at_start, settings) | _window(near.get(order), near[NETWORK])
        for order in ORDERS
    ]
    return rows, start


def _expanded(problem: Any, params: Any, order: int) -> Any:
    from precipice import problems

    return problems.expand(problem, params, order=order)


def _from(model: Any, params: Any, settings: Settings, context: Context, key: Any, name: str) -> "Training":
    """A model from a point near the edge, measured at each step."""
    from precipice import measures

    tracker = measures.track_ntk(model, key=key, num=1, rtol=settings.rtol)
    return _trained(model, params, settings, context, name, (settings.window, 1), tracker, key)


def _from_start(problem, settings: Settings, context: Context, keys, order: int, num_steps: int, seed: int):
    """A Taylor model from the network's initialisation."""
    from precipice import dynamics, measures

    first = dynamics.Descent(problem, dynamics.gradient_descent(mean_lr(settings))).init(keys[0])
    model = _expanded(problem, first.params, order)
    tracker = measures.track_ntk(model, key=keys[1], num=1, rtol=1e-3)
    schedule = (num_steps, settings.every_before)
    return _trained(model, first.params, settings, context, f"start-{seed}-{order}", schedule, tracker, keys[1])


def _trained(model, params, settings: Settings, context: Context, name: str, schedule, tracker, key) -> "Training":
    from precipice import dynamics
    from precipice.papers.networks import checkpoint_in

    return dynamics.train(
        dynamics.Descent(model, dynamics.gradient_descent(mean_lr(settings)), start=params),
        key=key,
        num_steps=schedule[0],
        every=schedule[1],
        trackers=(tracker,),
        checkpoint=checkpoint_in(context, name),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=name,
        progress=context.progress,
    )


def _long(order: int, before: "Training", near: "Training", at_start: dict, settings: Settings) -> dict[str, Any]:
    """Loss and kernel from the initialisation: of the network to the onset and on, or of a Taylor model."""
    if order == NETWORK:
        later = near.saved["ntk_eigenvalue"][settings.every_before :: settings.every_before]
        return {
            "loss": np.concatenate([before.loss, near.loss]),
            "ntk_eigenvalue": np.concatenate([before.saved["ntk_eigenvalue"], later]),
        }
    if order not in at_start:
        return {"loss": before.loss[:0], "ntk_eigenvalue": before.saved["ntk_eigenvalue"][:0]}
    return {"loss": at_start[order].loss, "ntk_eigenvalue": at_start[order].saved["ntk_eigenvalue"]}


def _window(training: "Training | None", network: "Training") -> dict[str, Any]:
    """z1 and the kernel near the edge, z1 with the sign that the network's has at the point of expansion."""
    from precipice.results import Status

    if training is None:
        nothing = np.zeros(0)
        return {"window_projection": nothing, "window_eigenvalue": nothing, "status": Status.MISSING}
    z1 = training.saved["residual_projection"]
    same = np.sign(z1[0] * network.saved["residual_projection"][0])
    return {
        "window_projection": z1 * (same or 1.0),
        "window_eigenvalue": training.saved["ntk_eigenvalue"][:, 0],
        "status": training.status,
    }
