"""The monitor of optax loops: against dense Hessians, and without a trace in the training it watches."""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_digits

from long_rows import some
from precipice import dynamics, measures
from precipice import monitor as room
from precipice._checks import InputError, NonFiniteError
from precipice.monitor import EdgeWarning, Line, largest_stable_lr
from precipice.monitor.jax_critical import critical_step
from precipice.monitor.jax_loss import SplitLoss
from precipice.monitor.jax_measures import gauss_newton_top, hessian_bottom, hessian_top, noise_trace
from precipice.monitor.jax_monitor import JaxMonitor
from precipice.monitor.jax_sampling import batch_curvature, gradient_noise

NUM, INPUTS, HIDDEN, OUTPUTS = 22, 3, 4, 2


def data(dtype: type = np.float64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(NUM, INPUTS)).astype(dtype), rng.normal(size=(NUM, OUTPUTS)).astype(dtype)


def start(dtype: type = np.float64):
    rng = np.random.default_rng(1)
    draw = {"w": (INPUTS, HIDDEN), "v": (HIDDEN, OUTPUTS), "b": (OUTPUTS,)}
    return {name: jnp.asarray(rng.normal(size=shape).astype(dtype)) for name, shape in draw.items()}


def outputs(params, batch):
    return jnp.tanh(batch[0] @ params["w"]) @ params["v"] + params["b"][None, :]


def of_outputs(f, batch):
    return jnp.mean(jnp.sum((f - batch[1]) ** 2, axis=1)) / 2


SPLIT = SplitLoss(outputs, of_outputs)


def loss(params, batch):
    return SPLIT(params, batch)


def made(maker=optax.sgd, **numbers):
    return dynamics.Optimiser(maker, {"learning_rate": 0.05} | numbers)


def trained(optimiser, num_steps=3, params=None, loss=loss):
    """Parameters and state after some full-batch steps."""
    params = start() if params is None else params
    memory = optimiser.init(params)

    def step(params, memory):
        gradient = jax.grad(loss)(params, data())
        with jax.numpy_dtype_promotion("standard"):
            update, memory = optimiser.update(gradient, memory, params)
        return optax.apply_updates(params, update), memory

    step = jax.jit(step)
    for _ in range(num_steps):
        params, memory = step(params, memory)
    return params, memory


def dense(function, params):
    flat, back = ravel_pytree(params)
    return np.asarray(jax.jit(jax.hessian(lambda p: function(back(p))))(flat))


def dense_gauss_newton(params):
    flat, back = ravel_pytree(params)
    jacobian = np.asarray(jax.jacobian(lambda p: outputs(back(p), data()).ravel())(flat))
    return jacobian.T @ jacobian / NUM


def monitor(optimiser, loss=loss, **options):
    options = {"batch_size": 5, "kind": "squared", "num_outputs": OUTPUTS, "lines": ()} | options
    return JaxMonitor(loss, data(), optimiser, **options)


def test_the_room_offers_the_adapter_by_name():
    assert room.JaxMonitor is JaxMonitor
    with pytest.raises(AttributeError, match="no attribute 'JaxMonitors'"):
        _ = room.JaxMonitors


# Against dense truth


OPTIMISERS = {
    "sgd": made(),
    "momentum": made(momentum=0.9),
    "nesterov": made(momentum=0.9, nesterov=True),
    "adam": made(optax.adam, learning_rate=0.01),
    "adamw": made(optax.adamw, learning_rate=0.01, weight_decay=0.1),
    "rmsprop": made(optax.rmsprop, learning_rate=0.01, momentum=0.5),
    "adagrad": made(optax.adagrad, learning_rate=0.1),
}


