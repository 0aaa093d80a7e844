"""The two-layer linear network: recurrences against gradient descent, the kernel; cases REV-C03, C04, C06."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from precipice import curvature, dynamics, measures, problems
from precipice._checks import InputError

KEY = jax.random.key(0)


def drawn(seed, m, d, n, scale=1.0):
    """The draws of `recipes.linear_network`: problem and parameters."""
    rng = np.random.Generator(np.random.PCG64(seed))
    w = rng.standard_normal((m, d)) / np.sqrt(d)
    a = scale * rng.standard_normal(m)
    x = rng.standard_normal((d, n))
    problem = problems.TwoLayerLinear(x.T, np.sign(rng.standard_normal(n)), width=m)
    return problem, {"a": jnp.asarray(a), "w": jnp.asarray(w)}


def descended(problem, params, lr, num_steps):
    """(D, |a|^2, M) along gradient descent."""
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=params)
    probe = lambda state: dict(  # noqa: E731
        zip("dam", measures.two_layer_linear_state(problem, state.params), strict=True)
    )
    saved = dynamics.simulate(process, key=KEY, num_steps=num_steps, every=1, probes=(probe,)).saved
    return saved["d"], saved["a"], saved["m"]


def test_state_of_the_reference_draw():
    """REV-C04."""
    problem, params = drawn(0, 30, 8, 6)
    state = measures.two_layer_linear_state(problem, params)
    outputs = problem.outputs(params)
    np.testing.assert_allclose(jnp.linalg.eigvalsh(state.kernel)[-1], 9.90589083223061, rtol=1e-11)
    np.testing.assert_allclose(outputs @ state.residual, 2.833840787482534, rtol=1e-11)
    np.testing.assert_allclose(state.output_norm, 29.881562027571498, rtol=1e-11)
    expected = [
        *(0.04086334404128167, -1.4824896750508558, -0.2531587979555793),
        *(2.136195549762521, 0.5675804848301271, -1.1442940159870767),
    ]
    np.testing.assert_allclose(state.residual, expected, rtol=1e-11)


@pytest.mark.parametrize("lr", [0.05, 0.3])
def test_recurrences_are_gradient_descent(lr):
    """REV-C03 (one step at lr 0.05), and ten steps, at a rate beyond the edge too (lambda_1 is 9.9)."""
    problem, params = drawn(0, 30, 8, 6)
    real = descended(problem, params, lr, 10)
    state = measures.two_layer_linear_state(problem, params)
    for t in range(1, 11):
        state = measures.two_layer_linear_step(problem, state, lr)
        for got, wanted in zip(state, real, strict=True):
            scale = 1 + float(jnp.max(jnp.abs(wanted[t])))
            assert float(jnp.max(jnp.abs(got - wanted[t]))) < (1e-12 if t == 1 else 1e-10) * scale


def test_kernel_has_the_spectrum_of_the_gauss_newton_matrix():
    problem, params = drawn(0, 30, 8, 6)
    kernel = measures.two_layer_linear_state(problem, params).kernel
    flat, back = ravel_pytree(params)
    jacobian = jax.jacrev(lambda p: problem.outputs(back(p)))(flat)
    np.testing.assert_allclose(kernel, 2 / 6 * jacobian @ jacobian.T, rtol=1e-11, atol=1e-12)
    hessian = curvature.Hessian(problem.loss, params).dense()
    products = jax.hessian(lambda p: problem.loss(back(p)))(flat)
    np.testing.assert_allclose(hessian, products, atol=1e-10)


def test_progressive_sharpening_of_the_reference_run():
    """REV-C06: lambda_1(M) at steps 0, 100, 200, 300."""
    problem, params = drawn(1, 60, 8, 6, scale=0.05)
    _, _, kernel = descended(problem, params, 0.05, 300)
    top = jnp.linalg.eigvalsh(kernel[::100])[:, -1]
    expected = [0.7328740780998981, 1.0133542201461436, 1.361635897907742, 1.6115391384268187]
    np.testing.assert_allclose(top, expected, rtol=1e-8)


def test_change_along_each_eigenvector_of_the_data():
    problem, params = drawn(0, 30, 8, 6)
    state = measures.two_layer_linear_state(problem, params)
    new = measures.two_layer_linear_step(problem, state, 0.07)
    values, vectors, changes = measures.two_layer_linear_sharpening(problem, state, 0.07)
    np.testing.assert_allclose(vectors @ jnp.diag(values) @ vectors.T, problem.x @ problem.x.T, atol=1e-10)
    direct = jnp.einsum("iv,ij,jv->v", vectors, new.kernel - state.kernel, vectors)
    np.testing.assert_allclose(changes, direct, rtol=1e-9, atol=1e-13)


def test_overlap_of_a_fixed_kernel():
    """ERR-R7: below 0 for lr lambda below 1 whatever the targets; positive once for (1.6, 1.2, 0.3)."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, targets = rng.uniform(0, 1, 5), rng.normal(size=5)
        assert (measures.fixed_kernel_overlap(values, targets, 1.0, 30)[1:] < 0).all()
    overlap = measures.fixed_kernel_overlap(np.array([1.6, 1.2, 0.3]), np.array([1.0, -1, 1]), 1.0, 3)
    np.testing.assert_allclose(overlap[1], 0.6 * 1.6 + 0.2 * 1.2 - 0.7 * 0.3, rtol=1e-12)
    assert overlap[1] > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_top_eigenvector_of_the_data_carries_the_sharpness(seed):
    problem, params = drawn(seed, 400, 8, 6)
    along, top, bound = measures.two_layer_linear_gap(problem, params)
    assert 0 <= top - along <= bound
    assert bound < top


def test_shapes_that_do_not_fit():
    with pytest.raises(InputError, match=r"^x and y must have shapes \[n, d\] and \[n\]; got \(3, 2\) and \(2,\)\.$"):
        problems.TwoLayerLinear(jnp.ones((3, 2)), jnp.ones(2), width=4)
    with pytest.raises(InputError, match=r"^width must be at least 1; got 0\.$"):
        problems.TwoLayerLinear(jnp.ones((3, 2)), jnp.ones(3), width=0)


def test_start_has_the_stated_variances():
    problem = problems.TwoLayerLinear(jnp.ones((2, 50)), jnp.ones(2), width=400, output_scale=0.1)
    params = problem.init(KEY)
    assert float(jnp.var(params["w"])) == pytest.approx(1 / 50, rel=0.05)
    assert float(jnp.std(params["a"])) == pytest.approx(0.1, rel=0.15)
    batch = (problem.x[:1], problem.y[:1])
    np.testing.assert_allclose(problem.loss(params), problem.loss(params, batch), rtol=1e-12)
