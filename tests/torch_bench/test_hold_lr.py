"""The scheduler that holds a stability number: on quadratics by hand, and step by step the optax transformation."""
# ruff: noqa: E402 (PyTorch is optional)

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from precipice import monitor as core
from precipice._checks import InputError
from precipice.measures import heavy_ball_edge
from precipice.torch import Accuracy, HoldLR, Monitor, supervised
from precipice.torch.measures import noise_kernel_norm, normalised_sharpness

MSE = supervised(nn.MSELoss())
X = torch.diag(torch.tensor([2.0, 1.0])).double()
"""Mean squared error of x . w on these two examples: (4 w1^2 + w2^2)/2, so the Hessian is diag(4, 1), its trace 5."""


def setting(make, *, measures=(normalised_sharpness,), **options):
    """(model, optimizer, monitor, scheduler) of the quadratic, measured after every step."""
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -1.0]]))
    optimizer = make(model)
    monitor = Monitor(
        model,
        MSE,
        [(X, torch.zeros(2, 1).double())],
        optimizer,
        every=1,
        budget=None,
        lines=(),
        measures=measures,
        accuracy=Accuracy(rtol=1e-10),
    )
    return model, optimizer, monitor, HoldLR(optimizer, monitor, **options)


def sgd(lr, **kwargs):
    return lambda model: torch.optim.SGD(model.parameters(), lr=lr, **kwargs)


def train(parts, num_steps, scale=lambda step: 1.0):
    """The scheduler's factor after each step, at a loss of ``scale(step)`` times the quadratic."""
    model, optimizer, monitor, scheduler = parts
    factors = []
    for step in range(num_steps):
        optimizer.zero_grad()
        (scale(step) * nn.functional.mse_loss(model(X), torch.zeros(2, 1).double())).backward()
        optimizer.step()
        monitor.step()
        scheduler.step()
        factors.append(scheduler.factor)
    return factors


def test_the_first_factors_by_hand():
    parts = setting(sgd(0.1), target=0.5, gain=0.5)
    # n = 4/20 = 0.2 at factor 1: f1 = (0.5/0.2)^0.5; then f2 = f1^0.5 2.5^0.5 = 2.5^0.75
    assert train(parts, 2) == pytest.approx([2.5**0.5, 2.5**0.75], rel=1e-9)
    assert parts[1].param_groups[0]["lr"] == pytest.approx(0.1 * 2.5**0.75, rel=1e-9)
    assert parts[3].get_last_lr() == [parts[1].param_groups[0]["lr"]]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_sharpness_comes_to_its_target(momentum):
    _, optimizer, monitor, scheduler = parts = setting(
        sgd(1e-3, momentum=momentum), target=0.9, gain=0.3, max_factor=1e4
    )
    train(parts, 60)
    assert monitor.history.last["normalised_sharpness"] == pytest.approx(0.9, rel=1e-6)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.9 * 2 * (1 + momentum) / 4, rel=1e-6)
    assert scheduler.factor == pytest.approx(0.9 * 2 * (1 + momentum) / 4 / 1e-3, rel=1e-6)


def test_k_comes_to_its_target():
    parts = setting(sgd(1e-3), measures=(noise_kernel_norm,), name="noise_kernel_norm_estimate", target=0.2, gain=1.0)
    train(parts, 1)  # K = lr 5/(2 * 2): the factor would be 160, and is limited
    assert parts[1].param_groups[0]["lr"] == pytest.approx(0.1, rel=1e-9)
    parts = setting(sgd(1e-2), measures=(noise_kernel_norm,), name="noise_kernel_norm_estimate", target=0.2, gain=1.0)
    train(parts, 1)
    assert parts[1].param_groups[0]["lr"] == pytest.approx(0.2 * 4 / 5, rel=1e-9)


def test_decoupled_decay_with_which_the_number_is_not_proportional_has_the_same_target():
    def adamw(model):
        return torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.9), weight_decay=1.0)

    model, optimizer, monitor, scheduler = setting(adamw, target=0.7, gain=0.3, max_factor=1e6)
    nn.functional.mse_loss(model(X), torch.ones(2, 1).double()).backward()
    optimizer.step()
    for _ in range(40):  # state and curvature stay, learning rates move
        monitor.measure()
        scheduler.step()
    assert monitor.measure()["normalised_sharpness"] == pytest.approx(0.7, rel=1e-6)
    v = optimizer.state[model.weight]["exp_avg_sq"].ravel()
    p = ((v / 0.1).sqrt() + 1e-8) * 0.1
    lr, top = optimizer.param_groups[0]["lr"], float((torch.tensor([4.0, 1.0]) / p).max())
    assert top == pytest.approx(0.7 * (2 - lr) * 1.9 / (0.1 * lr), rel=1e-6)


