"""Each row of the thresholds: the optimiser itself decays at 0.98 of the number and grows at 1.02, on a quadratic.

The quadratic has a dense Hessian of three parameters, scaled so that the largest eigenvalue of
S^1/2 (H + l2 I) S^1/2 (`step_scale`) is 0.98 or 1.02; no preconditioner here commutes with it. Adaptive optimisers run
with their own rule and a second moment of order one that their gradients, of order 1e-18, do not move in 200 steps
(running means at beta2 = 1 - 1e-8 after 10^9 steps; Adagrad's sum as it is); `test_adam_hovers_at_its_edge` lets
Adam's own preconditioner move from its first step on. SAM, clipping and sign descent: test_thresholds_nonlinear.py;
reading and bad input: test_threshold_readers.py.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
import scipy.optimize

import torch_by_hand
from precipice.dynamics import Optimiser
from precipice.measures import (
    adam_edge,
    heavy_ball_edge,
    nesterov_edge,
    optax_threshold,
    step_scale,
    torch_thresholds,
    unnormalised_sam_edge,
)

ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
HESSIAN = ROTATION @ np.diag([0.5, 0.8, 1.0]) @ ROTATION.T
SECOND_MOMENT = np.array([4.0, 0.25, 1.0])
START = 1e-20 * np.array([1.0, -2.0, 0.5])
SLOW, STEPS, NUM_STEPS = 1 - 1e-8, 10**9, 200


def hessian_at(factor, scale, weight_decay=0.0):
    """The Hessian c H for which the normalised sharpness is `factor`."""
    root, decay = np.sqrt(np.broadcast_to(scale, 3)), np.broadcast_to(weight_decay, 3)

    def above(c):
        return np.linalg.eigvalsh(root[:, None] * (c * HESSIAN + np.diag(decay)) * root)[-1] - factor

    top = 2 * factor / (root**2 * np.diag(HESSIAN)).max()
    return HESSIAN * scipy.optimize.brentq(above, 0, top, xtol=1e-13 * top)


def decays_then_grows(last_over_first, *of_threshold):
    """`last_over_first(hessian)` below and above the edge."""
    below, above = (last_over_first(hessian_at(factor, *of_threshold)) for factor in (0.98, 1.02))
    assert below < 0.1
    assert above > 10


# optax --------------------------------------------------------------------------------------------------------------


def size_after(transformation, memory, hessian):
    """Largest |theta| in the last 10 steps over that at the start."""

    def step(carry, _):
        params, memory = carry
        with jax.numpy_dtype_promotion("standard"):
            update, memory = transformation.update(hessian @ params, memory, params)
        return (params + update, memory), jnp.max(jnp.abs(params + update))

    sizes = jax.lax.scan(step, (jnp.array(START), memory), None, length=NUM_STEPS)[1]
    return float(jnp.max(sizes[-10:]) / np.abs(START).max())


def decoupled(lr, momentum, nesterov, decay):
    return optax.chain(
        optax.trace(momentum, nesterov), optax.add_decayed_weights(decay), optax.scale_by_learning_rate(lr)
    )


LINEAR = {
    "gradient descent": (optax.sgd(0.1), heavy_ball_edge(0.1)),
    "heavy ball": (optax.sgd(0.1, 0.9), heavy_ball_edge(0.1, 0.9)),
    "nesterov": (optax.sgd(0.1, 0.8, nesterov=True), nesterov_edge(0.1, 0.8)),
    "coupled": (optax.chain(optax.add_decayed_weights(7.0), optax.sgd(0.1)), heavy_ball_edge(0.1, weight_decay=7.0)),
    "heavy ball, coupled": (
        optax.chain(optax.add_decayed_weights(7.0), optax.sgd(0.1, 0.9)),
        heavy_ball_edge(0.1, 0.9, weight_decay=7.0),
    ),
    "nesterov, coupled": (
        optax.chain(optax.add_decayed_weights(7.0), optax.sgd(0.1, 0.9, nesterov=True)),
        nesterov_edge(0.1, 0.9, weight_decay=7.0),
    ),
    "decoupled": (decoupled(0.1, 0.0, False, 7.0), heavy_ball_edge(0.1, decoupled_weight_decay=7.0)),
    "heavy ball, decoupled": (decoupled(0.1, 0.9, False, 7.0), heavy_ball_edge(0.1, 0.9, decoupled_weight_decay=7.0)),
    "nesterov, decoupled": (decoupled(0.1, 0.9, True, 7.0), nesterov_edge(0.1, 0.9, decoupled_weight_decay=7.0)),
    "running mean": (optax.chain(optax.ema(0.9, debias=False), optax.scale(-0.1)), adam_edge(0.1)),
    "unnormalised SAM": (
        optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.3), opaque_mode=True),
        unnormalised_sam_edge(heavy_ball_edge(0.1), 0.3),
    ),
    "unnormalised SAM, heavy ball": (
        optax.contrib.sam(optax.sgd(0.1, 0.9), optax.sgd(0.3), opaque_mode=True),
        unnormalised_sam_edge(heavy_ball_edge(0.1, 0.9), 0.3),
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_optax_row(name):
    made, edge = LINEAR[name]

    def last_over_first(hessian):
        rule = made
        if "SAM" in name:
            update = functools.partial(made.update, grad_fn=lambda params, _: hessian @ params)
            rule = optax.GradientTransformation(made.init, update)
        return size_after(rule, made.init(jnp.array(START)), hessian)

    decays_then_grows(last_over_first, 1 / edge)


@pytest.mark.parametrize("form", [heavy_ball_edge, nesterov_edge])
def test_every_curvature_below_the_edge_is_stable(form):
    """The multipliers as roots of the derivation's polynomial, for numbers drawn over their ranges: -1 at the edge."""
    for lr, mu, d, share in np.random.default_rng(0).uniform([0.01, 0, 0, 0], [1, 0.99, 0.95, 1.9], size=(200, 4)):
        keep, look = 1 - share, mu if form is nesterov_edge else 0.0  # share is lr w
        edge = form(lr, mu, dampening=d, decoupled_weight_decay=share / lr)
        for factor in (1e-3, 0.25, 0.5, 0.75, 0.999, 1.0):
            step = lr * (1 - d) * factor * edge
            roots = np.roots([1, (1 + look) * step - keep - mu, keep * mu - look * step])
            if factor < 1:
                assert np.abs(roots).max() < 1
        assert np.abs(roots + 1).min() < 1e-9