@pytest.mark.parametrize("name", some(OPTIMISERS, "sgd", "momentum", "adamw", "adagrad"))
@pytest.mark.parametrize("chunk_size", some([5, NUM], 5))
def test_the_normalised_sharpness_is_that_of_the_dense_hessian(name, chunk_size):
    optimiser = OPTIMISERS[name]
    params, memory = trained(optimiser)
    reading = monitor(optimiser, chunk_size=chunk_size, measures=[hessian_top(rtol=1e-8)]).measure(params, memory)
    threshold = measures.optax_threshold(optimiser, memory)
    scale = measures.step_scale(threshold)
    root = np.sqrt(np.asarray(ravel_pytree(scale)[0])) * np.ones(ravel_pytree(params)[0].size)
    hessian = dense(lambda p: loss(p, data()), params)
    truth = np.linalg.eigvalsh(root[:, None] * hessian * root)[-1]
    assert reading["normalised_sharpness"] == pytest.approx(truth, rel=1e-7)
    rounding = 50 * np.finfo(float).eps * truth  # of both routes; the bound is of the solver in exact arithmetic
    assert abs(reading["normalised_sharpness"] - truth) <= reading.error("normalised_sharpness") + rounding
    assert reading["hessian_converged"] == 1
    if threshold.preconditioner is None:
        assert reading["sharpness"] == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-7)
    else:
        assert reading["preconditioned_sharpness"] == pytest.approx(truth * float(threshold.edge), rel=1e-7)


@pytest.mark.parametrize("seed", some(range(3), 0))
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_traces_and_k_lie_within_their_standard_errors(name, split, seed):
    optimiser = OPTIMISERS[name]
    params, memory = trained(optimiser)
    function = SPLIT if split else loss
    watch = monitor(optimiser, function, measures=[noise_trace(num=40)], key=jax.random.key(seed))
    reading = watch.measure(params, memory)
    matrix = dense_gauss_newton(params) if split else dense(lambda p: loss(p, data()), params)
    threshold = measures.optax_threshold(optimiser, memory)
    inverse = np.ones(len(matrix))
    if threshold.preconditioner is not None:
        inverse = 1 / np.asarray(ravel_pytree(threshold.preconditioner)[0])
    truth = np.trace(matrix * inverse)
    assert abs(reading["group_trace"][0] - truth) < 5 * reading.error("group_trace")[0]
    lr = reading.lr / (1 - 0.9) if name == "momentum" else reading.lr
    error = reading.error("noise_kernel_norm_estimate")
    assert abs(reading["noise_kernel_norm_estimate"] - lr * truth / (2 * 5 * OUTPUTS)) < 5 * error
    plain = "gauss_newton_trace" if split else "hessian_trace"
    assert (plain in reading.values) == (name == "momentum")
    assert watch.history.setting.trace_of == ("Gauss-Newton" if split else "Hessian")


def test_the_smallest_eigenvalue_is_that_of_the_dense_hessian():
    params, memory = trained(OPTIMISERS["adam"])
    reading = monitor(OPTIMISERS["adam"], measures=[hessian_bottom(rtol=1e-8)]).measure(params, memory)
    truth = np.linalg.eigvalsh(dense(lambda p: loss(p, data()), params))[0]
    assert reading["smallest_hessian_eigenvalue"] == pytest.approx(truth, rel=1e-7)


def test_gauss_newton_eigenvalues_are_those_of_the_dense_matrix():
    params, memory = trained(OPTIMISERS["adam"])
    reading = monitor(OPTIMISERS["adam"], SPLIT, measures=[gauss_newton_top(num=2, rtol=1e-8)]).measure(params, memory)
    truth = np.linalg.eigvalsh(dense_gauss_newton(params))[::-1][:2]
    np.testing.assert_allclose(reading["gauss_newton_eigenvalue"], truth, rtol=1e-7)


def test_batch_measures_are_those_of_measures():
    params, memory = trained(made())
    gradients = np.stack(
        [ravel_pytree(jax.grad(loss)(params, jax.tree.map(lambda a, i=i: a[i : i + 1], data())))[0] for i in range(NUM)]
    )
    mean = gradients.mean(axis=0)
    truth = np.mean(np.sum((gradients - mean) ** 2, axis=1)) / np.sum(mean**2)
    found = [batch_curvature(num=50), gradient_noise()]
    reading = monitor(made(), measures=found, batch_size=NUM).measure(params, memory)
    assert reading["gradient_noise_scale"] == pytest.approx(truth, rel=1e-9)
    hessian = dense(lambda p: loss(p, data()), params)
    assert reading["batch_sharpness"] == pytest.approx(mean @ hessian @ mean / (mean @ mean), rel=1e-9)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_critical_sharpness_is_the_curvature_along_the_step(name):
    hessian = jnp.diag(jnp.array([1.0, 5.0, 20.0]))

    def quadratic(params, batch):
        return jnp.mean(batch) * 0.5 * params @ hessian @ params

    optimiser, params = OPTIMISERS[name], jnp.array([1.0, -0.5, 0.3])
    memory = optimiser.init(params)
    gradient = hessian @ params
    with jax.numpy_dtype_promotion("standard"):
        memory = optimiser.update(gradient, memory, params)[1]
    watch = JaxMonitor(
        quadratic,
        np.ones((4, 1)),
        optimiser,
        batch_size=2,
        lines=(),
        measures=[hessian_top(), critical_step(rtol=1e-3)],
    )
    reading = watch.measure(params, memory)
    p = measures.optax_threshold(optimiser, memory).preconditioner
    direction = gradient if p is None else gradient / p
    truth = float(direction @ hessian @ direction / (gradient @ direction))
    assert abs(reading["critical_sharpness"] - truth) <= reading.error("critical_sharpness") * (1 + 1e-6)
    assert reading.error("critical_sharpness") <= 2e-3 * truth
    top = reading.get("preconditioned_sharpness") or reading["sharpness"]
    assert reading["critical_sharpness"] <= top * (1 + 1e-3)


