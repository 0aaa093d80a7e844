"""The edge against optimisers at work; probes and trackers against dense matrices along a training."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cases import OPERATORS, PROBLEMS, PROCESSES, optimiser
from long_rows import some
from oracles import Quadratic, dense, point
from precipice import measures, problems
from precipice._checks import InputError
from precipice.dynamics import Descent, Optimiser, gradient_descent, simulate
from precipice.measures import edge, track_hessian, track_ntk
from precipice.results import VARIABLES
from test_processes import steps_of

# The edge -----------------------------------------------------------------------------------------------------------

EDGES = {
    "gradient descent": (gradient_descent, lambda lr: 2 / lr),
    "heavy ball": (optimiser(optax.sgd, momentum=0.9), lambda lr: 2 * 1.9 / lr),
    "heavy ball of 0.3": (optimiser(optax.sgd, momentum=0.3), lambda lr: 2 * 1.3 / lr),
    "nesterov": (optimiser(optax.sgd, momentum=0.9, nesterov=True), lambda lr: 2 * 1.9 / (lr * 2.8)),
    "nesterov of 0.3": (optimiser(optax.sgd, momentum=0.3, nesterov=True), lambda lr: 2 * 1.3 / (lr * 1.6)),
    "no momentum": (optimiser(optax.sgd, momentum=0.0), lambda lr: 2 / lr),
}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("lr", [0.02, 1.5])
def test_edge_is_the_formula(name, lr):
    make, formula = EDGES[name]
    np.testing.assert_allclose(float(edge(make(lr))), formula(lr), rtol=1e-14)


@pytest.mark.parametrize("name", EDGES)
def test_the_optimiser_decays_below_the_edge_and_grows_above_it(name):
    made = EDGES[name][0](0.1)

    def growth(curvature):
        process = Descent(Quadratic(jnp.array([curvature])), made)
        run = simulate(
            process, key=jax.random.key(0), num_steps=400, every=1, probes=(lambda s: {"sharpness": s.params[0]},)
        )
        sizes = np.abs(run.saved["sharpness"])
        return np.nanmax(sizes[-20:]) if np.isfinite(sizes[-1]) else np.inf

    threshold = float(edge(made))
    assert growth(0.98 * threshold) < 0.1
    assert growth(1.02 * threshold) > 10


def test_edge_of_a_traced_learning_rate():
    got = jax.jit(jax.vmap(lambda lr: edge(gradient_descent(lr))))(jnp.array([0.1, 0.5]))
    np.testing.assert_allclose(got, [20, 4], rtol=1e-14)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            Optimiser(optax.adam, {"learning_rate": 0.1}),
            r"^edge is known for optax.sgd .*; got adam with \['learning_rate'\]",
        ),
        (optax.sgd(0.1), r"^edge reads the learning rate from a dynamics.Optimiser.*whose numbers are hidden\.$"),
        (
            Optimiser(optax.sgd, {"learning_rate": optax.constant_schedule(0.1)}),
            r"^edge is known for optax.sgd with a const",
        ),
        (Optimiser(optax.sgd, {"momentum": 0.9}), r"^edge is known for optax.sgd with a constant learning_rate"),
        (
            Optimiser(optax.sgd, {"learning_rate": 0.1, "accumulator_dtype": None}),
            r"got sgd with \['accumulator_dtype'",
        ),
    ],
    ids=["adam", "bare optax", "schedule", "no learning rate", "another number"],
)
def test_optimisers_whose_edge_is_not_known(made, words):
    with pytest.raises(InputError, match=words):
        edge(made)


# Probes -------------------------------------------------------------------------------------------------------------


@functools.cache
def states_of(name, num=6, process="gradient descent", lr=0.2, dtype=np.float64):
    """A problem and the states of a descent on it."""
    problem = PROBLEMS[name](dtype=dtype)
    return problem, steps_of(Descent(problem, PROCESSES[process].optimiser(lr), start=point(problem)), num)


@pytest.mark.parametrize("name", some(PROBLEMS, "half squared", "logistic"))
def test_probes_against_the_dense_oracle(name):
    problem, states = states_of(name, 1)
    probes = (
        measures.gradient_norm(problem),
        measures.accuracy(problem),
        measures.sharpness(problem, key=jax.random.key(0), depth=40),
    )
    got = eqx.filter_jit(lambda ps, s: {k: v for p in ps for k, v in p(s).items()})(probes, states[1])
    params = states[1].params
    wanted = np.linalg.eigvalsh(dense(problem, params).hessian)[-1]
    np.testing.assert_allclose(got["sharpness"], wanted, rtol=1e-9)
    f, y = np.asarray(problem.outputs(params)), np.asarray(problem.data.y)
    gradient_of_f = jax.grad(problem.loss_of_outputs)(jnp.array(f))
    gradient = dense(problem, params).jacobian.T @ np.ravel(gradient_of_f)
    np.testing.assert_allclose(got["gradient_norm"], np.linalg.norm(gradient), rtol=1e-10)
    right = np.sign(f) == np.sign(y) if y.shape[1] == 1 else np.argmax(f, 1) == np.argmax(y, 1)
    np.testing.assert_allclose(got["accuracy"], np.mean(right))
    assert set(got) <= set(VARIABLES)


def test_probes_under_vmap_in_simulate():
    problem = PROBLEMS["squared"]()

    def one(lr):
        probes = (measures.sharpness(problem, key=jax.random.key(0), depth=20), measures.gradient_norm(problem))
        process = Descent(problem, gradient_descent(lr), start=point(problem))
        return simulate(process, key=jax.random.key(0), num_steps=4, every=2, probes=probes)

    run = jax.jit(jax.vmap(one))(jnp.array([0.01, 0.1]))
    assert run.saved["sharpness"].shape == (2, 3)
    _, states = states_of("squared", 4, lr=0.1)
    wanted = [np.linalg.eigvalsh(dense(problem, states[i].params).hessian)[-1] for i in (0, 2, 4)]
    np.testing.assert_allclose(run.saved["sharpness"][1], wanted, rtol=1e-8)
    assert np.all(np.asarray(run.saved["sharpness_residual"]) < 1e-3)


# Trackers -----------------------------------------------------------------------------------------------------------


def measured(tracker, states):
    """The tracker's values at each state, its memory carried along."""
    memory, found = tracker.init(states[0]), []
    for state in states:
        values, memory = tracker.update(state, memory)
        found.append(values)
    return found


