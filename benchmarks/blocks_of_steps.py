"""Compiled blocks of steps against a Python loop of compiled steps, for a small and for the real network.

Contenders, all of the same number of gradient steps from the same parameters: `dynamics.train` in compiled blocks of
100 steps, which checks every step for divergence and keeps every loss; the same in blocks of one step; and plain loops
over a step compiled by ``jax.jit``, one that reads each loss, as a loop that prints or stops must, and one that reads
only the last.

Run: ``.venv/bin/python benchmarks/blocks_of_steps.py --data DIR [--quick] [--rounds N]``
"""

import argparse
from collections.abc import Callable

import common
import jax
import jax.numpy as jnp
import numpy as np
from networks import tanh_network

from precipice import dynamics, problems
from precipice._types import Params

BLOCKS, SINGLES = "blocks of 100 (dynamics.train)", "blocks of 1 (dynamics.train)"
READING, BARE = "loop of jitted steps, each loss read", "loop of jitted steps, last loss read"


def small_network() -> problems.Supervised:
    """A tanh network 64-16-10 on 100 of scikit-learn's digits: a step takes microseconds."""
    data = problems.digits(100, dtype=jnp.float32)
    network = problems.FullyConnected((data.x.shape[1], 16, data.y.shape[1]), initialisation=problems.TORCH)
    return problems.Supervised(network, data, problems.mean_half_squared_error)


def plain_step(problem: problems.Supervised, lr: float) -> Callable[[Params], tuple[Params, jax.Array]]:
    """What one writes by hand: a jitted step of gradient descent, its loss beside it."""

    @jax.jit
    def step(params):
        loss, gradient = jax.value_and_grad(problem.loss)(params)
        return jax.tree.map(lambda p, g: p - lr * g, params, gradient), loss

    return step


def contenders_for(problem: problems.Supervised, lr: float, num_steps: int) -> dict[str, Callable[[], np.ndarray]]:
    """Each returns the losses it knows."""
    start = problem.init(jax.random.key(0))
    process, step = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start), plain_step(problem, lr)

    def trained(every):
        return dynamics.train(
            process, key=jax.random.key(0), num_steps=num_steps, every=every, progress=dynamics.quiet
        ).loss

    def looped(read):
        params, losses = start, []
        for _ in range(num_steps):
            params, loss = step(params)
            losses.append(read(loss))
        return np.array([float(loss) for loss in losses[-1:]]) if read is _unread else np.array(losses)

    return {
        BLOCKS: lambda: trained(100),
        SINGLES: lambda: trained(1),
        READING: lambda: looped(float),
        BARE: lambda: looped(_unread),
    }


def _unread(loss: jax.Array) -> jax.Array:
    return loss


def report(title: str, rounds: list[dict[str, common.Timed]], num_steps: int) -> None:
    """A row for each contender."""
    rows = []
    for name in rounds[0]:
        seconds = np.array([r[name].seconds for r in rounds])
        ratios = seconds / np.array([r[BLOCKS].seconds for r in rounds])
        last = abs(rounds[0][name].result[-1] / rounds[0][BLOCKS].result[-1] - 1)
        rows.append((name, common.spread(1e6 * seconds / num_steps, ".4g"), common.spread(ratios), f"{last:.0e}"))
    head = ("contender", "microseconds a step", "time / blocks of 100", "last loss, relative difference")
    common.print_table(f"{title}, {len(rounds)} rounds of {num_steps} steps: median [least, greatest]", head, rows)


def measured(title: str, problem: problems.Supervised, lr: float, num_steps: int, num_rounds: int) -> None:
    """Compile, time, report."""
    contenders = contenders_for(problem, lr, num_steps)
    for contender in contenders.values():
        contender()
    report(title, [common.interleaved(contenders, number) for number in range(num_rounds)], num_steps)


def main(options: argparse.Namespace) -> None:
    """Both networks."""
    common.print_machine("compiled blocks of steps against Python loops of compiled steps, float32")
    small_steps, num_examples, width, steps = (500, 100, 16, 100) if options.quick else (5000, 5000, 200, 100)
    measured("small network, 64-16-10, 100 digits", small_network(), 0.05, small_steps, common.num_rounds(options))
    real = tanh_network(num_examples, width, options.data)
    title = f"real network, 3072-{width}-{width}-10, {num_examples} CIFAR-10 images"
    measured(title, real, 0.01, steps, common.num_rounds(options))


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=5).parse_args())