ADAPTIVE = {
    "adam": (optax.adam, {"b2": SLOW}),
    "adam, beta1 of 0": (optax.adam, {"b1": 0.0, "b2": SLOW}),
    "adam, large eps": (optax.adam, {"b1": 0.7, "b2": SLOW, "eps": 0.5, "eps_root": 2.0}),
    "adamw": (optax.adamw, {"b2": SLOW, "weight_decay": 7.0}),
    "nadam": (optax.nadam, {"b2": SLOW}),
    "nadamw": (optax.nadamw, {"b1": 0.8, "b2": SLOW, "weight_decay": 7.0}),
    "rmsprop": (optax.rmsprop, {"decay": SLOW, "eps": 0.5}),
    "rmsprop as PyTorch": (optax.rmsprop, {"decay": SLOW, "eps": 0.5, "eps_in_sqrt": False, "bias_correction": True}),
    "rmsprop, heavy ball": (optax.rmsprop, {"decay": SLOW, "momentum": 0.9}),
    "rmsprop, nesterov": (optax.rmsprop, {"decay": SLOW, "momentum": 0.9, "nesterov": True}),
    "rmsprop, centred": (optax.rmsprop, {"decay": SLOW, "centered": True, "bias_correction": True}),
    "adagrad": (optax.adagrad, {"eps": 0.5}),
}


