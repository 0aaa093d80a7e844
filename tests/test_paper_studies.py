"""The studies of the papers: by id, run within a figure, interrupted and continued, and their tiles put together."""

import contextlib
import dataclasses
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice import dynamics, measures
from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures.claims import evaluate
from precipice.papers import studies
from precipice.papers.agarwala2022 import fig4, models
from precipice.papers.agarwala2024 import mnist
from precipice.papers.figure import Context
from precipice.papers.studied import studied
from precipice.papers.zhu2022 import fig2, fig6, grids, start_tiles
from precipice.papers.zhu2022.fig6 import boundary
from precipice.papers.zhu2022.networks import scalar_network
from precipice.results import CellStore, Status
from precipice.studies import Axis, Study, load


def within(folder, progress=quiet):
    return Context(folder, None, "none", progress)


# --- by id


@pytest.mark.parametrize("name", studies.names())
@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_every_study_is_declared_at_both_scales(name, scale, monkeypatch):
    monkeypatch.setattr("precipice.papers.request.is_found", lambda *_: True)
    study = studies.study(name, scale)
    assert study.name == name
    assert study.num_cells > 0
    assert study.source.startswith("precipice.papers.")


def test_settings_of_a_study_are_those_of_its_figure():
    assert studies.study("zhu2022/fig2b", "quick", assignments=["grid=17"]).settings["grid"] == 17
    assert studies.study("zhu2022/fig2b", "paper").settings["grid"] == 2000
    assert studies.study("agarwala2022/fig4", "quick", assignments=["draws=3"]).shape == (2, 3, 10, 10)
    rows = studies.study("agarwala2024/fig5", "quick", assignments=["dataset=digits", "seeds=4"])
    assert rows.shape == (5, 4)
    assert "seeds" not in rows.settings  # more seeds are an axis extended, not another study


@pytest.mark.parametrize(
    ("name", "assignments", "words"),
    [
        ("zhu2022/fig2", [], "study 'zhu2022/fig2' is unknown; did you mean zhu2022/fig2b"),
        ("zhu2022/fig2b", ["gird=3"], "setting 'gird' is unknown; did you mean grid"),
        ("zhu2022/fig2b", ["grid=3"], "grid must be at least 4; got 3"),
    ],
)
def test_bad_requests_are_refused(name, assignments, words):
    with pytest.raises(InputError, match=words):
        studies.study(name, "quick", assignments=assignments)


# --- within a figure


class Interrupted(Exception):
    pass


@contextlib.contextmanager
def stopping(title, total):
    def report(done, text):
        if done >= 2:
            raise Interrupted

    yield report


def counting(calls, fails=(), size=1):
    def run(key, *, lr):
        calls.append(lr)
        if lr in fails:
            raise RuntimeError("no luck")
        return {"final_loss": lr**2}

    return Study("count", run, (Axis("lr", (0.1, 0.2, 0.3, 0.4)),), ("final_loss",), traced=False, chunk={"lr": size})


def test_an_interrupted_study_goes_on_with_the_blocks_that_it_has(tmp_path):
    calls = []
    with pytest.raises(Interrupted):
        studied(counting(calls), within(tmp_path, stopping))
    found = studied(counting(calls), within(tmp_path))
    assert calls == [0.1, 0.2, 0.3, 0.4]
    np.testing.assert_array_equal(found["final_loss"], np.array([0.1, 0.2, 0.3, 0.4]) ** 2)
    np.testing.assert_array_equal(studied(counting(calls), within(tmp_path))["lr"], found["lr"])
    assert len(calls) == 4


def test_failed_cells_are_an_error_and_are_tried_again(tmp_path):
    words = r"^All cells of study 'count' must be computed; 2 failed, first at lr=0.2: RuntimeError: no luck\.$"
    with pytest.raises(InputError, match=words):
        studied(counting([], fails=(0.2, 0.3), size=2), within(tmp_path))
    found = studied(counting([], size=2), within(tmp_path))
    assert (found["status"] == Status.DONE).all()


