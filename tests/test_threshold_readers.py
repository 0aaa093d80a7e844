"""Reading thresholds from optimisers: precision, schedules, tracing, PyTorch's dictionaries; bad input by its words."""

import operator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import torch_by_hand
from precipice import measures, problems
from precipice._checks import InputError
from precipice.curvature import Hessian
from precipice.dynamics import Descent, Optimiser, gradient_descent
from precipice.measures import Threshold, optax_threshold, step_scale, torch_thresholds

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}


def after(made, num_steps, params=PARAMS):
    """The optimiser's state after steps with gradients 1, 2, 3 ... times the parameters, and those gradients."""
    memory, gradients = (
        made.init(params),
        [jax.tree.map(partial(operator.mul, i + 1), params) for i in range(num_steps)],
    )
    for gradient in gradients:
        with jax.numpy_dtype_promotion("standard"):
            _, memory = made.update(gradient, memory, params)
    return memory, gradients


def test_formulas():
    assert measures.heavy_ball_edge(0.1) == 20
    assert measures.heavy_ball_edge(0.1, weight_decay=3.0) == measures.heavy_ball_edge(0.1, decoupled_weight_decay=3.0)
    np.testing.assert_allclose(measures.heavy_ball_edge(0.1, 0.9, dampening=0.5, weight_decay=6.0), 70, rtol=1e-14)
    np.testing.assert_allclose(measures.nesterov_edge(0.1, 0.9), 38 / 2.8, rtol=1e-14)
    np.testing.assert_allclose(measures.adam_edge(np.array([1e-3, 1e-2])), [38000, 3800], rtol=1e-13)
    np.testing.assert_allclose(measures.adam_edge(0.1, 0.5, decoupled_weight_decay=4.0), 1.5 * 1.6 / 0.05, rtol=1e-13)
    rho, lr, norm = 0.05, 0.1, 0.7
    printed = norm / (2 * rho) * (np.sqrt(1 + 8 * rho / (lr * norm)) - 1)  # Long & Bartlett 2024
    np.testing.assert_allclose(measures.sam_edge(2 / lr, rho, norm), printed, rtol=1e-13)
    assert measures.normalised_sharpness(30.0, 20.0) == 1.5


def test_adams_preconditioner_is_its_own_division():
    """P from the state against the definition, from the gradients themselves; the update is -lr m/P."""
    numbers = {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95, "eps": 0.01}
    made = Optimiser(optax.adam, numbers)
    memory, gradients = after(made, 3)
    threshold = optax_threshold(made, memory)
    assert jax.tree.structure(threshold.preconditioner) == jax.tree.structure(PARAMS)
    for name in PARAMS:
        g = np.array([np.asarray(gradient[name]) for gradient in gradients])
        weights = 0.05 * 0.95 ** np.arange(3)[::-1] / (1 - 0.95**3)
        by_hand = (1 - 0.8**3) * (np.sqrt(np.tensordot(weights, g**2, 1)) + 0.01)
        np.testing.assert_allclose(threshold.preconditioner[name], by_hand, rtol=1e-13)


def test_optax_and_torch_read_the_same():
    """One run of each: the same gradients give the same edge and the same P."""
    gradients = {"w": np.array([1.0, -2.0])}
    both = {
        "Adam": (optax.adam, {}),
        "AdamW": (optax.adamw, {"weight_decay": 0.01}),
        "RMSprop": (optax.rmsprop, {"decay": 0.99, "eps_in_sqrt": False, "centered": True}),
    }
    for name, (make, numbers) in both.items():
        made, state, params = Optimiser(make, {"learning_rate": 0.1} | numbers), {}, {"w": np.array([1.0, -2.0])}
        group = torch_by_hand.group_of(name, ["w"], 0.1, **({"centered": True} if name == "RMSprop" else {}))
        for i in range(3):
            torch_by_hand.step(name, [group], state, params, {"w": (i + 1) * gradients["w"]})
        ours = optax_threshold(made, after(made, 3)[0])
        (theirs,) = torch_thresholds(name, [group], state)
        np.testing.assert_allclose(ours.edge, theirs.edge, rtol=1e-13)
        np.testing.assert_allclose(ours.preconditioner["w"], theirs.preconditioner[0], rtol=1e-12)


def test_precision_follows_the_state():
    params = jnp.array([1.0, 2.0], jnp.float32)
    for make in (optax.adam, optax.rmsprop, optax.adagrad, optax.nadamw):
        made = Optimiser(make, {"learning_rate": 0.1})
        memory, _ = after(made, 2, params)
        assert optax_threshold(made, memory).preconditioner.dtype == jnp.float32


