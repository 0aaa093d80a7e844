"""Claims: how verdicts are reached, and every claim of both figures on datasets whose numbers are known."""

import math

import numpy as np
import pytest

from precipice.figures.claims import FAILS, HOLDS, NOT_EVALUATED, Claim, evaluate
from precipice.papers.agarwala2022 import fig5
from precipice.papers.shapira2023 import fig1
from precipice.papers.shapira2023.fig1.claims import SETTLING_STEPS
from precipice.results import Status, to_dataset
from synthetic import (
    CROSSING,
    EDGE,
    FIG5_STEPS,
    LAST,
    LR,
    LR_OTHER,
    PROBE_STEPS,
    crossings,
    fig1_dataset,
    fig5_dataset,
    oscillation,
    rising,
    sawtooth,
)

# Verdicts -----------------------------------------------------------------------------------------------------------


def edges(*values):
    """A dataset with one number a seed."""
    return to_dataset({"edge": np.array(values)}, coords={"seed": range(len(values))})


def number(dataset):
    value = float(dataset["edge"])
    return None if value < 0 else value


CLAIM = Claim("name", "what is said", "source", (1.0, 2.0), "reason", number)


@pytest.mark.parametrize(
    ("values", "held", "verdict"),
    [
        ((1.5,), 1, HOLDS),
        ((1.0, 2.0, 1.5), 3, HOLDS),
        ((1.5, 1.5, 2.5), 2, HOLDS),
        ((1.5, 2.5, 2.5), 1, FAILS),
        ((1.5, 2.5), 1, FAILS),
        ((2.0 + 1e-9,), 0, FAILS),
        ((-1.0, 1.5, 2.5), 1, FAILS),
        ((-1.0, -1.0, 1.5), 1, HOLDS),
        ((-1.0, -1.0), 0, NOT_EVALUATED),
        ((np.nan,), 0, FAILS),
    ],
    ids=str,
)
def test_a_claim_holds_for_two_thirds_of_the_seeds_that_could_decide(values, held, verdict):
    (found,) = evaluate(edges(*values), (CLAIM,))
    assert (found.held, found.verdict) == (held, verdict)
    np.testing.assert_array_equal(found.measured, [v for v in values if not v < 0])
    assert found.claim is CLAIM


def test_the_value_of_a_verdict_is_the_median():
    assert evaluate(edges(1.0, 1.9, 1.2), (CLAIM,))[0].value == 1.2
    assert math.isnan(evaluate(edges(-1.0), (CLAIM,))[0].value)


def test_a_dataset_without_seeds_is_one_seed():
    (found,) = evaluate(to_dataset({"edge": 1.5}, coords={}), (CLAIM,))
    assert (found.measured, found.verdict) == ((1.5,), HOLDS)


def test_verdicts_come_in_the_order_of_the_claims():
    other = Claim("other", "x", "x", (0.0, 1.0), "x", number)
    assert [v.claim.name for v in evaluate(edges(1.5), (CLAIM, other))] == ["name", "other"]


@pytest.mark.parametrize("figure", [fig1.FIGURE, fig5.FIGURE], ids=lambda f: f.id)
def test_every_claim_says_where_it_is_from_and_why_its_band(figure):
    names = [claim.name for claim in figure.claims]
    assert len(set(names)) == len(names)
    assert figure.main_claim in names
    assert set(figure.claim_panels) == set(names)
    assert set(figure.claim_panels.values()) <= set(figure.panels)
    for claim in figure.claims:
        low, high = claim.band
        assert low < high
        assert claim.says.endswith(".")
        assert min(len(claim.source), len(claim.reason)) > 10


# shapira2023/fig1 ---------------------------------------------------------------------------------------------------


def verdicts(figure, dataset):
    """Claim name to (value, verdict)."""
    return {v.claim.name: (v.value, v.verdict) for v in evaluate(dataset, figure.claims)}


def check(found, name, value, verdict):
    assert found[name][1] == verdict, (name, found[name])
    np.testing.assert_allclose(found[name][0], value, rtol=1e-9)


OTHER = rising(2 / LR_OTHER, 1.05)


def test_fig1_where_all_holds():
    found = verdicts(fig1.FIGURE, fig1_dataset(rising(EDGE, 1.05), OTHER))
    check(found, "progressive-sharpening", 1.0, HOLDS)
    check(found, "reaches-the-edge", CROSSING, HOLDS)
    check(found, "hovering", 1.05, HOLDS)
    check(found, "loss-is-not-monotone", 400 / 1599, HOLDS)
    later = sawtooth()[CROSSING:]
    check(found, "loss-still-falls", later[-160:].mean() / later[:160].mean(), HOLDS)
    check(found, "half-lr-twice-as-sharp", LR_OTHER / LR, HOLDS)


