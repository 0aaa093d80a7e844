"""Quadratic models of many outputs: parameter form, (z, J) form, flow, rescaling, random starts, minibatches."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from oracles import close
from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.dynamics import FunctionSpaceDescent, MinibatchDescent, OutputJacobian, flow, gradient_descent, simulate
from precipice.problems import QuadraticModel, Rows, gaussian_rows, structured_rows

D, P, LR = 5, 7, 0.05


@functools.cache
def rows(d=D, p=P, output_scale=0.3, jacobian_scale=0.5, seed=0) -> Rows:
    return gaussian_rows(d, p, output_scale=output_scale, jacobian_scale=jacobian_scale, key=jax.random.key(seed))


def drawn(seed, d, p, s_z, s_j):
    """The draws of the reference cases: z [d], J [d, p], Q = (R + R^T)/sqrt(2)."""
    r = np.random.Generator(np.random.PCG64(seed))
    jacobian = s_j * r.standard_normal((d, p))
    z = s_z * r.standard_normal(d)
    q = r.standard_normal((d, p, p))
    return Rows(jnp.array(z), jnp.array(jacobian), jnp.array((q + q.transpose(0, 2, 1)) / np.sqrt(2)))


# Parameter form and (z, J) form -------------------------------------------------------------------------------------


def optimiser(lr, momentum):
    import optax

    return dynamics.Optimiser(optax.sgd, {"learning_rate": lr, "momentum": momentum})


def both_forms(batch_size, momentum, num_steps=30):
    """(z, J) at each step from the parameters, and from the form without them, with the same batches."""
    data, loss = rows(), problems.sum_half_squared_error if batch_size is None else problems.mean_half_squared_error
    model = QuadraticModel(data, loss)
    if batch_size is None:
        descent = dynamics.Descent(model, optimiser(LR, momentum))
    else:
        descent = MinibatchDescent(model, optimiser(LR, momentum), batch_size)
    probe = lambda s: {"z": model.outputs(s.params)[:, 0], "jacobian": model.jacobian(s.params), "loss": s.loss}  # noqa: E731
    one = simulate(descent, key=jax.random.key(3), num_steps=num_steps, every=1, probes=(probe,)).saved
    process = FunctionSpaceDescent(data.q, OutputJacobian(data.y, data.g), LR, batch_size=batch_size, momentum=momentum)
    probe = lambda s: {"z": s.params.z, "jacobian": s.params.jacobian, "loss": s.loss}  # noqa: E731
    return one, simulate(process, key=jax.random.key(3), num_steps=num_steps, every=1, probes=(probe,)).saved


@pytest.mark.parametrize(
    ("batch_size", "momentum"),
    [(None, 0.9), (2, 0.0), *(pytest.param(*row, marks=pytest.mark.long) for row in [(None, 0.0), (1, 0.9)])],
)
def test_function_space_is_descent_on_the_parameters(batch_size, momentum):
    """Full batch and minibatches, with and without heavy ball, to rounding."""
    one, other = both_forms(batch_size, momentum)
    for name in ("z", "jacobian", "loss"):
        np.testing.assert_allclose(other[name], one[name], rtol=0, atol=1e-12 * float(np.nanmax(np.abs(one[name]))))
    assert np.abs(np.diff(one["z"], axis=0)).max(axis=1).min() > 1e-8


def test_one_step_of_the_reference():
    """QR-C11."""
    data = drawn(7, 4, 6, 1.0, 1.0)
    z = [0.15675108662422516, -0.18693094462995438, -2.516759710820513, -0.5386928958466366]
    z_next = [0.12657605552535675, -0.9571470765126486, -1.747559559918414, 0.7111591127639029]
    np.testing.assert_allclose(data.y, z, atol=1e-11)
    np.testing.assert_allclose(float(data.q.sum()), -24.663504116205687, atol=1e-11)
    process = FunctionSpaceDescent(data.q, OutputJacobian(data.y, data.g), 0.1)
    moved = process.step(process.init(jax.random.key(0))).params
    np.testing.assert_allclose(moved.z, z_next, atol=1e-11)
    np.testing.assert_allclose(float(moved.jacobian.sum()), -7.590624350167482, atol=1e-11)
    model = QuadraticModel(data)
    descent = dynamics.Descent(model, gradient_descent(0.1))
    theta = descent.step(descent.init(jax.random.key(0))).params
    np.testing.assert_allclose(model.outputs(theta)[:, 0], z_next, atol=1e-11)
    np.testing.assert_allclose(float(model.jacobian(theta).sum()), -7.590624350167482, atol=1e-11)


def test_a_batch_of_all_is_full_batch_descent():
    model = QuadraticModel(rows(), problems.mean_half_squared_error)
    whole = simulate(dynamics.Descent(model, gradient_descent(0.3)), key=jax.random.key(0), num_steps=10, every=10)
    batch = MinibatchDescent(model, gradient_descent(0.3), D)
    np.testing.assert_allclose(
        simulate(batch, key=jax.random.key(1), num_steps=10, every=10).state.params, whole.state.params, rtol=1e-12
    )


def test_the_gradient_reads_q_once():
    """One product with Q in the compiled gradient; two with each of G and Q(theta, .), of 72 numbers."""
    model = QuadraticModel(rows(8, 9))
    text = jax.jit(lambda model, theta: jax.grad(model.loss)(theta)).lower(model, jnp.ones(9)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 5
    assert sum("72x9" in line for line in products) == 1


def test_derivatives_in_the_models_numbers():
    """The rule that shares J is right in the data too."""
    model, theta = QuadraticModel(rows()), jnp.linspace(-1, 1, P)

    def plain(data, theta):
        return jnp.sum((data.y + data.g @ theta + (data.q @ theta) @ theta / 2) ** 2) / 2

    wanted = jax.grad(plain, (0, 1))(model.data, theta)
    for data in (jax.grad(lambda data: QuadraticModel(data).loss(theta))(model.data),):
        for got, want in zip(data, wanted[0], strict=True):
            close(got, want)
    close(jax.grad(model.loss)(theta), wanted[1])
    close(jax.hessian(model.loss)(theta), jax.hessian(plain, 1)(model.data, theta))


def test_rescaling_leaves_the_dynamics():
    """QR-33: z lr and J sqrt(lr) with lr = 1 take the same steps, exactly where lr is a power of 4."""
    data, lr = rows(), 0.0625
    one = FunctionSpaceDescent(data.q, OutputJacobian(data.y, data.g), lr)
    other = FunctionSpaceDescent(data.q, OutputJacobian(lr * data.y, lr**0.5 * data.g), 1.0)
    first, second = (
        simulate(process, key=jax.random.key(0), num_steps=60, every=60).state.params for process in (one, other)
    )
    np.testing.assert_allclose(second.z, lr * first.z, rtol=1e-13)
    np.testing.assert_allclose(second.jacobian, lr**0.5 * first.jacobian, rtol=1e-13)
    top = lambda j: np.linalg.eigvalsh(j @ j.T)[-1]  # noqa: E731
    np.testing.assert_allclose(top(second.jacobian), lr * top(first.jacobian), rtol=1e-12)


def test_flow_solves_the_equations_of_outputs_and_jacobian():
    """QR-31: z' = -J J^T z and J' = -Q(J^T z, .), by another solver."""
    data, times = rows(), [0.5, 2.0]
    model = QuadraticModel(data)
    y, g, q = (np.asarray(leaf) for leaf in data)

    def rate(_, point):
        z, jacobian = point[:D], point[D:].reshape(D, P)
        down = jacobian.T @ z
        return np.concatenate([-jacobian @ down, -(q @ down).ravel()])

    ode = solve_ivp(rate, (0, 2), np.concatenate([y, g.ravel()]), t_eval=times, rtol=1e-11, atol=1e-13, method="DOP853")
    params = flow(model, model.init(jax.random.key(0)), times, rtol=1e-11, atol=1e-13).params
    for theta, point in zip(params, ode.y.T, strict=True):
        np.testing.assert_allclose(model.outputs(theta)[:, 0], point[:D], atol=1e-9)
        np.testing.assert_allclose(model.jacobian(theta).ravel(), point[D:], atol=1e-9)
    np.testing.assert_allclose(model.kernel(params[-1]), model.jacobian(params[-1]) @ model.jacobian(params[-1]).T)


# Random starts ------------------------------------------------------------------------------------------------------


def in_sem(samples, wanted, times=5):
    samples = np.asarray(samples).ravel()
    assert abs(samples.mean() - wanted) < times * samples.std() / samples.size**0.5


@pytest.mark.parametrize(("symmetric", "off"), [(True, 1.0), (False, 0.5)])
def test_variances_of_gaussian_rows(symmetric, off):
    """QR-34: off the diagonal 1, on it 2; half of that for the form of a non-symmetric R."""
    data = gaussian_rows(40, 30, output_scale=0.5, jacobian_scale=0.25, symmetric=symmetric, key=jax.random.key(2))
    in_sem((data.y / 0.5) ** 2, 1)
    in_sem((data.g / 0.25) ** 2, 1)
    above = np.triu_indices(30, 1)
    in_sem(np.asarray(data.q)[:, above[0], above[1]] ** 2, off)
    in_sem(np.einsum("aii->ai", data.q) ** 2, 2 * off)
    QuadraticModel(data)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_structured_rows_have_their_variances_along_the_singular_vectors(shape):
    """SEOS-21 with V = sigma: also where there are more examples than parameters."""
    d, p = shape
    data = structured_rows(d, p, lambda s: s, output_scale=1.0, jacobian_scale=2.0, key=jax.random.key(1))
    left, sigma, _ = np.linalg.svd(data.g)
    sigma = np.pad(sigma, (0, d - sigma.size))
    m = np.einsum("da,dij->aij", left, data.q)
    above = np.triu_indices(p, 1)
    for index in (0, d // 2, d - 1):
        if sigma[index]:
            in_sem(m[index][above] ** 2 / sigma[index], 1)
        else:
            np.testing.assert_allclose(m[index], 0, atol=1e-12)
    QuadraticModel(data)


# Batches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_examples", "batch_size"), [(5, 2), (5, 4), (6, 1), (40, 36)])
def test_every_subset_is_equally_likely(num_examples, batch_size):
    """Both ways to draw: frequencies of the subsets (of pairs, where there are too many) within five errors."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = np.sort(jax.vmap(lambda k: dynamics.draw_batch(k, num_examples, batch_size))(keys), axis=1)
    assert (np.diff(draws, axis=1) > 0).all()
    assert (draws.min(), draws.max()) == (0, num_examples - 1)
    held = np.zeros((len(keys), num_examples))
    np.put_along_axis(held, draws, 1.0, axis=1)
    if num_examples < 10:
        subsets = list(itertools.combinations(range(num_examples), batch_size))
        counts = np.array([(draws == s).all(axis=1).sum() for s in subsets])
        wanted = len(keys) / len(subsets)
        assert np.abs(counts - wanted).max() < 5 * (wanted * (1 - 1 / len(subsets))) ** 0.5
    pairs = held.T @ held / len(keys)
    both = batch_size * (batch_size - 1) / (num_examples * (num_examples - 1))  # SEOS-2
    off = pairs[~np.eye(num_examples, dtype=bool)]
    assert np.abs(off - both).max() < 6 * (max(both * (1 - both), 1e-12) / len(keys)) ** 0.5


