"""The pictures, asserted from the matplotlib objects: axes, lines at the right heights, captions, panels."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.figures import style
from precipice.papers.agarwala2022 import fig5
from precipice.papers.figure import Context
from precipice.papers.runner import draw
from precipice.papers.shapira2023 import fig1
from precipice.results import Status
from synthetic import (
    EDGE,
    FIG5_EDGE,
    FIG5_START,
    FIG5_STEPS,
    LR,
    LR_OTHER,
    PROBE_STEPS,
    STEPS,
    crossings,
    fig1_dataset,
    fig5_dataset,
    oscillation,
    rising,
    sawtooth,
)


@pytest.fixture
def fig1_data():
    sharpness = np.stack([rising(EDGE, level) for level in (1.05, 1.1)])
    return fig1_dataset(sharpness, rising(2 / LR_OTHER, 1.02), seeds=2)


@pytest.fixture
def fig5_data():
    return fig5_dataset(oscillation(), crossings(3), seeds=2)


def curve(ax, label):
    """The one line of this label, as x and y."""
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def level(ax, label):
    """The height of a horizontal line across the whole panel."""
    x, y = curve(ax, label)
    assert list(x) == [0, 1]
    assert y[0] == y[1]
    return y[0]


def in_legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def caption(picture):
    return " ".join(picture.get_supxlabel().split())


def assert_drawn(picture, tmp_path):
    """It is written as a PNG that is not blank."""
    from matplotlib.image import imread

    style.save(picture, tmp_path / "picture.png")
    assert imread(tmp_path / "picture.png").std() > 0.01


# shapira2023/fig1 ---------------------------------------------------------------------------------------------------


def test_fig1_loss_panel(fig1_data):
    ax, _ = fig1.plot(fig1_data).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gradient step", "training loss (mean half squared error)")
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert in_legend(ax) == ["lr = 0.05", "lr = 0.1"]
    for label in in_legend(ax):
        x, y = curve(ax, label)
        np.testing.assert_array_equal(x, STEPS)
        np.testing.assert_array_equal(y, sawtooth())


def test_fig1_sharpness_panel(fig1_data):
    _, ax = fig1.plot(fig1_data).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gradient step", "sharpness (largest Hessian eigenvalue)")
    assert ax.get_yscale() == "linear"
    assert in_legend(ax) == ["lr = 0.05", "NTK (Gauss-Newton)", "2/lr = 40", "lr = 0.1", "2/lr = 20"]
    x, y = curve(ax, "lr = 0.05")
    np.testing.assert_array_equal(x, PROBE_STEPS)
    np.testing.assert_array_equal(y, rising(EDGE, 1.05))
    np.testing.assert_allclose(curve(ax, "NTK (Gauss-Newton)")[1], 0.9 * rising(EDGE, 1.05))
    sharpness = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert len(sharpness) == 4  # two learning rates, two seeds


@pytest.mark.parametrize("lr", [LR, LR_OTHER])
def test_fig1_draws_the_edge_at_two_over_lr_in_the_colour_of_its_run(fig1_data, lr):
    _, ax = fig1.plot(fig1_data).axes
    assert level(ax, f"2/lr = {2 / lr:.4g}") == 2 / lr
    lines = {line.get_label(): line for line in ax.lines}
    edge, run = lines[f"2/lr = {2 / lr:.4g}"], lines[f"lr = {lr:g}"]
    assert edge.get_linestyle() == "--"
    assert edge.get_color() == run.get_color()
    low, high = ax.get_ylim()
    assert low < 2 / lr < high


def test_fig1_caption_says_what_was_run(fig1_data):
    text = caption(fig1.plot(fig1_data))
    settings = json.loads(fig1_data.attrs["parameters"])
    for words in (
        f"{settings['depth']} hidden layers of {settings['width']} tanh units (torch initialisation)",
        "first 1,000 training images of digits (standardise pixels)",
        "mean half squared error",
        "full-batch gradient descent",
        "2 seeds at lr = 0.05 and 1 seed at lr = 0.1",
        "float64",
        "measured every 20 steps",
        "scale quick",
    ):
        assert words in text
    assert text.endswith(".")


@pytest.mark.parametrize("panel", fig1.FIGURE.panels)
def test_fig1_one_panel_alone(fig1_data, panel, tmp_path):
    picture = fig1.plot(fig1_data, panel)
    (ax,) = picture.axes
    assert ax.get_title() == panel
    assert caption(picture) == caption(fig1.plot(fig1_data))
    assert_drawn(picture, tmp_path)


def test_fig1_a_run_that_is_missing_is_not_drawn(tmp_path):
    missing = np.full(len(PROBE_STEPS), np.nan)
    loss = np.stack([sawtooth()[None], np.full((1, len(STEPS)), np.nan)])
    data = fig1_dataset(rising(EDGE, 1.05), missing, loss=loss, seeds_other=0)
    picture = fig1.plot(data)
    assert in_legend(picture.axes[0]) == ["lr = 0.05"]
    assert in_legend(picture.axes[1]) == ["lr = 0.05", "NTK (Gauss-Newton)", "2/lr = 40"]
    assert "1 seed at lr = 0.05, float64" in caption(picture)
    assert_drawn(picture, tmp_path)


def test_values_beyond_what_an_axis_can_label_are_left_out(tmp_path):
    loss = sawtooth().copy()
    loss[-3:] = 1e150, 1e290, 1.7e308
    sharpness = rising(EDGE, 1.05)
    sharpness[-1] = -1e301
    picture = fig1.FIGURE.picture(fig1_dataset(sharpness, rising(EDGE, 1.05), loss=loss))
    assert_drawn(picture, tmp_path)
    assert caption(picture).endswith("scale quick. Values beyond 1e+100 are not drawn.")
    for ax, line in ((picture.axes[0], loss), (picture.axes[1], sharpness)):
        np.testing.assert_array_equal(np.isnan(ax.lines[0].get_ydata()), np.abs(line) > 1e100)
        assert max(map(abs, ax.get_ylim())) < 1e3


# agarwala2022/fig5 --------------------------------------------------------------------------------------------------


def test_fig5_z1_panel(fig5_data):
    ax = fig5.plot(fig5_data).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gradient step", "z1 (residual along the top NTK eigenvector)")
    assert ax.get_title() == "every step"
    z1, zero = ax.lines
    np.testing.assert_array_equal(z1.get_xdata(), FIG5_START + FIG5_STEPS)
    np.testing.assert_array_equal(z1.get_ydata(), oscillation())
    assert list(np.asarray(zero.get_ydata())) == [0, 0]


@pytest.mark.parametrize("start", [730, 731])
def test_fig5_every_other_step(start):
    ax = fig5.plot(fig5_dataset(oscillation(), crossings(3), start=start)).axes[1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gradient step", "z1 (residual along the top NTK eigenvector)")
    assert ax.get_title() == "every other step"
    assert in_legend(ax) == ["even steps", "odd steps"]
    steps = []
    for parity, label in enumerate(in_legend(ax)):
        x, y = curve(ax, label)
        assert set(x % 2) == {parity}
        np.testing.assert_array_equal(y, oscillation()[x.astype(int) - start])
        steps += list(x)
    assert sorted(steps) == list(start + FIG5_STEPS)


def test_fig5_eigenvalue_panel(fig5_data):
    ax = fig5.plot(fig5_data).axes[2]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gradient step", "NTK eigenvalue (Gauss-Newton Gram, mean loss)")
    assert in_legend(ax) == ["lambda_1", "lambda_2", "2/lr = 5"]
    x, y = curve(ax, "lambda_1")
    np.testing.assert_array_equal(x, FIG5_START + FIG5_STEPS)
    np.testing.assert_array_equal(y, crossings(3) * FIG5_EDGE)
    np.testing.assert_array_equal(curve(ax, "lambda_2")[1], np.full(len(FIG5_STEPS), 0.8 * FIG5_EDGE))
    assert level(ax, "2/lr = 5") == FIG5_EDGE == 2 / json.loads(fig5_data.attrs["parameters"])["lr"]


def test_fig5_caption_says_what_was_run():
    text = caption(fig5.plot(fig5_dataset(oscillation(), crossings(height=0.03), seeds=2)))
    for words in (
        "2 hidden layers of 200 tanh units (torch initialisation)",
        "first 5,000 training images of digits (standardise channels)",
        "classes: all",
        "full-batch gradient descent at lr = 0.4",
        "window of 100 steps from step 730, where lambda_1 first reached 0.97 x 2/lr",
        "seed 0 of 2",
        "scale quick",
    ):
        assert words in text


def test_fig5_caption_where_the_wait_ran_out():
    data = fig5_dataset(oscillation(), np.full(len(FIG5_STEPS), 0.5))
    assert "from step 730, when the wait for 0.97 x 2/lr ended without it" in caption(fig5.plot(data))


@pytest.mark.parametrize("panel", fig5.FIGURE.panels)
def test_fig5_one_panel_alone(fig5_data, panel, tmp_path):
    picture = fig5.plot(fig5_data, panel)
    (ax,) = picture.axes
    whole = dict(zip(fig5.FIGURE.panels, fig5.plot(fig5_data).axes, strict=True))[panel]
    assert (ax.get_title(), len(ax.lines)) == (whole.get_title(), len(whole.lines))
    assert_drawn(picture, tmp_path)


# Both ---------------------------------------------------------------------------------------------------------------


def test_an_unknown_panel_is_refused(fig1_data, tmp_path):
    with pytest.raises(InputError, match=r"^panel of shapira2023/fig1 'sharp' is unknown; did you mean sharpness"):
        draw(fig1.FIGURE, fig1_data, tmp_path / "picture.png", "sharp")


def tiny_settings(figure):
    """Two seconds of the real thing on 40 digits."""
    common = {"dataset": "digits", "num_examples": 40, "width": 4, "depth": 1, "precision": "float64", "seeds": 2}
    settings = figure.scales["paper"].settings(None)
    own = (
        {"lr": 0.3, "lr_other": 0.15, "num_steps": 60, "num_steps_other": 40, "every": 20, "stop_accuracy": 0.0}
        if figure is fig1.FIGURE
        else {"lr": 0.3, "classes": "3,8", "max_steps_before": 20, "every_before": 10, "window": 20}
    )
    return dataclasses.replace(settings, **common, **own)


@pytest.mark.parametrize("figure", [fig1.FIGURE, fig5.FIGURE], ids=lambda f: f.id)
def test_a_tiny_run_is_drawn(figure, tmp_path):
    settings = tiny_settings(figure)
    figure.validate(settings)
    data = figure.run(settings, Context(tmp_path, None, "fingerprint", quiet))
    data = data.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)), scale="reduced")
    assert np.all(np.isin(data["status"], [Status.DONE, Status.MISSING]))
    np.testing.assert_allclose(
        np.unique(data["edge"]), sorted({2 / settings.lr, 2 / getattr(settings, "lr_other", 0.3)})
    )
    picture = figure.plot(data, None)
    assert len(picture.axes) == len(figure.panels)
    assert level(picture.axes[-1], f"2/lr = {2 / settings.lr:.4g}") == pytest.approx(2 / settings.lr)
    assert "first 40 training images of digits" in caption(picture)
    assert "scale reduced" in caption(picture)
    assert_drawn(picture, tmp_path)
    again = figure.run(settings, Context(tmp_path, None, "fingerprint", quiet))  # every training is read, none is run
    assert data.drop_attrs().identical(again.drop_attrs())


def test_the_first_measurement_of_a_tiny_run_is_that_of_its_problem(tmp_path):
    """Sharpness, kernel, loss and accuracy at step 0, by dense matrices at the parameters of the seed's key."""
    from oracles import dense, root_of
    from precipice.papers.networks import problem_for, seed_keys

    settings = dataclasses.replace(tiny_settings(fig1.FIGURE), seeds=1, num_steps=20, num_steps_other=20)
    data = fig1.run(settings, Context(tmp_path, None, "", quiet)).isel(lr=0, seed=0)
    problem = problem_for(settings, None)
    key, _ = seed_keys(0, 2)
    params = problem.init(jax.random.split(key)[0])
    matrices = dense(problem, params)
    root = root_of(matrices.output_hessian)
    kernel = root @ matrices.jacobian @ matrices.jacobian.T @ root
    first = data.isel(probe_step=0)
    sharpness = np.linalg.eigvalsh(matrices.hessian)[::-1]
    rtol = 2 * settings.rtol
    np.testing.assert_allclose(first["hessian_eigenvalue"], sharpness[: settings.num_eigenvalues], rtol=rtol)
    np.testing.assert_allclose(first["ntk_eigenvalue"][0], np.linalg.eigvalsh(kernel)[-1], rtol=rtol)
    np.testing.assert_allclose(float(data["loss"][0]), float(problem.loss(params)), rtol=1e-12)