def at_work(memory):
    """The optimiser's state with a second moment of order one, after many steps."""
    values = {"nu": SECOND_MOMENT, "sum_of_squares": SECOND_MOMENT}

    def filled(part: Any) -> Any:
        fields = getattr(part, "_fields", None)
        if fields is None:
            return tuple(filled(p) for p in part) if isinstance(part, tuple) else part
        new = {f: jnp.array(values[f]) for f in fields if f in values}
        new |= {f: jnp.asarray(STEPS, part.count.dtype) for f in fields if f == "count"}
        new |= {"mu": jnp.array([0.3, 0.1, -0.2])} if "DevWith" in type(part).__name__ else {}
        return part._replace(**new)

    return filled(memory)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_optax_row(name):
    make, numbers = ADAPTIVE[name]
    made = Optimiser(make, {"learning_rate": 0.1} | numbers)
    memory = at_work(made.init(jnp.array(START)))
    threshold = optax_threshold(made, memory)
    assert threshold.weight_decay == 0
    decays_then_grows(functools.partial(size_after, made, memory), np.asarray(step_scale(threshold)))


@pytest.mark.parametrize(("b1", "off"), [(0.0, 1e-6), (0.5, 0.1), (0.9, 0.1)])
def test_adam_hovers_at_its_edge(b1, off):
    """With its own P from the first step on, on a diagonal quadratic, where each parameter has a curvature of its own.

    P falls with the gradient until the edge, above which the gradient grows and raises P. Without momentum the end is
    the cycle theta -> -theta, exactly at the edge; with it P swings about the edge, to 0.69 and 1.2 of it at most.
    """
    hessian, made = jnp.array([40.0, 3.0, 0.5]), Optimiser(optax.adam, {"learning_rate": 0.01, "b1": b1, "b2": 0.99})

    def step(carry, _):
        params, memory = carry
        with jax.numpy_dtype_promotion("standard"):
            update, memory = made.update(hessian * params, memory, params)
        return (params + update, memory), hessian * step_scale(optax_threshold(made, memory))

    start = jnp.ones(3)
    normalised = np.asarray(jax.lax.scan(step, (start, made.init(start)), None, length=8000)[1])
    late = normalised[-4000:]
    assert (normalised[10] < 0.2).all()
    np.testing.assert_allclose(np.median(late, axis=0), 1, atol=off)
    np.testing.assert_allclose(late, 1, atol=4 * off)


# PyTorch ------------------------------------------------------------------------------------------------------------

TORCH_GROUPS = {
    "SGD": ("SGD", {}),
    "SGD, L2": ("SGD", {"weight_decay": 7.0}),
    "SGD, dampening alone": ("SGD", {"dampening": 0.5}),
    "SGD, heavy ball": ("SGD", {"momentum": 0.9}),
    "SGD, dampened": ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    "SGD, dampened, L2": ("SGD", {"momentum": 0.9, "dampening": 0.9, "weight_decay": 7.0}),
    "SGD, nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "SGD, nesterov, L2": ("SGD", {"momentum": 0.5, "nesterov": True, "weight_decay": 3.0}),
    "Adam": ("Adam", {"betas": (0.9, SLOW)}),
    "Adam, L2, eps": ("Adam", {"betas": (0.8, SLOW), "weight_decay": 30.0, "eps": 0.5}),
    "Adam, amsgrad": ("Adam", {"betas": (0.9, SLOW), "amsgrad": True}),
    "Adam, decoupled": ("Adam", {"betas": (0.9, SLOW), "weight_decay": 7.0, "decoupled_weight_decay": True}),
    "AdamW": ("AdamW", {"betas": (0.9, SLOW), "weight_decay": 7.0}),
    "RMSprop": ("RMSprop", {"alpha": SLOW, "eps": 0.5}),
    "RMSprop, heavy ball, L2": ("RMSprop", {"alpha": SLOW, "momentum": 0.9, "weight_decay": 7.0}),
    "RMSprop, centred": ("RMSprop", {"alpha": SLOW, "centered": True}),
    "Adagrad": ("Adagrad", {"lr_decay": 0.5}),
    "Adagrad, L2, eps": ("Adagrad", {"weight_decay": 7.0, "eps": 0.5}),
}


