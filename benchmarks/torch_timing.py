"""Part (c) of monitor_peers.py: the time of one measurement of the sharpness, each library to the same accuracy.

Each peer gets the cheapest setting of its ladder whose answer is right at every trial seed, which its user could not
know; precipice runs with its default `rtol`, that accuracy. The seeds that are timed are others.

Measured in processor seconds on one thread, which a busy machine changes less than the clock's; both are shown.
"""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import common
import numpy as np
import torch
from torch.func import replace_all_batch_norm_modules_
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch_contenders import LADDERS, Answer, Contender, by_curvlinops, by_eigenthings, by_pyhessian, precipice
from torch_networks import Problem, converged_top, fully_connected, small_resnet, small_transformer, trained

from precipice.torch import Hessian, Objective, eigs, supervised

ACCURACY = 1e-4

TRIALS = 3
"""Seeds at which a setting must be right to be taken."""


class Timed(NamedTuple):
    """An answer, and the processor's and the clock's seconds until it was there."""

    answer: Answer
    processor: float
    clock: float


COLD, WARM = "precipice, cold", "precipice, one step later"


class Network(NamedTuple):
    """A problem, its top eigenvalues, a warm measurement of it, and what it takes for each peer to measure it."""

    problem: Problem
    exact: np.ndarray
    warm: Callable[[], Answer]
    aids: dict[str, Callable[[Contender], Contender]]


def with_batch_statistics(contender: Contender) -> Contender:
    """On BatchNorm without running statistics (`torch.func`'s own patch): statistics of the batch in either mode."""

    def run(problem: Problem, seed: int) -> Answer:
        replace_all_batch_norm_modules_(problem.model)
        return contender(problem, seed)

    return run


def with_plain_attention(contender: Contender) -> Contender:
    """Within `sdpa_kernel(SDPBackend.MATH)`, attention that can be differentiated twice."""

    def run(problem: Problem, seed: int) -> Answer:
        with sdpa_kernel(SDPBackend.MATH):
            return contender(problem, seed)

    return run


