"""The neural tangent kernel layer by layer against forming the Jacobian, exact K from it, and traces in one pass.

The network is agarwala2024's: 784-256-256-1, erf, first MNIST images with parity labels, half squared error.

Kernel of n examples, raw J J^T. "Jacobian" is the best plain way: one compiled program that makes every example's
gradient by ``vmap(grad)`` and multiplies, parameter array by parameter array, so that nothing is copied together. It
holds n x 267,009 numbers, and is timed at as many examples as are asked for with ``--jacobian``.

Exact K is `measures.layerwise_gram` and `measures.noise_kernel_norm`, at batch 8 and the lr whose trace form is 1/2.
It is taken in float64.

Trace estimators are timed in gradients: one gradient of the mean loss of all examples, compiled. Chunks hold 5 examples
for the exact one, 100 for sampling.

Run: ``.venv/bin/python benchmarks/kernel.py --data DIR [--quick] [--rounds N] [--jacobian N] [--precision float32]``
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import common
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from precipice import curvature, measures, problems
from precipice._types import Params

LAYERS, BLOCKS, JACOBIAN = "layer by layer", "blocks of rows (kernel_matrix)", "Jacobian, formed"
PRODUCT, GRADIENT = "one product (NTK)", "gradient of the mean loss"
BATCH_SIZE = 8


def erf_network(num_examples: int, width: int, options: argparse.Namespace) -> problems.Supervised:
    """The network of agarwala2024's MNIST experiments on the first images."""
    whitened = problems.zca(epsilon=1e-2)
    data = problems.mnist(
        num_examples, data_dir=options.data, targets=problems.parity, preprocess=whitened, dtype=options.precision
    )
    network = problems.FullyConnected((784, width, width, 1), activation=problems.erf)
    return problems.Supervised(network, data, problems.mean_half_squared_error)


def first(problem: problems.Supervised, num: int) -> problems.Dataset:
    """The first examples."""
    return jax.tree.map(lambda a: a[:num], problem.data)


@eqx.filter_jit
def _by_jacobian(problem: problems.Supervised, params: Params, x: jax.Array) -> jax.Array:
    rows = jax.vmap(jax.grad(lambda p, one: problem.network(p, one)[0]), (None, 0))(params, x)
    blocks = [leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(rows)]
    return functools.reduce(jnp.add, [block @ block.T for block in blocks])


@eqx.filter_jit
def _product(operator: curvature.NTK, v: jax.Array) -> jax.Array:
    return operator.mv(v)


@eqx.filter_jit
def _gradient(problem: problems.Supervised, params: Params, data: problems.Dataset) -> Params:
    return jax.grad(problem.loss)(params, data)


@eqx.filter_jit
def _by_products(operator: curvature.NTK, key: jax.Array, num: int) -> curvature.Estimate:
    return curvature.trace(operator, key=key, num=num)


def kernels(problem: problems.Supervised, params: Params, num: int) -> dict[str, Callable[[], Any]]:
    """Every way to the kernel of the first `num` examples, and a product and a gradient to compare with."""
    data = first(problem, num)
    operator, ones = curvature.NTK(problem.outputs, params, data), jnp.ones((num, 1), data.x.dtype)
    return {
        LAYERS: lambda: measures.layerwise_kernel(problem.network, params, data.x),
        JACOBIAN: lambda: _by_jacobian(problem, params, data.x),
        BLOCKS: lambda: curvature.kernel_matrix(problem.outputs, params, data, chunk=100),
        PRODUCT: lambda: _product(operator, ones),
        GRADIENT: lambda: _gradient(problem, params, data),
    }


def compare_kernels(problem: problems.Supervised, params: Params, num: int, num_rounds: int) -> None:
    """Times, ratios within a round, and how far the kernels lie apart."""
    contenders = kernels(problem, params, num)
    results = {name: contender() for name, contender in contenders.items()}
    wanted = np.asarray(results[JACOBIAN], np.float64)
    rounds = [common.interleaved(contenders, number) for number in range(num_rounds)]
    rows = []
    for name in contenders:
        seconds = np.array([r[name].seconds for r in rounds])
        ratios = seconds / np.array([r[LAYERS].seconds for r in rounds])
        error = "" if name in (PRODUCT, GRADIENT) else _distance(results[name], wanted)
        rows.append((name, common.spread(seconds), common.spread(ratios), error))
    head = ("way", "seconds", "time / layer by layer", "largest difference from the Jacobian's / largest entry")
    dtype = problem.data.x.dtype.name
    common.print_table(f"kernel of {num} examples, {dtype}, {len(rounds)} rounds: median [least, greatest]", head, rows)
    ratio = np.median([r[JACOBIAN].seconds / r[LAYERS].seconds for r in rounds])
    print(f"forming the Jacobian / layer by layer {ratio:.3g}, {common.verdict(ratio, 50, at_most=False)}\n")