def test_fig1_below_the_edge_never_crosses_and_does_not_hover():
    """The control: a tenth of the learning rate. What happens after the crossing cannot be asked."""
    found = verdicts(fig1.FIGURE, fig1_dataset(rising(EDGE, 1.05, crossing=10 * LAST), OTHER))
    check(found, "hovering", 0.3 + 0.7 / 10, FAILS)
    check(found, "progressive-sharpening", 1.0, HOLDS)
    for name in ("reaches-the-edge", "loss-is-not-monotone", "loss-still-falls", "half-lr-twice-as-sharp"):
        assert found[name][1] == NOT_EVALUATED


@pytest.mark.parametrize(("level", "verdict"), [(0.9, FAILS), (1.0, HOLDS), (1.2, HOLDS), (1.21, FAILS), (3.0, FAILS)])
def test_fig1_hovers_in_its_band_only(level, verdict):
    found = verdicts(fig1.FIGURE, fig1_dataset(rising(EDGE, level), OTHER))
    check(found, "hovering", level, verdict)


def test_fig1_hovering_is_the_median_from_the_crossing_on():
    """Sharpness at the crossing, then alternately at 1.5 and at 0.9 of the edge, more often at 0.9."""
    sharpness = rising(EDGE, 0.9)
    later = np.flatnonzero(PROBE_STEPS > CROSSING)
    sharpness[later[::3]] = 1.5 * EDGE
    check(verdicts(fig1.FIGURE, fig1_dataset(sharpness, OTHER)), "hovering", 0.9, FAILS)


def test_fig1_a_start_above_the_edge_is_no_sharpening():
    sharpness = np.full(len(PROBE_STEPS), 1.1 * EDGE)
    found = verdicts(fig1.FIGURE, fig1_dataset(sharpness, OTHER))
    check(found, "reaches-the-edge", 0, FAILS)
    assert found["progressive-sharpening"][1] == NOT_EVALUATED


def test_fig1_falling_sharpness_is_no_sharpening():
    sharpness = EDGE * np.linspace(0.9, 0.1, len(PROBE_STEPS))
    check(verdicts(fig1.FIGURE, fig1_dataset(sharpness, OTHER)), "progressive-sharpening", -1.0, FAILS)


def test_fig1_the_first_tens_of_steps_may_fall():
    sharpness = rising(EDGE, 1.05)
    sharpness[PROBE_STEPS < SETTLING_STEPS] = EDGE * np.array([0.9, 0.7, 0.5])
    check(verdicts(fig1.FIGURE, fig1_dataset(sharpness, OTHER)), "progressive-sharpening", 1.0, HOLDS)


def test_fig1_a_monotone_loss_and_a_growing_loss():
    falling = fig1_dataset(rising(EDGE, 1.05), OTHER, loss=np.exp(-np.arange(LAST) / 500))
    check(verdicts(fig1.FIGURE, falling), "loss-is-not-monotone", 0.0, FAILS)
    growing = fig1_dataset(rising(EDGE, 1.05), OTHER, loss=sawtooth(later_slope=0.5))
    later = sawtooth(later_slope=0.5)[CROSSING:]
    check(verdicts(fig1.FIGURE, growing), "loss-still-falls", later[-160:].mean() / later[:160].mean(), FAILS)


@pytest.mark.parametrize(("level", "verdict"), [(1.05, HOLDS), (1.15, HOLDS), (1.18, FAILS)])
def test_fig1_twice_as_sharp(level, verdict):
    found = verdicts(fig1.FIGURE, fig1_dataset(rising(EDGE, level), OTHER))
    check(found, "half-lr-twice-as-sharp", 2 * level / 1.05, verdict)


def test_fig1_missing_and_padded_measurements():
    """A run that stopped early is padded with NaN, one that was left out is NaN throughout."""
    sharpness, missing = rising(EDGE, 1.05), np.full(len(PROBE_STEPS), np.nan)
    sharpness[PROBE_STEPS > 1000] = np.nan
    loss = np.where(np.arange(LAST) < 1000, sawtooth(), np.nan)
    found = verdicts(fig1.FIGURE, fig1_dataset(sharpness, missing, loss=loss))
    check(found, "hovering", 1.05, HOLDS)
    check(found, "loss-is-not-monotone", 149 / 599 if found["loss-is-not-monotone"][0] < 0.25 else 150 / 599, HOLDS)
    assert found["half-lr-twice-as-sharp"][1] == NOT_EVALUATED
    nothing = verdicts(fig1.FIGURE, fig1_dataset(missing, missing))
    assert {verdict for _, verdict in nothing.values()} == {NOT_EVALUATED}


def test_fig1_two_of_three_seeds_are_enough():
    good, bad = rising(EDGE, 1.05), rising(EDGE, 1.5)
    two = evaluate(fig1_dataset(np.stack([good, bad, good]), OTHER, seeds=3), fig1.CLAIMS)
    one = evaluate(fig1_dataset(np.stack([good, bad, bad]), OTHER, seeds=3), fig1.CLAIMS)
    hovering = [next(v for v in found if v.claim.name == "hovering") for found in (two, one)]
    assert [(v.held, v.verdict) for v in hovering] == [(2, HOLDS), (1, FAILS)]


