"""The study behind zhu2022/fig29: minibatch SGD to the end, for each batch size, learning rate and start."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice.papers.settings import numbers
from precipice.papers.zhu2022.fig29.settings import Settings

if TYPE_CHECKING:
    from precipice.problems import Supervised
    from precipice.studies import Study

RTOL = 1e-6
"""Of the sharpness at the end."""


def study(settings: Settings, data_dir: Path | None = None) -> "Study":
    """One cell a batch size, learning rate and draw: the sharpness and loss that a training ends with.

    The draw's number seeds its start, which all learning rates and batch sizes share, and the orders of the images.

    Args:
        settings: of the figure.
        data_dir: the data directory, or None for the default.
    """
    from precipice.studies import Axis, Study, counted

    cell = functools.update_wrapper(functools.partial(trained, data_dir=data_dir), trained)
    axes = ("lrs", "batch_sizes", "draws")
    return Study(
        "zhu2022/fig29",
        cell,
        (
            Axis("batch_size", [int(batch) for batch in numbers(settings.batch_sizes, "batch_sizes")], splits=True),
            Axis("lr", numbers(settings.lrs, "lrs")),
            counted("draw", settings.draws),
        ),
        ("final_sharpness", "final_loss", "steps_taken"),
        {name: value for name, value in dataclasses.asdict(settings).items() if name not in axes},
        key_axes=(),
        precision=settings.precision,
        traced=False,
        chunk={"batch_size": 1, "lr": 1, "draw": 1},
    )


def trained(
    key: Any,  # noqa: ARG001
    *,
    batch_size: int,
    lr: float,
    draw: int,
    data_dir: Path | None = None,
    **fixed: Any,
) -> dict[str, Any]:
    """The end of one training.

    Args:
        key: not used, see `study`.
        batch_size: B.
        lr: learning rate.
        draw: seed of start and orders.
        data_dir: the data directory, or None for the default.
        fixed: the other fields of `Settings`.
    """
    import jax
    import numpy as np

    from precipice import curvature, dynamics
    from precipice.papers.networks import seed_keys
    from precipice.papers.zhu2022.fifty_images.problem import started

    settings = Settings(lrs=repr(lr), batch_sizes=str(batch_size), draws=1, **fixed)
    start_key, order_key, eigs_key = seed_keys(draw, 3)
    problem, start = started(settings, data_dir, start_key)
    process = dynamics.EpochDescent(problem, dynamics.gradient_descent(lr), batch_size, start=start)
    training = dynamics.train(
        process,
        key=order_key,
        num_steps=settings.epochs * process.epoch_steps,
        every=settings.check_epochs * process.epoch_steps,
        probes=(jax.tree_util.Partial(_loss, problem),),
        stops=(functools.partial(_small, settings.stop_loss),),
        progress=dynamics.quiet,
    )
    params, done = training.state.params, training.diverged_at < 0
    sharpness = np.nan
    if done:
        op = curvature.Hessian(problem.loss, params)
        sharpness = curvature.eigs(op, key=eigs_key, rtol=RTOL, max_products=1000).values[0]
    loss = training.saved["probe_loss"][-1] if done else np.nan
    ends = {"final_sharpness": float(sharpness), "final_loss": float(loss), "steps_taken": int(training.state.step)}
    return ends | {"status": int(training.status)}


def _loss(problem: "Supervised", state: Any) -> dict[str, Any]:
    """The loss over all images."""
    return {"probe_loss": problem.loss(state.params)}


def _small(bound: float, values: Any):
    from precipice.results import StopReason

    return StopReason.LOSS_REACHED if float(values["probe_loss"]) <= bound else None
