"""Labels of phases: on rows made for the purpose, and on trajectories whose phases theory knows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.measures import Phase


def names(labels):
    return [segment.phase.name for segment in measures.segments(labels)]


def scalar_network(lr, start, num_steps):
    """Sharpness and loss of the coupled degree-4 network at each step."""
    problem = problems.ScalarNetwork((2, 2), 0.25)
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=jnp.array(start))
    run = dynamics.simulate(
        process,
        key=jax.random.key(0),
        num_steps=num_steps,
        every=1,
        probes=(
            measures.sharpness(problem, key=jax.random.key(1)),
            lambda state: {"now": problem.loss(state.params)},
        ),
    )
    return np.asarray(run.saved["sharpness"]), np.asarray(run.saved["now"])


def test_each_phase_in_a_row_made_for_it():
    """The way back through the band is the edge; below it the catapult goes on until the loss is back."""
    sharpness = np.concatenate([np.linspace(0.3, 1.5, 60), np.linspace(1.5, 0.5, 20), np.linspace(0.5, 0.4, 60)])
    loss = np.concatenate([np.linspace(1, 0.5, 55), np.linspace(0.5, 5, 25), np.geomspace(5, 0.01, 60)])
    got = measures.segments(measures.phases(sharpness, loss, 1.0, window=5))
    edge, catapult = Phase.EDGE_OF_STABILITY, Phase.CATAPULT
    assert [s.phase for s in got] == [Phase.SHARPENING, edge, catapult, edge, catapult, Phase.CONVERGENCE]
    assert sharpness[got[1].start] == pytest.approx(0.8, abs=0.03)
    assert sharpness[got[2].start] == pytest.approx(1.2, abs=0.03)
    assert sharpness[got[4].start] == pytest.approx(0.8, abs=0.06)
    assert loss[got[4].stop - 1] > loss[got[2].start] >= loss[got[4].stop]


def test_oscillation_around_the_edge_is_the_edge():
    sharpness = 1 + 0.3 * np.sin(np.arange(200))
    assert names(measures.phases(sharpness, np.linspace(1, 0.5, 200), 1.0)) == ["EDGE_OF_STABILITY"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_divergence_from_the_first_number_that_is_none(bad):
    loss = np.ones(30)
    loss[20] = bad
    got = measures.segments(measures.phases(np.full(30, 0.5), loss, 1.0))
    assert [(s.phase, s.start, s.stop) for s in got] == [(Phase.CONVERGENCE, 0, 20), (Phase.DIVERGENCE, 20, 30)]


def test_divergence_where_the_loss_never_comes_back():
    loss = np.geomspace(1, 1e6, 31)
    got = measures.segments(measures.phases(np.full(31, 3.0), loss, 1.0))
    assert [(s.phase, s.start) for s in got] == [(Phase.CATAPULT, 0), (Phase.DIVERGENCE, 11)]
    back = np.concatenate([loss, loss[::-1]])
    assert names(measures.phases(np.full(62, 3.0), back, 1.0)) == ["CATAPULT"]


def test_all_of_it_lost():
    assert names(measures.phases(np.full(3, np.nan), np.ones(3), 1.0)) == ["DIVERGENCE"]


def test_degree_four_network_ends_at_the_edge():
    """MIN-10: from the sharp side it settles just below 2/lr; from far on the flat side it never gets there."""
    sharpness, loss = scalar_network(0.2, [2.6, 0.3], 3000)
    assert measures.phases(sharpness, loss, 10.0)[-1] == Phase.EDGE_OF_STABILITY
    sharpness, loss = scalar_network(0.2, [1.1, 0.8], 200)
    assert measures.phases(sharpness, loss, 10.0)[-1] == Phase.CONVERGENCE
    assert Phase.EDGE_OF_STABILITY not in measures.phases(sharpness, loss, 10.0)


def test_degree_two_network_is_thrown_out_of_a_sharp_minimum():
    """x^2 + y^2 = 15 at a minimum whose edge is 10: the loss rises, sharpness drops below the edge, the loss falls."""
    problem = problems.ScalarNetwork((1, 1), 0.5)
    process = dynamics.Descent(problem, dynamics.gradient_descent(0.2), start=jnp.array([3.8, 0.28]))
    probe = lambda state: {"now": problem.loss(state.params), "s": jnp.sum(state.params**2)}  # noqa: E731
    run = dynamics.simulate(process, key=jax.random.key(0), num_steps=300, every=1, probes=(probe,))
    got = names(measures.phases(np.asarray(run.saved["s"]), np.asarray(run.saved["now"]), 10.0, window=3))
    assert got[0] == "CATAPULT"
    assert got[-1] in ("CONVERGENCE", "EDGE_OF_STABILITY")
    assert "DIVERGENCE" not in got


def test_a_short_row():
    assert names(measures.phases(np.array([0.5]), np.array([1.0]), 1.0)) == ["CONVERGENCE"]
    assert names(measures.phases(np.array([0.5, 0.6]), np.array([1.0, 0.9]), 1.0)) == ["SHARPENING"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": np.ones(4)}, r"rows of one length; got \(5,\) and \(4,\)"),
        ({"sharpness": np.ones(0), "loss": np.ones(0)}, "number of measurements must be at least 1; got 0"),
        ({"edge": 0.0}, "edge must be positive and finite; got 0.0"),
        ({"window": 4}, "window must be odd, so that it has a middle; got 4"),
        ({"window": -1}, "window must be at least 1; got -1"),
        ({"tolerance": -0.1}, "tolerance must be positive and finite; got -0.1"),
        ({"growth": 1.0}, "growth must be above 1; got 1.0"),
        ({"loss": np.zeros(5)}, "the first loss must be positive, as later ones are compared with it; got 0.0"),
    ],
)
def test_refusals(changes, words):
    with pytest.raises(InputError, match=words):
        measures.phases(**{"sharpness": np.ones(5), "loss": np.ones(5), "edge": 1.0} | changes)
