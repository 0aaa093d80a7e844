"""Training at size, `EpochDescent`: steps by hand, order, resuming mid-epoch, probes, statistics, many devices."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from oracles import EPS
from precipice import curvature, dynamics, measures, problems
from precipice._checks import InputError
from precipice.dynamics import EpochDescent, Optimiser, WarmUpCosine, epoch_order
from test_processes import flat
from test_resume import Interrupted, stopped_at
from test_train import KEY, assert_same, run

NUM, BATCH = 11, 3
"""An epoch has 3 steps and leaves two examples out."""


def least_squares():
    """A linear model, so that numpy can follow it."""
    rng = np.random.default_rng(0)
    data = problems.from_arrays(rng.normal(size=(NUM, 4)), rng.normal(size=(NUM, 2)))
    network = problems.FullyConnected((4, 2), bias=False)
    return problems.Supervised(network, data, problems.mean_half_squared_error)


def heavy_ball(peak=0.2, num_steps=12, warmup_steps=3, momentum=0.9):
    return Optimiser(optax.sgd, {"learning_rate": WarmUpCosine(peak, num_steps, warmup_steps), "momentum": momentum})


def descent(problem=None, **options):
    return EpochDescent(problem or least_squares(), heavy_ball(), BATCH, **{"l2": 0.1, **options})


def orders(process, num):
    """The orders of the first epochs, as the states of a run carry them."""
    state, step, seen = eqx.filter_jit(process.init)(KEY), eqx.filter_jit(process.step), []
    for _ in range(num * process.epoch_steps):
        state = step(state)
        seen.append(np.asarray(state.memory.order))
    return np.array(seen)[:: process.epoch_steps], np.array(seen)


# Steps --------------------------------------------------------------------------------------------------------------


def test_steps_are_those_of_numpy():
    """v' = mu v + X_B^T (X_B w - y_B)/B + l2 w, w' = w - lr_t v', over batches cut from the order of each epoch."""
    process = descent()
    data, found = process.problem.data, run(process, num_steps=12, every=3)
    x, y = np.asarray(data.x), np.asarray(data.y)
    w, v = np.asarray(eqx.filter_jit(process.init)(KEY).params[0]["weight"]), 0.0
    firsts, _ = orders(process, 4)
    for step in range(12):
        lr = 0.2 * step / 3 if step < 3 else 0.1 * (1 + np.cos(np.pi * (step - 3) / 9))
        chosen = firsts[step // 3][3 * (step % 3) :][:BATCH]
        residual = x[chosen] @ w - y[chosen]
        np.testing.assert_allclose(found.loss[step], 0.5 * np.sum(residual**2) / BATCH, rtol=1e-12)
        v = 0.9 * v + x[chosen].T @ residual / BATCH + 0.1 * w
        w = w - lr * v
    np.testing.assert_allclose(found.state.params[0]["weight"], w, rtol=0, atol=1e-13)


def test_coupled_l2_alone_shrinks_as_in_closed_form():
    """On a loss without gradient w_t = (1 - lr l2)^t w_0; with heavy ball the 2 x 2 matrix of (w, v)."""
    problem = least_squares()
    start = problem.init(KEY)
    fit = problems.from_arrays(problem.data.x, problem.predict(start, problem.data.x) * 0)
    flat_loss = problems.Supervised(problem.network, fit, no_loss)
    for momentum in (0.0, 0.9):
        optimiser = Optimiser(optax.sgd, {"learning_rate": 0.5, "momentum": momentum})
        process = EpochDescent(flat_loss, optimiser, BATCH, l2=0.3, start=start)
        found = run(process, num_steps=8, every=8).state.params
        matrix = np.array([[1 - 0.5 * 0.3, -0.5 * momentum], [0.3, momentum]])
        shrunk = np.linalg.matrix_power(matrix, 8)[0, 0]
        assert momentum or shrunk == pytest.approx(0.85**8, rel=1e-14)
        np.testing.assert_allclose(flat(found), shrunk * flat(start), rtol=1e-12)


def no_loss(outputs, targets):
    return 0.0 * jnp.sum(outputs * targets)


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_the_schedule_is_optax_s(warmup):
    with jax.numpy_dtype_promotion("standard"):
        wanted = optax.warmup_cosine_decay_schedule(0.0, 0.7, warmup, 10)
        values = [float(np.asarray(wanted(jnp.asarray(step)))) for step in range(12)]
    found = [float(WarmUpCosine(0.7, 10, warmup)(step)) for step in range(12)]
    np.testing.assert_allclose(found, values, rtol=1e-6)
    by_hand = [
        0.7 * s / warmup if s < warmup else 0.35 * (1 + np.cos(np.pi * (s - warmup) / (10 - warmup))) for s in range(11)
    ]
    np.testing.assert_allclose(found[:11], by_hand, atol=1e-7)
    assert found[0] == (0.0 if warmup else pytest.approx(0.7))


def test_the_edge_of_a_scheduled_heavy_ball_is_read():
    """2 (1 + mu)/lr at the learning rate of the next step."""
    found = run(descent(), num_steps=6, every=6, block=3)
    edge = measures.optax_threshold(heavy_ball(), found.state.memory.optimiser).edge
    assert float(edge) == pytest.approx(3.8 / float(WarmUpCosine(0.2, 12, 3)(6)), rel=1e-6)


@eqx.filter_jit
def one_step(process):
    """The state after the first step."""
    return process.step(process.init(KEY))


def test_a_whole_batch_is_descent_and_chunks_change_nothing():
    problem, optimiser = least_squares(), dynamics.gradient_descent(0.2)
    plain = one_step(dynamics.Descent(problem, optimiser)).params
    for chunk in (None, 1):
        whole = EpochDescent(problem, optimiser, NUM, chunk_size=chunk)
        np.testing.assert_allclose(flat(one_step(whole).params), flat(plain), rtol=0, atol=1e-14)


# Order --------------------------------------------------------------------------------------------------------------


def test_each_epoch_is_a_permutation_of_its_own_and_depends_on_key_and_epoch_alone():
    firsts, seen = orders(descent(), 4)
    assert np.array_equal(np.sort(firsts), np.tile(np.arange(NUM), (4, 1)))
    assert len({tuple(order) for order in firsts}) == 4
    assert np.array_equal(seen, np.repeat(firsts, 3, 0))
    assert np.array_equal(firsts, orders(descent(l2=0.0), 4)[0])
    key = jax.random.key(5)
    assert not np.array_equal(epoch_order(key, 0, 50), epoch_order(jax.random.key(6), 0, 50))
    assert np.array_equal(epoch_order(key, 1, 50), epoch_order(key, jnp.asarray(1), 50))


def probed(process):
    keys = jax.random.split(jax.random.key(1))
    return {
        "probes": (measures.accuracy(process.problem),),
        "trackers": (measures.track_hessian(process.problem, key=keys[0]),),
    }


@pytest.mark.parametrize("step", [2, 4, 7])
def test_resuming_mid_epoch_changes_no_bit(step, tmp_path):
    """Steps 4 and 7 are within an epoch, and 4 and 2 between measurements as well."""
    process = descent()
    options = {"num_steps": 12, "every": 6, "block": 1, **probed(process)}
    kept = {**options, "checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    with pytest.raises(Interrupted):
        run(process, **kept, progress=stopped_at(step))
    assert_same(run(process, **options), run(process, **kept))


@pytest.mark.parametrize("schedule", [{"every": 1}, {"every": 6, "block": 3}])
def test_probes_do_not_disturb(schedule):
    process = descent()
    plain = run(process, num_steps=12, every=12, block=3)
    watched = run(process, num_steps=12, **schedule, **probed(process))
    np.testing.assert_array_equal(plain.loss, watched.loss)
    for one, other in zip(jax.tree.leaves(plain.state.params), jax.tree.leaves(watched.state.params), strict=True):
        np.testing.assert_array_equal(one, other)


# Images -------------------------------------------------------------------------------------------------------------


class OneHidden(problems.AbstractNetwork):
    """Flat images, a linear layer, BatchNorm, ReLU and a linear layer: what `ResNet` offers, quick to compile."""

    @property
    def couples_examples(self):
        return True

    def init(self, key, dtype):
        keys = jax.random.split(key)
        scale, bias = jnp.ones(3, dtype), jnp.zeros(3, dtype)
        weights = [jax.random.normal(k, size, dtype) for k, size in zip(keys, [(12, 3), (3, 2)], strict=True)]
        return {"weights": weights, "norm": {"scale": scale, "bias": bias}}

    def evaluate(self, params, statistics, x):
        hidden = x.reshape(len(x), -1) @ params["weights"][0]
        normal, seen = problems.batch_norm(params["norm"], hidden, statistics)
        return problems.relu(normal) @ params["weights"][1] if statistics is not None else (normal, seen)

    def with_statistics(self, params, x):
        normal, seen = self.evaluate(params, None, x)
        return problems.relu(normal) @ params["weights"][1], seen

    def many(self, params, x):
        return self.with_statistics(params, x)[0]

    def check(self, shape, outputs):
        assert (shape[1:], outputs) == ((1, 3, 4), 2)


def images():
    """Eight images, and a network with BatchNorm."""
    rng = np.random.default_rng(1)
    data = problems.from_arrays(rng.normal(size=(8, 1, 3, 4)), np.eye(2)[rng.integers(0, 2, 8)])
    return problems.Supervised(OneHidden(), data, problems.mean_softmax_cross_entropy)


def test_running_statistics_and_augmented_batches_are_as_said():
    """Statistics follow those of each batch, which is cut from the order and augmented from key and step."""
    problem = images()
    network: Any = problem.network
    process: Any = EpochDescent(problem, dynamics.gradient_descent(0.1), 4, augment=problems.CropAndFlip(1))
    state, step, augment = (eqx.filter_jit(f) for f in (process.init, process.step, process.augment))
    seen_of = eqx.filter_jit(network.with_statistics)
    state = state(KEY)
    wanted = state.memory.statistics
    for t in range(3):
        new = step(state)
        rows = new.memory.order[4 * (t % 2) :][:4]
        batch = augment(jax.random.fold_in(jax.random.fold_in(state.key, 1), t), problem.data.x[rows])
        outputs, seen = seen_of(state.params, batch)
        assert float(new.loss) == pytest.approx(float(problem.output_loss(outputs, problem.data.y[rows])), rel=1e-12)
        wanted = jax.tree.map(lambda old, now: 0.9 * old + 0.1 * now, wanted, seen)
        state = new
    np.testing.assert_allclose(flat(state.memory.statistics), flat(wanted), rtol=1e-12)
    outputs = network.evaluate(state.params, wanted, problem.data.x)
    found = eqx.filter_jit(measures.evaluation(problem, problem.data, chunk_size=3))(state)
    assert float(found["held_out_loss"]) == pytest.approx(float(problem.loss_of_outputs(outputs)), rel=1e-12)
    assert float(found["held_out_accuracy"]) == float(problems.accuracy(outputs, problem.data.y))


def test_images_are_moved_and_mirrored_in_every_way():
    image = jnp.arange(1.0, 13.0).reshape(1, 3, 4)
    made = np.asarray(eqx.filter_jit(problems.CropAndFlip(1))(KEY, jnp.stack([image] * 200)))
    padded = np.pad(np.asarray(image), ((0, 0), (1, 1), (1, 1)))
    cuts = [padded[:, i : i + 3, j : j + 4] for i in range(3) for j in range(3)]
    allowed = {cut.tobytes() for cut in cuts} | {cut[:, :, ::-1].tobytes() for cut in cuts}
    assert {one.tobytes() for one in made} == allowed  # 18 kinds; one is missing of 200 with probability 2e-4


def test_mixed_precision_keeps_float32_weights_and_is_near():
    """bfloat16 rounds to 2^-8; the loss and its gradient follow within a few of these."""
    exact = problems.Supervised(images().network, as_float32(images().data), images().output_loss)
    low = problems.Supervised(problems.Lowered(exact.network, jnp.bfloat16), exact.data, exact.output_loss)
    params = exact.init(KEY)
    (wanted, gradient), (found, lowered) = (value_and_gradient(p, params) for p in (exact, low))
    assert {leaf.dtype for leaf in jax.tree.leaves(lowered)} == {jnp.dtype(jnp.float32)}
    assert float(jnp.abs(found - wanted)) < 0.03 * float(wanted)
    assert np.linalg.norm(flat(lowered) - flat(gradient)) < 0.05 * np.linalg.norm(flat(gradient))
    assert np.any(flat(lowered) != flat(gradient))
    process = EpochDescent(low, dynamics.gradient_descent(0.1), 4)
    state = jax.eval_shape(lambda key: process.step(process.init(key)), KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.memory.statistics))} == {jnp.dtype("float32")}


