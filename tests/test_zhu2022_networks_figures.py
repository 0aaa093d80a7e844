"""zhu2022's figures of scalar networks (5, 11 to 14, 16 to 21, 27, 28): their parts by another route, what is drawn.

That all claims hold, that controls break them and that axes are labelled is in `test_theory_figures.py`.
"""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from long_rows import some
from precipice._checks import InputError
from precipice.dynamics import quiet
from precipice.papers.figure import Context
from precipice.papers.registry import FIGURES
from precipice.papers.zhu2022 import free_entries, grids, movement, networks
from precipice.results import Status, to_dataset


def run(number, **changes):
    """The dataset of a figure at scale quick, with changes."""
    figure = FIGURES[f"zhu2022/fig{number}"]
    settings = dataclasses.replace(figure.scales["quick"].settings(None), **changes)
    figure.validate(settings)
    dataset = figure.run(settings, Context(Path("nowhere"), None, "none", quiet))
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


def descend(entries, lr, num_steps):
    """Descent of free entries in numpy: x_i' = x_i + lr (1 - P) P / x_i."""
    x = np.array(entries)
    for _ in range(num_steps):
        output = x.prod()
        x = x + lr * (1 - output) * output / x
    return x


def top_eigenvalue(x):
    """Of the Hessian of (1 - P)^2/2 by numpy."""
    output = x.prod()
    hessian = (2 * output**2 - output) / np.outer(x, x)
    np.fill_diagonal(hessian, output**2 / x**2)
    return np.linalg.eigvalsh(hessian)[-1]


def points(line):
    """A line's x and y [2, n]."""
    return np.array([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])


def labels(ax):
    return [line.get_label() for line in ax.lines]


# Two entries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_edge_minima_have_the_sharpness_two_over_lr(degree):
    from precipice import measures

    minima = networks.edge_minima(degree, 0.2)
    assert len(minima) == (2 if degree == 3 else 1)
    assert list(minima[:, 0]) == sorted(minima[:, 0], reverse=True)
    for x, y in minima:
        problem = networks.scalar_network(degree)
        params = jnp.array([x, y, y] if degree == 3 else [x, y])
        assert float(problem.output(params)) == pytest.approx(1, rel=1e-13)
        sharpness = measures.scalar_network_minimum_sharpness(problem, params)
        assert float(sharpness) == pytest.approx(10, rel=1e-12)


def test_ends_are_those_of_descent_in_numpy_and_divergence_is_labelled():
    starts = np.array([[[4.0, 0.3], [5.5, 0.5]], [[7.0, 2.4], [0.3, 1.7]]])
    found = networks.ends(3, starts, 0.2, 3000)
    assert found["status"].tolist() == [[Status.DONE, Status.DONE], [Status.DIVERGED, Status.DONE]]
    assert np.isnan(found["final_sharpness"][1, 0])
    for i, j in ((0, 0), (0, 1), (1, 1)):
        x, y = starts[i, j]
        end = descend([x, y, y], 0.2, 3000)
        assert found["final_sharpness"][i, j] == pytest.approx(top_eigenvalue(end), rel=1e-9)
        moved = descend([x, y, y], 0.2, 2)[:2] - starts[i, j]
        np.testing.assert_allclose(found["two_step_movement"][i, j], moved, rtol=1e-12)


def test_the_grid_is_indexed_by_x_then_y():
    data = run(13, grid=4, grid_steps=2000, x_low=4.0, x_high=5.5, y_low=0.2, y_high=0.5)
    assert data["final_sharpness"].dims == ("start_x", "start_y")
    end = descend([5.5, 0.2, 0.2], 0.2, 2000)
    value = data["final_sharpness"].sel(start_x=5.5, start_y=0.2)
    assert float(value) == pytest.approx(top_eigenvalue(end), rel=1e-9)


def test_concentration_counts_the_band_below_the_edge():
    final = np.array([[9.95, 9.85, 10.01, 9.91, 9.99, 9.0, 5.0, 9.999, 9.93, 9.96, 10.2, 9.89]])
    ends = {"final_sharpness": final, "final_loss": np.zeros_like(final), "edge": 10.0}
    data = to_dataset(ends, coords={"start_x": [1.0], "start_y": np.arange(1.0, 13.0)})
    assert grids.concentrated(data, data["final_loss"] < 1) == pytest.approx(6 / 12)
    assert grids.concentrated(data, data["start_y"] < 5) is None


def test_fig14_windows_are_mirrored():
    data = run(14, grid=5, num_steps=10)
    start, edge = data["start_entries"], data["edge_entries"].values
    offsets = (start.isel(relative_large=-1, relative_small=0).values / edge - 1).tolist()
    assert offsets == [pytest.approx([0.15, -0.3]), pytest.approx([-0.3, 0.15])]


def test_fig12_draws_the_valley_and_the_edge_minimum():
    data = run(12, grid=6, num_steps=500)
    ax = FIGURES["zhu2022/fig12"].plot(data, None).axes[0]
    (star,) = [line for line in ax.lines if line.get_marker() == "*"]
    np.testing.assert_allclose(points(star)[:, 0], data["edge_entries"].values[0])
    (valley,) = [line for line in ax.lines if line.get_label() == "minima"]
    np.testing.assert_allclose(points(valley).prod(axis=0), 1)
    assert movement.concentrated(data, 1) is None