def test_where_every_step_raises_the_loss_the_critical_sharpness_is_nan():
    params = jnp.zeros(2)  # the minimum itself

    def quadratic(p, batch):
        return jnp.mean(batch) * jnp.sum(p**2)

    reading = JaxMonitor(
        quadratic, np.ones((4, 1)), made(), batch_size=4, lines=(), measures=[critical_step(max_passes=5)]
    ).measure(params, made().init(params))
    assert np.isnan(reading["critical_sharpness"])


# Models of all kinds


def test_an_equinox_model_with_a_frozen_part():
    model = eqx.nn.MLP(INPUTS, OUTPUTS, HIDDEN, 1, activation=jnp.tanh, key=jax.random.key(0))

    def of_model(model, batch):
        return of_outputs(jax.vmap(model)(batch[0]), batch)

    only_last = jax.tree.map(lambda _: False, model)
    only_last = eqx.tree_at(lambda m: (m.layers[-1].weight, m.layers[-1].bias), only_last, (True, True))
    adam = OPTIMISERS["adam"]
    for trainable in (eqx.is_inexact_array, only_last):
        params, rest = eqx.partition(model, trainable)
        memory = adam.init(params)
        gradient = jax.grad(lambda p, rest=rest: of_model(eqx.combine(p, rest), data()))(params)
        with jax.numpy_dtype_promotion("standard"):
            memory = adam.update(gradient, memory, params)[1]
        reading = monitor(adam, of_model, trainable=trainable, measures=[hessian_top(rtol=1e-8)]).measure(model, memory)
        root = np.sqrt(np.asarray(ravel_pytree(measures.step_scale(measures.optax_threshold(adam, memory)))[0]))
        hessian = dense(lambda p, rest=rest: of_model(eqx.combine(p, rest), data()), params)
        truth = np.linalg.eigvalsh(root[:, None] * hessian * root)[-1]
        assert reading["normalised_sharpness"] == pytest.approx(truth, rel=1e-7)


def test_16_bit_parameters_are_measured_as_32_bit_copies():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), start(np.float32))
    watch = JaxMonitor(loss, data(np.float32), made(), batch_size=5, lines=(), measures=[hessian_top(rtol=1e-5)])
    reading = watch.measure(params)
    widened = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    truth = np.linalg.eigvalsh(dense(lambda p: loss(p, data()), widened))[-1]
    assert reading["sharpness"] == pytest.approx(truth, rel=1e-4)
    assert watch.history.setting.precision == "float32"


def test_numbers_of_inject_hyperparams_and_of_schedules_are_the_present_ones():
    injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.05, momentum=0.9)
    memory: Any = injected.init(start())
    memory.hyperparams["learning_rate"] = jnp.array(0.01)
    assert monitor(made(momentum=0.9)).measure(start(), memory).lr == pytest.approx(0.01)
    falling = made(learning_rate=optax.linear_schedule(1.0, 0.0, 10))
    memory = trained(optax.sgd(optax.linear_schedule(1.0, 0.0, 10)), 4)[1]
    assert monitor(falling).measure(start(), memory).lr == pytest.approx(0.6)


