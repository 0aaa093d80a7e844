"""Gradient flow of many starts at once: `dynamics.flow` (diffrax) against a hand-written compiled Runge-Kutta loop.

Claim: `dynamics.flow` takes at most 4 times as long as the loop at the same tolerances; the errors of both are printed.

Both are vmapped over 2,000 starts of the degree-4 network and of the single neuron. The loop is Dormand and Prince's
method of orders 5 and 4 with adaptive steps in one `lax.while_loop`, written for arrays of two numbers.

Run: ``.venv/bin/python benchmarks/flow.py [--quick] [--rounds N]``
"""

import argparse
from collections.abc import Callable

import common
import jax
import jax.numpy as jnp
import numpy as np

from precipice import dynamics, problems

RTOL, ATOL, END = 1e-6, 1e-9, 2.0
FLOW, LOOP = "dynamics.flow", "compiled Dormand-Prince loop"
CASES = {
    "degree-4 network": (problems.ScalarNetwork((2, 2), 0.25), (0.3, 1.6)),
    "single neuron": (problems.SingleNeuron(problems.SquareRootLoss()), (0.5, 4.0)),
}

TABLEAU = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
DIFFERENCE = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def by_loop(problem: problems.AbstractProblem) -> Callable[[jax.Array], jax.Array]:
    """The end of the flow from each start [n, 2]; first step 1e-2, step factor between 0.2 and 10, safety 0.9."""

    def downhill(y):
        return -jax.grad(problem.loss)(y)

    def one(carry):
        t, y, h, first = carry
        slopes = [first]
        point = y
        for row in TABLEAU:
            point = y + h * sum(c * k for c, k in zip(row, slopes, strict=True))
            slopes.append(downhill(point))
        error = h * sum(c * k for c, k in zip(DIFFERENCE, slopes, strict=True))
        scaled = jnp.sqrt(jnp.mean((error / (ATOL + RTOL * jnp.maximum(jnp.abs(y), jnp.abs(point)))) ** 2))
        kept = scaled <= 1
        factor = jnp.clip(0.9 * jnp.maximum(scaled, 1e-10) ** -0.2, 0.2, 10.0)
        new = (jnp.where(kept, t + h, t), jnp.where(kept, point, y), jnp.where(kept, slopes[-1], first))
        return new[0], new[1], jnp.minimum(h * factor, END - new[0]), new[2]

    def end(y):
        start = (jnp.zeros(()), y, jnp.array(1e-2), downhill(y))
        return jax.lax.while_loop(lambda carry: carry[0] < END, one, start)[1]

    return jax.jit(jax.vmap(end))


def by_flow(problem: problems.AbstractProblem) -> Callable[[jax.Array], jax.Array]:
    """The same by `dynamics.flow`."""
    return jax.jit(jax.vmap(lambda y: dynamics.flow(problem, y, [END], rtol=RTOL, atol=ATOL).params[0]))


def main(options: argparse.Namespace) -> None:
    """Warm up, check errors, measure, report."""
    common.print_machine(f"gradient flow to time {END:g}, rtol {RTOL:g}, float64")
    num = 100 if options.quick else 2000
    targets = []
    for name, (problem, (low, high)) in CASES.items():
        starts = jnp.asarray(np.random.default_rng(0).uniform(low, high, (num, 2)))
        exact = jax.vmap(lambda y, p=problem: dynamics.flow(p, y, [END], rtol=1e-12, atol=1e-13).params[0])(starts)
        solvers = {FLOW: by_flow(problem), LOOP: by_loop(problem)}
        contenders = {
            label: (lambda solve=solve, starts=starts: jax.block_until_ready(solve(starts)))
            for label, solve in solvers.items()
        }
        first = common.interleaved(contenders, 0)
        errors = {label: float(jnp.abs(first[label].result - exact).max()) for label in contenders}
        rounds = [common.interleaved(contenders, turn) for turn in range(common.num_rounds(options))]
        times = {label: np.array([r[label].seconds for r in rounds]) for label in contenders}
        rows = [
            (label, common.spread(1e6 * t / num), common.spread(t / times[LOOP]), f"{errors[label]:.1e}")
            for label, t in times.items()
        ]
        header = ("contender", "microseconds a start", "time / loop", "largest error")
        common.print_table(f"{name}, {num:,} starts: median [least, greatest]", header, rows)
        targets.append((name, float(np.median(times[FLOW] / times[LOOP]))))
    rows = [(f"{name}: flow / loop", f"{ratio:.2f}", common.verdict(ratio, 4, at_most=True)) for name, ratio in targets]
    common.print_table("Targets", ("quantity", "measured", "target"), rows)


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=5).parse_args())
