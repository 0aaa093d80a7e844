"""The cost of training with the sharpness measured every step, every 10 and every 100, against training alone.

At the edge of stability, where the tracker works hardest: the same steps are trained in each round, once without
measurements (compiled blocks of 100 steps) and once with `measures.track_hessian` (num=1, rtol=1e-4) on each schedule.
A run of n steps measured every m holds n/m + 1 measurements, the first of which starts cold, as a user's run would.

Run: ``.venv/bin/python benchmarks/cost_of_watching.py --data DIR [--quick] [--rounds N]``
"""

import argparse

import common
import jax
import numpy as np
from networks import at_the_edge, tanh_network

from precipice import dynamics, measures, problems

ALONE = "training alone"
SCHEDULES = (100, 10, 1)


def trained(
    problem: problems.Supervised, process: dynamics.Descent, num_steps: int, every: int, *, watch: bool
) -> dynamics.Training:
    """Train from the start of `process`, with or without the tracker."""
    key = jax.random.key(1)
    trackers = (measures.track_hessian(problem, key=key, num=1, rtol=1e-4),) if watch else ()
    return dynamics.train(
        process, key=key, num_steps=num_steps, every=every, trackers=trackers, progress=dynamics.quiet
    )


def report(rounds: list[dict[str, common.Timed]], num_steps: int) -> None:
    """A row for each schedule."""
    rows = []
    for name in rounds[0]:
        seconds = np.array([r[name].seconds for r in rounds])
        ratios = seconds / np.array([r[ALONE].seconds for r in rounds])
        saved = rounds[0][name].result.saved
        products = saved.get("hessian_products")
        rows.append(
            (
                name,
                common.spread(1000 * seconds / num_steps),
                common.spread(ratios),
                "" if products is None else f"{np.median(products):g}, {products.max()} ({len(products)})",
            )
        )
    head = ("schedule", "ms a step", "time / training alone", "products: median, most (measurements)")
    common.print_table(f"{len(rounds)} rounds of {num_steps} steps: median [least, greatest]", head, rows)


def main(options: argparse.Namespace) -> None:
    """Train to the edge, then time every schedule over the same steps."""
    common.print_machine("cost of measuring the sharpness while training, at the edge of stability, float32")
    num_examples, width, lr, num_steps = (300, 32, 0.017, 100) if options.quick else (1000, 200, 0.02, 300)
    problem = tanh_network(num_examples, width, options.data)
    print(f"problem: {problem.data.provenance}; widths {problem.network.widths}; gradient descent, lr {lr}\n")
    start = at_the_edge(problem, lr, key=jax.random.key(0), most_steps=2000).params
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
    contenders = {ALONE: lambda: trained(problem, process, num_steps, 100, watch=False)}
    for every in SCHEDULES:
        contenders[f"every {every}"] = lambda every=every: trained(problem, process, num_steps, every, watch=True)
    contenders["not measured, blocks of 1"] = lambda: trained(problem, process, num_steps, 1, watch=False)
    for name in contenders:  # compile
        contenders[name]()
    rounds = [common.interleaved(contenders, number) for number in range(common.num_rounds(options))]
    same_steps(rounds[0])
    report(rounds, num_steps)


def same_steps(found: dict[str, common.Timed]) -> None:
    """Refuse to compare runs that did not take the same steps: measuring must change no bit of them."""
    losses = {name: timed.result.loss for name, timed in found.items()}
    different = [name for name, loss in losses.items() if not np.array_equal(loss, losses[ALONE])]
    if different:
        raise RuntimeError(f"every schedule must take the same steps as training alone; {different} did not")


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=3).parse_args())