def test_networks_train_on_batches():
    """A step is a step of descent on the drawn examples alone."""
    data = problems.chebyshev(3, 12)
    problem = problems.Supervised(problems.FullyConnected((1, 6, 1)), data, problems.mean_half_squared_error)
    process = MinibatchDescent(problem, gradient_descent(0.2), 5)
    state = process.init(jax.random.key(0))
    new = process.step(state)
    chosen = np.asarray(dynamics.draw_batch(jax.random.split(state.key)[1], 12, 5))
    part = problems.Supervised(
        problem.network, jax.tree.map(lambda leaf: leaf[chosen], data), problems.mean_half_squared_error
    )
    wanted = dynamics.Descent(part, gradient_descent(0.2)).step(state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), new.params, wanted.params)
    np.testing.assert_allclose(new.loss, wanted.loss)


# Bad input ----------------------------------------------------------------------------------------------------------


def test_bad_rows_are_refused():
    y, g, q = rows()
    with pytest.raises(InputError, match=r"shapes \[d\], \[d, p\] and \[d, p, p\], d and p at least 1; got \(4,\)"):
        QuadraticModel(Rows(y[:4], g, q))
    with pytest.raises(InputError, match=r"q must be symmetric in its last two axes"):
        QuadraticModel(Rows(y, g, q.at[0, 0, 1].add(1e-3)))
    with pytest.raises(InputError, match="must be finite"):
        QuadraticModel(Rows(y.at[0].set(jnp.nan), g, q))
    with pytest.raises(InputError, match="num_examples must be at least 1; got 0"):
        gaussian_rows(0, 3, output_scale=1.0, jacobian_scale=1.0, key=jax.random.key(0))


