"""The single neuron: losses against their definition, descent against theory; cases TN-C01, 03, 04, 05, 07, 08."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.results import StopReason

KEY = jax.random.key(0)
LOSSES = {
    "sqrt": (problems.SquareRootLoss(), lambda s: s / np.sqrt(1 + s**2)),
    "tanh": (problems.LogCoshLoss(), np.tanh),
    "huber": (problems.HuberLoss(), lambda s: np.clip(s, -1, 1)),
    **{
        f"l_{beta}": (
            problems.PowerLoss(beta),
            lambda s, b=beta: np.where(
                np.abs(s) < (b + 1) / b,
                s * (1 - (1 / (b + 1)) * (b / (b + 1)) ** b * np.abs(s) ** b),
                np.sign(s),
            ),
        )
        for beta in (4 / 3, 2.0, 10.0)
    },
}
each_loss = pytest.mark.parametrize("name", LOSSES)
GRID = np.concatenate([-np.geomspace(1e-8, 1e3, 60)[::-1], [0.0], np.geomspace(1e-8, 1e3, 60)])


def descent(loss, lr, start=None):
    return dynamics.Descent(problems.SingleNeuron(loss), dynamics.gradient_descent(lr), start=start)


def ends(loss, lr, starts, *, tolerance=1e-10, num_steps=64 * 40_000):
    small = dynamics.EntryBelow(tolerance)
    found = dynamics.settle(
        descent(loss, lr), jnp.asarray(starts, float), key=KEY, converged=small, num_steps=num_steps
    )
    assert (found.stop_reason == StopReason.VALUE_REACHED).all()
    return np.asarray(found.params)


def theorem_two_start(lr, delta=0.5, tilt=0.75):
    return measures.single_neuron_start(delta, tilt, lr)


# Losses -------------------------------------------------------------------------------------------------------------


@each_loss
def test_slope_ratio_and_value_agree_with_the_definition(name):
    loss, slope = LOSSES[name]
    grid = jnp.asarray(GRID)
    np.testing.assert_allclose(jax.vmap(jax.grad(loss))(grid), slope(GRID), rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(loss.ratio(grid) * grid, slope(GRID), rtol=1e-13, atol=1e-300)
    steps = np.linspace(0, 30, 300_001)
    integral = np.concatenate([[0], np.cumsum((slope(steps)[1:] + slope(steps)[:-1]) / 2 * np.diff(steps))])
    at = jnp.asarray(steps[::5000])
    np.testing.assert_allclose(jax.vmap(loss)(at) - loss(at[0]), integral[::5000], atol=1e-7)
    np.testing.assert_array_equal(loss(grid), loss(-grid))


@each_loss
def test_assumptions(name):
    """TN-1: l''(0) = 1, |l'| <= 1, l'(s)/s <= 1 with the stated expansion near 0."""
    loss, slope = LOSSES[name]
    assert float(jax.grad(jax.grad(loss))(jnp.array(0.0))) == 1.0
    assert (np.abs(slope(GRID)) <= 1).all()
    if np.isfinite(loss.beta):
        small = jnp.geomspace(1e-3, 1e-2, 5) if loss.beta <= 2 else jnp.geomspace(0.5, 0.8, 5)
        np.testing.assert_allclose((1 - loss.ratio(small)) / small**loss.beta, loss.coefficient, rtol=2e-4)
    else:
        assert float(loss.ratio(jnp.array(0.9))) == 1.0


def test_constants_of_the_power_losses():
    """TN-C03."""
    expected = {
        4 / 3: (0.20322282449785561, 1.7499999999999998),
        1.5: (0.185903200617956, 1.6666666666666667),
        2: (0.14814814814814814, 1.5),
        3: (0.10546875, 1.3333333333333333),
        4: (0.08192000000000002, 1.25),
        10: (0.03504938994813924, 1.1),
    }
    for beta, constants in expected.items():
        loss = problems.PowerLoss(beta)
        np.testing.assert_allclose((loss.coefficient, loss.join), constants, rtol=1e-13)


@pytest.mark.parametrize("beta", [1.0, 0.5, -2.0, np.inf, np.nan])
def test_power_losses_need_a_power_above_one(beta):
    with pytest.raises(InputError, match=r"^beta must be above 1 and finite; got "):
        problems.PowerLoss(beta)


@each_loss
def test_precision_follows_the_input(name):
    loss, _ = LOSSES[name]
    s = jnp.linspace(-3, 3, 7, dtype=jnp.float32)
    assert loss(s).dtype == loss.ratio(s).dtype == jax.grad(loss)(s[0]).dtype == jnp.float32


# Exact relations ----------------------------------------------------------------------------------------------------


@each_loss
def test_hessian(name):
    loss, _ = LOSSES[name]
    problem = problems.SingleNeuron(loss)
    for point in ([0.4, 1.3], [0.0, 2.0], [-0.3, 0.7]):
        dense = jax.hessian(problem.loss)(jnp.array(point))
        np.testing.assert_allclose(measures.single_neuron_hessian(loss, *point), dense, rtol=1e-12, atol=1e-14)
    assert np.linalg.eigvalsh(measures.single_neuron_hessian(loss, 0.0, 2.0))[-1] == 4.0


@each_loss
@pytest.mark.parametrize("lr", [0.01, 0.25])
def test_the_invariant_decays_by_its_factor(name, lr):
    """TN-4, at every step of a run through the edge."""
    loss, _ = LOSSES[name]
    probe = lambda state: {"p": state.params}  # noqa: E731
    run = dynamics.simulate(descent(loss, lr, jnp.array([2.0, 3.5])), key=KEY, num_steps=200, every=1, probes=(probe,))
    x, y = run.saved["p"].T
    d = np.asarray(measures.single_neuron_invariant(x, y))
    factors = np.asarray(measures.single_neuron_decay(loss, x, y, lr))[:-1]
    np.testing.assert_allclose(d[1:], d[:-1] * factors, rtol=1e-11)


def test_the_invariant_of_the_reference_run():
    """TN-C08."""
    loss, lr = problems.SquareRootLoss(), 0.1
    probe = lambda state: {"p": state.params}  # noqa: E731
    run = dynamics.simulate(descent(loss, lr, jnp.array([2.0, 3.0])), key=KEY, num_steps=50, every=1, probes=(probe,))
    x, y = run.saved["p"].T
    d = np.asarray(measures.single_neuron_invariant(x, y))
    factors = np.asarray(measures.single_neuron_decay(loss, x, y, lr))[:-1]
    np.testing.assert_allclose([d[-1] / d[0], np.prod(factors)], [0.9361986545337077, 0.9361986545337083], rtol=1e-12)


@each_loss
def test_symmetries_of_descent(name):
    """Signs of x and y, and their exchange, commute with a step."""
    loss, _ = LOSSES[name]
    process = descent(loss, 0.3)
    step = lambda p: process.step(process.init(KEY)._replace(params=p)).params  # noqa: E731
    point = jnp.array([0.7, 2.9])
    for change in (jnp.array([-1.0, 1.0]), jnp.array([1.0, -1.0])):
        np.testing.assert_array_equal(step(change * point), change * step(point))
    np.testing.assert_array_equal(step(point[::-1]), step(point)[::-1])


@each_loss
def test_envelope_is_where_a_step_turns_x_around(name):
    loss, _ = LOSSES[name]
    lr, y = 0.25, jnp.linspace(2.9, 6.0, 9)
    found = measures.quasi_static_envelope(loss, y, lr)
    after = found.x - lr * loss.ratio(found.s) * found.s * y
    np.testing.assert_allclose(after, -found.x, rtol=1e-9, atol=1e-12)
    assert np.isnan(measures.quasi_static_envelope(loss, jnp.array(2.8), lr).x)


def test_envelope_in_closed_form():
    """TN-8."""
    lr, y = 0.25, jnp.linspace(2.9, 6.0, 9)
    found = measures.quasi_static_envelope(problems.SquareRootLoss(), y, lr)
    np.testing.assert_allclose(found.x, np.sqrt(lr**2 * y**4 / 4 - 1) / y, rtol=1e-9)
    loss = problems.PowerLoss(3.0)
    d = lr * np.asarray(y) ** 2 - 2
    s = (d / ((2 + d) * loss.coefficient)) ** (1 / 3)
    inside = s < loss.join
    assert inside.any()
    got = np.asarray(measures.quasi_static_envelope(loss, y, lr).s)
    np.testing.assert_allclose(got[inside], s[inside], rtol=1e-9)


@each_loss
def test_the_crossing_step(name):
    """TN-11, on trajectories that cross."""
    loss, _ = LOSSES[name]
    lr = 0.1
    probe = lambda state: {"p": state.params}  # noqa: E731
    run = dynamics.simulate(
        descent(loss, lr, jnp.asarray(theorem_two_start(lr))), key=KEY, num_steps=10_000, every=1, probes=(probe,)
    )
    x, y = np.asarray(run.saved["p"]).T
    (crossing,) = np.flatnonzero((y[:-1] ** 2 >= 2 / lr) & (y[1:] ** 2 < 2 / lr))[:1]
    assert y[crossing + 1] ** 2 >= measures.crossing_bound(x[crossing] * y[crossing], lr)


# Where it ends ------------------------------------------------------------------------------------------------------


def test_the_two_regimes_of_the_reference():
    """TN-C01: the flow would give 7, the edge 8."""
    final = ends(problems.SquareRootLoss(), 0.25, [[3, 4], [3, 6]])
    np.testing.assert_allclose(final[:, 1] ** 2, [5.574349440559153, 7.741690002661214], atol=1e-8)
    predicted = measures.single_neuron_final_sharpness(jnp.array([3.0, 3.0]), jnp.array([4.0, 6.0]), 0.25)
    np.testing.assert_array_equal(predicted, [7, 8])
    assert (final[:, 1] ** 2 < predicted).all()


def test_prediction_of_the_end_gets_better_with_smaller_steps():
    errors = []
    for lr in (0.1, 0.02):
        starts = np.stack([measures.single_neuron_start(d, 0.75, lr) for d in (-1.0, -0.5, 0.5, 1.0)])
        final = ends(problems.SquareRootLoss(), lr, starts)[:, 1] ** 2
        predicted = measures.single_neuron_final_sharpness(starts[:, 0], starts[:, 1], lr)
        errors.append(np.abs(final / predicted - 1).max())
    assert errors[1] < errors[0] / 4 < 0.05


@pytest.mark.parametrize(
    ("beta", "slope", "gap"),
    [(1.5, 1.9848378934380722, 0.001059199808480571), (2.0, 0.9887315642369314, 0.033738628523821035)],
)
def test_final_gap_of_the_power_losses(beta, slope, gap):
    """TN-C04 and the law of TN-7."""
    rates = np.geomspace(0.01, 0.1, 7)
    gaps = []
    for lr in rates:
        final = ends(problems.PowerLoss(beta), lr, theorem_two_start(lr)[None], tolerance=1e-10)
        gaps.append(2 / lr - float(final[0, 1]) ** 2)
    assert np.polyfit(np.log(rates), np.log(gaps), 1)[0] == pytest.approx(slope, abs=0.02)
    assert gaps[0] == pytest.approx(gap, rel=0.02)
    assert slope == pytest.approx(measures.gap_exponent(beta), abs=0.02)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (problems.SquareRootLoss(), [1.0000499960568732, 1.0002000792361798, 1.0012531269586589]),
        (problems.LogCoshLoss(), [1.5000450078787253, 1.5001802229456018, 1.501133680486788]),
        (problems.PowerLoss(2.0), [3.3738628523792613, 3.3704742012126587, 3.3476554257188695]),
    ],
)
def test_gap_law_of_quadratic_losses(loss, expected):
    """TN-C05 (TN-9b)."""
    rates = (0.01, 0.02, 0.05)
    found = [(2 / lr - float(ends(loss, lr, theorem_two_start(lr)[None])[0, 1]) ** 2) / lr for lr in rates]
    np.testing.assert_allclose(found, expected, rtol=0.005)
    np.testing.assert_allclose(found[0], measures.gap_law(loss, 1.0), rtol=0.002)
    assert float(measures.bouncing_attractor(loss, -measures.gap_law(loss, 0.1) * 0.1, 0.1)) == pytest.approx(
        0.0, abs=1e-15
    )


@pytest.mark.parametrize(
    ("beta", "low", "counts", "slope"),
    [
        (4 / 3, 0.03, [31952, 10578, 3514, 1176, 400, 140], -3.9232623817476315),
        (2.0, 0.01, [13512, 4458, 1450, 463, 145, 44], -2.3027295740619937),
        (4.0, 0.01, [4911, 1797, 654, 238, 85, 30], -2.0497856525454115),
    ],
)
def test_bouncing_steps(beta, low, counts, slope):
    """TN-C07 and the powers of TN-10 (beta 2 carries a logarithm)."""
    rates = np.geomspace(low, 0.12, 6)
    loss = problems.PowerLoss(beta)
    starts = jnp.asarray(np.stack([theorem_two_start(lr, delta=2.0) for lr in rates]))
    found = jax.vmap(lambda start, lr: measures.bouncing_steps(loss, start, lr))(starts, jnp.asarray(rates))
    assert found.finished.all()
    np.testing.assert_allclose(found.steps, counts, rtol=0.02, atol=1)
    fitted = np.polyfit(np.log(rates), np.log(found.steps), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.05)
    power, logarithm = measures.bouncing_exponents(beta)
    assert logarithm == (beta == 2)
    assert fitted == pytest.approx(power, abs=0.35 if logarithm else 0.1)


def test_bouncing_within_a_budget():
    found = measures.bouncing_steps(problems.HuberLoss(), jnp.array([1.0, 100.0]), 0.1, max_steps=3)
    assert not bool(found.finished)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: measures.single_neuron_start(0.5, np.nan, 0.1), r"^tilt must be finite; got nan\.$"),
        (lambda: measures.single_neuron_final_sharpness(1.0, 2.0, -0.1), r"^lr must be positive and finite; got -0\.1"),
        (lambda: measures.bouncing_steps(problems.HuberLoss(), jnp.ones(2), -0.1), r"^lr must be positive and finite"),
        (
            lambda: measures.bouncing_steps(problems.HuberLoss(), jnp.full(2, jnp.nan), 0.1),
            r"^start must be finite; got",
        ),
        (lambda: measures.gap_exponent(1.0), r"^beta must be above 1; got 1\.0\.$"),
        (lambda: measures.bouncing_exponents(0.5), r"^beta must be above 1; got 0\.5\.$"),
        (lambda: measures.gap_law(problems.HuberLoss(), 0.1), r"^beta of the loss must be 2; got inf\.$"),
        (lambda: measures.single_neuron_start(-2.0, 0.5, 0.1), r"^2 \+ distance must be positive and finite; got 0\.0"),
        (lambda: measures.single_neuron_start(0.5, 0.5, 0.0), r"^lr must be positive and finite; got 0\.0"),
        (lambda: measures.quasi_static_envelope(problems.HuberLoss(), jnp.ones(2), -0.1), r"^lr must be positive"),
        (lambda: measures.single_neuron_final_sharpness(1.0, 1.0, 0.1), r"^y\^2 - x\^2 must not be 0; got x = 1\.0"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_derivatives_of_log_cosh_near_zero():
    """l'' = 1 - tanh^2 and l''' = -2 tanh (1 - tanh^2), to rounding for all sizes of s."""
    loss = problems.LogCoshLoss()
    second, third = jax.grad(jax.grad(loss)), jax.grad(jax.grad(jax.grad(loss)))
    for s in (0.0, 1e-160, 1e-12, 1e-3, 0.09, 0.11, 2.0):
        t = np.tanh(s)
        np.testing.assert_allclose(second(jnp.array(s)), 1 - t**2, rtol=1e-12)
        np.testing.assert_allclose(third(jnp.array(s)), -2 * t * (1 - t**2), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(
    ("make", "after"),
    [
        (lambda: dynamics.TwoEigenvalueMap(-0.1, [1, 3]), [-0.55, 0.11]),
        (lambda: dynamics.SelfStabilization(0.5, 1, 1, x=2, y=2), [-4.0, 1.5]),
        (lambda: dynamics.CubicMap(0, start=0.5), -1.5),
    ],
)
def test_whole_numbers_are_numbers(make, after):
    process = make()
    np.testing.assert_allclose(process.step(process.init(KEY)).params, after, rtol=1e-12)