TRACKERS = {"hessian": (track_hessian, "hessian"), "ntk": (track_ntk, "gram")}


@pytest.mark.parametrize("kind", TRACKERS)
@pytest.mark.parametrize("name", some(PROBLEMS, "cross-entropy"))
@pytest.mark.parametrize("chunk_size", some([None, 3], 3))
def test_tracked_eigenvalues_against_the_dense_oracle(kind, name, chunk_size):
    make, operator = TRACKERS[kind]
    problem, states = states_of(name)
    states = states[::2]
    found = measured(make(problem, key=jax.random.key(5), num=2, rtol=1e-8, chunk_size=chunk_size), states)
    for values, state in zip(found, states, strict=True):
        matrix = OPERATORS[operator].oracle(dense(problem, state.params))
        wanted = np.linalg.eigvalsh(matrix)[::-1][:2]
        errors = np.abs(values[f"{kind}_eigenvalue"] - wanted)
        assert np.all(errors <= values[f"{kind}_eigenvalue_bound"] + 1e-13)
        assert np.all(errors <= 1e-8 * np.abs(wanted) + 1e-13)
        assert values[f"{kind}_converged"] is True
        assert set(values) <= set(VARIABLES)


def test_a_new_top_direction_that_nothing_leads_to_is_found_within_ten_measurements():
    """Orthogonal to the kept vectors and to the gradient: only an exploring measurement can see it."""
    size, lead = 2000, 60

    def problem(height):
        first = jnp.concatenate([jnp.array([100.0, 95.0, 90.0]), 85 * jnp.exp(-jnp.arange(size - 3) / 100)])
        return Quadratic(first.at[lead].set(height))

    start = jnp.zeros(size).at[0].set(1.0)
    states = [Descent(problem(60.0), gradient_descent(0.01), start=start).init(jax.random.key(0))] * 31
    states = [eqx.tree_at(lambda s: s.step, s, jnp.array(i)) for i, s in enumerate(states)]
    memory, found = None, []
    for i, state in enumerate(states):
        tracker = track_hessian(problem(60.0 if i < 2 else 130.0), key=jax.random.key(1), num=1)
        values, memory = tracker.update(state, tracker.init(state) if memory is None else memory)
        found.append(values["hessian_eigenvalue"][0])
    np.testing.assert_allclose(found[:2], 100, rtol=1e-4)
    np.testing.assert_allclose(found[11:], 130, rtol=1e-4)


