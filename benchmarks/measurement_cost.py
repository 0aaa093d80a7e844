"""What a measurement costs on ResNet-18 and CIFAR-10, in gradients and memory, and what a subset of the data gives up.

Claim: sharpness to 1 % and the trace form of K to 1 %, once an epoch on a subset, for less than 10 % of the training.

Run: ``python benchmarks/measurement_cost.py --data DIR``; the width is 1/16 on two cores (``--width 1`` on a GPU).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from common import arguments, num_rounds, print_machine, print_table, spread, timed, verdict

# isort: split
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from precipice import curvature, dynamics, problems
from precipice.curvature.chunks import weighted_mean

TOTAL = 50_000
"""Images of an epoch of the paper's training."""

SHARE = 0.10
"""Of the training time, for one measurement an epoch."""


class Bench(NamedTuple):
    """The network at a point of its training, and at another some steps later; `size` images to measure on."""

    problem: problems.Supervised
    process: dynamics.EpochDescent
    state: Any
    later: Any
    chunks: Any
    size: int

    @property
    def params(self) -> Any:
        """The point."""
        return self.state.params


def prepared(width: float, pool: int, probe: int, chunk: int, steps: int, data_dir: Any) -> Bench:
    """Train with heavy ball and batches of 128 for `steps`, and `steps`/10 more."""
    data = problems.cifar10(pool, data_dir=data_dir, layout=problems.channels_first, dtype="float32")
    network = problems.resnet18(width=width, norm=problems.layer_norm, activation=problems.gelu)
    problem = problems.Supervised(network, data, problems.mean_half_squared_error)
    optimiser = dynamics.Optimiser(optax.sgd, {"learning_rate": 0.02, "momentum": 0.9})
    process = dynamics.EpochDescent(problem, optimiser, min(128, pool), l2=5e-4)
    state = process.init(jax.random.key(0))
    step = eqx.filter_jit(lambda process, state: process.step(state))
    before = state
    for number in range(steps + max(steps // 10, 1)):
        if number == steps:
            before = state
        state = step(process, state)
    rows = jax.tree.map(lambda leaf: leaf[:probe], data)
    return Bench(problem, process, before, state.params, curvature.chunked(rows, chunk), probe)


# Costs ----------------------------------------------------------------------------------------------------------------


def compiled(function: Callable, *args: Any) -> tuple[Callable[[], Any], float]:
    """`function` compiled for `args`, to be called, and its temporary memory in MB."""
    jitted: Any = eqx.filter_jit(function)
    program = jitted.lower(*args).compile()
    analysis = program.compiled.memory_analysis()
    return lambda: program(*args), (analysis.temp_size_in_bytes + analysis.output_size_in_bytes) / 1e6


def gradient(problem, params, chunks):
    """The gradient of the loss over the chunks."""
    return weighted_mean(lambda batch: jax.grad(problem.loss)(params, batch), chunks)


def product(problem, params, chunks, vector):
    """A Hessian-vector product over the chunks."""
    return curvature.Hessian(problem.loss, params, chunks).mv(vector)


def exact_trace(problem, params, chunks):
    """The trace of the Gram matrix from every output of every example."""
    return curvature.gram_trace(problem.outputs, problem.loss_of_outputs, params, chunks).value


def hutchinson(problem, params, chunks, key, num):
    """The same by signs."""
    return curvature.gram_trace_hutchinson(problem.outputs, problem.loss_of_outputs, params, chunks, key=key, num=num)


def bartlett(problem, params, chunks, key, num):
    """The same by sampled targets."""
    sampler = problems.target_sampler(problem.output_loss)
    return curvature.gram_trace_bartlett(
        problem.outputs, problem.output_loss, sampler, params, chunks, key=key, num=num
    )


def traces(bench: Bench, num: int) -> dict[str, tuple[Callable[[], Any], float]]:
    """The compiled programs whose times are compared, with their memory."""
    problem, params, chunks = bench.problem, bench.params, bench.chunks
    key = jax.random.key(1)
    vector = jax.tree.map(jnp.ones_like, params)
    return {
        "gradient": compiled(gradient, problem, params, chunks),
        "training step": compiled(lambda process, state: process.step(state), bench.process, bench.state),
        "Hessian-vector product": compiled(product, problem, params, chunks, vector),
        "trace, exact": compiled(exact_trace, problem, params, chunks),
        "trace, Hutchinson": compiled(functools.partial(hutchinson, num=num), problem, params, chunks, key),
        "trace, Bartlett": compiled(functools.partial(bartlett, num=num), problem, params, chunks, key),
    }


def eigenvalue(bench: Bench, params: Any, rtol: float, start: Any = None) -> curvature.Eigs:
    """The sharpness over the chunks to a relative tolerance."""
    operator = curvature.Hessian(bench.problem.loss, params, bench.chunks)
    return curvature.eigs(operator, key=jax.random.key(2), num=1, rtol=rtol, start=start)


def costs(bench: Bench, num: int, rounds: int) -> dict[str, float]:
    """Print the table; the cost of each measurement in gradients of the same data."""
    programs = traces(bench, num)
    for call, _ in programs.values():
        timed(call)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, (call, _) in programs.items():
            seconds[name].append(timed(call).seconds)
    ratios = {name: np.array(values) / np.array(seconds["gradient"]) for name, values in seconds.items()}
    memory = {name: size / programs["gradient"][1] for name, (_, size) in programs.items()}
    batch = bench.process.batch_size
    step = spread(ratios["training step"] * bench.size / batch)
    rows: list[list[Any]] = [
        [f"training steps, batch {batch}, for as many images", "", step, f"{memory['training step']:.2f}"]
    ]
    found: dict[str, float] = {}
    for name in ("gradient", "Hessian-vector product", "trace, exact"):
        found[name] = float(np.median(ratios[name]))
        rows.append([name, 1, spread(ratios[name]), f"{memory[name]:.2f}"])
    for name in ("trace, Hutchinson", "trace, Bartlett"):
        estimate = programs[name][0]()
        needed = max(2, math.ceil(num * (float(estimate.sem / estimate.value) / 0.01) ** 2))
        found[name] = float(np.median(ratios[name])) * needed / num
        rows.append([f"{name}, to 1 % ({needed} samples)", 1, f"{found[name]:.3g}", f"{memory[name]:.2f}"])
    for name, made in eigenvalues(bench).items():
        found[name] = made.num_products * found["Hessian-vector product"]
        held = f"{memory['Hessian-vector product']:.2f} and the basis"
        rows.append([name, made.num_products, f"{found[name]:.3g}", held])
    second, size = np.median(seconds["gradient"]), programs["gradient"][1]
    title = f"Over {bench.size} images; a gradient takes {second:.3g} s and {size:.0f} MB"
    print_table(title, ("measurement", "passes", "time / gradient", "memory / gradient"), rows)
    return found


def eigenvalues(bench: Bench) -> dict[str, curvature.Eigs]:
    """Cold to two tolerances, and followed some steps later."""
    before = eigenvalue(bench, bench.params, 1e-2)
    return {
        "sharpness to 1 %": before,
        "sharpness to 0.01 %": eigenvalue(bench, bench.params, 1e-4),
        "sharpness to 1 %, some steps after the last": eigenvalue(bench, bench.later, 1e-2, before.vectors),
    }


# Subsets --------------------------------------------------------------------------------------------------------------


def subsets(bench: Bench, sizes: Sequence[int], repeats: int, chunk: int) -> None:
    """Print bias and spread of sharpness and trace over random subsets, against the whole pool."""
    data, rng = bench.problem.data, np.random.default_rng(0)
    whole = measured(bench, curvature.chunked(data, chunk))
    rows = []
    for size in sizes:
        found = np.array([measured(bench, _some(data, rng, size, chunk)) for _ in range(repeats)]) / whole
        mean, sd = found.mean(axis=0) - 1, found.std(axis=0, ddof=1)
        rows.append((size, mean[0], sd[0], mean[1], sd[1]))
    print_table(
        f"Random subsets against {len(data.x):,} images ({repeats} each): relative bias and standard deviation",
        ("images", "sharpness: bias", "spread", "trace: bias", "spread"),
        [[size, *(f"{value:+.1%}" for value in row)] for size, *row in rows],
    )


def measured(bench: Bench, chunks: Any) -> np.ndarray:
    """(sharpness, trace of the Gram matrix) over some data."""
    operator = curvature.Hessian(bench.problem.loss, bench.params, chunks)
    top = curvature.eigs(operator, key=jax.random.key(3), num=1, rtol=1e-3).values[0]
    return np.array([top, float(_trace(bench.problem, bench.params, chunks))])


_trace = eqx.filter_jit(exact_trace)


def _some(data: Any, rng: np.random.Generator, size: int, chunk: int) -> Any:
    chosen = rng.choice(len(data.x), size, replace=False)
    return curvature.chunked(jax.tree.map(lambda leaf: leaf[chosen], data), chunk)


def main() -> None:
    """Costs, subsets, and the share of an epoch."""
    parser = arguments(__doc__, 5)
    parser.add_argument("--width", type=float, default=1 / 16, help="multiplies the channels of ResNet-18")
    parser.add_argument("--only", choices=("costs", "subsets"), help="one part alone")
    parser.add_argument("--pool", type=int, default=1024, help="images that subsets are drawn from")
    options = parser.parse_args()
    quick, rounds = options.quick, num_rounds(options)
    pool, probe, chunk, steps = (64, 32, 16, 2) if quick else (options.pool, 256, 64, 60)
    sizes = (16, 32) if quick else (64, 128, 256)
    print_machine(f"ResNet-18, LayerNorm and GELU, width {options.width:g}, float32, half squared error")
    bench = prepared(1 / 32 if quick else options.width, pool, probe, chunk, steps, options.data)
    if options.only != "subsets":
        shares(costs(bench, 4 if quick else 16, rounds), (500, *sizes))
    if options.only != "costs":
        subsets(bench, sizes, 3 if quick else 4, chunk)


def shares(found: dict[str, float], sizes: Sequence[int]) -> None:
    """Print what sharpness and K once an epoch cost, as a share of the training's gradients."""
    trace = min(("trace, exact", "trace, Hutchinson", "trace, Bartlett"), key=found.__getitem__)
    each = found["sharpness to 1 %, some steps after the last"] + found[trace]
    rows = []
    for size in sizes:
        share = each * size / TOTAL
        rows.append([size, f"{share:.1%}", verdict(share, SHARE, at_most=True)])
    head = ("probe images", "of the gradients", "target")
    print_table(f"Sharpness to 1 % and K's {trace}, once an epoch of {TOTAL:,} images", head, rows)


if __name__ == "__main__":
    main()