def test_all_groups_move_together_and_one_at_rest_stays():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
    rest = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD(
        [
            {"params": model[0].parameters(), "lr": 0.01},
            {"params": model[1].parameters(), "lr": torch.tensor(0.02)},
            {"params": [rest], "lr": 0.0},
        ]
    )
    monitor = Monitor(model, MSE, [(X, torch.ones(2, 1).double())], optimizer, every=1, budget=None)
    scheduler = HoldLR(optimizer, monitor, target=0.3, gain=1.0)
    tensor = optimizer.param_groups[1]["lr"]
    monitor.step()
    scheduler.step()
    scheduler.step()  # one reading is followed once
    assert scheduler.factor == pytest.approx(0.3 / monitor.history.last["normalised_sharpness"], rel=1e-6)
    assert monitor.measure()["normalised_sharpness"] == pytest.approx(0.3, rel=1e-4)
    assert optimizer.param_groups[1]["lr"] is tensor
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    assert rates == pytest.approx([0.01 * scheduler.factor, 0.02 * scheduler.factor, 0.0])


def test_is_the_optax_transformation_step_by_step():
    num_steps, rule = 25, {"target": 0.8, "gain": 0.2, "max_factor": 50.0}
    factors = train(setting(sgd(0.01, momentum=0.5), **rule), num_steps)

    def loss(w, _):
        return jnp.mean((jnp.asarray(X.numpy()) @ w) ** 2)

    number = core.sharpness_number(loss, edge=float(heavy_ball_edge(0.01, 0.5)))
    chain = optax.chain(optax.sgd(0.01, 0.5), core.hold(number, **rule))
    w = jnp.array([1.0, -1.0])

    def step(carry, _):
        w, state = carry
        updates, state = chain.update(jax.grad(loss)(w, None), state, w, batch=0)
        return (optax.apply_updates(w, updates), state), state[-1].factor

    expected = jax.lax.scan(step, (w, chain.init(w)), length=num_steps)[1]
    np.testing.assert_allclose(factors, expected, rtol=1e-6)


def test_goes_on_from_its_state():
    once = train(setting(sgd(0.1), target=0.5), 6)
    _, optimizer, _, scheduler = parts = setting(sgd(0.1), target=0.5)
    train(parts, 3)
    saved, rates = scheduler.state_dict(), optimizer.state_dict()
    _, optimizer, _, scheduler = parts = setting(sgd(0.1), target=0.5)
    optimizer.load_state_dict(rates)
    scheduler.load_state_dict(saved)
    assert train(parts, 3) == pytest.approx(once[3:], rel=1e-9)
    with pytest.raises(InputError, match="state must be of 1 groups; got one of 2"):
        scheduler.load_state_dict({"factor": 1.0, "base_lrs": [0.1, 0.1]})


def test_what_is_not_finite_moves_nothing():
    model, _, monitor, scheduler = parts = setting(sgd(0.1), target=0.5)
    train(parts, 2)
    factor = scheduler.factor
    with torch.no_grad():
        model.weight.fill_(math.nan)
    with pytest.warns(core.EdgeWarning, match="must be finite"):
        monitor.step()
    scheduler.step()
    assert scheduler.factor == factor


def changed_elsewhere():
    parts = setting(sgd(0.1), target=0.5)
    parts[1].param_groups[0]["lr"] = 0.2
    train(parts, 1)


def of_another():
    parts = setting(sgd(0.1), target=0.5)
    scheduler = HoldLR(setting(sgd(0.3), target=0.5)[1], parts[2], target=0.5)
    parts[2].step()
    scheduler.step()


def unmeasured():
    parts = setting(sgd(0.1), measures=(noise_kernel_norm,), target=0.5)
    train(parts, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: setting(sgd(0.1), target=-1.0), "target must be positive and finite; got -1.0."),
        (lambda: setting(sgd(0.1), target=1.0, gain=2.0), r"gain must lie in \(0, 1\]; got 2.0."),
        (lambda: setting(sgd(0.1), target=1.0, max_factor=0.1), "max_factor must be at least 1; got 0.1."),
        (lambda: setting(sgd(0.1), target=1.0, name="sharpness"), "name of a number to hold 'sharpness' is unknown"),
        (lambda: HoldLR(3, setting(sgd(0.1), target=1.0)[2], target=1.0), "must be a torch.optim.Optimizer; got int."),
        (changed_elsewhere, r"lr must be left to HoldLR, .* got \[0.2\] where it has set \[0.1\]"),
        (of_another, r"monitor must be that of the optimizer .* at lr \[0.1\] where the optimizer has \[0.3\]"),
        (unmeasured, "monitor must measure normalised_sharpness; its readings have"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
