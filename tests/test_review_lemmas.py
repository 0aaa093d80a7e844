"""What the review begins with: the descent lemma, regimes of a quadratic, the product that destabilises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oracles import Quadratic
from precipice import dynamics, measures, problems
from precipice.results import Status

KEY = jax.random.key(0)


def losses(problem, lr, start, num_steps):
    process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
    probe = lambda state: {"loss": problem.loss(state.params), "p": state.params}  # noqa: E731
    return dynamics.simulate(process, key=KEY, num_steps=num_steps, every=1, probes=(probe,))


@pytest.mark.parametrize("lr", [0.02, 0.1, 0.3])
def test_the_descent_lemma(lr):
    """REV-1, along descent of a scalar network, with the sharpness taken over 50 points of each segment."""
    problem = problems.ScalarNetwork((2, 2), 0.25)
    run = losses(problem, lr, jnp.array([1.6, 0.9]), 12)
    top = jax.jit(jax.vmap(lambda p: jnp.linalg.eigvalsh(jax.hessian(problem.loss)(p))[-1]))
    for here, there, before, after in zip(
        run.saved["p"], run.saved["p"][1:], run.saved["loss"], run.saved["loss"][1:], strict=False
    ):
        weights = jnp.linspace(0, 1, 50)[:, None]
        sharpness = float(top((1 - weights) * here[None] + weights * there[None]).max())
        size = float(jnp.linalg.norm(jax.grad(problem.loss)(here)))
        assert after - before <= measures.descent_bound(lr, sharpness, size) + 1e-6 * size**2


def test_the_best_learning_rate_of_the_lemma():
    rates = np.linspace(0.01, 1, 100)
    values = np.array([measures.descent_bound(float(lr), 4.0, 1.0) for lr in rates], float)
    assert rates[np.argmin(values)] == pytest.approx(1 / 4)
    assert values.min() == pytest.approx(-1 / 8)


@pytest.mark.parametrize(
    ("lr", "alternates", "status"),
    [(0.05, False, Status.DONE), (0.15, True, Status.DONE), (0.21, True, Status.DIVERGED)],
)
def test_three_regimes_of_a_quadratic(lr, alternates, status):
    """REV-2 (ERR-R1): theta_t = (1 - lr h)^t theta_0; monotone below 1/h, alternating to 2/h, diverging above."""
    run = losses(Quadratic(jnp.array([10.0])), lr, jnp.array([1.0]), 9000)
    early = np.asarray(run.saved["p"][:20, 0])
    np.testing.assert_allclose(early, (1 - 10 * lr) ** np.arange(20), rtol=1e-10)
    assert (early[1:] * early[:-1] < 0).all() == alternates
    assert int(run.status) == status


def test_the_destabilising_product():
    """REV-6 (ERR-R3): x_t+1 = prod -(1 + lr y_i) x_0, of alternating sign."""
    lr = 0.01
    process = dynamics.SelfStabilization(lr, 1.0, 1.0, x=1e-3)
    probe = lambda state: {"x": state.params[0], "y": state.params[1]}  # noqa: E731
    saved = dynamics.simulate(process, key=KEY, num_steps=300, every=1, probes=(probe,)).saved
    factors = np.cumprod(-(1 + lr * np.asarray(saved["y"][:-1])))
    np.testing.assert_allclose(saved["x"][1:], factors * 1e-3, rtol=1e-11)
    assert (np.sign(factors) == (-1.0) ** np.arange(1, 301)).all()