def test_blocks_may_be_planned(tmp_path):
    assert studied(counting([]), within(tmp_path))["final_loss"].notnull().all()


# --- zhu2022


SMALL = dataclasses.replace(fig2.quick_settings(), grid=20, grid_steps=640)


@pytest.mark.parametrize("side", [7, 500])
def test_tiles_of_starts_are_the_grid_to_the_last_bit(side, tmp_path, monkeypatch):
    monkeypatch.setattr(start_tiles, "SIDE", side)
    found = start_tiles.final_sharpness(SMALL, within(tmp_path))
    whole = grids.final_sharpness(SMALL, SMALL.degree, SMALL.lr)
    assert set(found) == set(whole)
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name])
    assert {Status.DONE, Status.DIVERGED} == set(np.unique(found["status"]))


BORDER = dataclasses.replace(fig6.quick_settings(), grid=17, levels=2, grid_steps=640)


def every_start(settings, x, y):
    """The status of every start of the finest grid, none filled."""
    starts = jnp.asarray(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2))
    process = dynamics.Descent(scalar_network(4), dynamics.gradient_descent(settings.grid_lr))
    ended = dynamics.LossBelow(boundary.AT_REST)
    found = dynamics.settle(process, starts, key=jax.random.key(0), converged=ended, num_steps=settings.grid_steps)
    return found.status.reshape(len(x), len(y))


def test_one_tile_is_the_plane(tmp_path):
    found = boundary.border(BORDER, within(tmp_path))
    x, y = np.linspace(2.8, 3.6, 17), np.linspace(0.01, 0.55, 17)
    process = dynamics.Descent(scalar_network(4), dynamics.gradient_descent(BORDER.grid_lr))
    ended = dynamics.LossBelow(boundary.AT_REST)
    whole = dynamics.basins(
        process, x, y, key=jax.random.key(0), converged=ended, num_steps=BORDER.grid_steps, levels=BORDER.levels
    )
    np.testing.assert_array_equal(found["end_status"], whole.status)
    np.testing.assert_array_equal(found["start_computed"], whole.computed)
    np.testing.assert_array_equal(found["start_x"], whole.x)
    np.testing.assert_array_equal(found["start_y"], whole.y)


@pytest.mark.parametrize("side", [4, 5])
def test_the_border_is_followed_across_tiles(side, tmp_path, monkeypatch):
    """Also where tiles do not divide the plane: all corners of cells with different ends were run, and rightly."""
    monkeypatch.setattr(boundary, "SIDE", side)
    found = boundary.border(BORDER, within(tmp_path))
    status, computed = found["end_status"].values, found["start_computed"].values == 1
    true = every_start(BORDER, found["start_x"].values, found["start_y"].values)
    np.testing.assert_array_equal(status[computed], true[computed])
    mixed = np.zeros(status.shape, bool)
    for i, j in np.argwhere(np.ones(np.array(status.shape) - 1)):
        if len(set(status[i : i + 2, j : j + 2].ravel())) > 1:
            mixed[i : i + 2, j : j + 2] = True
    assert computed[mixed].all()
    assert mixed.any()
    assert computed.mean() < 0.6
    assert (status != true).mean() < 0.01  # islands that no run touches


# --- agarwala2022


PLANE = dataclasses.replace(fig4.quick_settings(), sizes="4x6; 5x5", grid=3, draws=2, num_steps=200)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A folder with the study of `PLANE`, and the figure's dataset."""
    folder = tmp_path_factory.mktemp("plane")
    return folder, fig4.run(PLANE, within(folder))