def test_nothing_is_measured_while_the_learning_rate_is_0():
    rising = made(learning_rate=optax.linear_schedule(0.0, 1.0, 4))
    watch = monitor(rising, every=1, budget=None)
    memory = rising.init(start())
    assert watch.step(start(), memory) is None
    memory = trained(rising, 2)[1]
    reading = watch.step(start(), memory)
    assert reading is not None
    assert reading.lr == pytest.approx(0.5)


def test_a_chain_is_read_through():
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01))
    memory = trained(chain)[1]
    reading = monitor(made(optax.adam, learning_rate=0.01)).measure(start(), memory)
    assert reading.rates[0].edge == pytest.approx(measures.adam_edge(0.01, 0.9))


# The training stays as it was


@pytest.mark.parametrize("donate", some([False, True], True))
def test_the_training_is_bit_for_bit_the_same(donate):
    adam = OPTIMISERS["adam"]

    def update(params, memory, key):
        rows = jax.random.choice(key, NUM, (5,), replace=False)
        gradient = jax.grad(loss)(params, jax.tree.map(lambda a: a[rows], tuple(map(jnp.asarray, data()))))
        with jax.numpy_dtype_promotion("standard"):
            change, memory = adam.update(gradient, memory, params)
        return optax.apply_updates(params, change), memory

    update = jax.jit(update, donate_argnums=(0, 1) if donate else ())

    def run(watch):
        params = jax.tree.map(jnp.array, start())
        memory = adam.init(params)
        for step in range(30):
            params, memory = update(params, memory, jax.random.key(step))
            if watch is not None:
                watch.step(params, memory)
        return params, memory

    every_kind = [hessian_top(), noise_trace(), hessian_bottom(), batch_curvature(), gradient_noise(), critical_step()]
    watch = monitor(adam, SPLIT, measures=every_kind, every=3, first=3, budget=None)
    alone, watched = run(None), run(watch)
    assert [reading.step for reading in watch.history.readings] == list(range(3, 31, 3))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(watched), strict=True))


def test_nothing_compiles_after_the_second_measurement():
    traces = []

    def counted(params, batch):
        traces.append(1)
        return loss(params, batch)

    optimiser = OPTIMISERS["momentum"]
    watch = monitor(optimiser, counted, measures=[hessian_top(), noise_trace(), critical_step()], every=1, budget=None)
    params, memory = start(), optimiser.init(start())
    counts = []
    for _ in range(6):
        watch.step(params, memory)
        params = jax.tree.map(lambda leaf: 0.99 * leaf, params)
        counts.append(len(traces))
    assert counts[1:] == [counts[1]] * 5


def test_warm_starts_save_products():
    watch = monitor(made(), measures=[hessian_top()], every=1, budget=None, chunk_size=NUM)
    params = start()
    for _ in range(6):
        watch.step(params)
        params = jax.tree.map(lambda leaf: 0.999 * leaf, params)
    products = watch.history.row("hessian_products")
    assert products[1:].max() <= 6 < products[0]


# Time


class Clock:
    """Each question takes no time; the training and the measures move it."""

    now = 0.0

    def __call__(self):
        return self.now


def slow(clock, seconds):
    def measure(point, memory):
        from precipice.monitor.jax_measures import Found

        clock.now += seconds
        return Found({"sharpness": 1.0}, {}, memory)

    return measure


def test_the_overhead_stays_in_the_budget():
    clock = Clock()
    watch = monitor(made(), measures=[slow(clock, 0.5)], every=2, budget=0.05, clock=clock)
    for _ in range(1000):
        clock.now += 0.1
        watch.step(start())
    spacing = watch.history.spacing
    assert spacing is not None
    assert spacing.training_seconds == pytest.approx(100, rel=0.12)
    assert 0.03 < spacing.overhead <= 0.05
    assert watch.history.last.measuring_seconds == pytest.approx(0.5 * (len(watch.history.readings) + 1))
    assert watch.history.readings[1].training_seconds >= 0.5 / 0.05  # the first is made twice, to know its cost


# What it says


def test_it_warns_once_tells_its_sinks_and_shows_itself(tmp_path, capsys):
    seen = []
    lines = (Line("sharpness", 0.1, "it is curved"),)
    watch = monitor(made(), lines=lines, sinks=[lambda values, step: seen.append((step, values))], every=1, budget=None)
    with pytest.warns(EdgeWarning, match="step 1: sharpness is .* above 0.1: it is curved"):
        watch.step(start())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.step(start())
    assert [step for step, _ in seen] == [1, 2]
    assert seen[0][1]["precipice/sharpness"] == watch.history.readings[0]["sharpness"]
    watch.summary()
    assert "normalised sharpness" in capsys.readouterr().out
    assert {one.name for one in watch.advice()} >= {"largest_stable_lr"}
    watch.plot(tmp_path / "picture.png")
    watch.history.save(tmp_path / "history.zarr")


