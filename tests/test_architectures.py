"""The papers' real networks: published sizes, PyTorch's numbers at tiny width, and curvature in bounded memory."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from architecture_rows import NETWORKS, NUM_CLASSES, NUM_EXAMPLES, direction, images, like, point, remade
from long_rows import some
from precipice import curvature, problems
from precipice._checks import InputError

TORCH = json.loads((Path(__file__).parent / "data" / "architectures.json").read_text())
"""Made by `scripts/torch_architectures.py`."""

UNCOUPLED = [name for name, row in NETWORKS.items() if not row.shallow.couples_examples]
COUPLED = [name for name in NETWORKS if name not in UNCOUPLED]


def near(got, wanted, rtol=1e-11):
    """Twenty layers of sums in another order: hundreds of roundings, of the largest entry."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rtol * np.abs(wanted).max())


def at(name):
    network = NETWORKS[name].shallow
    as_jax = (jax.tree.map(jnp.asarray, tree) for tree in (point(network), direction(network)))
    return network, *as_jax, jnp.asarray(images(network.image))


def problem_of(network, x, targets=None):
    y = np.zeros((len(x), NUM_CLASSES)) if targets is None else targets
    return problems.Supervised(network, problems.from_arrays(x, y), problems.mean_half_squared_error)


@eqx.filter_jit
def along(operator, v):
    """v^T A v."""
    return inner(operator.mv(v), v)


@eqx.filter_jit
def moved(network, params, v, x):
    """J v."""
    return jax.jvp(lambda p: network.many(p, x), (params,), (v,))[1]


@eqx.filter_jit
def outputs_of(network, params, x):
    return network.many(params, x)


@eqx.filter_jit
def both(problem, params, v):
    """<gradient, v> and v^T H v."""
    gradient, image = jax.jvp(lambda p: jax.grad(problem.loss)(p), (params,), (v,))
    return inner(gradient, v), inner(image, v)


