"""One gradient step of a quadratic model reads Q once: against memory, a plain product with Q, and a matrix product.

A step needs Q(v, .) with one vector v, 2 d p^2 operations on d p^2 numbers: the memory's speed is the limit. Both forms
are timed as they are used, many steps in one compiled program: `dynamics.FunctionSpaceDescent` (z, J), and
`dynamics.Descent` on `problems.QuadraticModel` (parameters).

Memory read bandwidth is that of the fastest, in each round, of three ways to read the same Q: sums by two threads of
numpy, a sum by XLA, a product with a vector by BLAS. The best plain product is the fastest of four ways to write it.

Many starts share one Q by ``vmap``: their steps are one matrix product [starts, p] x [p, d p], and the rate is compared
with that product alone, its result of starts x d x p numbers written to memory: the faster of a Python loop of compiled
products and a compiled loop of them.

Run: ``.venv/bin/python benchmarks/quadratic_step.py [--quick] [--rounds N] [--starts N]``
"""

import argparse
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import common
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from precipice import dynamics, problems
from precipice.dynamics.function_space import OutputJacobian

FUNCTION_SPACE, PARAMETERS = "step, (z, J)", "step, parameters"
READS = ("numpy, sum by two threads", "XLA, sum", "BLAS, product")
MATRIX_PRODUCTS = ("matrix product", "matrix product, compiled loop")
PRODUCTS = ("v @ Q.T", "Q @ v", "einsum", "BLAS, product")


def model(d: int, p: int) -> problems.QuadraticModel:
    """A Gaussian model at scales where steps stay finite."""
    rows = problems.gaussian_rows(d, p, output_scale=0.1, jacobian_scale=1.0, key=jax.random.key(0))
    return problems.QuadraticModel(rows)


@eqx.filter_jit
def _steps(process: dynamics.AbstractProcess, state: Any, num: int) -> Any:
    return jax.lax.fori_loop(0, num, lambda _, s: process.step(s), state)


@eqx.filter_jit
def _steps_side_by_side(process: dynamics.AbstractProcess, states: Any, num: int) -> Any:
    return jax.lax.fori_loop(0, num, lambda _, s: jax.vmap(process.step)(s), states)


def processes(problem: problems.QuadraticModel) -> dict[str, dynamics.AbstractProcess]:
    """Both forms, at a learning rate far below the edge."""
    y, g, q = problem.data
    lr = 0.01 / (g.shape[1] + g.shape[0])
    return {
        FUNCTION_SPACE: dynamics.FunctionSpaceDescent(q, OutputJacobian(y, g), lr),
        PARAMETERS: dynamics.Descent(problem, dynamics.gradient_descent(lr)),
    }


def _row_product(q: jax.Array, v: jax.Array) -> jax.Array:
    return v @ q.reshape(-1, v.shape[0]).T


def _column_product(q: jax.Array, v: jax.Array) -> jax.Array:
    return q.reshape(-1, v.shape[0]) @ v