def test_an_adaptive_optimiser_is_measured_from_step_100_on_and_warned_of_at_the_second_reading():
    adam = OPTIMISERS["adam"]
    memory = trained(adam, 1)[1]
    watch = monitor(adam, measures=[hessian_top()], every=1, budget=None, lines=(Line("normalised_sharpness", 0, "x"),))
    for _ in range(99):
        assert watch.step(start(), memory) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading = watch.step(start(), memory)
    assert reading is not None
    assert reading.step == 100
    with pytest.warns(EdgeWarning, match="step 101: normalised_sharpness is"):
        watch.step(start(), memory)
    spacing = monitor(adam, every=300).history.spacing
    assert spacing is not None
    assert spacing.first == 300


def test_a_run_that_diverges_before_its_first_reading_is_a_result_too():
    watch = monitor(made(), lambda p, b: jnp.sum(outputs(p, b) ** 2), first=5, every=1, budget=None)
    for _ in range(4):
        watch.step(start())
    with pytest.warns(EdgeWarning, match="step 5: loss must be finite; got "):
        watch.step(jax.tree.map(lambda leaf: leaf * np.inf, start()))
    assert np.isnan(watch.history.last["probe_loss"])
    assert [one.name for one in watch.advice()] == ["not_finite"]
    with pytest.raises(InputError, match="loss must be a mean"):  # what the loss is shows where it is finite
        watch.step(start())


def test_a_first_step_that_diverges_after_a_reading_of_the_start_is_a_result():
    watch = monitor(made(), every=1, budget=None)
    watch.measure(start())
    with pytest.warns(EdgeWarning, match="step 1: loss must be finite; got "):
        watch.step(jax.tree.map(lambda leaf: leaf * np.inf, start()))
    assert np.isnan(watch.history.last["probe_loss"])


def test_a_run_that_diverges_is_a_result():
    watch = monitor(made(), every=1, budget=None)
    watch.step(start())
    with pytest.warns(EdgeWarning, match="step 2: loss must be finite; got "):
        watch.step(jax.tree.map(lambda leaf: leaf * np.inf, start()))
    assert [one.name for one in watch.advice()][:2] == ["not_finite", "largest_stable_lr"]
    watch.step(start())
    row = watch.history.row("normalised_sharpness")
    assert np.isnan(row[1])
    assert row[2] == pytest.approx(row[0], rel=1e-3)


# Before any training


@pytest.mark.parametrize("name", some(OPTIMISERS, "nesterov", "adamw"))
def test_the_largest_stable_lr_is_where_the_first_step_is_marginal(name):
    optimiser, params = OPTIMISERS[name], start()
    found = largest_stable_lr(
        SPLIT, params, data(), batch_size=NUM, optimiser=optimiser, kind="squared", num_outputs=OUTPUTS, rtol=1e-8
    )
    at_it = dynamics.Optimiser(optimiser.make, optimiser.numbers | {"learning_rate": found.lr})
    memory, gradient = at_it.init(params), jax.grad(loss)(params, data())
    for _ in range(100):  # batches of all examples: the same gradient each time
        with jax.numpy_dtype_promotion("standard"):
            _, memory = at_it.update(gradient, memory, params)
    threshold = measures.optax_threshold(at_it, memory)
    root = np.sqrt(np.asarray(ravel_pytree(measures.step_scale(threshold))[0])) * np.ones(len(ravel_pytree(params)[0]))
    hessian = dense(lambda p: loss(p, data()), params)
    assert np.linalg.eigvalsh(root[:, None] * hessian * root)[-1] == pytest.approx(1, rel=1e-7)
    assert found.error <= 1e-6 * found.lr
    assert {"largest_stable_lr", "noise_limit_lr"} <= {one.name for one in found.advice}
    norm, sem = (at("noise_kernel_norm_estimate") for at in (found.reading.get, found.reading.error))
    assert found.noise_lr == pytest.approx(found.reading.lr / norm)
    assert found.noise_error == pytest.approx(found.noise_lr * sem / norm)