def test_chunks_need_data():
    with pytest.raises(InputError, match=r"^chunk_size needs a problem with data \(Supervised\); got Quadratic\.$"):
        track_hessian(Quadratic(jnp.ones(3)), key=jax.random.key(0), chunk_size=2)


def test_a_budget_that_is_too_small_is_recorded():
    problem, states = states_of("half squared", 2)
    found = measured(track_hessian(problem, key=jax.random.key(0), num=2, rtol=1e-12, max_products=4), states)
    assert [values["hessian_converged"] for values in found] == [False] * 3
    assert [values["hessian_products"] for values in found] == [4] * 3


@pytest.mark.parametrize("kind", TRACKERS)
def test_memories_keep_their_shapes_and_precision(kind):
    problem, states = states_of("cross-entropy", 2, dtype=np.float32)
    tracker = TRACKERS[kind][0](problem, key=jax.random.key(0), num=2, rtol=1e-3)
    memory, values = tracker.init(states[0]), {}
    for state in states:
        values, new = tracker.update(state, memory)
        shapes = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(m)] for m in (memory, new)]
        assert shapes[0] == shapes[1]
        memory = new
    assert memory["measurements"].item() == len(states)
    assert jax.tree.leaves(memory["vectors"])[0].dtype == jnp.float32
    assert values[f"{kind}_converged"] is True


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_space_smaller_than_what_is_kept(kind):
    """One parameter more than the eigenvalues asked for leaves no room for a guard vector."""
    data = problems.from_arrays(np.array([[1.0], [2.0]]), np.array([[1.0], [-1.0]]))
    problem = problems.Supervised(problems.FullyConnected((1, 1)), data, problems.mean_half_squared_error)
    states = steps_of(Descent(problem, gradient_descent(0.01)), 3)
    tracker = TRACKERS[kind][0](problem, key=jax.random.key(0), num=2)
    wanted = np.linalg.eigvalsh(np.array([[1.0, 1.5], [1.5, 2.5]]))[::-1]
    memory = tracker.init(states[0])
    shapes = [leaf.shape for leaf in jax.tree.leaves(memory)]
    for state in states:
        values, memory = tracker.update(state, memory)
        np.testing.assert_allclose(values[f"{kind}_eigenvalue"], wanted, rtol=1e-10)
        assert [leaf.shape for leaf in jax.tree.leaves(memory)] == shapes


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_residual_projection_and_the_continuity_of_its_sign(chunk_size):
    """z1 = v1.(f - y) with the oracle's v1, whose sign is carried from step to step; one sign for all is free."""
    problem, states = states_of("half squared", 12, lr=0.6)
    found = measured(track_ntk(problem, key=jax.random.key(1), num=1, rtol=1e-14, chunk_size=chunk_size), states)
    got = np.array([values["residual_projection"] for values in found])
    wanted, before = [], None
    for state in states:
        vector = np.linalg.eigh(OPERATORS["gram"].oracle(dense(problem, state.params)))[1][:, -1]
        vector = vector if before is None or vector @ before >= 0 else -vector
        residual = np.ravel(problem.outputs(state.params) - problem.data.y)
        wanted.append(vector @ residual)
        before = vector
    np.testing.assert_allclose(got * np.sign(got[0]), np.array(wanted) * np.sign(wanted[0]), atol=1e-6)
    signs = [np.sign(v) for v in wanted]
    assert len(set(signs)) == 2, "the case must change sign, or a projection without sign would pass"


def test_the_key_decides_only_the_random_vectors():
    problem, states = states_of("half squared", 3)
    one, same, other = (
        measured(track_hessian(problem, key=jax.random.key(seed), rtol=1e-9), states) for seed in (0, 0, 1)
    )
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a["hessian_eigenvalue"], b["hessian_eigenvalue"])
        np.testing.assert_allclose(a["hessian_eigenvalue"], c["hessian_eigenvalue"], rtol=1e-8)
