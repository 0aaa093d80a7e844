"""precipice/adam-edge: its claims and its control at scale quick with LONG=1; what it refuses each time."""

import dataclasses
import functools
import json

import numpy as np
import pytest

from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import FAILS, HOLDS, evaluate
from precipice.papers.figure import Context
from precipice.papers.own.adam_edge import FIGURE
from precipice.papers.own.adam_edge.settings import quick_settings


@functools.cache
def ran(folder, control=False):
    settings = dataclasses.replace(quick_settings(), seeds=1)
    settings = FIGURE.control(settings) if control else settings
    dataset = FIGURE.run(settings, Context(folder, None, "none", quiet))
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


@pytest.mark.long
def test_all_claims_hold_and_every_panel_is_drawn(tmp_path):
    dataset = ran(tmp_path)
    np.testing.assert_allclose(dataset["edge"] * dataset["lr"], [38, 38, 6])
    assert {v.claim.name: v.verdict for v in evaluate(dataset, FIGURE.claims) if v.verdict != HOLDS} == {}
    axes = FIGURE.picture(dataset).axes
    assert len(axes) >= len(FIGURE.panels)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)


@pytest.mark.long
def test_a_fiftieth_of_the_learning_rate_does_not_come_to_the_edge(tmp_path):
    (verdict,) = evaluate(ran(tmp_path, control=True), [c for c in FIGURE.claims if c.name == FIGURE.main_claim])
    assert verdict.verdict == FAILS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta1": 1.0}, r"beta1 must lie in \[0, 1\); got 1.0"),
        ({"lr_other": 0.004}, "lr, lr_other and lr_other_beta1 must differ"),
        ({"every": 7}, "num_steps must be a multiple of every"),
    ],
)
def test_bad_settings_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        FIGURE.validate(dataclasses.replace(quick_settings(), **change))