def test_fig5_draws_edges_and_ellipses_through_the_start():
    data = run(5, grid=6, grid_steps=50)
    loss, sharpness, orbit, _ = FIGURES["zhu2022/fig5"].plot(data, None).axes[:4]
    assert loss.get_yscale() == "log"
    for edge in (8, 10, 12):
        (line,) = [line for line in sharpness.lines if line.get_label() == f"2/lr = {edge}"]
        assert list(points(line)[1]) == [pytest.approx(edge)] * 2
    ellipses = [line for line in orbit.lines if line.get_linestyle() == "--"]
    assert len(ellipses) == 3
    for line in ellipses:
        distances = np.hypot(*(points(line) - np.array([[3.6], [0.3]])))
        assert distances.min() < 0.03


# Free entries -------------------------------------------------------------------------------------------------------


def test_free_entries_are_descent_in_numpy():
    data = run(16, num_steps=200)
    np.testing.assert_allclose(data["entries"].values[-1], descend([6, 0.1, 0.4], 0.2, 200), rtol=1e-9)
    ax = FIGURES["zhu2022/fig16"].plot(data, "sharpness").axes[0]
    assert labels(ax)[-1] == "2/lr = 10"
    assert set(labels(FIGURES["zhu2022/fig16"].plot(data, "distance").axes[0])) == {"|x1 - x3|", "|x2 - x3|"}


def test_final_sharpness_of_figure_16_is_the_reference():
    """MIN-C10 through the figure."""
    assert float(run(16)["sharpness"][-1]) == pytest.approx(9.99035670952196, abs=1e-6)


def orbit(tilt):
    """A two-step orbit along a tilted parabola, and a third entry."""
    b = 0.3 * (-0.97) ** np.arange(200)
    entries = np.stack([2 + 3 * b**2, 0.5 + b + tilt * b**2, b], axis=1)
    coords = {"step": range(200)}
    return to_dataset({"entries": entries}, coords=coords)


@pytest.mark.parametrize("tilt", [0.0, 0.5])
def test_a_parabola_is_found_however_tilted(tilt):
    assert free_entries.parabola(orbit(tilt), 1, 0) == pytest.approx(1, abs=0.02)


def test_a_smooth_curve_is_no_parabola():
    data = orbit(0.0)
    smooth = data.assign(entries=abs(data["entries"]))
    assert free_entries.parabola(smooth, 2, 0) == 0


def test_geometric_fall_is_a_correlation_of_minus_one():
    assert free_entries.geometric(0.5 ** np.arange(200.0)) == pytest.approx(-1)
    power_law = free_entries.geometric(1 / np.arange(1.0, 200) ** 2)
    (band,) = [c.band for c in FIGURES["zhu2022/fig16"].claims if c.name == "loss-falls-geometrically"]
    assert power_law is not None
    assert power_law > band[1]
    assert free_entries.geometric(np.full(200, np.nan)) is None


# Noise --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", some([27, 28], 28))
def test_noise_is_recorded_early_at_each_step_and_late_at_every_so_many(number):
    data = run(number, num_steps=1000, every=100, early_steps=150, seeds=2)
    assert data["step"].values.tolist() == [*range(151), *range(200, 1001, 100)]
    assert np.any(data["entries"].isel(seed=0, step=-1) != data["entries"].isel(seed=1, step=-1))
    quiet_run = run(number, num_steps=1000, every=100, early_steps=150, seeds=1, scale=0.0)
    x = np.array([2.6, 0.3])
    for _ in range(150):
        p = x[0] * x[1]
        x = x + 0.2 * (1 - p**2) * p * x[::-1]
    np.testing.assert_allclose(quiet_run["entries"].isel(seed=0).sel(step=150), x, rtol=1e-10)
    axes = FIGURES[f"zhu2022/fig{number}"].plot(data, None).axes
    assert [ax.get_xscale() for ax in axes[:2]] == ["log", "log"]


# Refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (5, {"edges": "12,8"}, r"^edges must be 2 or more ascending numbers; got '12,8'"),
        (5, {"edges": "1.5,3"}, r"^lr must be below 1 at degree 2; got 1.33"),
        (5, {"start": "1,2,3"}, r"^start must have 2 entries; got '1,2,3'"),
        (5, {"grid": 0}, r"^grid must be at least 4; got 0"),
        (11, {"starts": "3.6,0.3; 3"}, r"^entries of starts must be at least 2; got 1"),
        (11, {"starts": "3.6,nan"}, r"^entry of starts must be positive and finite; got nan"),
        (12, {"degree": 5}, r"^degree must be 2, 3 or 4; got 5"),
        (12, {"width": -0.1}, r"^width must be positive"),
        (13, {"x_high": 0.01}, r"^x_high must be above x_low \(0.02\); got 0.01"),
        (14, {"lr": 0.7}, r"^lr must be below 0.6667 at degree 3; got 0.7"),
        (16, {"entries": "6,x"}, r"^entries must be numbers such as"),
        (16, {"entries": "6,0.1; 5,1"}, r"^entries must be one list"),
        (16, {"precision": "float32"}, r"^precision must be float64; got 'float32'"),
        (27, {"scale": -1.0}, r"^scale must be at least 0; got -1.0"),
        (27, {"every": 7}, r"^num_steps must be a multiple of every"),
        (28, {"lr": 0.5}, r"^lr must be below 0.5 at degree 4; got 0.5"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_run_are_refused(number, changes, message):
    figure = FIGURES[f"zhu2022/fig{number}"]
    settings = dataclasses.replace(figure.scales["quick"].settings(None), **changes)
    with pytest.raises(InputError, match=message):
        figure.validate(settings)
