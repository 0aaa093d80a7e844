"""Top-2 Hessian eigenpairs of a real network to relative 1e-4: precipice, PyHessian, curvlinops with scipy's eigsh.

Claims: at most 14 products from a cold start; at least 3 times faster than PyHessian and 5 times faster than
curvlinops; total time within 1.4 times of the products alone. Each round draws new parameters and
new start vectors. The peers need an environment of their own (README.md); where they are absent precipice is measured
alone.

Run: ``.venv-peers/bin/python benchmarks/top2_hessian.py --data DIR [--quick] [--rounds N] [--profile]``
"""

import argparse
import cProfile
import importlib
import importlib.util
import pstats
from typing import Any, NamedTuple

import common
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from networks import in_float64, tanh_network

from precipice import curvature, problems
from precipice._types import Params
from precipice.curvature.operator import flat_product, linear_product, linearised

PEERS: Any = None
if importlib.util.find_spec("pyhessian") and importlib.util.find_spec("curvlinops"):
    PEERS = importlib.import_module("peers")

RTOL = 1e-4
REPEATS = 13
"""Products, and gradients, timed alone in each round."""

PRECIPICE, EXPLORED = "precipice, explore=0", "precipice, default"
PYHESSIAN, CURVLINOPS = "PyHessian", "curvlinops + eigsh"
PRODUCTS, GRADIENTS = "products alone", "gradients alone"


class Round(NamedTuple):
    """Times, and for each solver its largest relative error, its largest relative residual and its products."""

    seconds: dict[str, float]
    errors: dict[str, float]
    residuals: dict[str, float]
    products: dict[str, int]


_product = eqx.filter_jit(flat_product)


@eqx.filter_jit
def _gradient(problem: problems.Supervised, params: Params) -> Params:
    return jax.grad(problem.loss)(params)


def contenders_at(problem: problems.Supervised, params: Params, key: jax.Array, seed: int) -> dict[str, Any]:
    """Everything that is timed at one point; building the operators is part of it, copying to PyTorch is not."""
    op = curvature.Hessian(problem.loss, params)
    v, linear = jax.random.normal(key, (op.size,), jnp.float32), linearised(op)

    def alone(function):
        return [jax.block_until_ready(function()) for _ in range(REPEATS)][-1]

    contenders = {
        PRECIPICE: lambda: curvature.eigs(op, key=key, num=2, rtol=RTOL, explore=0),
        EXPLORED: lambda: curvature.eigs(op, key=key, num=2, rtol=RTOL),
        PRODUCTS: lambda: alone(lambda: linear_product(linear, params, v)),
        GRADIENTS: lambda: alone(lambda: _gradient(problem, params)),
    }
    if PEERS is not None:
        point = PEERS.in_torch(problem, params)
        check_same(problem, params, point)
        contenders[PYHESSIAN] = lambda: PEERS.by_pyhessian(point, seed, RTOL)
        contenders[CURVLINOPS] = lambda: PEERS.by_curvlinops(point, seed, RTOL)
    return contenders


def check_same(problem: problems.Supervised, params: Params, point: Any) -> None:
    """Refuse to compare if the two libraries do not see the same loss and gradient."""
    norm = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(_gradient(problem, params))) ** 0.5
    ours, theirs = (float(problem.loss(params)), norm), PEERS.loss_and_gradient_norm(point)
    if not np.allclose(ours, theirs, rtol=1e-4, atol=0):
        raise RuntimeError(f"loss and gradient norm must agree in both libraries; got {ours} and {theirs}")


def measured(problem: problems.Supervised, number: int) -> Round:
    """One interleaved round at a new point, judged against a converged float64 solve."""
    key = jax.random.fold_in(jax.random.key(0), number)
    params = problem.init(key)
    found = common.interleaved(contenders_at(problem, params, key, seed=number), turn=number)
    exact = curvature.Hessian(in_float64(problem).loss, in_float64(params))
    reference = curvature.eigs(exact, key=key, num=2, rtol=1e-7)
    if number == 0:
        print_reference(exact, reference)
    answers = {
        name: _answer(found[name].result) for name in (PRECIPICE, EXPLORED, PYHESSIAN, CURVLINOPS) if name in found
    }
    return Round(
        seconds={name: timed.seconds for name, timed in found.items()},
        errors={name: float(np.max(np.abs(a[0] / reference.values - 1))) for name, a in answers.items()},
        residuals={name: _residual(exact, a[0], a[1]) for name, a in answers.items()},
        products={name: a[2] for name, a in answers.items()},
    )


def _answer(found: Any) -> tuple[np.ndarray, list[Params], int]:
    if isinstance(found, curvature.Eigs):
        vectors = [jax.tree.map(lambda a, i=i: a[i], found.vectors) for i in range(2)]
        return found.values, vectors, found.num_products
    return found


