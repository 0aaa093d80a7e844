"""The spectral radius of the second moment's T by a root solve of size D, against ARPACK on T of size D^2.

The kernel is that of agarwala2024's network (784-256-256-1, erf) at its start on the first MNIST images, batches of
one, at learning rates around the one at which the radius is 1. Contenders at D = 100, none of which forms T, a matrix
of 10,000 rows:

- `measures.second_moment_radius`: the r at which a D x D matrix has the eigenvalue 1.
- ARPACK: scipy's ``eigsh`` on T in symmetric form, its product in numpy, to a relative error of 1e-9.
- `curvature.eigs` of `measures.SecondMoment`: Lanczos on the same operator, to its bound of 1e-6, 2,000 products at
  most.

At larger D the root solve, the edge and K alone.

Run: ``.venv/bin/python benchmarks/second_moment.py --data DIR [--quick] [--rounds N] [--examples D,D]``
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import common
import jax
import numpy as np
from kernel import erf_network
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from precipice import curvature, measures

RELATIVE = (0.5, 0.9, 1.1)
ROOT, ARPACK, LANCZOS = "second_moment_radius", "ARPACK on T", "curvature.eigs of SecondMoment"
TOLERANCE: Any = 1e-9
MOST = 20_000
"""Products of ARPACK at most."""


def by_arpack(kernel: np.ndarray, lr: float) -> float:
    """The largest eigenvalue of T in symmetric form, batches of one; NaN where ARPACK does not converge."""
    values, vectors = np.linalg.eigh(kernel)
    size, steps = len(kernel), lr * np.maximum(values, 0)
    decay = np.outer(1 - steps, 1 - steps) - np.outer(steps, steps)
    root = vectors * np.sqrt(np.maximum(values, 0))

    def product(entries: np.ndarray) -> np.ndarray:
        moment = entries.reshape(size, size)
        seen = np.sum((root @ moment) * root, axis=1)
        return (decay * moment + size * lr**2 * (root.T @ (seen[:, None] * root))).ravel()

    operator: Any = LinearOperator((size**2, size**2), matvec=product, dtype=float)  # pyright: ignore[reportCallIssue]
    start = np.diag(values).ravel()
    try:
        return float(eigsh(operator, 1, which="LA", v0=start, tol=TOLERANCE, maxiter=MOST // 20)[0][0])
    except ArpackNoConvergence:
        return float("nan")


def by_lanczos(kernel: np.ndarray, lr: float) -> float:
    """The same by precipice's own eigensolver; NaN where it spent its budget."""
    operator = measures.SecondMoment(kernel, lr=lr, batch_size=1)
    found = curvature.eigs(operator, key=jax.random.key(0), rtol=1e-6, max_products=2000)
    return float(found.values[0]) if found.converged else float("nan")


def small(kernel: np.ndarray, num_rounds: int) -> None:
    """All contenders, at each learning rate."""
    edge = measures.second_moment_edge_lr(kernel, batch_size=1)
    rows = []
    for relative in RELATIVE:
        lr = relative * edge
        contenders: dict[str, Callable[[], Any]] = {
            ROOT: functools.partial(measures.second_moment_radius, kernel, lr=lr, batch_size=1),
            ARPACK: functools.partial(by_arpack, kernel, lr),
            LANCZOS: functools.partial(by_lanczos, kernel, lr),
        }
        contenders[ROOT]()
        rounds = [common.interleaved(contenders, number) for number in range(num_rounds)]
        for name in contenders:
            seconds = [r[name].seconds for r in rounds]
            ratio = [r[name].seconds / r[ROOT].seconds for r in rounds]
            value = float(rounds[0][name].result)
            found = "did not converge" if np.isnan(value) else f"{value:.10f}"
            rows.append((f"{relative:g}", name, found, common.spread(seconds), common.spread(ratio)))
    head = ("lr / edge", "contender", "radius", "seconds", "time / root solve")
    common.print_table(f"D = {len(kernel)}, {num_rounds} rounds", head, rows)


def large(kernel: np.ndarray) -> None:
    """The root solves once each, after a first call of K's to compile and warm up."""
    edge = common.timed(lambda: measures.second_moment_edge_lr(kernel, batch_size=1))
    rows = [("second_moment_edge_lr", f"{edge.result:.8g}", f"{edge.seconds:.3g}")]
    lr = float(edge.result)
    norms = {"noise_kernel_norm": measures.noise_kernel_norm, "second_moment_norm": measures.second_moment_norm}
    for name, norm in norms.items():
        found = common.timed(functools.partial(norm, kernel, lr=lr, batch_size=1))
        rows.append((f"{name} at the edge", f"{found.result:.10f}", f"{found.seconds:.3g}"))
    for relative in RELATIVE:
        found = common.timed(lambda r=relative: measures.second_moment_radius(kernel, lr=r * lr, batch_size=1))
        rows.append((f"{ROOT}, {relative:g} of the edge", f"{found.result:.10f}", f"{found.seconds:.3g}"))
    common.print_table(f"D = {len(kernel)}, once each, compiling included", ("what", "value", "seconds"), rows)


def main(options: argparse.Namespace) -> None:
    """The small kernel against the peers, then the large ones."""
    common.print_machine("the second moment's operator T, float64")
    sizes = [20, 30] if options.quick else [int(part) for part in options.examples.split(",")]
    for number, size in enumerate(sizes):
        problem = erf_network(size, 16 if options.quick else 256, options)
        kernel = np.asarray(measures.layerwise_gram(problem, problem.init(jax.random.key(0))), float)
        if number == 0:
            small(kernel, common.num_rounds(options))
        else:
            large(kernel)


def _parser() -> argparse.ArgumentParser:
    parser = common.arguments(__doc__, rounds=3)
    parser.add_argument("--examples", default="100,1000", help="the first against peers, others alone (100,1000)")
    parser.set_defaults(precision="float64")
    return parser


if __name__ == "__main__":
    main(_parser().parse_args())
