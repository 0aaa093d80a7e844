"""The declaration of a study and its axes: what is drawn, what is counted, and every bad input by its words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from precipice import studies
from precipice._checks import InputError
from precipice.results import Variable
from precipice.studies.axes import MOST_VALUES, Axis


def run(key, *, lr, width=1):
    return {"final_loss": lr * width}


def study(**changes):
    fields = {"name": "demo", "run": run, "axes": (Axis("lr", (0.1, 0.2)),), "variables": ("final_loss",)}
    return studies.Study(**(fields | changes))


def untyped(value: Any) -> Any:
    """A value whose type no checker knows."""
    return value


# --- axes


def test_spaced_axes_are_numpy_s():
    assert studies.linear("lr", -1.0, 2.0, 7).values == tuple(np.linspace(-1, 2, 7).tolist())
    assert studies.logarithmic("lr", 1e-3, 10.0, 9).values == tuple(np.geomspace(1e-3, 10, 9).tolist())
    assert studies.counted("seed", 4).values == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda num, seed: studies.uniform("lr", -1.0, 3.0, num, seed=seed), scipy.stats.uniform(-1, 4)),
        (lambda num, seed: studies.log_uniform("lr", 0.01, 10.0, num, seed=seed), scipy.stats.loguniform(0.01, 10)),
        (lambda num, seed: studies.normal("lr", 2.0, 3.0, num, seed=seed), scipy.stats.norm(2, 3)),
    ],
)
def test_drawn_axes_follow_their_law_and_more_draws_keep_the_first(draw, law):
    values = draw(2000, 3).values
    assert scipy.stats.kstest(values, law.cdf).pvalue > 0.01
    assert draw(50, 3).values == values[:50]
    assert draw(50, 4).values != values[:50]


def test_values_become_python_numbers_of_one_type():
    whole, mixed = Axis("seed", untyped(np.arange(3, dtype=np.uint8))), Axis("lr", [1, 2.5])
    assert [type(v) for v in whole.values] == [int] * 3
    assert [type(v) for v in mixed.values] == [float] * 2
    assert (whole.dtype, mixed.dtype) == (np.int64, np.float64)
    assert Axis("lr", untyped(jnp.asarray([0.5, 0.25]))).values == (0.5, 0.25)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Axis("lr", []), "Axis 'lr' must have at least 1 value, each a number; got \\[\\]"),
        (lambda: Axis("lr", untyped(["a", "b"])), "Axis 'lr' must have at least 1 value, each a number; got"),
        (lambda: Axis("lr", untyped([0.1, [0.2]])), "Axis 'lr' must have at least 1 value, each a number; got"),
        (lambda: Axis("lr", untyped(0.1)), "Axis 'lr' must have at least 1 value, each a number; got 0.1"),
        (lambda: Axis("lr", [True, False]), "Axis 'lr' must have at least 1 value, each a number"),
        (lambda: Axis("lr", [0.1, np.nan]), "Axis 'lr' must have finite values; got nan"),
        (lambda: Axis("lr", [0.1, 0.2, 0.1]), "Axis 'lr' must not repeat a value; got 0.1 twice"),
        (lambda: Axis("lr", [0.0, -0.0]), "Axis 'lr' must not repeat a value"),
        (lambda: Axis("learning rate", [0.1]), "name of an axis must be an identifier; got 'learning rate'"),
        (lambda: Axis("seed", [2**63]), "values of axis 'seed' must be at most 9223372036854775807 .what 64 bits hold"),
        (lambda: Axis("seed", range(10**9)), f"values of axis 'seed' must be at most {MOST_VALUES}; got 1000000000"),
        (lambda: studies.counted("seed", 2**31 - 1), f"num of axis 'seed' must be at most {MOST_VALUES}; got 21474"),
        (lambda: studies.linear("lr", 0.0, 1.0, 10**9), f"num of axis 'lr' must be at most {MOST_VALUES}"),
        (lambda: studies.counted("seed", 0), "num of axis 'seed' must be at least 1; got 0"),
        (lambda: studies.linear("lr", 0.0, 1.0, untyped(2.5)), "num of axis 'lr' must be a whole number; got 2.5"),
        (lambda: studies.linear("lr", 1.0, 0.0, 3), "high of axis 'lr' must be at least 1.0; got 0.0"),
        (lambda: studies.linear("lr", 0.0, np.inf, 3), "high of axis 'lr' must be finite; got inf"),
        (lambda: studies.logarithmic("lr", 0.0, 1.0, 3), "low of axis 'lr' must be positive and finite; got 0"),
        (lambda: studies.log_uniform("lr", -1.0, 1.0, 3, seed=0), "low of axis 'lr' must be positive"),
        (lambda: studies.normal("lr", 0.0, 0.0, 3, seed=0), "deviation of axis 'lr' must be positive"),
        (lambda: studies.uniform("lr", 0.0, 1.0, 3, seed=-1), "seed of axis 'lr' must be at least 0; got -1"),
        (lambda: studies.uniform("lr", 0.0, 1.0, 3, seed=untyped(1.5)), "seed of axis 'lr' must be a whole number"),
    ],
)  # fmt: skip
def test_an_axis_that_cannot_be_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


# --- studies


def test_what_a_study_counts():
    axes = (Axis("lr", (0.1, 0.2, 0.3)), Axis("width", (1, 2), splits=True), studies.counted("seed", 5))
    grid = study(axes=axes)
    assert (grid.shape, grid.num_cells, grid.num_programs) == ((3, 2, 5), 30, 2)
    assert grid.keyed == ("lr", "width", "seed")
    assert study(axes=axes, key_axes=["seed"]).keyed == ("seed",)
    assert study(axes=axes, traced=False).num_programs == 0
    assert grid.source == f"{__name__}:run"
    assert studies.with_values(grid, {"seed": [7, 8]}).shape == (3, 2, 2)


def test_any_callable_is_a_run():
    class Doubled:
        def __call__(self, key, *, lr):
            return {"final_loss": 2 * lr}

    for function in (Doubled(), jax.jit(run, static_argnames="width"), lambda key, **values: {"final_loss": 0.0}):
        assert study(run=function).num_cells == 2


OWN = Variable("margin", (), "1", "Margin.", "definition")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "name of a study must be text that is not empty; got ' '"),
        ({"axes": (Axis("lrr", (0.1,)),)}, "axis of study 'demo' 'lrr' is unknown; did you mean lr"),
        ({"axes": (Axis("lr", (0.1,)), Axis("widht", (1,)))}, "'widht' is unknown; did you mean width"),
        ({"settings": {"widht": 3}}, "setting of study 'demo' 'widht' is unknown; did you mean width"),
        ({"settings": {"lr": 0.3}}, "Axes and settings must have names of their own; got 'lr' twice"),
        ({"settings": {"width": jnp.ones(2)}}, "settings"),
        ({"axes": (Axis("lr", (0.1,)), Axis("lr", (0.2,)))}, "names of their own; got 'lr' twice"),
        ({"axes": ()}, "at least 1 axis and 1 variable; got 0 and 1"),
        ({"variables": ()}, "at least 1 axis and 1 variable; got 1 and 0"),
        ({"axes": {"lr": [0.1]}}, "axes of a study must be a list of Axis; got {'lr'"),
        ({"variables": "final_loss"}, "variables of a study must be a list of .*; got 'final_loss'"),
        ({"variables": ("final_los",)}, "Variable 'final_los' is unknown; did you mean final_loss"),
        ({"variables": (OWN, OWN)}, "Axes and variables must have names of their own; got 'margin' twice"),
        ({"variables": ("loss",), "own": {"lr": [1.0]}}, "names of their own; got 'lr' twice"),
        ({"variables": ("loss",), "own": {"step": 3}}, "Axis 'step' must have at least 1 value, each a number; got 3"),
        ({"key_axes": ["sed"]}, "key axis 'sed' is unknown; known: lr"),
        ({"axes": (Axis("width", (1,)),)}, "Argument 'lr' of .*:run must be an axis or a setting; it is neither"),
        ({"run": "numpy:sin"}, "run must be a function; got str"),
        ({"precision": "float16"}, "precision 'float16' is unknown; did you mean float"),
        ({"precision": 32}, "precision 32 is unknown; known: float32, float64"),
        ({"version": 0}, "version of a study must be at least 1; got 0"),
        ({"seed": -1}, "seed of a study must be at least 0; got -1"),
        ({"seed": 0.5}, "seed of a study must be a whole number; got 0.5"),
        ({"traced": "no"}, "traced must be True or False; got 'no'"),
        ({"axes": (Axis("lr", (0.1, 0.1 + 1e-12)),), "precision": "float32"}, "must be distinct, finite numbers in fl"),
        ({"axes": (Axis("lr", (1e300,)),), "precision": "float32"}, "'lr' must be distinct, finite numbers in float32"),
        ({"axes": (Axis("lr", (2**40,)),), "precision": "float32"}, "axis 'lr' must be at most 2147483647 .what 32"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        study(**changes)


def test_with_values_refuses_an_unknown_axis():
    with pytest.raises(InputError, match="axis 'lrr' is unknown; did you mean lr"):
        studies.with_values(study(), {"lrr": [0.3]})