@eqx.filter_jit
def value_and_gradient(problem, params):
    return jax.value_and_grad(problem.loss)(params)


def as_float32(data):
    return problems.from_arrays(data.x, data.y, dtype=jnp.float32)


def test_digits_are_learned():
    data = problems.digits(300, dtype=jnp.float32)
    network = problems.FullyConnected((64, 32, 10), activation=problems.relu, initialisation=problems.HE)
    problem = problems.Supervised(network, data, problems.mean_softmax_cross_entropy)
    process = EpochDescent(problem, heavy_ball(0.1, 144, 20), 25, l2=5e-4)
    found = run(process, num_steps=144, every=144)
    assert found.loss[0] > 2.0  # log 10 is 2.3
    assert np.mean(found.loss[-12:]) < 0.1
    assert float(problems.accuracy(problem.outputs(found.state.params), data.y)) > 0.97


# Devices ------------------------------------------------------------------------------------------------------------


def shared(problem, mesh):
    """Losses and parameters of a training whose batches are dealt out over a mesh."""
    if mesh is not None:
        problem = problems.Supervised(problem.network, curvature.copied(problem.data, mesh), problem.output_loss)
    found = run(EpochDescent(problem, heavy_ball(), 8, l2=0.1, mesh=mesh), num_steps=6, every=6, block=3)
    return found.loss, flat(found.state.params)


