"""The study that `kill_study.py` kills, and its driver: ``python killed_study.py STORE STEPS [ADDRESS WORKERS]``."""

import os
import sys

GRID = {"lr": 40, "start": 40, "seed": 8}
CHUNK = {"lr": 1, "start": 20, "seed": 8}
LOG = "PRECIPICE_KILL_LOG"


def train(key, *, lr, start, seed, num_steps):
    """Gradient descent on (1 - x y z w)^2 / 2 from near `start` in each entry: final loss and sharpness."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import io_callback

    from precipice import dynamics, problems

    lr = io_callback(log_cell, jax.ShapeDtypeStruct((), jnp.float64), lr, start, seed)  # before the first step
    problem = problems.ScalarNetwork((1, 1, 1, 1))
    first = start * (1 + 0.1 * jax.random.normal(key, (4,)))
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=first)
    found = dynamics.simulate(process, key=key, num_steps=num_steps, every=num_steps)
    sharpness = jnp.linalg.eigvalsh(jax.hessian(problem.loss)(found.state.params))[-1]
    return {"final_loss": problem.loss(found.state.params), "final_sharpness": sharpness, "status": found.status}


def log_cell(lr, start, seed):
    """One line for a run that begins, in one write."""
    if path := os.environ.get(LOG):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{float(lr)!r} {float(start)!r} {int(seed)}\n".encode())
        os.close(file)
    return lr


def drive(path: str, num_steps: int, address: str | None, workers: int) -> None:
    """Open the store, compute what is missing."""
    from precipice.studies import Study, counted, linear, run_local
    from precipice.studies.cluster import run_ray
    from precipice.studies.stores import create

    axes = linear("lr", 0.1, 0.6, GRID["lr"]), linear("start", 0.6, 1.4, GRID["start"]), counted("seed", GRID["seed"])
    results = "final_loss", "final_sharpness"
    study = Study("killed", train, axes, results, {"num_steps": num_steps})
    if address is None:
        run_local(study, create(study, path, CHUNK))
    else:
        run_ray(study, create(study, path, CHUNK, threads=1), num_workers=workers, address=address)


if __name__ == "__main__":
    store, steps, *joined = sys.argv[1:]
    address, workers = joined or (None, 0)
    drive(store, int(steps), address, int(workers))