def _residual(exact: curvature.Hessian, values: np.ndarray, vectors: list[Params]) -> float:
    """max_i |H v_i - value_i v_i| / value_i, in float64, with v_i of length 1."""
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(v)]).astype(np.float64) for v in vectors]
    unit = [v / np.linalg.norm(v) for v in flat]
    images = [np.asarray(_product(exact, jnp.asarray(v))) for v in unit]
    return max(
        float(np.linalg.norm(image - value * v) / abs(value))
        for image, value, v in zip(images, values, unit, strict=True)
    )


def print_reference(exact: curvature.Hessian, reference: curvature.Eigs) -> None:
    """The reference against ARPACK in float64, another algorithm on the same compiled product."""
    operator = scipy.sparse.linalg.LinearOperator(
        (exact.size, exact.size), matvec=lambda v: np.asarray(_product(exact, jnp.asarray(v))), dtype=np.float64
    )
    values = scipy.sparse.linalg.eigsh(operator, k=2, which="LA", tol=1e-8, return_eigenvectors=False)
    difference = np.max(np.abs(np.sort(values)[::-1] / reference.values - 1))
    print(
        f"float64 reference at the first point: {reference.values} with {reference.num_products} products, "
        f"converged: {reference.converged}; scipy's eigsh differs by {difference:.1e}\n"
    )


def report(rounds: list[Round], first: Round) -> None:
    """Tables and verdicts."""
    names = list(rounds[0].products)
    common.print_table(
        f"Top-2 Hessian eigenpairs, {len(rounds)} rounds: median [least, greatest]",
        ("solver", "seconds", "products", "largest relative error", "largest relative residual", "first call, s"),
        [
            (
                name,
                common.spread([r.seconds[name] for r in rounds]),
                common.spread([r.products[name] for r in rounds]),
                common.spread([r.errors[name] for r in rounds], ".1e"),
                common.spread([r.residuals[name] for r in rounds], ".1e"),
                f"{first.seconds[name]:.2f}",
            )
            for name in names
        ],
    )
    report_ratios(rounds)


def report_ratios(rounds: list[Round]) -> None:
    """The ratios that the claims are about; verdicts on medians."""
    alone = np.array([r.seconds[PRODUCTS] / REPEATS for r in rounds])
    gradient = np.array([r.seconds[GRADIENTS] / REPEATS for r in rounds])
    spent = np.array([r.products[PRECIPICE] for r in rounds])
    total = np.array([r.seconds[PRECIPICE] for r in rounds])
    rows = [
        ("products, cold", spent, (14, True)),
        ("total time / products alone", total / (spent * alone), (1.4, True)),
        ("total time / (products x gradient)", total / (spent * gradient), None),
        ("one product / one gradient", alone / gradient, None),
    ]
    for name, factor in ((PYHESSIAN, 3), (CURVLINOPS, 5)):
        if name in rounds[0].products:
            times = np.array([r.seconds[name] for r in rounds])
            rows.append((f"time of {name} / time of precipice", times / total, (factor, False)))
            explored = np.array([r.seconds[EXPLORED] for r in rounds])
            rows.append((f"time of {name} / time of precipice with its default explore", times / explored, None))
    common.print_table(
        "Ratios within a round: median [least, greatest]; verdicts on the median",
        ("quantity", "measured", "target"),
        [
            (
                what,
                common.spread(values),
                common.verdict(float(np.median(values)), target[0], at_most=target[1]) if target else "",
            )
            for what, values, target in rows
        ],
    )
    print(f"one product alone: {common.spread(alone)} s; one gradient: {common.spread(gradient)} s")


def profile(problem: problems.Supervised) -> None:
    """Where the time of one compiled solve goes."""
    key = jax.random.key(1)
    op = curvature.Hessian(problem.loss, problem.init(key))
    profiler = cProfile.Profile()
    profiler.runcall(curvature.eigs, op, key=key, num=2, rtol=RTOL, explore=0)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(40)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(12)


def main(options: argparse.Namespace) -> None:
    """Warm up, measure, report."""
    common.print_machine("top-2 Hessian eigenpairs, tanh 3072-200-200-10, 5,000 images, float32, rtol 1e-4")
    if PEERS is None:
        print("peers: not installed here, precipice is measured alone (see benchmarks/README.md)\n")
    problem = tanh_network(*((200, 16) if options.quick else (5000, 200)), options.data)
    print(f"problem: {problem.data.provenance}; widths {problem.network.widths}\n")
    first = measured(problem, 0)
    report([measured(problem, number) for number in range(1, common.num_rounds(options) + 1)], first)
    if options.profile:
        profile(problem)


if __name__ == "__main__":
    parser = common.arguments(__doc__, rounds=7)
    parser.add_argument("--profile", action="store_true", help="print where one solve spends its time")
    main(parser.parse_args())
