"""Phase portraits and the every-other-step view: fields against a loop, what is drawn, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.quiver import Quiver

from precipice import dynamics, measures, problems
from precipice._checks import InputError
from precipice.figures import phase_portrait, style


@pytest.mark.parametrize("num_steps", [1, 2])
def test_a_field_is_the_map_at_each_point(num_steps):
    process = dynamics.TwoEigenvalueMap(-0.1, [0.5, 1.2])
    x, y = np.array([-0.3, 0.1, 0.4]), np.array([0.5, 1.5])
    found = dynamics.field(process, x, y, num_steps=num_steps)
    for i, t in enumerate(y):
        for j, z in enumerate(x):
            after = (z, t)
            for _ in range(num_steps):
                after = measures.two_eigenvalue_step(*after, -0.1)
            np.testing.assert_allclose((found.dx[i, j], found.dy[i, j]), (after[0] - z, after[1] - t), atol=1e-14)


def test_a_field_of_descent_points_downhill():
    process = dynamics.Descent(problems.ScalarNetwork((1, 1)), dynamics.gradient_descent(0.01))
    found = dynamics.field(process, [0.5, 2.0], [0.5, 2.0])
    gradient = jax.vmap(jax.grad(process.problem.loss))(jnp.array([[0.5, 0.5], [2.0, 2.0]]))
    np.testing.assert_allclose([found.dx[0, 0], found.dx[1, 1]], -0.01 * gradient[:, 0], rtol=1e-9)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (([], [1.0]), r"^x must be a row of at least one finite number; got \[\]\.$"),
        (([1.0], [np.nan]), r"^y must be a row of at least one finite number; got \[nan\]\.$"),
    ],
)
def test_grids_that_are_none(axes, words):
    with pytest.raises(InputError, match=words):
        dynamics.field(dynamics.TwoEigenvalueMap(-0.1, [0.5, 1.2]), *axes)


def test_processes_without_a_plane():
    process = dynamics.Descent(problems.ScalarNetwork((1, 1, 1)), dynamics.gradient_descent(0.1))
    with pytest.raises(InputError, match="must be one array of two numbers"):
        dynamics.field(process, [1.0], [1.0])
    with pytest.raises(InputError, match="num_steps must be at least 1; got 0"):
        dynamics.field(process, [1.0], [1.0], num_steps=0)


def test_a_portrait_is_drawn(tmp_path):
    picture, (ax,) = style.panels(1)
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 3, 4)
    found = dynamics.field(dynamics.TwoEigenvalueMap(-0.1, [0.5, 1.2]), x, y)
    phase_portrait.draw_field(ax, found, signs_only=True)
    phase_portrait.draw_nullclines(ax, {"z": (x, 10 * x), "T": (x, np.full(5, 1.0))})
    phase_portrait.shade_forbidden(ax, x, y, measures.two_eigenvalue_feasible(*np.meshgrid(x, y), -0.1))
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (0, 3))
    first, second = ax.lines
    np.testing.assert_array_equal(np.isnan(first.get_ydata()), [True, True, False, True, True])
    assert (first.get_label(), second.get_label()) == ("z", "T")
    (arrows,) = ax.findobj(Quiver)
    lengths = np.round(np.abs(np.concatenate([getattr(arrows, name) for name in "UV"])), 6)
    assert set(lengths) <= {0.0, 1.0, round(0.5**0.5, 6)}
    style.save(picture, tmp_path / "portrait.png")
    with pytest.raises(InputError, match=r"dx and dy must have shape \(4, 5\)"):
        phase_portrait.draw_field(ax, found._replace(dx=found.dx[:1]))


def test_every_other_step():
    orbit = np.arange(14.0).reshape(7, 2)
    views = measures.every_other(orbit, period=3, first=100)
    assert [view.step.tolist() for view in views] == [[100, 103, 106], [101, 104], [102, 105]]
    for view in views:
        np.testing.assert_array_equal(view.values, orbit[view.step - 100])
    with pytest.raises(InputError, match="period must be at least 1; got 0"):
        measures.every_other(orbit, period=0)
    with pytest.raises(InputError, match=r"at least one step; got shape \(0,\)"):
        measures.every_other(np.zeros(0))
