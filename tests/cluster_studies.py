"""Studies for the tests of the cluster; a module of its own, because workers import it."""

import functools
import os
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.experimental import io_callback

from precipice import dynamics, problems
from precipice.studies import Axis, Study, cluster, counted, run_local
from precipice.studies.stores import create

RATES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
CHUNK = {"lr": 1, "seed": 4}


def edge(key, *, lr, folder="", kill_at=0.0, poison_at=0.0, raise_at=0.0, seconds=0.0):
    """100 steps of gradient descent on a scalar network: its final loss."""
    act = functools.partial(started, Path(folder), kill_at, poison_at, raise_at, seconds)
    lr = io_callback(act, jax.ShapeDtypeStruct((), jnp.float64), lr) if folder else lr
    problem = problems.ScalarNetwork((1, 1, 1, 1))
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr))
    found = dynamics.simulate(process, key=key, num_steps=100, every=100)
    return {"final_loss": problem.loss(found.state.params), "status": found.status}


def started(folder, kill_at, poison_at, raise_at, seconds, lr):
    """Log a cell, and do what we are told to."""
    with (folder / "log").open("a") as file:
        file.write(f"{os.getpid()} {float(lr)!r}\n")
    time.sleep(seconds)
    if lr == poison_at or (lr == kill_at and _is_first(folder / "killed")):
        os.kill(os.getpid(), signal.SIGKILL)
    if lr == raise_at:
        raise ValueError("no such rate")
    return lr


def _is_first(path):
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def of_edge(**settings):
    return Study("edge", edge, (Axis("lr", RATES), counted("seed", 4)), ("final_loss",), settings)


def drive(mode, path, folder):
    """What a process of its own does."""
    if mode == "local":
        study = of_edge()
        run_local(study, create(study, path, CHUNK))
        return
    if mode == "slow":
        study = of_edge(folder=folder, seconds=2.0)
        run_local(study, create(study, path, CHUNK))
        return
    study = of_edge(folder=folder, seconds=0.1)
    try:
        cluster.run_ray(study, create(study, path, CHUNK, threads=1), num_workers=2)
    except KeyboardInterrupt:
        sys.exit(130)