@pytest.mark.parametrize("scale", ["quick", "paper"])
@pytest.mark.parametrize("figure", [fig1.FIGURE, fig5.FIGURE], ids=lambda f: f.id)
def test_the_control_changes_the_learning_rate_tenfold_and_is_valid(figure, scale, tmp_path):
    settings = figure.scales[scale].settings(tmp_path)
    control = figure.control(settings)
    np.testing.assert_allclose(control.lr, settings.lr / 10)
    figure.validate(settings)
    figure.validate(control)
    if hasattr(settings, "num_steps"):
        assert control.num_steps == settings.num_steps


# agarwala2022/fig5 --------------------------------------------------------------------------------------------------


def test_fig5_where_all_holds():
    found = verdicts(fig5.FIGURE, fig5_dataset(oscillation(), crossings(3)))
    check(found, "z1-grows", 1.05**60 / np.median(1.05 ** np.arange(10)), HOLDS)
    check(found, "z1-oscillates", 1.0, HOLDS)
    check(found, "every-other-step-is-smooth", 0.0, HOLDS)
    check(found, "lambda1-crosses-more-than-once", 3, HOLDS)
    check(found, "lambda2-stays-below", 0.8, HOLDS)


def test_fig5_a_window_that_diverged_is_not_judged():
    data = fig5_dataset(oscillation(), crossings(3))
    done, lost = (data.assign(status=("seed", np.array([int(s)], np.int8))) for s in (Status.DONE, Status.DIVERGED))
    assert {verdict for _, verdict in verdicts(fig5.FIGURE, done).values()} == {HOLDS}
    assert {verdict for _, verdict in verdicts(fig5.FIGURE, lost).values()} == {NOT_EVALUATED}


def test_fig5_without_oscillation():
    """The control: z1 keeps its sign."""
    found = verdicts(fig5.FIGURE, fig5_dataset(oscillation(sign=1.0, growth=-0.02), crossings(0)))
    check(found, "z1-oscillates", 0.0, FAILS)
    check(found, "lambda1-crosses-more-than-once", 0, FAILS)
    assert found["z1-grows"][1] == FAILS


@pytest.mark.parametrize(
    ("pattern", "turns", "verdict"),
    [([1, -1, 1, -1], 0.0, HOLDS), ([1, 1, -1, -1], 1.0, FAILS), ([1, -1, -1, 1, 1, -1, 1, -1], 0.5, FAILS)],
    ids=["every other step is constant", "every other step jumps", "every other step turns often"],
)
def test_fig5_smoothness_at_every_other_step(pattern, turns, verdict):
    z1 = np.resize(np.array(pattern, float), len(FIG5_STEPS)) * (1 + 1e-3 * FIG5_STEPS)
    value, got = verdicts(fig5.FIGURE, fig5_dataset(z1, crossings(2)))["every-other-step-is-smooth"]
    np.testing.assert_allclose(value, turns, atol=0.03)
    assert got == verdict


def test_fig5_steps_on_which_z1_has_not_grown_do_not_count():
    """Below a hundredth of its later size z1 follows slow drift and keeps its sign."""
    z1 = np.where(FIG5_STEPS < 40, 1e-5, oscillation())
    check(verdicts(fig5.FIGURE, fig5_dataset(z1, crossings(2))), "z1-oscillates", 60 / 61, HOLDS)


@pytest.mark.parametrize(("times", "verdict"), [(1, FAILS), (2, HOLDS), (7, HOLDS)])
def test_fig5_crossings_are_counted(times, verdict):
    found = verdicts(fig5.FIGURE, fig5_dataset(oscillation(), crossings(times)))
    check(found, "lambda1-crosses-more-than-once", times, verdict)


@pytest.mark.parametrize(("lambda2", "verdict"), [(0.5, HOLDS), (0.999, HOLDS), (1.0, FAILS), (1.1, FAILS)])
def test_fig5_second_eigenvalue(lambda2, verdict):
    found = verdicts(fig5.FIGURE, fig5_dataset(oscillation(), crossings(2), lambda2=lambda2))
    check(found, "lambda2-stays-below", lambda2, verdict)


def test_fig5_a_part_of_the_sign_changes_is_not_enough():
    z1 = oscillation()
    z1[:40] = np.abs(z1[:40])
    check(verdicts(fig5.FIGURE, fig5_dataset(z1, crossings(2))), "z1-oscillates", 0.6, FAILS)


def test_fig5_a_window_that_is_too_short_is_not_evaluated():
    z1 = np.where(FIG5_STEPS < 15, oscillation(), np.nan)
    lambda1 = np.where(FIG5_STEPS < 15, crossings(2), np.nan)
    found = verdicts(fig5.FIGURE, fig5_dataset(z1, lambda1, lambda2=np.nan))
    assert {verdict for _, verdict in found.values()} == {NOT_EVALUATED}
