"""The controllers: on quadratics the number that is held comes to its target and follows the curvature."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from precipice import measures
from precipice._checks import InputError
from precipice.monitor.controller import curvature_step, hold, noise_number, sharpness_number
from precipice.monitor.held import held_factor

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(8, 6))
HESSIAN = ROOT.T @ ROOT / 8
TOP, TRACE = np.linalg.eigvalsh(HESSIAN)[-1], np.trace(HESSIAN)
START = {"a": jnp.asarray(RNG.normal(size=4)), "b": jnp.asarray(RNG.normal(size=2))}


def quadratic(params, batch):
    """Curvature HESSIAN times the batch."""
    flat = jnp.concatenate([params["a"], params["b"]])
    return 0.5 * batch * flat @ HESSIAN @ flat


def run(transformation, num_steps, batches=None) -> Any:
    """Parameters, and the state of the last link of the chain after each step."""
    batches = jnp.ones(num_steps) if batches is None else jnp.asarray(batches)

    def step(carry, batch):
        params, state = carry
        updates, state = transformation.update(jax.grad(quadratic)(params, batch), state, params, batch=batch)
        return (optax.apply_updates(params, updates), state), (state[-1], quadratic(params, batch))

    (params, _), (states, losses) = jax.lax.scan(step, (START, transformation.init(START)), batches)
    return params, states, losses


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("target", [0.3, 0.9])
def test_the_sharpness_is_held_at_its_target(momentum, target):
    lr = 1e-3
    edge = float(np.asarray(measures.heavy_ball_edge(lr, momentum)))
    held = hold(sharpness_number(quadratic, edge=edge), target=target, gain=0.2, max_factor=1e5)
    _, states, losses = run(optax.chain(optax.sgd(lr, momentum), held), 400)
    assert float(states.factor[-1]) * TOP / edge == pytest.approx(target, rel=1e-6)
    assert losses[-1] < 1e-3 * losses[0]


def test_a_change_of_curvature_is_followed():
    batches = np.concatenate([np.ones(100), np.full(100, 4.0)])
    held = hold(sharpness_number(quadratic, edge=20.0), target=0.5, gain=0.3, max_factor=1e4)
    _, states, _ = run(optax.chain(optax.sgd(0.1), held), 200, batches)
    numbers = np.asarray(states.factor) * batches * TOP / 20
    np.testing.assert_allclose(numbers[[99, 199]], 0.5, rtol=1e-6)
    assert numbers[100] > 1  # measured and not yet followed
    assert states.unit_value[199] == pytest.approx(4 * TOP / 20)


@pytest.mark.parametrize("seed", range(3))
def test_k_is_held_on_average(seed):
    lr, batch_size = 1e-3, 4
    number = noise_number(quadratic, lr=lr, batch_size=batch_size, num_outputs=1, decay=0.99, key=jax.random.key(seed))
    held = hold(number, target=0.1, gain=0.5, max_factor=1e4)
    _, states, _ = run(optax.chain(optax.sgd(lr), held), 1500)
    k = np.asarray(states.factor)[500:] * lr * TRACE / (2 * batch_size)
    assert np.mean(k) == pytest.approx(0.1, rel=0.05)


def test_between_measurements_nothing_moves():
    held = hold(sharpness_number(quadratic, edge=20.0), target=0.5, gain=0.5, max_factor=1e4, every=5)
    _, states, _ = run(optax.chain(optax.sgd(0.1), held), 20)
    factors = np.asarray(states.factor).reshape(4, 5)
    assert (factors == factors[:, :1]).all()
    assert len(np.unique(factors)) == 4


def test_where_nothing_is_curved_the_factor_goes_to_its_limit():
    held = hold(sharpness_number(quadratic, edge=20.0), target=0.5, gain=1.0, max_factor=7.0)
    _, states, _ = run(optax.chain(optax.sgd(1e-6), held), 30, np.full(30, -1.0))
    np.testing.assert_allclose(states.factor, 7.0)


def test_the_step_of_scale_1_is_the_exact_line_search():
    params, states, _ = run(optax.chain(optax.sgd(1.0), curvature_step(quadratic, scale=1.0, decay=0.0)), 5)
    theta = np.concatenate([np.asarray(START["a"]), np.asarray(START["b"])])
    for lr in np.asarray(states.lr):
        g = HESSIAN @ theta
        assert float(lr) == pytest.approx(g @ g / (g @ HESSIAN @ g), rel=1e-12)
        theta = theta - lr * g
    np.testing.assert_allclose(np.concatenate([params["a"], params["b"]]), theta, rtol=1e-12)


def test_the_step_of_scale_2_leaves_the_loss_level():
    _, _, losses = run(optax.chain(optax.sgd(1.0), curvature_step(quadratic, decay=0.0)), 6)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-10)


def test_without_curvature_ahead_the_step_is_the_largest_allowed():
    flat = curvature_step(lambda p, b: b * (jnp.sum(p["a"]) + jnp.sum(p["b"])), max_lr=3.0)
    chain = optax.chain(optax.sgd(1.0), flat)
    updates: Any = chain.update(jax.tree.map(jnp.ones_like, START), chain.init(START), START, batch=1.0)[0]
    np.testing.assert_allclose(updates["a"], -3.0)


def test_targets_and_scales_may_be_traced():
    def held_at(target):
        number = sharpness_number(quadratic, edge=20.0)
        return run(optax.chain(optax.sgd(0.1), hold(number, target=target, gain=0.5)), 20)[1].factor[-1]

    def first_lr(scale):
        return run(optax.chain(optax.sgd(1.0), curvature_step(quadratic, scale=scale, decay=0.0)), 1)[1].lr[0]

    both = jnp.array([0.5, 1.0])
    np.testing.assert_allclose(jax.vmap(held_at)(both), both * 20 / TOP, rtol=1e-4)
    g = HESSIAN @ np.concatenate([np.asarray(START["a"]), np.asarray(START["b"])])
    np.testing.assert_allclose(jax.vmap(first_lr)(both), both * (g @ g) / (g @ HESSIAN @ g), rtol=1e-12)


def test_the_rule_is_the_same_in_floats_and_arrays():
    numbers = {"target": 0.5, "gain": 0.3, "max_factor": 10.0}
    for factor, unit in [(1.0, 0.2), (3.0, 40.0), (0.2, -1.0), (9.0, 0.01)]:
        plain = min(max(factor**0.7 * (0.5 / max(unit, 0.05)) ** 0.3, 0.1), 10.0)
        assert held_factor(factor, unit, **numbers) == pytest.approx(plain, rel=1e-12)
        assert float(held_factor(jnp.array(factor), jnp.array(unit), **numbers)) == pytest.approx(plain, rel=1e-12)


NUMBER = sharpness_number(quadratic, edge=1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hold(NUMBER, target=0.0), "target must be positive and finite; got 0.0."),
        (lambda: hold(NUMBER, target=1.0, gain=0.0), r"gain must lie in \(0, 1\]; got 0.0."),
        (lambda: hold(NUMBER, target=1.0, max_factor=0.5), "max_factor must be at least 1; got 0.5."),
        (lambda: hold(NUMBER, target=1.0, every=0), "every must be at least 1; got 0."),
        (lambda: hold(NUMBER, target=1.0).update(START, hold(NUMBER, target=1.0).init(START)), "must be given params"),
        (lambda: sharpness_number(quadratic, edge=-1.0), "edge must be positive and finite; got -1.0."),
        (lambda: sharpness_number(quadratic, edge=1.0, depth=1), "depth must be at least 2; got 1."),
        (
            lambda: noise_number(quadratic, lr=1.0, batch_size=1, num_outputs=1, momentum=1.0, key=jax.random.key(0)),
            r"momentum must lie in \[0, 1\); got 1.0.",
        ),
        (lambda: curvature_step(quadratic, scale=0.0), "scale must be positive and finite; got 0.0."),
        (lambda: curvature_step(quadratic, decay=1.0), r"decay must lie in \[0, 1\); got 1.0."),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