def _distance(got: jax.Array, wanted: np.ndarray) -> str:
    return f"{np.abs(np.asarray(got, np.float64) - wanted).max() / np.abs(wanted).max():.1e}"


def exact_norm(problem: problems.Supervised, params: Params, num_rounds: int) -> None:
    """Seconds from the network to K, and where they go."""
    problem, params = _in_float64(problem), _in_float64(params)
    num = problem.data.num_examples
    trace = measures.layerwise_gram_trace(problem, params).value
    lr = BATCH_SIZE / float(trace)

    def whole():
        return measures.noise_kernel_norm(measures.layerwise_gram(problem, params), lr=lr, batch_size=BATCH_SIZE)

    whole()
    parts = {"gram and K": whole, "gram alone": lambda: measures.layerwise_gram(problem, params)}
    rounds = [common.interleaved(parts, number) for number in range(num_rounds)]
    rows = [(name, common.spread([r[name].seconds for r in rounds])) for name in parts]
    common.print_table(f"exact K of {num} examples, float64, {num_rounds} rounds", ("part", "seconds"), rows)
    seconds = float(np.median([r["gram and K"].seconds for r in rounds]))
    of_trace = measures.noise_kernel_norm_trace(trace, lr=lr, batch_size=BATCH_SIZE)
    print(f"K = {float(rounds[0]['gram and K'].result):.4g}, trace form {float(of_trace):.4g} at lr {lr:.3g}")
    print(f"exact K {seconds:.3g} s, {common.verdict(seconds, 5, at_most=True)}\n")


def _in_float64(tree: Any) -> Any:
    return jax.tree.map(lambda a: a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def traces(problem: problems.Supervised, params: Params, num_rounds: int) -> None:
    """Each estimator against the exact value, in gradients."""
    few, chunks = curvature.chunked(problem.data, 5), curvature.chunked(problem.data, 100)
    key, loss = jax.random.key(2), problem.output_loss
    of_problem, sample = (problem.outputs, problem.loss_of_outputs), problems.target_sampler(loss)
    whole = curvature.gram(*of_problem, params, problem.data)
    contenders = {
        GRADIENT: lambda: _gradient(problem, params, problem.data),
        "layer by layer": lambda: measures.layerwise_gram_trace(problem, params),
        "every example's gradient": lambda: curvature.gram_trace(*of_problem, params, few),
        **{
            f"{name}, {num} samples": call
            for num in (2, 10)
            for name, call in {
                "random signs": lambda num=num: curvature.gram_trace_hutchinson(
                    *of_problem, params, chunks, key=key, num=num
                ),
                "sampled targets": lambda num=num: curvature.gram_trace_bartlett(
                    problem.outputs, loss, sample, params, chunks, key=key, num=num
                ),
            }.items()
        },
        "products of the operator, 10 samples": lambda: _by_products(whole, key, 10),
    }
    results = {name: contender() for name, contender in contenders.items()}
    rounds = [common.interleaved(contenders, number) for number in range(num_rounds)]
    wanted = float(results["layer by layer"].value)
    rows = []
    for name in contenders:
        ratios = [r[name].seconds / r[GRADIENT].seconds for r in rounds]
        estimate = results[name]
        errors = () if name == GRADIENT else (float(estimate.value) / wanted - 1, float(estimate.sem) / wanted)
        rows.append(
            (name, common.spread([1e3 * r[name].seconds for r in rounds]), common.spread(ratios))
            + tuple(f"{error:.1e}" for error in errors or (np.nan, np.nan))
        )
    head = ("estimator", "ms", "gradients", "relative error", "relative standard error")
    title = f"trace of the kernel, {problem.data.num_examples} examples, {num_rounds} rounds"
    common.print_table(title, head, rows)


def main(options: argparse.Namespace) -> None:
    """Kernel, K, traces."""
    common.print_machine(f"kernel of the 2 x 256 erf network, {options.precision}")
    num_rounds = common.num_rounds(options)
    num, width, compared = (200, 32, 200) if options.quick else (2500, 256, options.jacobian)
    problem = erf_network(num, width, options)
    params = problem.init(jax.random.key(0))
    compare_kernels(problem, params, compared, num_rounds)
    exact_norm(problem, params, num_rounds)
    traces(problem, params, num_rounds)


def _parser() -> argparse.ArgumentParser:
    parser = common.arguments(__doc__, rounds=5)
    parser.add_argument("--jacobian", type=int, default=1000, help="examples whose Jacobian is formed (default 1000)")
    parser.add_argument("--precision", choices=("float32", "float64"), default="float64", help="of network and data")
    return parser


if __name__ == "__main__":
    main(_parser().parse_args())