def inner(a, b):
    return jnp.vdot(ravel_pytree(a)[0], ravel_pytree(b)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_number_of_parameters_is_the_published_one(name):
    row = NETWORKS[name]
    assert sum(leaf.size for leaf in jax.tree.leaves(like(row.published()))) == row.num_params


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_pytorch(name):
    network = NETWORKS[name].tiny
    params = jax.tree.map(jnp.asarray, point(network))
    got = outputs_of(network, params, jnp.asarray(images(network.image)))
    near(got, np.array(TORCH[name][0]["outputs"]))


@pytest.mark.parametrize("name", some(NETWORKS, "resnet18"))
def test_slope_and_curvature_are_those_of_pytorch(name):
    network, params, v, x = at(name)
    slope, bend = both(problem_of(network, x), params, v)
    assert slope == pytest.approx(TORCH[name][1]["slope"], rel=1e-11)
    assert bend == pytest.approx(TORCH[name][1]["curvature"], rel=1e-11)


@pytest.mark.parametrize("name", some(NETWORKS, "resnet18", "vit"))
def test_an_example_depends_on_its_batch_where_the_network_says_so(name):
    network, params, _, x = at(name)
    whole, some = outputs_of(network, params, x), outputs_of(network, params, x[:4])
    change = float(jnp.abs(whole[:4] - some).max() / jnp.abs(whole).max())
    assert change > 1e-3 if network.couples_examples else change < 1e-13


@pytest.mark.long
@pytest.mark.parametrize("name", UNCOUPLED)
def test_the_hessian_in_chunks_is_that_of_pytorch(name):
    network, params, v, x = at(name)
    problem = problem_of(network, x)
    operator = curvature.Hessian(problem.loss, params, curvature.chunked(problem.data, 4))
    assert along(operator, v) == pytest.approx(TORCH[name][1]["curvature"], rel=1e-11)


@pytest.mark.parametrize("name", some(NETWORKS, "vit"))
def test_gauss_newton_is_that_of_the_jacobian(name):
    """v^T G v = |J v|^2/n: in chunks, or with J through the statistics of the batch."""
    network, params, v, x = at(name)
    problem = problem_of(network, x)
    data = problem.data if network.couples_examples else curvature.chunked(problem.data, 4)
    operator = curvature.GaussNewton(problem.outputs, problem.loss_of_outputs, params, data)
    squares = jnp.sum(moved(network, params, v, x) ** 2)
    assert along(operator, v) == pytest.approx(float(squares) / NUM_EXAMPLES, rel=1e-11)


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_rematerialisation_leaves_the_numbers(name):
    network, params, v, x = at(name)
    slope, bend = both(problem_of(remade(network, remat=True), x), params, v)
    assert slope == pytest.approx(TORCH[name][1]["slope"], rel=1e-11)
    assert bend == pytest.approx(TORCH[name][1]["curvature"], rel=1e-11)


def _memory(network, count, chunk=None):
    """Bytes of a Hessian product beside its arguments."""
    problem = problem_of(network, np.zeros((count, *network.image)))
    chunks = None if chunk is None else curvature.chunked(problem.data, chunk)
    params = jax.tree.map(jnp.asarray, point(network))
    product: Any = eqx.filter_jit(lambda op: op.mv(op.params))
    lowered = product.lower(curvature.Hessian(problem.loss, params, chunks))
    return lowered.compile().compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.long
@pytest.mark.parametrize("name", ["mixer", "vit"])
def test_memory_of_a_product_is_that_of_one_chunk(name):
    network = NETWORKS[name].shallow
    assert _memory(network, 64, 4) == _memory(network, 16, 4) < _memory(network, 64) / 4


@pytest.mark.long
@pytest.mark.parametrize("name", ["mixer", "vit"])
def test_rematerialisation_saves_memory(name):
    deep = NETWORKS[name].tiny
    assert _memory(remade(deep, remat=True), 64) < 0.7 * _memory(deep, 64)


@pytest.mark.parametrize("name", COUPLED)
def test_statistics_are_explicit(name):
    network, params, _, x = at(name)
    statistics = eqx.filter_jit(network.statistics)(params, x)
    evaluate = eqx.filter_jit(network.evaluate)
    near(evaluate(params, statistics, x), outputs_of(network, params, x), rtol=1e-13)
    near(evaluate(params, statistics, x[:2]), evaluate(params, statistics, x)[:2], rtol=1e-13)
    later = problems.running(statistics, eqx.filter_jit(network.statistics)(params, 2 * x), momentum=0.25)
    mean, variance = statistics["stem"]
    near(later["stem"][0], 1.25 * mean, rtol=1e-13)  # the first convolution has no bias
    near(later["stem"][1], 0.75 * variance + 0.25 * 4 * variance, rtol=1e-13)


def test_without_batch_norm_there_are_no_statistics():
    network, params, _, x = at("resnet18 layered")
    statistics = network.statistics(params, x)
    assert jax.tree.leaves(statistics) == []
    near(network.evaluate(params, statistics, x), network.many(params, x), rtol=1e-13)


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_top_eigenvalue_on_digits(name):
    """A real problem end to end: the value is v^T H v of the vector found, and the solver says that it converged."""
    digits = problems.digits(16, layout=problems.channels_first)
    network = remade(NETWORKS[name].shallow, image=digits.x.shape[1:], num_classes=10)
    problem = problems.Supervised(network, digits, problems.mean_half_squared_error)
    operator = curvature.Hessian(problem.loss, problem.init(jax.random.key(0)))
    top = curvature.eigs(operator, key=jax.random.key(1), rtol=1e-3)
    assert top.converged
    vector = jax.tree.map(lambda leaf: leaf[0], top.vectors)
    assert along(operator, vector) == pytest.approx(top.values[0], rel=1e-10)


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", some(COUPLED, "resnet18"))
def test_what_batch_norm_leaves_undefined_is_refused(name):
    network, params, v, x = at(name)
    problem = problem_of(network, x)
    chunks, outputs, loss = curvature.chunked(problem.data, 4), problem.outputs, problem.loss_of_outputs
    with pytest.raises(InputError, match="a per-example kernel must be of a network whose examples do not act on each"):
        curvature.kernel_matrix(outputs, params, problem.data, chunk=2)
    with pytest.raises(InputError, match="a trace of per-example gradients must be of a network whose examples do not"):
        curvature.gram_trace(outputs, loss, params, problem.data)
    with pytest.raises(InputError, match="curvature in chunks must be of a network whose examples do not act on each"):
        curvature.Hessian(problem.loss, params, chunks)
    for make in (curvature.GaussNewton, curvature.gram):
        with pytest.raises(InputError, match="curvature in chunks must be of"):
            make(outputs, loss, params, chunks)
    with pytest.raises(InputError, match="curvature in chunks must be of"):
        curvature.NTK(outputs, params, chunks)
    with pytest.raises(InputError, match="curvature in chunks must be of"):
        curvature.third_derivative(problem.loss, params, v, chunks)


def test_sizes_that_do_not_fit_are_refused():
    network, _, _, x = at("vit")
    with pytest.raises(InputError, match=r"image must be the data's \(channels, height, width\) \(3, 8, 8\)"):
        problem_of(network, np.zeros((2, 3, 8, 8)))
    with pytest.raises(InputError, match="num_classes must be the data's number of outputs, 2; got 3"):
        problem_of(network, x, np.zeros((len(x), 2)))
    with pytest.raises(
        InputError, match=r"x must have shape \[n, features\] \(layout=flat for images\); got \(6, 3, 8"
    ):
        problem_of(problems.FullyConnected((288, 3)), x)
    with pytest.raises(InputError, match=r"patch must divide the height and width of the image, \(32, 32\); got 5"):
        problems.mixer_s16(image=(3, 32, 32), patch=5)
    with pytest.raises(InputError, match="heads must divide dim, 10; got 4"):
        problems.VisionTransformer((3, 8, 8), 10, 4, 10, 1, 4, 20)
    with pytest.raises(InputError, match="width must be positive and finite; got 0"):
        problems.resnet18(width=0)
    with pytest.raises(InputError, match="depth must be at least 1; got 0"):
        problems.vit_s16(depth=0)
    with pytest.raises(InputError, match="initialisation must be of the standard parametrisation; got ntk"):
        problems.resnet50(initialisation=problems.ntk())
