"""Sharpness tracked at each of 60 consecutive gradient steps at the edge of stability, against converged solves.

Claims: worst relative error 1e-4, at 6 or fewer Hessian-vector products a step in the median. The tracker
(`measures.track_hessian`, num=1, rtol=1e-4) runs in float32, as training does; the reference at each step is a cold
solve in float64 with rtol 1e-7. Two windows: where the sharpness has just reached 2/lr, and 300 steps on.

Run: ``.venv/bin/python benchmarks/track_sharpness.py --data DIR [--quick] [--rounds N]``
(a round is another initialisation)
"""

import argparse
from typing import NamedTuple

import common
import equinox as eqx
import jax
import numpy as np
from networks import at_the_edge, in_float64, tanh_network

from precipice import curvature, dynamics, measures, problems

RTOL = 1e-4


class Step(NamedTuple):
    """One tracked step: the sharpness, errors and bounds relative to it, products and seconds, warm and cold."""

    sharpness: float
    error: float
    bound: float
    products: int
    seconds: float
    cold_error: float
    cold_products: int
    cold_seconds: float


_step = eqx.filter_jit(lambda process, state: process.step(state))


def tracked(
    problem: problems.Supervised, process: dynamics.Descent, state: dynamics.State, key: jax.Array, num_steps: int
) -> list[Step]:
    """Take steps from `state`; before each measure with the tracker, cold, and converged in float64."""
    tracker = measures.track_hessian(problem, key=key, num=1, rtol=RTOL)
    memory, steps = tracker.init(state), []
    for number in range(num_steps):
        cold_key, op = jax.random.fold_in(key, 1000 + number), curvature.Hessian(problem.loss, state.params)
        warm = common.timed(lambda state=state, memory=memory: tracker.update(state, memory))
        cold = common.timed(lambda op=op, cold_key=cold_key: curvature.eigs(op, key=cold_key, num=1, rtol=RTOL))
        values, memory = warm.result
        exact = converged(problem, state, cold_key)
        sharpness = float(values["hessian_eigenvalue"][0])
        steps.append(
            Step(
                sharpness,
                abs(sharpness / exact - 1),
                float(values["hessian_eigenvalue_bound"][0]) / sharpness,
                values["hessian_products"],
                warm.seconds,
                abs(float(cold.result.values[0]) / exact - 1),
                cold.result.num_products,
                cold.seconds,
            )
        )
        state = _step(process, state)
    return steps


def converged(problem: problems.Supervised, state: dynamics.State, key: jax.Array) -> float:
    """The sharpness by a cold solve in float64 with rtol 1e-7, and 3 products more to look for a larger one."""
    op = curvature.Hessian(in_float64(problem).loss, in_float64(state.params))
    exact = curvature.eigs(op, key=key, num=1, rtol=1e-7, explore=5)
    if not exact.converged:
        raise RuntimeError(
            f"the reference must converge; at step {int(state.step)} it spent {exact.num_products} products"
        )
    return float(exact.values[0])


def row(name: str, steps: list[Step], edge: float) -> list[str]:
    """A table row for one window; the first step starts cold and is left out of what the tracker did."""
    warm = steps[1:]
    products, cold_products = [s.products for s in warm], [s.cold_products for s in steps]
    return [
        name,
        f"{min(s.sharpness for s in steps) / edge:.3f} to {max(s.sharpness for s in steps) / edge:.3f}",
        f"{max(s.error for s in warm):.1e}",
        f"{max(s.bound for s in warm):.1e}",
        f"{np.median(products):g}, {max(products)}",
        f"{max(s.cold_error for s in steps):.1e}",
        f"{np.median(cold_products):g}, {max(cold_products)}",
        f"{np.median([s.seconds / s.cold_seconds for s in warm]):.2f}",
    ]


def report(windows: dict[str, list[Step]], edge: float) -> None:
    """A row for each window, then the verdicts."""
    head = ("window", "sharpness / (2/lr)", "worst error", "worst bound", "products: median, most")
    head = (*head, "cold: worst error", "cold: products", "time / cold time")
    common.print_table("Errors are relative", head, [row(name, steps, edge) for name, steps in windows.items()])
    warm = [s for steps in windows.values() for s in steps[1:]]
    worst, median = max(s.error for s in warm), float(np.median([s.products for s in warm]))
    rows = [
        ("worst relative error of a tracked step", f"{worst:.1e}", common.verdict(worst, 1e-4, at_most=True)),
        ("products a step, median", f"{median:g}", common.verdict(median, 6, at_most=True)),
        ("steps whose error exceeds its bound", sum(s.error > s.bound for s in warm), f"of {len(warm)}"),
    ]
    common.print_table(
        "All windows, without their first steps, which start cold", ("quantity", "measured", "target"), rows
    )


def main(options: argparse.Namespace) -> None:
    """Train to the edge, track, report."""
    common.print_machine("sharpness tracked over consecutive steps at the edge, num=1, rtol 1e-4, float32")
    num_examples, width, lr, num_steps, later = (
        (300, 32, 0.017, 10, 50) if options.quick else (1000, 200, 0.02, 60, 300)
    )
    problem = tanh_network(num_examples, width, options.data)
    print(f"problem: {problem.data.provenance}; widths {problem.network.widths}; lr {lr}; {num_steps} steps a window\n")
    process, windows = dynamics.Descent(problem, dynamics.gradient_descent(lr)), {}
    for number in range(common.num_rounds(options)):
        key = jax.random.key(number)
        state = at_the_edge(problem, lr, key=key, most_steps=2000)
        windows[f"start {number}, from the crossing"] = tracked(problem, process, state, key, num_steps)
        for _ in range(later):
            state = _step(process, state)
        windows[f"start {number}, {later} steps later"] = tracked(problem, process, state, key, num_steps)
    report(windows, 2 / lr)


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=3).parse_args())