def test_one_device_of_a_mesh_is_one_device():
    problem, mesh = least_squares(), jax.make_mesh((1,), ("data",))
    placed = problems.Supervised(problem.network, curvature.copied(problem.data, mesh), problem.output_loss)
    one, other = one_step(descent(problem)), one_step(descent(placed, mesh=mesh))
    np.testing.assert_allclose(flat(one.params), flat(other.params), rtol=0, atol=50 * EPS)


def eight():
    """Printed by a process with eight host devices: the largest differences from one of them, with BatchNorm."""
    mesh = jax.make_mesh((8,), ("data",))
    differences = [
        float(np.max(np.abs(a - b))) for a, b in zip(*(shared(images(), m) for m in (None, mesh)), strict=True)
    ]
    try:
        EpochDescent(images(), heavy_ball(), 4, mesh=mesh)
    except InputError as error:
        print(json.dumps({"differences": differences, "refusal": str(error)}))  # noqa: T201


@pytest.mark.long
def test_eight_devices_have_the_numbers_of_one():
    """Sums of eight examples in another order, and six steps on them."""
    flags = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    code = "import conftest, test_epochs; test_epochs.eight()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).parent,
        env=flags,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert max(report["differences"]) < 1e-12
    assert report["refusal"] == ("batch_size (chunk_size where given) must be a multiple of the 8 devices; got 4.")


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: descent(l2=-1.0), r"^l2 must be at least 0.0; got -1.0\.$"),
        (lambda: descent(chunk_size=2), r"^chunk_size must divide the batch of 3; got 2\.$"),
        (
            lambda: EpochDescent(least_squares(), heavy_ball(), 12),
            r"^batch_size must be at most 11 \(the number of examples\); got 12\.$",
        ),
        (lambda: WarmUpCosine(0.0, 10), r"^peak must be positive and finite; got 0.0\.$"),
        (
            lambda: WarmUpCosine(0.1, 10, 10),
            r"^warmup_steps must be at most 9 \(num_steps less one to fall\); got 10\.$",
        ),
        (lambda: problems.CropAndFlip(-1), r"^pad must be at least 0; got -1\.$"),
        (lambda: problems.Lowered(images().network, jnp.int32), r"^dtype must be floating; got int32\.$"),
        (lambda: run(descent(), every=4, block=3), r"^block must divide every \(4\); got 3\.$"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(InputError, match=words):
        make()