def test_the_schedule_of_the_next_step():
    made = Optimiser(optax.adam, {"learning_rate": optax.linear_schedule(1.0, 0.0, 10)})
    memory, _ = after(made, 4)
    assert float(optax_threshold(made, memory).edge) == pytest.approx(38 / 0.6)
    sgd = Optimiser(optax.sgd, {"learning_rate": optax.linear_schedule(1.0, 0.0, 10), "momentum": 0.9})
    assert float(optax_threshold(sgd, after(sgd, 4)[0]).edge) == pytest.approx(3.8 / 0.6)


def test_traced_numbers_and_states():
    memory, _ = after(Optimiser(optax.adam, {"learning_rate": 0.1}), 2)

    def scale(lr, memory):
        return step_scale(optax_threshold(Optimiser(optax.adam, {"learning_rate": lr}), memory))["w"]

    lrs = jnp.array([0.1, 0.2])
    got = jax.jit(jax.vmap(scale, (0, None)))(lrs, memory)
    np.testing.assert_allclose(got, np.stack([scale(0.1, memory), scale(0.2, memory)]), rtol=1e-13)
    edges = jax.jit(jax.vmap(lambda mu: measures.nesterov_edge(0.1, mu, weight_decay=1.0)))(jnp.array([0.0, 0.5]))
    np.testing.assert_allclose(edges, [19, 14], rtol=1e-14)


def test_adagrad_leaves_alone_what_has_had_no_gradient():
    made = Optimiser(optax.adagrad, {"learning_rate": 0.1, "initial_accumulator_value": 0.0})
    memory, _ = after(made, 2, jnp.array([1.0, 0.0]))
    scale = step_scale(optax_threshold(made, memory))
    assert scale[0] > 0
    assert scale[1] == 0


def test_torch_groups_states_and_unused_parameters():
    group = torch_by_hand.group_of("AdamW", [0, 1], 0.01)
    older = {key: value for key, value in group.items() if key != "decoupled_weight_decay"}
    state = {0: {"step": np.float32(3), "exp_avg_sq": np.array([4.0])}}
    for made in (group, older):
        (threshold,) = torch_thresholds("AdamW", [made], state)
        assert threshold.weight_decay == 0
        assert threshold.edge == pytest.approx((2 - 1e-4) * 19 / 0.01, rel=1e-12)
        assert threshold.preconditioner[1] is None
        assert step_scale(threshold)[1] is None
    decaying = [torch_by_hand.group_of("Adagrad", [0], 0.1, lr_decay=0.5, eps=1.0)]
    (threshold,) = torch_thresholds("Adagrad", decaying, {0: {"step": 3.0, "sum": np.array([4.0])}})
    assert threshold == Threshold(20.0, 0.0, (6.0,))  # the third step: lr/(1 + 2 * 0.5), and sqrt(4) + 1
    plain = [torch_by_hand.group_of("SGD", [0], lr, weight_decay=2.0) for lr in (0.1, 0.2)]
    assert torch_thresholds("SGD", plain, {}) == [Threshold(20.0, 2.0), Threshold(10.0, 2.0)]


@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (optax.adam, {"learning_rate": 2e-3, "b2": 0.99}),
        (optax.adamw, {"learning_rate": 2e-3, "b2": 0.99, "weight_decay": 1.0}),
        (optax.rmsprop, {"learning_rate": 2e-4, "decay": 0.99}),
    ],
)
def test_a_network_hovers_at_the_edge_of_its_optimiser(make, numbers):
    """Full-batch training: the normalised sharpness rises from far below 1, then stays about 1 (Cohen et al. 2022)."""
    network = problems.FullyConnected((1, 16, 16, 1))
    problem = problems.Supervised(network, problems.chebyshev(4, 20), problems.mean_half_squared_error)
    made = Optimiser(make, numbers)
    process = Descent(problem, made)

    @jax.jit
    def later(state):
        state = jax.lax.fori_loop(0, 100, lambda _, s: process.step(s), state)
        root = jnp.sqrt(ravel_pytree(step_scale(optax_threshold(made, state.memory)))[0])
        hessian = Hessian(problem.loss, state.params).dense()
        return state, jnp.linalg.eigvalsh(root[:, None] * hessian * root[None, :])[-1]

    state, normalised = process.init(jax.random.key(0)), []
    for _ in range(40):
        state, value = later(state)
        normalised.append(float(value))
    assert normalised[0] < 0.2
    assert np.median(normalised[-20:]) == pytest.approx(1, abs=0.1)


ADAM = Optimiser(optax.adam, {"learning_rate": 0.1})
KNOWN = r"adagrad, adam, adamw, rmsprop, sgd, nadam, nadamw"