@pytest.mark.parametrize(("factor", "grows"), [(0.98, False), (1.02, True)])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_on_a_quadratic_it_is_the_edge_itself(name, factor, grows):
    x = np.array([[1.0, 0.5], [0.2, 2.0], [0.7, 0.1]])

    def quadratic(w, batch):
        return jnp.mean((batch @ w) ** 2)

    params, optimiser = jnp.array([1.0, 1.0]), OPTIMISERS[name]
    found = largest_stable_lr(quadratic, params, x, batch_size=3, optimiser=optimiser)
    stepped = dynamics.Optimiser(optimiser.make, optimiser.numbers | {"learning_rate": factor * found.lr})

    def step(carry, _):
        params, memory = carry
        update, memory = stepped.update(jax.grad(quadratic)(params, x), memory, params)
        return (params + update, memory), quadratic(params, x)

    _, losses = jax.lax.scan(step, (params, stepped.init(params)), length=1200)
    assert (losses[-1] > losses[600] > losses[0]) if grows else (losses[-1] < losses[600] < losses[0])


def test_the_full_batch_has_no_noise():
    found = largest_stable_lr(SPLIT, start(), data(), batch_size=NUM, num_training=NUM, kind="squared")
    assert found.reading["noise_kernel_norm_estimate"] == 0
    assert np.isnan([found.noise_lr, found.noise_error]).all()
    assert [one.name for one in found.advice] == ["largest_stable_lr"]


def test_without_positive_curvature_there_is_no_largest_lr():
    found = largest_stable_lr(lambda w, x: -jnp.mean(x) * w**2, jnp.array(1.0), np.ones(4), batch_size=2)
    assert found.lr == np.inf
    assert np.isnan(found.noise_lr)


@pytest.mark.slow
def test_a_network_at_the_edge_is_seen_there():
    """Full-batch gradient descent on 200 digits: the sharpness rises to 2/lr and hovers there (Cohen et al. 2021)."""
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images[:200] / 16), jnp.asarray(np.eye(10)[labels[:200]])
    model = eqx.nn.MLP(64, 10, 32, 1, activation=jnp.tanh, key=jax.random.key(0))
    split = SplitLoss(lambda model, batch: jax.vmap(model)(batch[0]), of_outputs)
    lr = 0.15
    sgd = made(learning_rate=lr)

    @eqx.filter_jit
    def step(model):
        gradient = eqx.filter_grad(split)(model, (x, y))
        return jax.tree.map(lambda leaf, g: leaf if g is None else leaf - lr * g, model, gradient, is_leaf=eqx.is_array)

    watch = JaxMonitor(split, (x, y), sgd, batch_size=200, kind="squared", num_outputs=10, every=50, budget=None)
    with warnings.catch_warnings(record=True, action="always") as caught:
        for _ in range(1500):
            watch.step(model)
            model = step(model)
    assert "the curvature has reached the edge of sgd" in str(caught[0].message)
    row = watch.history.row("normalised_sharpness")
    assert row[0] < 0.8
    np.testing.assert_allclose(row[-10:], 1, atol=0.15)
    assert room.phase(watch.history) == "edge of stability"
    assert watch.history.row("hessian_converged").all()


# Bad input, one sentence each


def batch_normed(params, batch):
    f = outputs(params, batch)
    return jnp.mean(jnp.sum((f / jnp.std(f, axis=0, keepdims=True) - batch[1]) ** 2, axis=1))


