"""The monitor's eigenvalues against PyHessian, curvlinops and hessian-eigenthings: accuracy, tracking, time, hazards.

Claims: (a) where several eigenvalues lie within 1 % at the edge of stability, precipice's error against a dense float64
Hessian is 1e-4 or better, and flagged where it is not; (b) over 60 consecutive steps the worst error is 1e-4 at 6 or
fewer products a step; (c) one measurement takes less processor time than any peer's to the same accuracy, on a
fully connected network, a ResNet with BatchNorm and a transformer; and which hazards of `tests/torch_bench` each
library gets right.

Run: ``.venv-peers/bin/python benchmarks/monitor_peers.py --data DIR [--quick] [--rounds N] [--only a b c bench]``
"""

import argparse
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import common
import numpy as np
import torch
import torch_hazards
import torch_timing
from torch_contenders import AT_DEFAULTS, TIGHTENED, Answer, Contender, by_curvlinops, by_eigenthings, by_pyhessian
from torch_networks import Problem, converged_top, dense_spectrum, digits_network, to_the_edge

from precipice.torch import Monitor, supervised
from precipice.torch.measures import sharpness

TARGET = 1e-4


class Road(NamedTuple):
    """A training to the edge, and where on it is measured."""

    examples: int = 500
    width: int = 16
    warm: int = 2000
    looks: Sequence[int] = tuple(range(4000, 8001, 50))
    points: int = 6
    seeds: int = 5
    windows: Sequence[int] = (100, 1200, 5000)
    steps: int = 60
    within: float = 0.01

    def begin(self) -> tuple[Problem, torch.optim.SGD, Any]:
        """The problem, its optimiser and the steps."""
        problem = digits_network(self.examples, self.width, seed=0)
        optimizer = torch.optim.SGD(problem.model.parameters(), lr=1.2)
        return problem, optimizer, to_the_edge(problem, optimizer, growth=1.0004, warm=self.warm)


QUICK = Road(100, 4, 20, (10, 20, 30), 2, 2, (5,), 5, within=1.0)


def clustered_points(road: Road) -> list[tuple[int, float, Problem, np.ndarray]]:
    """Step, rate, problem and dense spectrum where the top three eigenvalues lie within 1 %: the first ones met."""
    problem, optimizer, steps = road.begin()
    found = []
    for step in steps:
        if step in road.looks:
            top = converged_top(problem)
            if 1 - top[2] / top[0] < road.within:
                frozen = problem.copied()
                found.append((step, optimizer.param_groups[0]["lr"], frozen, dense_spectrum(frozen)))
        if len(found) == road.points or step > max(road.looks):
            return found
    return found


def accuracy(road: Road) -> None:
    """(a): every contender at each point from several seeds, against the dense spectrum."""
    points = clustered_points(road)
    rows = [
        (step, f"{spectrum[0] * lr / 2:.4f}", *(f"{1 - spectrum[i] / spectrum[0]:.2%}" for i in (1, 2, 3)))
        for step, lr, _, spectrum in points
    ]
    head = ("step", "sharpness / (2/lr)", "2nd below the 1st", "3rd", "4th")
    common.print_table("(a) The points, from the dense float64 Hessian", head, rows)
    spreads = [max(abs(converged_top(p) / s[:4] - 1)) for _, _, p, s in points]
    print(f"ARPACK in float64, used to find the points, differs by {max(spreads):.0e} from the dense spectra\n")
    for title, contenders in (("at their defaults", AT_DEFAULTS), ("tightened", TIGHTENED)):
        rows = [(name, *_accuracy_row(contender, points, road.seeds)) for name, contender in contenders.items()]
        head = (
            "contender",
            "solves",
            "error: median",
            "worst",
            "off by more than 1e-4",
            "of these flagged",
            "products",
        )
        common.print_table(f"(a) Sharpness {title}", head, rows)


def _accuracy_row(contender: Contender, points: list, seeds: int) -> tuple:
    answers = [(contender(p.copied(), seed), s[0]) for _, _, p, s in points for seed in range(seeds)]
    errors = np.array([abs(answer.value / exact - 1) for answer, exact in answers])
    wrong = errors > TARGET
    flagged = int(sum(answer.doubted for (answer, _), off in zip(answers, wrong, strict=True) if off))
    products = common.quartiles([answer.products for answer, _ in answers])
    outside = sum(abs(a.value - exact) > a.bound for a, exact in answers)
    if not np.isnan(answers[0][0].bound):
        print(f"answers of precipice outside their bound: {outside} of {len(answers)}\n")
    most = f"{errors.max():.1e}"
    return len(errors), f"{np.median(errors):.1e}", most, int(wrong.sum()), flagged if wrong.any() else "", products


