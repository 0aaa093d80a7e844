"""ahn2022's figures of ReLU networks (1 to 4, 6 to 8, 12): their parts by another route, what is refused.

That all claims hold, that controls break them and that axes are labelled is in `test_theory_figures.py`, but for
figures 3 and 12, which take longer than ten seconds and are run here at a smaller size.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import FAILS, HOLDS, evaluate
from precipice.papers.ahn2022 import fig1, fig7, full_model, relu_network
from precipice.papers.figure import Context
from precipice.papers.registry import FIGURES


def run(number, *, control=False, **changes):
    """The dataset of a figure at scale quick, with changes."""
    figure = FIGURES[f"ahn2022/fig{number}"]
    settings = dataclasses.replace(figure.scales["quick"].settings(None), **changes)
    settings = figure.control(settings) if control else settings
    figure.validate(settings)
    dataset = figure.run(settings, Context(Path("nowhere"), None, "none", quiet))
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


def descend(x, y, point, lr, num_steps):
    """Descent of the three-parameter network in numpy: points [num_steps + 1, 3] and losses."""
    points, losses = [np.array(point)], []
    for _ in range(num_steps + 1):
        minus, plus, bias = points[-1]
        sums = [np.maximum(sign * x + bias, 0).sum(axis=1) for sign in (-1, 1)]
        counts = [(sign * x + bias > 0).sum(axis=1) for sign in (-1, 1)]
        margin = y * (minus * sums[0] + plus * sums[1])
        slope = -y / (1 + np.exp(margin)) / len(y)
        gradient = [slope @ sums[0], slope @ sums[1], slope @ (minus * counts[0] + plus * counts[1])]
        losses.append(np.mean(np.log1p(np.exp(-margin))))
        points.append(points[-1] - lr * np.array(gradient))
    return np.array(points[:-1]), np.array(losses)


SMALL: dict[str, Any] = {"dimension": 20, "num_examples": 15, "seeds": 2}


def small_settings(lrs="0.05,0.2", num_steps=30):
    return dataclasses.replace(relu_network.settings_of(lrs, num_steps), **SMALL)


# The three-parameter network ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_is_descent_in_numpy(seed):
    settings = small_settings()
    dataset = relu_network.follow_all(settings, sharpness=True).isel(lr=1, seed=seed)
    networks, starts = relu_network.networks(settings)
    x, y = np.asarray(networks.inputs.values)[seed], np.asarray(networks.inputs.y)[seed, :, 0]  # order is no matter
    points, losses = descend(x, y, starts[seed], 0.2, settings.num_steps)
    np.testing.assert_allclose(dataset["weight_sum"], 20 * points[:, :2].sum(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dataset["bias"], points[:, 2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dataset["loss"], losses, rtol=1e-9)
    assert np.all(dataset["sharpness"] > 0)


def test_seeds_draw_other_data_and_other_starts():
    networks, starts = relu_network.networks(small_settings())
    assert np.abs(np.asarray(starts[0] - starts[1])[:2]).min() > 1e-6
    assert np.abs(np.asarray(networks.inputs.values[0] - networks.inputs.values[1])).max() > 0.1


def test_figure_1_trains_to_its_time_and_tests_on_other_data():
    """At d 20 the threshold is 0.0628; 0.5 of it takes 32 steps to time 1."""
    settings = dataclasses.replace(
        fig1.quick_settings(), **SMALL, lrs_over_threshold="0.5,2", time=1.0, num_test=40, signal=20.0
    )
    lrs = np.array([0.5, 2]) * 8 * np.pi / 20**2
    ends = fig1.final_params(settings, lrs)
    for i, lr in enumerate(lrs):
        dataset = relu_network.follow(settings, lr, round(1.0 / lr))
        np.testing.assert_allclose(ends[i, :, 2], dataset["bias"][:, -1], rtol=1e-9)
    found = fig1.accuracy_of(settings, np.array([[[-1.0, 1.0, -3.0]] * 2]))
    np.testing.assert_array_equal(found, 1)  # a threshold of 3 passes the spike of 20 alone
    wrong = fig1.accuracy_of(settings, np.array([[[1.0, -1.0, -3.0]] * 2]))
    np.testing.assert_array_equal(wrong, 0)


def test_kink():
    x = np.linspace(-1, 1, 15)
    np.testing.assert_allclose(fig1.kink(x, 2 - 0.1 * x - 3 * np.maximum(x - 0.2, 0)), 0.2, atol=0.005)


def test_figure_2_counts_on_all_steps_and_keeps_the_times_of_the_largest():
    dataset = run(2, **SMALL, lrs="0.05,0.1,0.2", time=4.0)
    settings = dataclasses.replace(relu_network.settings_of("0.05", 80), **SMALL)
    every = relu_network.follow(settings, 0.05, 80)
    np.testing.assert_allclose(dataset["time"], 0.2 * np.arange(21))
    np.testing.assert_allclose(dataset["bias_in_time"][0], every["bias"][:, ::4], rtol=1e-12)
    moves = np.diff(every["weight_sum"], axis=1)
    np.testing.assert_allclose(dataset["weight_sum_turns"][0], (moves[:, 1:] * moves[:, :-1] < 0).sum(axis=1))
    np.testing.assert_allclose(dataset["loss_rises"][0], (np.diff(every["loss"], axis=1) > 0).sum(axis=1))


@pytest.mark.parametrize(("turns", "wanted"), [(0, 0), (5, 0), (40, 41)])
def test_oscillation_ends_where_it_no_longer_turns(turns, wanted):
    values = np.concatenate([(-1.0) ** np.arange(turns), np.linspace(0, 1, 60)])
    assert abs(relu_network.oscillating(values) - wanted) <= 2


def test_the_mean_model_starts_where_the_network_does():
    dataset = run(8, dimension=50, num_examples=30, seeds=2, lrs="0.02", num_steps=40)
    np.testing.assert_array_equal(dataset["mean_model_weight_sum"][..., 0], dataset["weight_sum"][..., 0])
    np.testing.assert_array_equal(dataset["mean_model_bias"][..., 0], 0)
    first = dataset["weight_sum"].values[0, :, 0]
    change = dataset["mean_model_weight_sum"].values[0, :, 1] - first
    g = 1 / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(change, -2 * 50**2 * 0.02 * np.tanh(first * g / 2) / 2 * g, rtol=1e-10)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_mean_relu_is_its_closed_form(noise):
    bias = np.linspace(-5, 5, 41)
    scaled = bias / noise
    wanted = noise * (scipy.stats.norm.pdf(scaled) + scaled * scipy.stats.norm.cdf(scaled))
    np.testing.assert_allclose(fig7.mean_relu(bias, noise), wanted, rtol=0, atol=1e-13)


# The network that learns the basis ----------------------------------------------------------------------------------

FULL: dict[str, Any] = {"num_examples": 150, "time": 1.512, "seeds": 1}


@pytest.mark.parametrize("number", [3, 12])
def test_the_full_models_claims_hold_at_a_smaller_size_and_not_under_control(number):
    figure = FIGURES[f"ahn2022/fig{number}"]
    main = [claim for claim in figure.claims if claim.name == figure.main_claim]
    dataset = run(number, **FULL)
    assert [v.verdict for v in evaluate(dataset, main)] == [HOLDS]
    assert [v.verdict for v in evaluate(run(number, control=True, **FULL), main)] == [FAILS]
    picture = figure.plot(dataset, None)
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.has_data() for ax in picture.axes)
    assert len(picture.get_supxlabel()) > 40


def test_visible_turns():
    assert full_model.visible_turns(np.array([0.0, 1.0, 0.0, 1.0, 2.0])) == 2
    assert full_model.visible_turns(np.array([0.0, 100.0, 100.1, 100.0, 100.1])) == 0


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        (1, {"lrs_over_threshold": "1,x"}, "lrs_over_threshold must be numbers such as"),
        (1, {"lrs_over_threshold": "2,1"}, "lrs_over_threshold must be ascending; got '2,1'."),
        (1, {"time": 0.0}, "time must be positive and finite; got 0.0."),
        (2, {"lrs": "1e-4,3e-4"}, "lrs must be three, each a whole fraction of the last; got '1e-4,3e-4'."),
        (3, {"lrs": "0.01,0.02,0.04"}, "lrs must be three, the last an odd multiple of each; got '0.01,0.02,0.04'."),
        (4, {"signal": -1.0}, "signal must be positive and finite; got -1.0."),
        (6, {"seeds": 0}, "seeds must be at least 1; got 0."),
        (7, {"low": 1.0}, "low must be below 0 and high above it; got 1.0 and 4.0."),
        (8, {"precision": "float32"}, "precision must be float64; got 'float32'."),
        (12, {"width": 0}, "width must be at least 1; got 0."),
    ],
)
def test_refuses(number, changes, words):
    with pytest.raises(InputError) as caught:
        run(number, **changes)
    assert str(caught.value).startswith(words)
