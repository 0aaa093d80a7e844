"""ahn2022's figures of ResNet-18 (3 bottom, 12 right, 13): their runs on a small residual network, what is refused.

Compiling ResNet-18 itself takes most of a minute: the figures at scale quick run with LONG=1.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray

from precipice import problems
from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import HOLDS, NOT_EVALUATED, evaluate
from precipice.papers.ahn2022 import residual
from precipice.papers.figure import Context
from precipice.papers.registry import FIGURES
from precipice.problems.architectures.resnet import SMALL_IMAGES

IDS = ("ahn2022/fig3-bottom", "ahn2022/fig12-right", "ahn2022/fig13")


def settings_of(name, **changes):
    return dataclasses.replace(FIGURES[name].scales["quick"].settings(Path("nowhere")), **changes)


def small_network(settings, data_dir):
    """One residual block of four channels, for digits."""
    classes = None if settings.classes == "all" else (0, 1)
    options = {"layout": problems.channels_first, "dtype": np.float32, "classes": classes}
    if classes is not None:
        options["targets"] = problems.binary_pair
    data = problems.digits(settings.num_examples, **options)
    network = problems.ResNet((1, 8, 8), data.y.shape[1], (1,), (4,), (3, 3), 1, SMALL_IMAGES)
    loss = problems.mean_logistic if classes else problems.mean_softmax_cross_entropy
    return problems.Supervised(network, data, loss)


@pytest.mark.long
def test_a_run_is_descent_and_the_probe_is_the_last_layer(tmp_path, monkeypatch):
    """The first measurements by hand, at two batch sizes; every panel is drawn and every claim evaluated."""
    monkeypatch.setattr(residual, "problem_of", small_network)
    settings = settings_of("ahn2022/fig13", num_examples=40, batch_sizes="20,40", lrs="0.01,0.5", epochs=4)
    residual.validate(settings)
    dataset = FIGURES["ahn2022/fig13"].run(settings, Context(tmp_path, None, "none", quiet))
    axes = {"batch_size": 2, "lr": 2, "seed": 1, "epoch": 5}
    assert dataset["mean_activation"].sizes == axes, {n: v.dims for n, v in dataset.items()}
    problem = small_network(settings, None)
    start = problem.init(jax.random.split(jax.random.split(jax.random.key(0), 1)[0])[0])
    whole = dataset.isel(batch_size=1, lr=0, seed=0, epoch=0)
    assert float(np.ravel(whole["epoch_loss"])[0]) == pytest.approx(float(problem.loss(start)), rel=1e-5)
    assert float(whole["last_bias_median"]) == 0
    network: Any = problem.network
    features = network.features(start, problem.data.x)
    assert float(whole["mean_activation"]) == pytest.approx(float(features.mean()), rel=1e-5)
    assert np.all(np.isfinite(dataset["mean_activation"]))
    assert "mean_logit" not in dataset
    dataset = dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))
    for name, unjudged in ((IDS[0], 1), (IDS[2], 0)):
        verdicts = [verdict.verdict for verdict in evaluate(dataset, FIGURES[name].claims)]
        assert verdicts.count(NOT_EVALUATED) == unjudged
    for panel in (None, *FIGURES["ahn2022/fig13"].panels):
        axes = FIGURES["ahn2022/fig13"].plot(dataset, panel).axes
        assert len(axes) == (4 if panel is None else 2)
        assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)


def grid(values, name, num_examples=10_000):
    """A dataset of one variable [batch_size, lr, epoch] with the parameters of a run."""
    array = np.asarray(values, float)
    parameters = json.dumps({"num_examples": num_examples})
    return xarray.Dataset({name: (("batch_size", "lr", "epoch"), array)}, attrs={"parameters": parameters})


@pytest.mark.parametrize(
    ("figure", "claim", "name", "values", "number"),
    [
        (0, 0, "last_bias_median", [[[0, -0.1], [0, -0.5]]], -0.4),
        (2, 0, "last_bias_median", [[[0, -0.1], [0, -0.5]], [[0, -0.2], [0, -0.3]]], -0.1),
        (0, 1, "last_bias_median", [[[0] * 9, [0, -1, -1, -2, -2, -1, -1, -3, -3]]], 1.0),
        (0, 2, "epoch_loss", [[[0] * 5, [3, 2, 2.5, 1, 1.5]]], 2.0),
        (1, 0, "mean_logit", [[[0] * 6, [0, 1, -1, 1, 0.99, 1]]], 2.0),
        (1, 1, "mean_logit", [[[0, 0.5, 0], [0, 1, -1]]], 4.0),
        (2, 1, "mean_activation", [[[1, 1], [1, 0.5]], [[1, 0.5], [1, 0.4]]], 0.8),
    ],
)
def test_what_the_claims_measure(figure, claim, name, values, number):
    """Steadiness: the largest step between means of quarters, here from -2 to -1."""
    assert FIGURES[IDS[figure]].claims[claim].measure(grid(values, name)) == pytest.approx(number)


def test_the_bias_of_few_images_is_not_judged_to_fall_throughout():
    assert FIGURES[IDS[0]].claims[1].measure(grid([[[0] * 9, range(9)]], "last_bias_median", 512)) is None


@pytest.mark.long
@pytest.mark.parametrize("name", IDS)
def test_the_figure_runs_at_scale_quick(name, tmp_path):
    settings = FIGURES[name].scales["quick"].settings(None)
    dataset = FIGURES[name].run(settings, Context(tmp_path, None, "none", quiet))
    dataset = dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))
    verdicts = [verdict.verdict for verdict in evaluate(dataset, FIGURES[name].claims)]
    assert HOLDS in verdicts
    assert verdicts.count(NOT_EVALUATED) == (name == IDS[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_sizes": "40,500"}, r"^each of batch_sizes must be at most 400 \(num_examples\); got 500"),
        ({"batch_sizes": "2.5"}, r"^batch_sizes must be whole numbers or 'all'; got '2.5'\.$"),
        ({"lrs": "0.1"}, r"^lrs must be two or more, to be compared; got '0.1'\.$"),
        ({"epochs": 3}, r"^epochs must be at least 4; got 3\.$"),
        ({"epochs": 9, "every": 2}, r"^epochs must be a multiple of every \(2\); got 9\.$"),
        ({"width": 0.0}, r"^width must be positive and finite; got 0.0\.$"),
        ({"stem_stride": 3}, r"^stem_stride must be at most 2; got 3\.$"),
        ({"classes": "cats"}, r"^classes must be 'all' or two class numbers such as '0,1'; got 'cats'\.$"),
        ({"num_examples": 2000}, r"^num_examples must be at most 1797 \(images of digits\); got 2000\.$"),
    ],
)
def test_bad_input(changes, words):
    with pytest.raises(InputError, match=words):
        residual.validate(settings_of("ahn2022/fig13", **changes))