@pytest.mark.long
def test_cells_of_the_plane_are_runs_that_share_a_model(plane):
    _, found = plane
    assert dict(found.sizes) == {"model_size": 2, "output_scale": 3, "jacobian_scale_squared": 3, "draw": 2}
    mesh = np.meshgrid(found["output_scale"], found["jacobian_scale_squared"] ** 0.5, indexing="ij")
    size, draw = (4, 6), 1
    scales = measures.rescaled_scales(*size, output=mesh[0].ravel(), jacobian=mesh[1].ravel())
    unit = models.unit_rows(*size, jax.random.key(draw))
    ends = models.ends(unit, jnp.asarray(scales.output), jnp.asarray(scales.jacobian), PLANE.num_steps)
    one = found.isel(model_size=0, draw=draw)
    np.testing.assert_array_equal(one["steps_taken"].values.ravel(), ends.steps)
    np.testing.assert_allclose(one["rescaled_kernel_start"].values.ravel(), ends.start, rtol=1e-12)
    np.testing.assert_allclose(one["rescaled_kernel_end"].values.ravel(), ends.end, rtol=1e-9)
    np.testing.assert_array_equal(one["status"].values.ravel() == Status.DIVERGED, models.diverged(ends))


@pytest.mark.long
def test_claims_are_the_same_on_the_figure_and_on_its_study(plane):
    folder, figure = plane
    study = fig4.study(PLANE)
    store = CellStore(folder / "agarwala2022-fig4.zarr")
    by_study = evaluate(store.dataset().load(), study.claims)
    by_figure = evaluate(figure, fig4.CLAIMS)
    assert [v.value for v in by_study] == [v.value for v in by_figure]


def test_a_plane_of_one_size_is_one_panel(tmp_path):
    settings = dataclasses.replace(PLANE, sizes="5x5", draws=1)
    fig4.validate(settings)
    found = fig4.run(settings, within(tmp_path))
    found.attrs["parameters"] = json.dumps(dataclasses.asdict(settings))
    assert [ax.get_title() for ax in fig4.plot(found).axes if ax.get_title()] == ["5 outputs, 5 parameters"]
    with pytest.raises(InputError, match="panel must be one of those that were run, first-size; got 'second-size'"):
        fig4.plot(found, "second-size")


# --- agarwala2024


@pytest.mark.long
def test_a_row_of_learning_rates_needs_no_folder(tmp_path):
    settings = dataclasses.replace(
        mnist.PAPER, dataset="digits", num_examples=24, width=4, batch_sizes="1, 2", lr_ratios="0.005, 3000",
        small_batch=2, epochs=2, num_measurements=2, seeds=2, precision="float64",
    )  # fmt: skip
    study = mnist.study(settings)
    assert study.source == "precipice.papers.agarwala2024.mnist:trained_row"
    found = studied(study, within(tmp_path / "a"))
    assert found["training_loss"].dims == ("batch_size", "seed", "lr_ratio", "measurement")
    figure = mnist.run(settings, within(tmp_path / "b"))
    for name in (*mnist.MEASURED, "diverged_at"):
        np.testing.assert_array_equal(found[name].transpose(*figure[name].dims), figure[name])
    assert (found["status"] == Status.DONE).all()
    assert (found["diverged_at"].sel(batch_size=1).isel(lr_ratio=1) >= 0).all()


# --- docs/studies.md


def test_the_study_file_of_the_docs_is_the_study_of_its_code(tmp_path):
    text = (Path(__file__).parent.parent / "docs/studies.md").read_text()
    code, file = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0] for kind in ("python", "toml"))
    assert len(code.splitlines()) < 40
    (tmp_path / "sine.py").write_text(code.partition("study = ")[0])
    (tmp_path / "sine.toml").write_text(file)
    study = load(tmp_path / "sine.toml", trust=True)
    assert (study.source, study.shape, study.num_programs) == ("sine:train", (2, 20), 2)
    assert study.settings == {"num_steps": 500}
    for words in ("key_axes", "--extend", "--retry-failed", *studies.names()):
        assert words in text.replace("`, `fig", "`, `agarwala2024/fig")
