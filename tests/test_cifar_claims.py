"""What the claims of agarwala2024's CIFAR-10 figures measure, on made sweeps of known numbers."""

import dataclasses
import json

import numpy as np
import pytest

from long_rows import some
from precipice.figures.claims import NOT_EVALUATED, evaluate
from precipice.papers.agarwala2024 import cifar_measures, cifar_settings, fig6, fig11, fig12, fig13, fig14, fig15
from precipice.results import to_dataset

FIGURES = [module.FIGURE for module in (fig6, fig11, fig12, fig13, fig14, fig15)]


def verdict(figure, name, data):
    (found,) = [v for v in evaluate(data, figure.claims) if v.claim.name == name]
    return found


def value(figure, name, data) -> float:
    found = verdict(figure, name, data)
    assert found.verdict != NOT_EVALUATED, name
    return found.value


def is_evaluated(figure, name, data):
    return verdict(figure, name, data).verdict != NOT_EVALUATED


def made(settings, **changes):
    """Two batch sizes, two learning rates and eleven measurements: K doubles, the schedule halves it, lr is linear."""
    lrs = np.array([[0.1, 0.2], [0.2, 0.4]])
    shape = (2, 2, 1, 11)
    course = np.array([1, 2, 4, 4, 4, 4, 4, 4, 3, 0.4, 0.0])
    norms = lrs[:, :, None, None] / np.array([1, 2])[:, None, None, None] * course
    saved = {
        "momentum_noise_kernel_norm_trace": norms,
        "training_loss": np.broadcast_to(np.array([[3.0, 1.0], [3.0, 1.0]])[:, :, None, None], shape),
        "test_error": np.broadcast_to(np.array([[0.4, 0.8], [0.5, 0.8]])[:, :, None, None], shape),
        "kernel_trace": np.broadcast_to(np.array([1, 2, 3, 4, 5, 5, 6, 7, 6, 6, 6.0]), shape),
        "kernel_trace_sem": np.zeros(shape),
        "training_hessian_trace": np.broadcast_to(np.array([2, 2, 3, 4, 5, 5, 6, 3.5, 6, 6, 6.0]), shape),
        "training_hessian_trace_sem": np.zeros(shape),
        "training_sharpness": np.broadcast_to(np.array([1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4.0]), shape),
        "scheduled_lr": np.broadcast_to(np.linspace(0.5, 0, 11), shape),
        "run_lr": lrs[..., None],
        "num_params": np.full((2, 2, 1), 2e4),
        "diverged_at": np.full((2, 2, 1), -1),
    } | changes
    coords = {"batch_size": [1, 2], "lr_ratio": [0.1, 0.2], "seed": [0], "measurement": range(11)}
    return to_dataset(saved, coords=coords).assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)))


def test_numbers_of_claims_on_made_sweeps():
    data = made(fig6.paper_settings())
    wanted = {
        (fig6, "K-reaches-order-one"): 0.8,
        (fig6, "K-rises-early"): 4.0,
        (fig6, "K-falls-late"): 0.1,
        (fig6, "K-moves-less-than-the-learning-rate"): 1.0,
        (fig6, "small-learning-rates-are-slow"): 3.0,
        (fig6, "large-learning-rates-are-slow-at-first"): 2.0,
        (fig6, "best-error-at-moderate-K"): 0.4,
        (fig11, "K-depends-on-the-ratio"): 0.0,
        (fig11, "K-grows-with-the-ratio"): 1.0,
        (fig11, "errors-agree-across-batches"): 0.0,
        (fig12, "trace-rises"): 6.0,
        (fig12, "trace-rises-as-the-learning-rate-falls"): 1.2,
        (fig12, "trace-falls-at-the-end"): 6 / 7,
        (fig13, "sharpness-rises-early"): 4.0,
        (fig13, "below-the-edge"): 1.6,
        (fig13, "falls-with-the-schedule"): 0.05 * 4 / 1.6,
        (fig13, "plateau"): 1.0,
        (fig14, "the-ratio-to-the-kernel-wanders"): 1.5,
        (fig14, "no-estimate-of-K"): 1.0,
        (fig14, "L2-dominates"): 10 / 15,
        (fig15, "far-from-the-edge"): 1.6,
    }
    for (module, name), number in wanted.items():
        np.testing.assert_allclose(value(module.FIGURE, name, data), number, err_msg=name)
    mixer = made(fig15.paper_settings())
    np.testing.assert_allclose(value(fig15.FIGURE, "K-stays-in-a-narrow-range", mixer), 2.0)
    np.testing.assert_allclose(value(fig15.FIGURE, "best-at-intermediate-K", mixer), 0.0)