def torch_state(name, numbers, second_moment=SECOND_MOMENT):
    """The state of a parameter after many steps, with a second moment of order one."""
    count, zeros = float(STEPS), np.zeros_like(second_moment)
    return {
        "SGD": {},
        "Adam": {"step": count, "exp_avg": zeros, "exp_avg_sq": second_moment}
        | ({"max_exp_avg_sq": second_moment + 1} if numbers.get("amsgrad") else {}),
        "RMSprop": {"step": count, "square_avg": second_moment, "grad_avg": zeros + 0.3, "momentum_buffer": zeros},
        "Adagrad": {"step": count, "sum": second_moment * (1e-17 if numbers.get("lr_decay") else 1.0)},
    }[name.removesuffix("W")]


def torch_size_after(name, groups, state, params, hessian):
    """As `size_after`; `params` maps the keys of the groups to parts of the vector."""
    state, params = {k: dict(v) for k, v in state.items()}, {k: v.copy() for k, v in params.items()}
    sizes = []
    for _ in range(NUM_STEPS):
        flat = hessian @ np.concatenate(list(params.values()))
        cuts = np.cumsum([len(v) for v in params.values()])[:-1]
        torch_by_hand.step(name, groups, state, params, dict(zip(params, np.split(flat, cuts), strict=True)))
        sizes.append(max(np.abs(v).max() for v in params.values()))
    return max(sizes[-10:]) / np.abs(START).max()


@pytest.mark.parametrize("row", TORCH_GROUPS)
def test_torch_row(row):
    name, numbers = TORCH_GROUPS[row]
    groups = [torch_by_hand.group_of(name, ["w"], 0.1, **numbers)]
    state = {"w": torch_state(name, numbers)}
    (threshold,) = torch_thresholds(name, groups, state)
    scale = step_scale(threshold)
    decays_then_grows(
        lambda hessian: torch_size_after(name, groups, state, {"w": START}, hessian),
        scale[0] if isinstance(scale, tuple) else scale,
        threshold.weight_decay,
    )


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("SGD", [{"momentum": 0.9, "weight_decay": 7.0}, {"momentum": 0.5, "nesterov": True}]),
        ("AdamW", [{"betas": (0.9, SLOW), "weight_decay": 7.0}, {"betas": (0.5, SLOW), "weight_decay": 0.0}]),
        ("RMSprop", [{"alpha": SLOW, "momentum": 0.9, "weight_decay": 7.0}, {"alpha": SLOW}]),
    ],
)
def test_groups_together(name, numbers):
    """Two groups with their own learning rates, momenta and decays: one number from `step_scale` of both."""
    lrs, keys = (0.1, 0.03), (["a"], ["b"])
    groups = [torch_by_hand.group_of(name, k, lr, **n) for k, lr, n in zip(keys, lrs, numbers, strict=True)]
    parts = {"a": slice(0, 2), "b": slice(2, 3)}
    state = {k: torch_state(name, {}, SECOND_MOMENT[part]) for k, part in parts.items()}
    thresholds = torch_thresholds(name, groups, state)
    scale, decay = np.zeros(3), np.zeros(3)
    for threshold, part in zip(thresholds, parts.values(), strict=True):
        of_group = step_scale(threshold)
        scale[part] = of_group[0] if isinstance(of_group, tuple) else of_group
        decay[part] = threshold.weight_decay
    params = {k: START[part] for k, part in parts.items()}
    decays_then_grows(lambda hessian: torch_size_after(name, groups, state, params, hessian), scale, decay)
