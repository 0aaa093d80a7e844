"""The monitor's core: readings, history, spacing under made-up clocks, advice against measures, lines, tables."""

import subprocess
import sys

import numpy as np
import pytest

from precipice import measures, monitor, results
from precipice._checks import InputError
from precipice.monitor import History, Line, Rates, Reading, Setting, Spacing


def edge(lr, momentum=0.0, **numbers) -> float:
    return float(np.asarray(measures.heavy_ball_edge(lr, momentum, **numbers)))


SGD = Rates(0.1, edge(0.1))
MOMENTUM = Rates(0.1, edge(0.1, 0.9), momentum=0.9)
ADAM = Rates(0.001, edge(0.001, 0.9, dampening=0.9), momentum=0.9, dampening=0.9)


def setting(**changes):
    return Setting(**({"loss": "squared", "optimiser": "sgd", "batch_size": 32, "num_examples": 1000} | changes))


def history(*values, rates=(SGD,), **changes):
    readings = tuple(Reading(10 * i, rates, one) for i, one in enumerate(values))
    return History(setting(**changes), readings)


# The room


def test_the_core_imports_neither_jax_nor_torch_nor_anything_slow():
    code = (
        "import precipice.monitor, sys; print([m for m in ('jax','torch','matplotlib','xarray') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# Limits: the plain formulas are those of measures


@pytest.mark.parametrize("lr", [0.01, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("curvature", [0.7, 40.0])
def test_the_largest_lr_is_where_the_edge_meets_the_curvature(lr, momentum, decay, curvature):
    rates = Rates(lr, edge(lr, momentum, decoupled_weight_decay=decay), momentum, decoupled_weight_decay=decay)
    largest = lr * monitor.curvature_factor(curvature / rates.edge, [rates])
    assert edge(largest, momentum, decoupled_weight_decay=decay) == pytest.approx(curvature, rel=1e-12)


def test_coupled_decay_lies_in_the_hessian():
    lr, l2, curvature = 0.1, 0.5, 3.0
    threshold = edge(lr)  # of h + l2
    largest = lr * monitor.curvature_factor((curvature + l2) / threshold, [Rates(lr, threshold, weight_decay=l2)])
    assert measures.heavy_ball_edge(largest, weight_decay=l2) == pytest.approx(curvature, rel=1e-12)


@pytest.mark.parametrize("scale", [0.2, 1.0, 6.0])
def test_several_groups_with_decay_err_on_the_safe_side(scale):
    hessian = scale * np.array([[3.0, 1.0], [1.0, 2.0]])
    lrs, decays = np.array([0.3, 0.1]), np.array([2.0, 0.1])

    def top(factor):
        edges = [edge(lr, decoupled_weight_decay=w) for lr, w in zip(factor * lrs, decays, strict=True)]
        root = 1 / np.sqrt(edges)
        return np.linalg.eigvalsh(root[:, None] * hessian * root)[-1]

    rates = [
        Rates(lr, edge(lr, decoupled_weight_decay=w), decoupled_weight_decay=w)
        for lr, w in zip(lrs.tolist(), decays.tolist(), strict=True)
    ]
    assert 0.7 < top(monitor.curvature_factor(top(1.0), rates)) <= 1 + 1e-12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("num_outputs", [1, 10])
def test_the_trace_form_of_k_is_that_of_measures(momentum, num_outputs):
    ours = monitor.trace_noise_kernel_norm([70.0], [Rates(0.02, 1.0, momentum)], batch_size=8, num_outputs=num_outputs)
    theirs = measures.noise_kernel_norm_trace(70.0, lr=0.02, batch_size=8, num_outputs=num_outputs, momentum=momentum)
    assert ours == pytest.approx(float(theirs), rel=1e-12)


@pytest.mark.parametrize("num_training", [8, 20, 10**9])
def test_k_of_a_finite_data_set_is_the_series_of_measures_at_small_rates(num_training):
    lr, eigenvalues = 1e-7, np.array([3.0, 1.0])
    sizes = {"batch_size": 8, "num_training": num_training}
    ours = monitor.trace_noise_kernel_norm([eigenvalues.sum()], [Rates(lr, 1.0, 0.9)], **sizes)
    series = measures.momentum_noise_kernel_norm_series(
        eigenvalues, lr=lr, momentum=0.9, batch_size=8, num_examples=num_training
    )
    assert ours == pytest.approx(float(np.asarray(series)), rel=1e-5)
    if num_training > 8:
        balanced = monitor.balanced_batch_size(0.3, 0.5, [SGD], **sizes)
        assert 0.3 * 2 * (1 / balanced - 1 / num_training) / (1 / 8 - 1 / num_training) == pytest.approx(1)


def test_the_full_batch_gets_no_advice_of_noise():
    full = history(BOTH | {"noise_kernel_norm_estimate": 0.0}, num_training=32)
    assert "K = lr tr/(2 (1 - mu) B) (1 - B/D)" in full.setting.convention
    assert "B = 32 of D = 32 training examples" in full.setting.convention
    assert list(found := by_name(monitor.advice(full))) == ["largest_stable_lr"]
    assert "The batch is all the data: no noise." in found["largest_stable_lr"].caveat
    part = by_name(monitor.advice(history(BOTH, num_training=64)))
    assert part["balanced_batch_size"].value == pytest.approx(1 / (1 / 64 + (1 / 32 - 1 / 64) / 4))
    assert "small part of the data" not in part["noise_limit_lr"].caveat


def test_k_of_a_running_mean_is_the_sum_of_responses():
    """Adam's form m' = b m + (1 - b) g: noise of variance s in g adds lr^2 s/(2 lr h) (1 + O(lr)) to the variance."""
    lr, beta, h, steps = 1e-4, 0.9, 1.0, 200_000
    theta, m, energy = 0.0, 0.0, 0.0
    for step in range(steps):  # the response of theta to a unit kick of the gradient
        m = beta * m + (1 - beta) * (h * theta + (1.0 if step == 0 else 0.0))
        theta -= lr * m
        energy += theta**2
    expected = monitor.trace_noise_kernel_norm([h], [Rates(lr, 1.0, beta, beta)], batch_size=1)
    assert energy * h**2 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("rates", [SGD, MOMENTUM])
def test_at_the_balanced_batch_size_both_limits_are_the_same_lr(rates):
    trace, sharpness, batch = 250.0, 11.0, 16
    norm = monitor.trace_noise_kernel_norm([trace], [rates], batch_size=batch)
    balanced = monitor.balanced_batch_size(norm, sharpness / rates.edge, [rates], batch_size=batch)
    by_curvature = float(measures.first_moment_edge_lr(np.array([sharpness]), momentum=rates.momentum))
    assert 2 * (1 - rates.momentum) * balanced / trace == pytest.approx(by_curvature, rel=1e-12)
    upper = float(measures.trace_edge_lr(trace, batch_size=int(balanced) + 1, momentum=rates.momentum))
    lower = float(measures.trace_edge_lr(trace, batch_size=int(balanced), momentum=rates.momentum))
    assert lower <= by_curvature <= upper


# Advice


BOTH = {"normalised_sharpness": 0.05, "noise_kernel_norm_estimate": 0.2}


def by_name(found):
    return {one.name: one for one in found}


def test_the_range_of_cross_entropy_is_another():
    found = by_name(monitor.advice(history(BOTH, loss="cross-entropy")))
    assert found["lr_range"].value == pytest.approx((0.25, 1.0))
    assert "[0.5, 2]" in found["lr_range"].text
    assert "near 2" in found["noise_limit_lr"].caveat
    assert "half as large" in found["balanced_batch_size"].caveat


def test_the_range_is_cut_where_the_curvature_ends_it():
    found = by_name(monitor.advice(history(BOTH | {"normalised_sharpness": 0.4})))  # largest 0.25; K asks 0.2 to 0.4
    assert found["lr_range"].value == pytest.approx((0.2, 0.25))
    assert "0.2 to 0.25 (cut at the largest stable one by curvature; K would allow 0.4)" in found["lr_range"].text
    assert "puts K into [0.4, 0.5]" in found["lr_range"].text


def test_no_range_is_given_above_the_limit_of_curvature():
    found = by_name(monitor.advice(history(BOTH | {"normalised_sharpness": 1.0})))
    assert "lr_range" not in found
    assert "No range for K is given: it begins at a learning rate of 0.2" in found["largest_stable_lr"].caveat
    alone = by_name(monitor.advice(history({"noise_kernel_norm_estimate": 0.2})))
    assert "the curvature, which may allow less, was not measured" in alone["lr_range"].caveat


def test_no_range_is_given_where_no_paper_has_one():
    assert "lr_range" not in by_name(monitor.advice(history(BOTH, loss="other")))


def test_every_advice_names_loss_estimator_and_convention():
    for one in monitor.advice(history(BOTH)):
        assert "squared" in one.reason
        assert one.caveat.endswith(".")
        if "K" in one.reason:
            assert "K = lr tr/(2 (1 - mu) B)" in one.reason
            assert "Gauss-Newton" in one.reason


def test_the_median_of_k_is_over_the_training():
    values = [{"noise_kernel_norm_estimate": value} for value in (0.1, 0.3, 0.8)]
    assert "median so far 0.3" in by_name(monitor.advice(history(*values)))["lr_range"].text


def test_measured_at_other_steps_and_other_rates_both_count():
    half = Rates(0.05, edge(0.05))
    readings = (
        Reading(0, (SGD,), {"normalised_sharpness": 0.5}),
        Reading(10, (half,), {"noise_kernel_norm_estimate": 0.1}),  # 0.2 at lr 0.1
    )
    found = by_name(monitor.advice(History(setting(), readings)))
    assert found["balanced_batch_size"].value == pytest.approx(32 * 0.2 * 2)


def test_a_group_that_stands_still_is_no_limit():
    frozen, decayed = Rates(0.0, np.inf), Rates(0.1, edge(0.1, decoupled_weight_decay=3.0), decoupled_weight_decay=3.0)
    for sharpness in (0.3, 2.0):
        factor = monitor.curvature_factor(sharpness, [frozen, decayed])
        assert factor == pytest.approx(monitor.curvature_factor(sharpness, [decayed]))
    found = by_name(monitor.advice(history(BOTH, rates=(frozen, SGD), groups=("body", "head"))))
    alone = by_name(monitor.advice(history(BOTH)))
    assert found["largest_stable_lr"].value == alone["largest_stable_lr"].value
    assert found["balanced_batch_size"].value == alone["balanced_batch_size"].value
    assert "in the first moving group" in found["largest_stable_lr"].text


def test_other_groups_are_scaled_alike():
    found = by_name(monitor.advice(history(BOTH, rates=(SGD, Rates(0.3, 5.0)), groups=("body", "head"))))
    assert "(the others, scaled alike: 6)" in found["largest_stable_lr"].text


def test_an_adaptive_optimiser_is_told_of():
    found = by_name(monitor.advice(history(BOTH | {"preconditioned_sharpness": 9.0}, rates=(ADAM,))))
    assert "preconditioner" in found["largest_stable_lr"].caveat
    assert "no paper" in found["noise_limit_lr"].caveat


def test_without_positive_curvature_there_is_no_limit_from_it():
    found = by_name(monitor.advice(history({"normalised_sharpness": -0.1, "noise_kernel_norm_estimate": 0.1})))
    assert found["largest_stable_lr"].value == np.inf
    assert "balanced_batch_size" not in found


@pytest.mark.parametrize(
    "nan", [{"probe_loss": np.nan}, {"probe_loss": np.inf, "normalised_sharpness": np.nan}, {"sharpness": 1.0} | BOTH]
)
def test_a_diverged_run_says_so_before_the_numbers_of_its_last_good_step(nan):
    if "probe_loss" not in nan:
        nan = nan | {"noise_kernel_norm_estimate": np.nan}
    good = BOTH | {"probe_loss": 1.0, "sharpness": 7.0}
    gone = history(good, good, nan, nan)
    first, *rest = monitor.advice(gone)
    assert first.text == (
        "The loss or its curvature is not finite since step 20; all other numbers here are of step 10 or earlier."
    )
    assert (first.name, first.value) == ("not_finite", 20.0)
    assert tuple(rest) == monitor.advice(history(good, good))
    rows = monitor.summary_rows(gone)
    assert rows[1] == ("loss", "not finite since step 20", "numbers below are of step 10 or earlier")
    assert ("sharpness", "7 (step 10)", "largest algebraic Hessian eigenvalue") in rows
    assert monitor.advice(history(good, nan, good)) == monitor.advice(history(good, {}, good))
    assert [one.name for one in monitor.advice(history(nan))] == ["not_finite"]
    assert ("loss", "not finite since step 0", "") in monitor.summary_rows(history(nan))


# Spacing


@pytest.mark.parametrize(
    ("budget", "cost", "every"), [(0.01, 0.5, 10), (0.05, 3.0, 1), (0.3, 0.02, 1), (0.05, 0.01, 10)]
)
def test_the_overhead_stays_in_the_budget(budget, cost, every):
    spacing, step_seconds, steps, worst = Spacing(budget, every), 0.1, [], 0.0
    for step in range(8_000):
        spacing = spacing.trained(step_seconds if step else 0.0)
        if spacing.due(step):
            first = {"seconds": 20.0, "expected": cost} if step == 0 else {"seconds": cost}
            spacing = spacing.measured(step, **first)
            steps.append(step)
            worst = max(worst, spacing.overhead if step else 0.0)
    assert worst <= budget * (1 + 1e-9)
    assert np.diff(steps).min() >= every
    allowed = budget * 8_000 * step_seconds
    paid = min(20.0, allowed / 2)  # half of the budget pays the set-up off
    assert len(steps) - 1 >= min((allowed - paid) / cost, 8_000 / every) * 0.9 - 2  # and the budget is used
    if allowed >= 40:
        assert spacing.total_overhead <= budget * (1 + 1e-9)


@pytest.mark.parametrize("setup", [0.05, 0.5])
def test_readings_are_evenly_spaced_from_the_first_on(setup):
    """4,000 steps of 0.5 ms at 5 %, a warm measurement 10 ms: gaps of 400 steps, at most twice that at first."""
    spacing, steps = Spacing(0.05, 10).measured(1, seconds=setup, expected=0.01), [1]
    for step in range(2, 4_001):
        spacing = spacing.trained(0.0005)
        if spacing.due(step):
            spacing = spacing.measured(step, seconds=0.01)
            steps.append(step)
    assert np.diff(steps).max() <= 802
    assert np.diff(steps).min() >= 399
    assert spacing.overhead <= 0.05
    assert setup > 0.05 or spacing.total_overhead <= 0.05


def test_a_costly_surprise_is_repaid():
    spacing = Spacing(0.1, 1).measured(0, seconds=1.0)
    spent, step = 0.0, 0
    for step in range(1, 4_000):
        spacing = spacing.trained(0.05)
        if spacing.due(step):
            seconds = 5.0 if step > 1_000 and spent < 5 else 0.02
            spent += seconds if seconds == 5.0 else 0.0
            spacing = spacing.measured(step, seconds=seconds)
    assert spent == 5.0
    assert spacing.overhead <= 0.1


def test_next_step_is_when_it_becomes_due():
    spacing = Spacing(0.05, 10).measured(0, seconds=1.0, expected=0.07).trained(0.01)
    step = 1
    for _ in range(5):
        foreseen = spacing.next_step(step)
        while not spacing.due(step):
            step += 1
            spacing = spacing.trained(0.01)
        assert abs(foreseen - step) <= 1
        spacing = spacing.measured(step, seconds=0.07)


def test_nothing_is_measured_before_the_first_step_allowed():
    spacing = Spacing(first=5)
    assert [spacing.due(step) for step in (0, 4, 5)] == [False, False, True]
    assert spacing.next_step(0) == 5


def test_without_a_budget_every_counts():
    spacing, steps = Spacing(None, 7), []
    for step in range(30):
        if spacing.due(step):
            spacing = spacing.measured(step, seconds=100.0)
            steps.append(step)
    assert steps == [0, 7, 14, 21, 28]


# History


def test_a_dataset_has_the_names_of_the_vocabulary_and_survives_the_store(tmp_path):
    two = (SGD, MOMENTUM)
    first = Reading(0, two, {"sharpness": 3.0, "hessian_eigenvalue": (3.0, 2.0)}, {"sharpness": 0.1})
    second = Reading(
        10, two, {"group_trace": (1.0, 2.0), "noise_kernel_norm_estimate": 0.3}, {"group_trace": (0.1, 0.2)}
    )
    full = History(setting(groups=("body", "head")), (first, second))
    full.save(tmp_path / "history.zarr")
    ds = results.open(tmp_path / "history.zarr")
    assert ds["hessian_eigenvalue"].dims == ("step", "eigenvalue")
    assert ds["group_trace_sem"].dims == ("step", "group")
    np.testing.assert_array_equal(ds["hessian_eigenvalue"].values, [[3.0, 2.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(ds["group_trace"].values, [[np.nan, np.nan], [1.0, 2.0]])
    np.testing.assert_array_equal(ds["sharpness_bound"].values, [0.1, np.nan])
    np.testing.assert_array_equal(ds["group_lr"].values, [[0.1, 0.1], [0.1, 0.1]])
    assert ds.attrs["groups"] == "body, head"
    assert all(ds[name].attrs["meaning"] for name in ds.data_vars)


# Phase, lines, tables


def phase_of(sharpness, loss):
    return monitor.phase(
        history(*({"normalised_sharpness": s, "probe_loss": v} for s, v in zip(sharpness, loss, strict=True)))
    )


def test_phases():
    falling = np.linspace(1.0, 0.5, 12)
    assert phase_of(np.linspace(0.1, 0.6, 12), falling) == "progressive sharpening"
    assert phase_of(np.full(12, 1.05), falling) == "edge of stability"
    assert phase_of(np.linspace(0.6, 0.3, 12), falling) == "below the edge, not sharpening"
    assert phase_of(np.linspace(0.9, 2.0, 12), np.linspace(1.0, 3.0, 12)) == "above the edge (catapult)"
    assert phase_of(np.full(12, 1.05), [*falling[:-1], np.nan]) == "divergence"
    assert phase_of([0.1], [1.0]) == "not measured"


def test_a_line_below():
    line = (Line("smallest_hessian_eigenvalue", -1.0, "strong negative curvature", side="below"),)
    values = [{"smallest_hessian_eigenvalue": v} for v in (-0.5, -2.0)]
    assert monitor.crossed(history(*values), line) == (
        "step 10: smallest_hessian_eigenvalue is -2, below -1: strong negative curvature.",
    )
    assert monitor.crossed(history(values[1], values[0]), line) == ()
    assert len(monitor.crossed(history(values[1]), line)) == 1  # begun beyond the line


def test_an_adaptive_optimiser_is_warned_of_after_two_readings():
    lines = monitor.default_lines(setting())
    values = [{"normalised_sharpness": v} for v in (1.2, 0.9, 1.1, 1.2, 1.3, 0.5, 1.1)]
    told = [bool(monitor.crossed(history(*values[:n]), lines, num=2)) for n in range(1, 8)]
    assert told == [False, False, False, True, False, False, False]
    assert len(monitor.crossed(history(*values[2:4]), lines, num=2)) == 1  # begun beyond the line


def test_a_line_looks_past_readings_without_its_value():
    values = [{"normalised_sharpness": 1.2}, {"sharpness": 1.0}, {"normalised_sharpness": 1.3}]
    assert monitor.crossed(history(*values), monitor.default_lines(setting())) == ()


def test_the_summary_tells_all(capsys):
    full = history(BOTH | {"sharpness": 10.0, "probe_loss": 0.3, "batch_sharpness": 12.0}, batch_size=64)
    spacing = Spacing().measured(0, seconds=2.0).trained(10.0).measured(10, seconds=0.2)
    monitor.print_summary(History(full.setting, full.readings, spacing))
    shown = " ".join(capsys.readouterr().out.split())
    parts = ("sharpness", "edge", "K", "phase", "2 % (budget 5 %)", "set-up 2 s", "B = 64 examples", "with set-up 22 %")
    for part in (*parts, "a training of 44 s pays for it; cheaper: a smaller probe set"):
        assert part in shown


def test_the_picture_draws_what_was_measured(tmp_path):
    values = [BOTH | {"sharpness": 10.0 + i, "probe_loss": 1.0 / (i + 1)} for i in range(5)]
    values[3] = values[3] | {"probe_loss": 1e300}
    figure = monitor.picture(history(*values))
    first, second, third = figure.axes
    assert [line.get_label() for line in first.lines] == ["sharpness", "edge"]
    np.testing.assert_allclose(np.asarray(first.lines[1].get_ydata()), 20.0)
    assert np.size(third.lines[0].get_ydata()) == 4
    assert second.get_ylabel() == "stability number (1 is the edge)"
    monitor.save_picture(history(*values), tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_scalars_go_to_any_sink():
    class Writer:
        def __init__(self):
            self.seen = {}

        def add_scalar(self, name, value, step):
            self.seen[name, step] = value

    reading = Reading(
        4, (SGD, ADAM), {"sharpness": 2.0, "group_trace": (1.0, 2.0)}, {"sharpness": 0.1, "group_trace": (0.1, 0.2)}
    )
    found = monitor.scalars(reading, setting(groups=("body", "head")), prefix="")
    assert found["sharpness_bound"] == 0.1
    assert found["lr/head"] == 0.001
    assert found["group_trace_sem/body"] == 0.1
    writer = Writer()
    monitor.to_tensorboard(writer)(found, 4)
    assert writer.seen["group_trace/head", 4] == 2.0


# Bad input, one sentence each


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: setting(loss="hinge"), "loss 'hinge' is unknown"),
        (lambda: setting(batch_size=0), "batch_size must be at least 1; got 0."),
        (lambda: setting(num_training=31), r"num_training must be at least the batch size \(32\); got 31."),
        (
            lambda: monitor.trace_noise_kernel_norm([1.0], [SGD], batch_size=9, num_training=8),
            r"num_training must be at least the batch size \(9\); got 8.",
        ),
        (lambda: setting(groups=("a", "a")), "groups must be at least one name, all different"),
        (lambda: Rates(0.0, 1.0), "lr must be positive and finite; got 0.0."),
        (lambda: Rates(0.1, 1.0, momentum=1.0), r"momentum must lie in \[0, 1\); got 1.0."),
        (lambda: Reading(-1, (SGD,), {}), "step must be at least 0; got -1."),
        (lambda: Rates(0.1, np.inf), "edge must be positive and finite; got inf."),
        (lambda: Rates(0.0, 20.0), "lr must be positive and finite; got 0.0."),
        (lambda: Reading(0, (Rates(0.0, np.inf),), {}), "lr of at least one group must be positive; got 0 in all."),
        (lambda: Reading(0, (), {}), "rates must hold the numbers of at least one group; got none."),
        (lambda: Reading(0, (SGD,), {"sharpnes": 1.0}), "measured value 'sharpnes' is unknown; did you mean sharpness"),
        (lambda: Reading(0, (SGD,), {"sharpness": [1.0]}), r"sharpness must have the axes \(\)"),
        (lambda: Reading(0, (SGD,), {"group_trace": [1.0, 2.0]}), r"group_trace must have the axes \(group\)"),
        (lambda: Reading(0, (SGD,), {}, {"sharpness": 1.0}), "errors must belong to values; got 'sharpness'"),
        (
            lambda: Reading(0, (SGD,), {"probe_loss": 1.0}, {"probe_loss": 1.0}),
            "errors must be of a value that has one",
        ),
        (lambda: history().last, "history must hold at least one reading"),
        (lambda: monitor.advice(history()), "history must hold at least one reading"),
        (lambda: history({}).appended(Reading(0, (SGD,), {})), "step of a reading must be above the one before; got 0"),
        (lambda: history({}, rates=(SGD, SGD)), r"rates must be one a group \(1\); got 2."),
        (lambda: Spacing(budget=0.0), "budget must be positive and finite; got 0.0."),
        (lambda: Spacing(budget=5), "budget must be below 1, a share of the training's time; got 5."),
        (lambda: Spacing(every=0), "every must be at least 1; got 0."),
        (lambda: Spacing(first=-1), "first must be at least 0; got -1."),
        (lambda: Spacing().measured(5, seconds=1.0).measured(4, seconds=1.0), "step must not go back; got 4 after 5."),
        (lambda: Line("loss", 1.0, "x"), "measured value 'loss' is unknown"),
        (lambda: Line("sharpness", np.nan, "x"), "limit must be a number; got nan."),
        (
            lambda: Line(
                "sharpness",
                1.0,
                "x",
                side="over",  # pyright: ignore[reportArgumentType]
            ),
            "side must be 'above' or 'below'; got 'over'.",
        ),
        (lambda: monitor.curvature_factor(np.nan, [SGD]), "normalised_sharpness must be at least -inf; got nan."),
        (lambda: monitor.balanced_batch_size(0.0, 1.0, [SGD], batch_size=1), "noise_kernel_norm must be positive"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