def networks(data: Path | None, quick: bool) -> dict[str, Callable[[], Network]]:
    """The three networks, after some training."""
    examples, width = (16, 8) if quick else (64, 32)
    normed = dict.fromkeys(("PyHessian", "curvlinops + eigsh"), with_batch_statistics)
    plain = dict.fromkeys(LADDERS, with_plain_attention)
    return {
        f"fully connected 3072-{width}-{width}-10": lambda: prepared(fully_connected(examples, width, data), {}),
        "ResNet with BatchNorm, training mode": lambda: prepared(small_resnet(examples // 2, data), normed),
        "transformer, default attention": lambda: prepared(small_transformer(examples // 4, 32), plain),
    }


def prepared(problem: Problem, aids: dict[str, Callable[[Contender], Contender]]) -> Network:
    """The problem one step of gradient descent on, with a measurement that begins at the vectors found before it."""
    objective = Objective(problem.model, supervised(problem.criterion), [(problem.x, problem.y)])
    before = eigs(Hessian(objective), keep=2)
    trained(problem, torch.optim.SGD(problem.model.parameters(), lr=0.02), 1)

    def warm() -> Answer:
        found = eigs(Hessian(objective.now()), keep=2, start=before.vectors, starts=0, explore=0)
        return Answer(float(found.values[0]), found.num_products, not found.converged, float(found.bounds[0]))

    return Network(problem, converged_top(problem), warm, aids)


def report(rounds: int, data: Path | None, *, quick: bool) -> None:
    """Each network: what happens as the documentation shows, then times at equal accuracy."""
    for name, make in networks(data, quick).items():
        network = make()
        size, top = sum(p.numel() for p in network.problem.model.parameters()), network.exact
        print(f"## {name}: {size:,} parameters; top eigenvalues {np.array2string(top, precision=5)}\n")
        common.print_table(
            f"(c) {name}: as the documentation shows, nothing else done", ("library", "what happens"), as_shown(network)
        )
        times(name, network, rounds)


def as_shown(network: Network) -> list[tuple[str, str]]:
    """What each peer answers on the model as it is."""
    shown = {
        "PyHessian": by_pyhessian(),
        "curvlinops + eigsh": by_curvlinops(k=3, which="LM"),
        "hessian-eigenthings": by_eigenthings(k=5),
    }
    return [(name, _outcome(contender, network)) for name, contender in shown.items()]


def _outcome(contender: Contender, network: Network) -> str:
    problem = network.problem.copied()
    modes, buffers = problem.model.training, [b.clone() for b in problem.model.buffers()]
    try:
        answer = contender(problem, 0)
        said = f"off by {abs(answer.value / network.exact[0] - 1):.1%}" + (", flagged" if answer.doubted else "")
    except Exception as error:  # whatever a peer raises is the finding
        said = f"{type(error).__name__}: {str(error).split('. ')[0].splitlines()[0][:150]}"
    if problem.model.training != modes:
        said += "; leaves the model in eval mode"
    if not all(torch.equal(a, b) for a, b in zip(buffers, problem.model.buffers(), strict=True)):
        said += "; moves the running statistics"
    return said


def times(name: str, network: Network, rounds: int) -> None:
    """Interleaved rounds at the chosen settings; ratios within a round."""
    chosen = {peer: _chosen(peer, network) for peer in LADDERS}
    contenders: dict[str, Callable[[int], Answer]] = {
        COLD: lambda seed: precipice()(network.problem, seed),
        WARM: lambda _: network.warm(),
        **{
            f"{peer}, {setting}": lambda seed, run=run: run(network.problem.copied(), seed)
            for peer, (setting, run) in chosen.items()
            if run
        },
    }
    found = [_round(contenders, turn) for turn in range(rounds)]
    rows = [_row(n, found, network.exact[0]) for n in contenders]
    rows += [(f"{peer}: {said}", *[""] * 5) for peer, (said, run) in chosen.items() if not run]
    seconds = ("processor seconds", "time / precipice, cold", "the same by the clock")
    head = ("contender", *seconds, "products", "worst error")
    common.print_table(f"(c) {name}, to {ACCURACY:g}, {rounds} rounds: median (quartiles)", head, rows)


def _round(contenders: dict[str, Callable[[int], Answer]], turn: int) -> dict[str, Timed]:
    """Every contender once, beginning with another one each time."""
    names, found = list(contenders), {}
    for name in names[turn % len(names) :] + names[: turn % len(names)]:
        gc.collect()
        clock, processor = time.perf_counter(), time.process_time()
        answer = contenders[name](100 + turn)
        found[name] = Timed(answer, time.process_time() - processor, time.perf_counter() - clock)
    return found


def _row(name: str, found: list[dict[str, Timed]], exact: float) -> tuple:
    answers = [r[name].answer for r in found]
    return (
        name,
        common.quartiles([r[name].processor for r in found]),
        common.quartiles([r[name].processor / r[COLD].processor for r in found]),
        common.quartiles([r[name].clock / r[COLD].clock for r in found]),
        common.quartiles([a.products for a in answers], ".0f"),
        f"{max(abs(a.value / exact - 1) for a in answers):.0e}",
    )


def _chosen(peer: str, network: Network) -> tuple[str, Contender | None]:
    """The cheapest setting that is right at each trial seed, with what the peer needs to run at all.

    Where there is none: no contender, and how far off the best setting was.
    """
    aid, right, errors = network.aids.get(peer, lambda contender: contender), {}, {}
    for ladder in LADDERS[peer]:
        for setting, contender in ladder.items():
            try:
                answers = [aid(contender)(network.problem.copied(), seed) for seed in range(TRIALS)]
            except Exception as error:  # whatever a peer raises is the finding
                return f"{type(error).__name__}: {str(error).splitlines()[0][:100]}", None
            errors[setting] = max(abs(a.value / network.exact[0] - 1) for a in answers)
            if errors[setting] <= ACCURACY:
                right[setting] = float(np.median([a.products for a in answers])), aid(contender)
                break
    if not right:
        best = min(errors, key=lambda setting: errors[setting])
        return f"no setting is right; {best} is off by {errors[best]:.1e}", None
    best = min(right, key=lambda setting: right[setting][0])
    return best, right[best][1]