def test_claims_that_need_scale_are_not_evaluated_without():
    small = made(dataclasses.replace(fig6.paper_settings(), num_examples=30_000))
    assert not is_evaluated(fig6.FIGURE, "best-error-at-moderate-K", small)
    assert is_evaluated(fig6.FIGURE, "K-reaches-order-one", small)


def test_chance_cannot_make_the_traces_differ():
    """tr(H)/tr(Theta) is 2 first and 1/2 where the kernel is 7: errors of 0.05 and 0.7 move the ends by 0.1 and 0.2."""
    sem = np.zeros((2, 2, 1, 11))
    sem[..., 0], sem[..., 7] = 0.05, 0.7
    data = made(fig14.paper_settings(), training_hessian_trace_sem=sem)
    np.testing.assert_allclose(value(fig14.FIGURE, "the-ratio-to-the-kernel-wanders", data), 1.9 - 0.7)
    np.testing.assert_allclose(value(fig14.FIGURE, "no-estimate-of-K", data), 0.9)
    subset = dataclasses.replace(fig14.paper_settings(), kernel_examples=500)
    data = made(subset, kernel_trace_sem=np.full((2, 2, 1, 11), 0.1))
    np.testing.assert_allclose(value(fig14.FIGURE, "no-estimate-of-K", data), 1 - 2 * 2 * 0.1)


def test_diverged_runs_do_not_count():
    data = made(fig6.paper_settings(), diverged_at=np.array([[[-1], [7]], [[-1], [-1]]]))
    np.testing.assert_allclose(cifar_measures.medians(data.isel(seed=0))[0], [0.4, np.nan])
    np.testing.assert_allclose(value(fig6.FIGURE, "small-learning-rates-are-slow", data), 1.0)


def test_controls_of_one_learning_rate_and_of_one_for_all_batch_sizes():
    slow = fig6.FIGURE.control(fig6.quick_settings())
    assert (slow.lr_ratios, slow.seeds) == ("0.000416667", 1)
    alike = fig11.FIGURE.control(fig11.quick_settings())
    lrs = [cifar_settings.plan_of(alike, batch, 0.1).lr for batch in (2, 8)]
    assert (alike.lr_ratios, lrs) == ("0.000195313, 0.00078125", [0.2, 0.2])


@pytest.mark.parametrize("figure", some(FIGURES, fig11.FIGURE, fig15.FIGURE), ids=lambda f: f.stem)
def test_pictures_of_a_made_sweep(figure):
    data = made(figure.scales["paper"].settings(None))
    assert {claim.name for claim in figure.claims} == set(figure.claim_panels)
    assert set(figure.claim_panels.values()) <= set(figure.panels)
    picture = figure.picture(data)
    drawn = [ax for ax in picture.axes if ax.get_title()]
    assert len(drawn) == len(figure.panels)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in drawn)
    words = " ".join(picture.get_supxlabel().split())
    assert "first 50,000 training images of cifar10" in words
    assert "C = 10 outputs each" in words
    assert [ax.get_title() for ax in figure.picture(data, figure.panels[-1]).axes][:1] == [drawn[-1].get_title()]
