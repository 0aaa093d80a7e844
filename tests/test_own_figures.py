"""precipice's own figures on real data, at a size that takes seconds."""

import dataclasses
import functools
import json

import numpy as np
import pytest

from precipice.dynamics import quiet
from precipice.figures.claims import FAILS, HOLDS, NOT_EVALUATED, evaluate
from precipice.papers.figure import Context
from precipice.papers.own import mnist_second_moment as second_moment
from precipice.papers.own.self_stabilization import FIGURE, quick_settings
from precipice.results import CellStore, Status


@functools.cache
def ran(folder, **changes):
    settings = dataclasses.replace(quick_settings(), **{"seeds": 1} | changes)
    FIGURE.validate(settings)
    dataset = FIGURE.run(settings, Context(folder, None, "none", quiet))
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


def test_all_claims_hold(tmp_path):
    data = ran(tmp_path)
    assert {v.claim.name: v.verdict for v in evaluate(data, FIGURE.claims) if v.verdict != HOLDS} == {}
    assert np.all(data["status"] == Status.DONE)
    picture = FIGURE.picture(data)
    assert [ax.get_title() for ax in picture.axes] == [
        "displacement along the top eigenvector",
        "sharpness above the edge",
        "error over the cycle",
    ]
    assert all(ax.get_xlabel() == "gradient step from the edge" and ax.get_ylabel() for ax in picture.axes)


def test_below_the_edge_nothing_grows(tmp_path):
    factor = FIGURE.control(quick_settings()).lr_factor
    (verdict,) = evaluate(ran(tmp_path, lr_factor=factor), [c for c in FIGURE.claims if c.name == FIGURE.main_claim])
    assert verdict.verdict == FAILS


def test_a_training_that_stays_away_from_the_edge_is_a_labelled_result(tmp_path):
    data = ran(tmp_path, lr=1e-4, max_steps_before=10)
    assert data["status"].values.tolist() == [Status.FAILED]
    assert {v.verdict for v in evaluate(data, FIGURE.claims)} == {NOT_EVALUATED}
    FIGURE.picture(data)


def test_cells_of_the_second_moment_are_kept_when_it_is_interrupted(tmp_path, monkeypatch):
    """On 40 digits; claims look at the learning rates that there are."""
    settings = dataclasses.replace(
        second_moment.quick_settings(),
        **{"dataset": "digits", "num_examples": 40, "width": 8, "batch_sizes": "1, 10", "epochs": 2, "seeds": 1},
        relative_lrs="1",
    )
    second_moment.FIGURE.validate(settings)
    context = Context(tmp_path, None, "none", quiet)
    cell, computed = second_moment._cell, []

    def counting(kernel, batch_size, relative):
        if len(computed) == 3 and batch_size == 10:
            computed.append(None)
            raise KeyboardInterrupt
        computed.append(batch_size)
        return cell(kernel, batch_size, relative)

    monkeypatch.setattr(second_moment, "_cell", counting)
    with pytest.raises(KeyboardInterrupt):
        second_moment.run(settings, context)
    (store,) = tmp_path.glob("*.zarr")
    assert len(CellStore(store).done()) == 3
    data = second_moment.run(settings, context)
    assert len(computed) == 5
    assert data["second_moment_radius"].dtype == float
    np.testing.assert_allclose(data["second_moment_radius"], 1, rtol=1e-10)
    data = data.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))
    verdicts = {v.claim.name: v.verdict for v in evaluate(data, second_moment.CLAIMS)}
    assert verdicts["T-decides"] == NOT_EVALUATED
    assert verdicts["the-edge-is-that-of-T"] == HOLDS