def test_bad_batches_and_rates_are_refused():
    y, g, q = rows()
    start, model = OutputJacobian(y, g), QuadraticModel(rows())
    with pytest.raises(InputError, match=r"batch_size must be at most 5 \(the number of examples\); got 6"):
        MinibatchDescent(model, gradient_descent(0.1), 6)
    with pytest.raises(InputError, match=r"batch_size must be at most 5 \(the number of examples\); got 6"):
        FunctionSpaceDescent(q, start, 0.1, batch_size=6)
    with pytest.raises(InputError, match="batch_size must be at least 1; got 0"):
        MinibatchDescent(model, gradient_descent(0.1), 0)
    with pytest.raises(InputError, match="problem must have data"):
        MinibatchDescent(problems.ScalarNetwork((2, 2)), gradient_descent(0.1), 1)
    with pytest.raises(InputError, match=r"momentum must be in \[0, 1\); got 1.0"):
        FunctionSpaceDescent(q, start, 0.1, momentum=1.0)
    with pytest.raises(InputError, match="lr must be positive"):
        FunctionSpaceDescent(q, start, -0.1)
    with pytest.raises(InputError, match="z, jacobian and q must have shapes"):
        FunctionSpaceDescent(q[:, :6, :6], start, 0.1)


def test_weighted_measurements_refuse_a_sum_over_examples():
    """The kernel's trackers and chunks weight examples as a mean: a sum would come out 1/n too small."""
    network, data = problems.FullyConnected((1, 4, 1)), problems.chebyshev(3, 12)
    problem = problems.Supervised(network, data, problems.sum_half_squared_error)
    with pytest.raises(InputError, match="output_loss must be a mean over examples"):
        measures.track_ntk(problem, key=jax.random.key(0))
    with pytest.raises(InputError, match="output_loss must be a mean over examples"):
        measures.track_hessian(problem, key=jax.random.key(0), chunk_size=5)
