"""Every figure of theory alone that takes seconds at scale quick: run, judged, drawn, and its control."""

import dataclasses
import functools
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from precipice.dynamics import quiet
from precipice.figures.claims import FAILS, HOLDS, evaluate
from precipice.papers.figure import NO_DATA, Context
from precipice.papers.registry import FIGURES

LONGEST = 10
"""Seconds, by a figure's own estimate; longer ones are left to `make figures`."""

EACH_TIME = 3
"""Seconds, by a figure's own estimate; those above run with ``LONG=1`` only."""


def seconds(figure):
    found = re.fullmatch(r"(\d+) seconds?", figure.scales["quick"].time)
    return int(found[1]) if found else np.inf


THEORY = [name for name, figure in FIGURES.items() if figure.scales["quick"].data == NO_DATA]
QUICK = [name for name in THEORY if seconds(FIGURES[name]) <= LONGEST]

LONG = {name for name in QUICK if seconds(FIGURES[name]) > EACH_TIME}

each_figure = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in QUICK]
)


@functools.cache
def ran(name, control=False):
    figure = FIGURES[name]
    settings = figure.scales["quick"].settings(None)
    settings = figure.control(settings) if control else settings
    figure.validate(settings)
    with tempfile.TemporaryDirectory() as folder:
        dataset = figure.run(settings, Context(Path(folder), None, "none", quiet))
    dataset.attrs["parameters"] = json.dumps(dataclasses.asdict(settings))
    return dataset


@each_figure
def test_all_claims_hold(name):
    verdicts = evaluate(ran(name), FIGURES[name].claims)
    assert {v.claim.name: (v.verdict, v.value) for v in verdicts if v.verdict != HOLDS} == {}


@each_figure
def test_the_control_breaks_the_main_claim(name):
    figure = FIGURES[name]
    (verdict,) = evaluate(ran(name, control=True), [c for c in figure.claims if c.name == figure.main_claim])
    assert verdict.verdict == FAILS


@each_figure
def test_panels_have_labels_and_a_caption(name):
    figure = FIGURES[name]
    picture = figure.plot(ran(name), None)
    axes = [ax for ax in picture.axes if ax.get_label() != "<colorbar>"]
    assert len(axes) >= len(figure.panels)
    for ax in axes:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.has_data()
    assert len(picture.get_supxlabel()) > 40
    for panel in figure.panels:
        assert figure.plot(ran(name), panel).axes


@pytest.mark.parametrize("name", THEORY)
def test_claims_name_their_panels_and_their_reasons(name):
    figure = FIGURES[name]
    assert set(figure.claim_panels) == {claim.name for claim in figure.claims}
    assert set(figure.claim_panels.values()) <= set(figure.panels)
    assert figure.main_claim in figure.claim_panels
    assert all(claim.reason and claim.source.startswith(figure.paper) for claim in figure.claims)