class Tracked(NamedTuple):
    """One step of a window: relative errors and products by contender, and the monitor's bound."""

    errors: dict[str, float]
    products: dict[str, int]
    bound: float


PEERS_EACH_STEP: dict[str, Contender] = {
    "PyHessian, defaults": by_pyhessian(),
    "curvlinops + `eigsh(k=1, which='LA', tol=1e-3)`": by_curvlinops(
        single=True, check=False, k=1, which="LA", tol=1e-3
    ),
    "hessian-eigenthings `lanczos(k=1, which='LA', max_iter=20)`": by_eigenthings(k=1, which="LA", max_iter=20),
}
MONITOR = "precipice, `Monitor(every=1, budget=None)`"


def tracking(road: Road) -> None:
    """(b): the monitor at each of consecutive steps, and the peers from new starts, which is what they offer."""
    windows = {f"from step {start}": tracked_window(road, start) for start in road.windows}
    for window, steps in windows.items():
        rows = [_tracking_row(name, steps) for name in steps[0].errors]
        head = ("contender", "worst error", "steps above 1e-4", "products: median", "mean", "most")
        common.print_table(f"(b) {len(steps)} consecutive steps {window}", head, rows)
    every = [step for steps in windows.values() for step in steps]
    worst, products = max(s.errors[MONITOR] for s in every), [s.products[MONITOR] for s in every]
    outside = sum(s.errors[MONITOR] > s.bound for s in every)
    rows = [
        ("worst error", f"{worst:.1e}", common.verdict(worst, TARGET, at_most=True)),
        ("products a step, median", common.quartiles(products), common.verdict(np.median(products), 6, at_most=True)),
        ("products a step, mean", f"{np.mean(products):.2f}", common.verdict(np.mean(products), 6, at_most=True)),
        ("steps outside their bound", outside, f"of {len(every)}"),
    ]
    common.print_table(
        "(b) The monitor, all windows, first steps (cold) included", ("what", "measured", "target"), rows
    )


def tracked_window(road: Road, start: int) -> list[Tracked]:
    """Train to `start`, then measure after each step; the truth from ARPACK in float64, dense at the window's ends."""
    problem, optimizer, steps = road.begin()
    monitor, found = None, []
    for step in steps:
        if step < start:
            continue
        if monitor is None:
            data = [(problem.x, problem.y)]
            monitor = Monitor(
                problem.model,
                supervised(problem.criterion),
                data,
                optimizer,
                every=1,
                budget=None,
                measures=(sharpness,),
                lines=(),
            )
        monitor.step()
        truth = float(converged_top(problem)[0])
        if step in (start, start + road.steps - 1):
            exact = float(dense_spectrum(problem)[0])
            if abs(truth / exact - 1) > 1e-8:
                raise RuntimeError(f"ARPACK and the dense Hessian must agree to 1e-8; got {truth} and {exact}")
        found.append(_tracked(monitor, problem, truth, step))
        if len(found) == road.steps:
            break
    return found


def _tracked(monitor: Monitor, problem: Problem, truth: float, step: int) -> Tracked:
    reading = monitor.history.last
    bound = float(monitor.history.readings[-1].errors["sharpness"]) / truth
    answers = {MONITOR: Answer(reading["sharpness"], int(reading["hessian_products"]), False)}
    answers |= {name: contender(problem.copied(), step) for name, contender in PEERS_EACH_STEP.items()}
    errors = {name: abs(answer.value / truth - 1) for name, answer in answers.items()}
    return Tracked(errors, {name: answer.products for name, answer in answers.items()}, bound)


def _tracking_row(name: str, steps: list[Tracked]) -> tuple:
    errors, products = np.array([s.errors[name] for s in steps]), np.array([s.products[name] for s in steps])
    counts = (f"{np.median(products):g}", f"{products.mean():.1f}", products.max())
    return name, f"{errors.max():.1e}", int((errors > TARGET).sum()), *counts


def main(options: argparse.Namespace) -> None:
    """The parts asked for."""
    common.print_machine("the monitor's eigenvalues against its peers, float32; PyTorch on one thread")
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
    road, only = QUICK if options.quick else Road(), options.only
    if "bench" in only:
        torch_hazards.report()
    if "a" in only:
        accuracy(road)
    if "b" in only:
        tracking(road)
    if "c" in only:
        torch_timing.report(common.num_rounds(options), options.data, quick=options.quick)


if __name__ == "__main__":
    parser = common.arguments(__doc__, rounds=7)
    parts = ("bench", "a", "b", "c")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to run")
    main(parser.parse_args())
