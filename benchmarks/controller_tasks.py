"""The trainings that `controllers.py` compares on: small networks on digits, MNIST and CIFAR-10, and their batches."""

import argparse
from typing import Any, NamedTuple

import common  # noqa: F401  (sets the threads before jax is imported)
import jax
import jax.numpy as jnp
import numpy as np

from precipice import problems

BATCH, PROBE = 64, 256


class Task(NamedTuple):
    """A training: its name, the problem on its training images, the held-out images, and the number of steps."""

    name: str
    problem: Any
    held_out: problems.Dataset
    num_steps: int

    @property
    def probe(self) -> Any:
        """The fixed examples that held numbers are measured on."""
        return rows(self.problem.data, np.arange(min(PROBE, self.problem.data.num_examples)))


def rows(data: Any, chosen: Any) -> Any:
    """The examples of these numbers."""
    return jax.tree.map(lambda a: a[chosen], data)


def batches(task: Task, seed: int) -> np.ndarray:
    """The examples of each step [steps, batch]: passes over the data in a new order, whole batches only."""
    rng, each = np.random.default_rng(seed), task.problem.data.num_examples // BATCH
    passes = -(-task.num_steps // each)
    order = [
        rng.permutation(task.problem.data.num_examples)[: each * BATCH].reshape(each, BATCH) for _ in range(passes)
    ]
    return np.concatenate(order)[: task.num_steps].astype(np.int32)


def tasks(options: argparse.Namespace) -> list[Task]:
    """The trainings asked for."""
    sizes = {"digits": (1400, 397), "mnist": (2000, 2000), "cifar10": (2000, 2000)}
    made = []
    for name in options.tasks:
        num, held_out = (128, 64) if options.quick else sizes[name]
        width, num_steps = (8, 40) if options.quick else (64, 300)
        load = {
            "digits": lambda n: problems.digits(n, dtype=jnp.float32),
            "mnist": lambda n: problems.mnist(n, data_dir=options.data, dtype=jnp.float32),
            "cifar10": lambda n: problems.cifar10(n, data_dir=options.data, dtype=jnp.float32),
        }[name]
        data = load(num + held_out)
        widths = (data.x.shape[1], width, width, data.y.shape[1])
        network = problems.FullyConnected(widths, activation=problems.relu, initialisation=problems.TORCH)
        problem = problems.Supervised(network, rows(data, np.arange(num)), problems.mean_softmax_cross_entropy)
        made.append(Task(name, problem, rows(data, np.arange(num, num + held_out)), num_steps))
    return made