def of_data(given, **options):
    return JaxMonitor(loss, given, made(), batch_size=5, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: of_data(iter([data()])), "data must be arrays .* got list_iterator: collect some batches"),
        (lambda: of_data(()), "data must be arrays with a leading axis of examples"),
        (
            lambda: of_data((np.ones((3, 1)), 2.0)),
            "data must be arrays with a leading axis of examples; got float 2.0.",
        ),
        (lambda: of_data((np.ones((3, 1)), np.ones((4, 1)))), "all arrays of a batch must have the same number"),
        (lambda: of_data((np.full((3, 1), np.nan), np.ones((3, 1)))), "data must be finite; got NaN or inf."),
        (lambda: of_data(data(), chunk_size=0), "chunk_size must be at least 1; got 0."),
        (lambda: monitor(made(), loss=lambda p, b: jnp.sum(outputs(p, b) ** 2)).step(start()), "loss must be a mean"),
        (lambda: monitor(made(), batch_normed).step(start()), "coupled, as by BatchNorm: a chunk_size of them all"),
        (lambda: monitor(made(), outputs).step(start()), "loss must return one number; got shape"),
        (lambda: monitor(made()).step({"w": 1}), "params must hold at least one floating-point array"),
        (
            lambda: monitor(made()).step(jax.tree.map(lambda a: a * np.nan, start())),
            "loss must be finite at the first step; got nan.",
        ),
        (lambda: monitor(made(optax.lion)), "optimiser must have a threshold; got lion"),
        (lambda: monitor(optax.sgd(0.1)), "optimiser must be a dynamics.Optimiser"),
        (
            lambda: JaxMonitor(loss, [data(), data()], made(), batch_size=5).step(start()),
            r"loss must run as loss\(params, batch\) on data, .*; it raised .*not a list of batches\)\.",
        ),
        (lambda: traced_step(monitor(made())), "monitor.step must be called outside of jit"),
        (
            lambda: traced_step(monitor(OPTIMISERS["adam"])),
            "monitor.step must be called outside of jit",
        ),
        (
            lambda: monitor(OPTIMISERS["adam"]).measure(start(), OPTIMISERS["adam"].init(start())),
            "memory must be a state after at least one step of adam",
        ),
        (
            lambda: monitor(OPTIMISERS["adam"]).measure(
                start(), trained(OPTIMISERS["adam"], 1, {"w": jnp.ones(2)}, other)[1]
            ),
            "opt_state must belong to the parameters that are trained",
        ),
        (
            lambda: largest_stable_lr(loss, start(), data(), batch_size=5, num_batches=0),
            "num_batches must be at least 1",
        ),
        (
            lambda: monitor(made(), measures=[gauss_newton_top()]).step(start()),
            "loss must be a monitor.SplitLoss for its Gauss-Newton matrix; got one function.",
        ),
        (lambda: hessian_top(num=0), "num must be at least 1; got 0."),
        (lambda: noise_trace(num=1), "num of a trace must be at least 2; got 1."),
        (lambda: batch_curvature(num=1), "num of a mean over batches must be at least 2; got 1."),
        (lambda: critical_step(max_passes=3), "max_passes must be at least 4; got 3."),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def traced_step(watch):
    return jax.jit(watch.step)(start())


def other(params, batch):
    return jnp.mean(batch[0]) * jnp.sum(params["w"] ** 2)


def test_the_loss_that_normalises_over_the_batch_is_right_without_chunks():
    reading = monitor(made(), batch_normed, chunk_size=NUM, measures=[hessian_top(rtol=1e-8)]).measure(start())
    truth = np.linalg.eigvalsh(dense(lambda p: batch_normed(p, data()), start()))[-1]
    assert reading["sharpness"] == pytest.approx(truth, rel=1e-7)


def test_curvature_that_overflows_at_the_first_measurement_is_refused():
    with pytest.raises(NonFiniteError, match="products of an operator must be finite"):
        monitor(made(), lambda p, b: jnp.mean(b[0]) * 0 + jnp.sum(jnp.abs(p["w"]) ** 1.5)).step(
            jax.tree.map(jnp.zeros_like, start())
        )


def test_outputs_of_a_squared_loss_are_counted_and_a_head_of_zeros_hides_nothing():
    w = jnp.ones((3, 4))
    split = SplitLoss(lambda p, x: x @ p, lambda f, _: jnp.mean(jnp.sum(f**2, axis=1)))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)))
    watch = JaxMonitor(split, x, OPTIMISERS["sgd"], batch_size=4, kind="squared", budget=None)
    watch.measure(w, OPTIMISERS["sgd"].init(w))
    assert watch.history.setting.num_outputs == 4
    coupled = SplitLoss(lambda p, x: (x - x.mean(0, keepdims=True)) @ p, lambda f, _: jnp.mean((f - 1) ** 2))
    watch = JaxMonitor(coupled, x, OPTIMISERS["sgd"], batch_size=4, kind="squared", chunk_size=4, budget=None)
    with pytest.raises(InputError, match="loss must be a mean over the examples"):
        watch.measure(jnp.zeros((3, 4)), OPTIMISERS["sgd"].init(w))