@pytest.mark.parametrize(
    ("made", "memory", "words"),
    [
        (Optimiser(optax.lamb, {"learning_rate": 0.1}), None, rf"threshold is known \({KNOWN}\); got lamb\.$"),
        (
            Optimiser(optax.lion, {"learning_rate": 0.1}),
            None,
            r"^optimiser must have a threshold; got lion, which moves",
        ),
        (Optimiser(optax.sign_sgd, {"learning_rate": 0.1}), None, r"got sign_sgd, which moves every parameter by lr"),
        (optax.sgd(0.1), None, r"^optimiser must be a dynamics.Optimiser.*whose numbers are hidden\.$"),
        (ADAM, None, r"^memory must be the state of adam \(with count, nu\); got NoneType\.$"),
        (ADAM, ADAM.init(PARAMS), r"^memory must be a state after at least one step of adam; got one before the first"),
        (Optimiser(optax.sgd, {"momentum": 0.9}), None, r"^optimiser must have a learning_rate; got sgd with"),
        (
            Optimiser(optax.sgd, {"learning_rate": optax.constant_schedule(0.1)}),
            None,
            r"^memory must be the state of sgd \(with count\)",
        ),
        (
            Optimiser(optax.adamw, {"learning_rate": 0.1, "mask": {"w": True, "b": False}}),
            None,
            r"^weight_decay must be one number for all parameters; got a mask",
        ),
    ],
)
def test_optax_optimisers_that_are_refused(made, memory, words):
    with pytest.raises(InputError, match=words):
        optax_threshold(made, memory)


def torch_group(name, **numbers):
    return [torch_by_hand.group_of(name, ["w"], 0.1) | numbers]


@pytest.mark.parametrize(
    ("name", "groups", "words"),
    [
        ("LBFGS", [], r"threshold is known \(Adagrad, Adam, AdamW, RMSprop, SGD\); got LBFGS\.$"),
        ("Lion", [], r"^optimiser must have a threshold; got Lion, which moves every parameter by lr"),
        ("SGD", [], r"^param_groups must hold at least one group; got none\.$"),
        ("SGD", torch_group("SGD", lr=0.0), r"^lr must be positive and finite; got 0\.0\.$"),
        ("SGD", torch_group("SGD", maximize=True), r"^maximize must be off.*got SGD with maximize on"),
        ("SGD", torch_group("SGD", momentum=-0.1), r"^momentum must lie in \[0, 1\); got -0\.1\.$"),
        ("SGD", torch_group("SGD", momentum=0.5, dampening=1.0), r"^dampening must lie in \[0, 1\); got 1\.0\.$"),
        (
            "SGD",
            torch_group("Adam"),
            r"^param_groups must hold the numbers of PyTorch's SGD; got .* without 'momentum'",
        ),
        ("Adam", torch_group("Adam"), r"^state must be one after at least one step of an adaptive optimiser"),
        (
            "AdamW",
            torch_group("AdamW", weight_decay=20.0),
            r"^decoupled_weight_decay must be below 2/lr, or no curvature",
        ),
    ],
)
def test_torch_optimisers_that_are_refused(name, groups, words):
    with pytest.raises(InputError, match=words):
        torch_thresholds(name, groups, {})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: measures.heavy_ball_edge(0.0), r"^lr must be positive and finite; got 0\.0\.$"),
        (lambda: measures.heavy_ball_edge(float("nan")), r"^lr must be positive and finite; got nan\.$"),
        (lambda: measures.heavy_ball_edge(0.1, 1.5), r"^momentum must lie in \[0, 1\); got 1\.5\.$"),
        (lambda: measures.heavy_ball_edge(0.1, weight_decay=20.0), r"^weight_decay must be below the edge without it"),
        (lambda: measures.heavy_ball_edge(0.1, weight_decay=-1.0), r"^weight_decay must lie in \[0, inf\); got -1\.0"),
        (lambda: measures.sam_edge(2.0, 0.1, 0.0), r"^gradient_norm must be positive and finite; got 0\.0\.$"),
        (lambda: measures.unnormalised_sam_edge(2.0, -0.1), r"^radius must be positive and finite; got -0\.1\.$"),
        (lambda: measures.clipped_edge(2.0, 1.0, 0.0), r"^max_norm must be positive and finite; got 0\.0\.$"),
        (lambda: measures.normalised_sharpness(2.0, 0.0), r"^edge must be positive and finite; got 0\.0\.$"),
        (
            lambda: (
                measures.edge(gradient_descent(0.1))
                and measures.edge(Optimiser(optax.sgd, {"learning_rate": 0.1, "momentum": 1.0}))
            ),
            r"^momentum must lie in \[0, 1\)",
        ),
    ],
)
def test_numbers_out_of_range(call, words):
    with pytest.raises(InputError, match=words):
        call()
