"""Datasets of the figures made by formula, so that every claim's number is known beforehand."""

import dataclasses
import json

import numpy as np

from precipice.papers.agarwala2022 import fig5
from precipice.papers.shapira2023.fig1.settings import digits_settings
from precipice.results import to_dataset

LR, LR_OTHER = 0.05, 0.1
EDGE = 2 / LR
EVERY, CROSSING, LAST = 20, 400, 2000
"""fig1: measured every 20 steps; the edge is reached at step 400."""

PROBE_STEPS = np.arange(0, LAST + 1, EVERY)
STEPS = np.arange(LAST)


def rising(edge, level, *, crossing=CROSSING, start=0.3):
    """Sharpness that grows linearly to the edge at step `crossing` and stays at `level` x edge from there on."""
    growth = edge * (start + (1 - start) * PROBE_STEPS / crossing)
    return np.where(crossing > PROBE_STEPS, growth, np.where(crossing == PROBE_STEPS, edge, level * edge))


def sawtooth(later_slope=-0.5):
    """Loss that falls; from the crossing on it rises at every fourth step while its mean goes on falling."""
    trend = np.exp(-STEPS / 1000) if later_slope < 0 else np.exp(STEPS / 1000)
    return trend * (1 + 0.3 * (STEPS % 4 == 3) * (STEPS >= CROSSING))


def fig1_dataset(sharpness, sharpness_other, *, loss=None, seeds=1, seeds_other=1, settings=None):
    """One dataset of shapira2023/fig1: `sharpness` [probe_step] or [seed, probe_step] at `LR`, and at `LR_OTHER`."""
    settings = settings or dataclasses.replace(
        digits_settings(),
        lr=LR,
        lr_other=LR_OTHER,
        num_steps=LAST,
        num_steps_other=LAST,
        seeds=seeds,
        seeds_other=seeds_other,
    )
    sharp = np.stack([np.broadcast_to(s, (seeds, len(PROBE_STEPS))) for s in (sharpness, sharpness_other)])
    loss = np.broadcast_to(sawtooth() if loss is None else loss, (2, seeds, LAST))
    saved = {
        "loss": loss,
        "hessian_eigenvalue": sharp[..., None],
        "ntk_eigenvalue": 0.9 * sharp[..., None],
        "edge": 2 / np.array([LR, LR_OTHER]),
    }
    coords = {"lr": [LR, LR_OTHER], "seed": range(seeds), "step": STEPS, "probe_step": PROBE_STEPS}
    return _with_attributes(to_dataset(saved, coords=coords), settings)


FIG5_EDGE = 5.0
FIG5_START = 730
FIG5_STEPS = np.arange(101)


def oscillation(growth=0.05, sign=-1.0):
    """z1 of one sign or of alternating signs, its size growing by a factor (1 + growth) a step up to step 60."""
    return sign**FIG5_STEPS * 0.01 * (1 + growth) ** np.minimum(FIG5_STEPS, 60)


def crossings(times=2, height=0.1):
    """lambda_1 / edge: below at first, then on the other side after each of `times` crossings."""
    side = np.searchsorted(np.linspace(20, 90, max(times, 1))[:times], FIG5_STEPS, side="right") % 2
    return 1 + height * np.where(side == 1, 1.0, -1.0)


def fig5_dataset(z1, lambda1, *, lambda2=0.8, seeds=1, start=FIG5_START):
    """One dataset of agarwala2022/fig5; `lambda1` and `lambda2` in units of the edge."""
    settings = dataclasses.replace(fig5.paper_settings(), lr=2 / FIG5_EDGE, window=100, seeds=seeds, dataset="digits")
    both = np.stack(np.broadcast_arrays(lambda1, np.full(len(FIG5_STEPS), lambda2)), axis=-1) * FIG5_EDGE
    saved = {
        "residual_projection": np.broadcast_to(z1, (seeds, len(FIG5_STEPS))),
        "ntk_eigenvalue": np.broadcast_to(both, (seeds, *both.shape)),
        "window_start": np.full(seeds, start),
        "edge": np.full(seeds, FIG5_EDGE),
    }
    return _with_attributes(to_dataset(saved, coords={"seed": range(seeds), "probe_step": FIG5_STEPS}), settings)


def _with_attributes(dataset, settings):
    return dataset.assign_attrs(parameters=json.dumps(dataclasses.asdict(settings)), scale="quick")