def _einsum(q: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.einsum("dpq,q->dp", q, v).ravel()


def _sum(q: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.sum(q * (v[0] > 2)) + v  # the loop must not take the sum out


@eqx.filter_jit
def _chained(product: Callable[..., jax.Array], q: jax.Array, v: jax.Array, num: int) -> jax.Array:
    """`num` products in one program, each of a vector that hangs on the last."""
    return jax.lax.fori_loop(0, num, lambda _, v: v + 1e-30 * product(q, v)[: v.shape[0]], v)


def _repeated(function: Callable[[], Any], num: int) -> Callable[[], Any]:
    return lambda: [function() for _ in range(num)][-1]


def single(d: int, p: int, num_steps: int, num_rounds: int, pool: ThreadPoolExecutor) -> list[dict[str, float]]:
    """Seconds of one step, read or product in each round."""
    problem = model(d, p)
    q, v = problem.data.q, jnp.ones(p)
    rows, vector = np.asarray(q).reshape(d * p, p), np.ones(p)
    halves = np.array_split(rows, common.THREADS)
    contenders: dict[str, Callable[[], Any]] = {
        READS[0]: _repeated(lambda: list(pool.map(np.sum, halves)), num_steps),
        READS[1]: lambda: _chained(_sum, q, v, num_steps),
        READS[2]: _repeated(lambda: rows @ vector, num_steps),
        PRODUCTS[0]: lambda: _chained(_row_product, q, v, num_steps),
        PRODUCTS[1]: lambda: _chained(_column_product, q, v, num_steps),
        PRODUCTS[2]: lambda: _chained(_einsum, q, v, num_steps),
    }
    for name, process in processes(problem).items():
        contenders[name] = functools.partial(_steps, process, process.init(jax.random.key(1)), num_steps)
    for contender in contenders.values():
        contender()
    rounds = [common.interleaved(contenders, number) for number in range(num_rounds)]
    return [{name: timed.seconds / num_steps for name, timed in one.items()} for one in rounds]


def report(d: int, p: int, rounds: list[dict[str, float]]) -> None:
    """A row each, in GB/s and against the best read and the best product of the round."""
    size = 8e-9 * d * p**2
    rows = []
    for name in rounds[0]:
        seconds = np.array([r[name] for r in rounds])
        rows.append(
            (name, common.spread(1e3 * seconds), common.spread(size / seconds))
            + tuple(common.spread([_best(r, group) / r[name] for r in rounds]) for group in (READS, PRODUCTS))
        )
    head = ("what", "ms", "GB/s", "share of the read bandwidth", "best product's time / this")
    common.print_table(f"D = {d}, P = {p}: Q of {1e3 * size:.3g} MB, {len(rounds)} rounds", head, rows)


def _best(one: dict[str, float], group: tuple[str, ...]) -> float:
    return min(one[name] for name in group)


def single_starts(sizes: dict[str, tuple[int, int, int]], num_rounds: int) -> None:
    """Both sizes, and the verdicts."""
    with ThreadPoolExecutor(common.THREADS) as pool:
        for kind, (d, p, num_steps) in sizes.items():
            rounds = single(d, p, num_steps, num_rounds, pool)
            report(d, p, rounds)
            for name in (FUNCTION_SPACE, PARAMETERS):
                if kind == "memory":
                    share = float(np.median([_best(r, READS) / r[name] for r in rounds]))
                    print(f"{name}: share of the read bandwidth {share:.3g}, {_at_least(share, 0.8)}")
                else:
                    ratio = float(np.median([r[name] / _best(r, PRODUCTS) for r in rounds]))
                    print(f"{name}: time / best product {ratio:.3g}, {common.verdict(ratio, 1.3, at_most=True)}")
            print()


def _at_least(value: float, target: float) -> str:
    return common.verdict(value, target, at_most=False)


@jax.jit
def _matrix_product(q: jax.Array, vectors: jax.Array) -> jax.Array:
    return vectors @ q.reshape(-1, vectors.shape[1]).T


@eqx.filter_jit
def _chained_products(q: jax.Array, vectors: jax.Array, num: int) -> jax.Array:
    def again(_, v):
        return v + 1e-30 * _matrix_product(q, v)[:, : v.shape[1]]

    return jax.lax.fori_loop(0, num, again, vectors)


def many(d: int, p: int, starts: int, num_steps: int, num_rounds: int) -> None:
    """Steps of many starts against the matrix product they hold, and against one start at a time."""
    problem = model(d, p)
    q, vectors = problem.data.q, jax.random.normal(jax.random.key(3), (starts, p))
    contenders: dict[str, Callable[[], Any]] = {
        MATRIX_PRODUCTS[0]: _repeated(lambda: _matrix_product(q, vectors), num_steps),
        MATRIX_PRODUCTS[1]: lambda: _chained_products(q, vectors, num_steps),
    }
    for name, process in processes(problem).items():
        states = jax.vmap(process.init)(jax.random.split(jax.random.key(1), starts))
        contenders[f"{name}, side by side"] = functools.partial(_steps_side_by_side, process, states, num_steps)
    for contender in contenders.values():
        contender()
    timed = [common.interleaved(contenders, number) for number in range(num_rounds)]
    rounds = [{name: one.seconds for name, one in r.items()} for r in timed]
    operations = 2e-9 * starts * d * p**2 * num_steps
    rows = [
        (
            name,
            common.spread([1e3 * r[name] / num_steps for r in rounds]),
            common.spread([operations / r[name] for r in rounds]),
            common.spread([_best(r, MATRIX_PRODUCTS) / r[name] for r in rounds]),
        )
        for name in contenders
    ]
    head = ("what", "ms", "GF/s", "rate / plain product's")
    common.print_table(f"{starts} starts, D = {d}, P = {p}, {num_rounds} rounds of {num_steps} steps", head, rows)
    for name in list(contenders)[len(MATRIX_PRODUCTS) :]:
        share = float(np.median([_best(r, MATRIX_PRODUCTS) / r[name] for r in rounds]))
        print(f"{name}: rate / plain product's {share:.3g}, {_at_least(share, 0.8)}")
    print()


def main(options: argparse.Namespace) -> None:
    """One start at both sizes, then many."""
    common.print_machine("steps of a quadratic model, float64")
    num_rounds = common.num_rounds(options)
    large, small = ((30, 40, 3), (6, 12, 20)) if options.quick else ((400, 600, 3), (60, 120, 300))
    single_starts({"memory": large, "cache": small}, num_rounds)
    starts = 4 if options.quick else options.starts
    many(*small[:2], starts, 2 if options.quick else 100, num_rounds)
    many(*large[:2], starts, 2, num_rounds)


def _parser() -> argparse.ArgumentParser:
    parser = common.arguments(__doc__, rounds=5)
    parser.add_argument("--starts", type=int, default=32, help="starts side by side (default 32)")
    return parser


if __name__ == "__main__":
    main(_parser().parse_args())
