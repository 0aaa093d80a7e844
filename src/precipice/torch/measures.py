"""The monitor's measures: functions of a `Moment` that give vocabulary names to numbers, with their errors.

To add one:
1. Name its result in `results/monitor_vocabulary.py`, its error beside it.
2. Write a function ``(moment) -> Found`` here; solve through `moment.eigs`, so that it begins where it ended.
3. Add a row to `tests/torch_bench/test_measures.py`: the dense truth of its number.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from precipice.monitor import trace_noise_kernel_norm
from precipice.torch import batch_measures
from precipice.torch.critical import critical_sharpness as search_critical
from precipice.torch.critical import next_update
from precipice.torch.hessian import Operator
from precipice.torch.losses import OutputLoss
from precipice.torch.moment import Found, Moment
from precipice.torch.operators import Block, Scaled, root_of
from precipice.torch.traces import gauss_newton_samples, part_traces, trace

Measure = Callable[[Moment], Found]
"""A measure of the monitor."""


def sharpness(moment: Moment) -> Found:
    """The largest algebraic Hessian eigenvalues of the mean loss; the first is the sharpness."""
    found = moment.eigs("hessian", moment.hessian)
    num = min(moment.accuracy.num, moment.objective.size)
    values = {
        "sharpness": float(found.values[0]),
        "hessian_eigenvalue": found.values[:num],
        "hessian_products": found.num_products,
        "hessian_converged": float(found.converged),
    }
    return Found(values, {"sharpness": float(found.bounds[0]), "hessian_eigenvalue": found.bounds[:num]})


def normalised_sharpness(moment: Moment) -> Found:
    """The largest eigenvalue of S^1/2 (H + l2 I) S^1/2: 1 at the optimiser's edge.

    Without a preconditioner and with one edge it is (sharpness + l2)/edge, from the solve of `sharpness`, which is
    reported too. Of an adaptive optimiser with one edge, `preconditioned_sharpness` is edge times it.
    """
    rule = moment.rule
    if rule.uniform:
        plain, first = sharpness(moment), rule.entries[0]
        scale = 1 / first.edge
        value = (plain.values["sharpness"] + first.decay) * scale
        return Found(
            {**plain.values, "normalised_sharpness": value},
            {**plain.errors, "normalised_sharpness": plain.errors["sharpness"] * scale},
        )
    found = moment.eigs("scaled hessian", moment.scaled_hessian)
    value, bound = float(found.values[0]), float(found.bounds[0])
    spent = {"hessian_products": found.num_products, "hessian_converged": float(found.converged)}
    preconditioned = _preconditioned(moment, value, bound) if rule.adaptive else Found({}, {})
    return Found(
        {"normalised_sharpness": value, **spent, **preconditioned.values},
        {"normalised_sharpness": bound, **preconditioned.errors},
    )


def _preconditioned(moment: Moment, value: float, bound: float) -> Found:
    edges = {rates.edge for rates in moment.rule.rates if rates.lr}
    if len(edges) == 1:
        (edge,) = edges
        value, bound = value * edge, bound * edge
    else:
        op = Scaled(moment.hessian, moment.rule.metric, moment.rule.decay)
        found = moment.eigs("preconditioned hessian", op)
        value, bound = float(found.values[0]), float(found.bounds[0])
    return Found({"preconditioned_sharpness": value}, {"preconditioned_sharpness": bound})


def group_normalised_sharpness(moment: Moment) -> Found:
    """`normalised_sharpness` of each group's own block: at most that of all groups together."""
    return _blocks(moment, "group_normalised_sharpness", moment.scaled_hessian)


def group_sharpness(moment: Moment) -> Found:
    """The largest eigenvalue of each group's own block of the Hessian; other parts: `Block`, `Objective.indices`."""
    return _blocks(moment, "group_sharpness", moment.hessian)


def _blocks(moment: Moment, name: str, op: Operator) -> Found:
    """The largest eigenvalue of each group's block; NaN for a group that holds none of the measured parameters."""
    found, groups = [], moment.rule.groups
    for index in range(len(moment.rule.rates)):
        indices = torch.arange(op.size) if groups is None else (groups == index).nonzero()[:, 0]
        found.append(moment.eigs(f"{name} {index}", Block(op, indices)) if len(indices) else None)
    values = [float(f.values[0]) if f else np.nan for f in found]
    bounds = [float(f.bounds[0]) if f else np.nan for f in found]
    return Found({name: values}, {name: bounds})


def smallest_eigenvalue(moment: Moment) -> Found:
    """The smallest algebraic Hessian eigenvalue."""
    found = moment.eigs("smallest", moment.hessian, num=1, end="smallest")
    name = "smallest_hessian_eigenvalue"
    return Found({name: float(found.values[0])}, {name: float(found.bounds[0])})


def gauss_newton_eigenvalues(moment: Moment) -> Found:
    """The largest eigenvalues of the Gauss-Newton matrix."""
    found, num = moment.eigs("gauss newton", moment.gauss_newton), min(moment.accuracy.num, moment.objective.size)
    name = "gauss_newton_eigenvalue"
    return Found({name: found.values[:num]}, {name: found.bounds[:num]})


def hessian_trace(moment: Moment) -> Found:
    """The trace of the Hessian by random signs."""
    found = trace(moment.hessian, num=moment.accuracy.num_samples, seed=moment.accuracy.seed)
    return Found({"hessian_trace": float(found.value)}, {"hessian_trace": float(found.sem)})


def noise_kernel_norm(moment: Moment) -> Found:
    """K by its trace form, summed over groups, and the traces that it is made of.

    The trace is that of the Gauss-Newton matrix where the loss is split at the outputs, else of the Hessian (the
    setting says which), preconditioned for an adaptive optimiser. The directions of `normalised_sharpness` are summed
    exactly, random signs sample the rest.
    """
    rule, setting = moment.rule, moment.setting
    split, samples = isinstance(moment.objective.loss, OutputLoss), _trace_samples(moment)
    samples = samples * [float(rates.lr > 0) for rates in rule.rates]  # exactly 0 where the group stands still
    sizes: Any = {name: getattr(setting, name) for name in ("batch_size", "num_outputs", "num_training")}
    norms = [trace_noise_kernel_norm(row, rule.rates, **sizes) for row in samples]
    whole = "gauss_newton_trace" if split else "hessian_trace"
    means, sems = samples.mean(0), _sem(samples)
    values = {"noise_kernel_norm_estimate": float(np.mean(norms)), "group_trace": means}
    errors = {"noise_kernel_norm_estimate": float(_sem(np.array(norms))), "group_trace": sems}
    if not rule.adaptive:
        values[whole], errors[whole] = float(means.sum()), float(_sem(samples.sum(1)))
    return Found(values, errors)


def _trace_samples(moment: Moment) -> np.ndarray:
    """[num_samples, groups] of the trace's shares; see `part_traces`."""
    rule, accuracy, memory = moment.rule, moment.accuracy, moment.memory
    vectors = memory.vectors.get("hessian" if rule.uniform else "scaled hessian")
    number = memory.counts.get("trace", 0)
    memory.counts["trace"] = number + 1
    options: Any = {"num": accuracy.num_samples, "seed": accuracy.seed + number, "deflate": vectors}
    split, groups = isinstance(moment.objective.loss, OutputLoss), rule.groups
    if split and groups is None:
        return gauss_newton_samples(moment.gauss_newton, root_of(rule.metric, moment.gauss_newton), **options)
    op = Scaled(moment.gauss_newton if split else moment.hessian, rule.metric)
    return part_traces(op, groups, num_parts=len(rule.rates), **options)


def batch_sharpness(moment: Moment) -> Found:
    """The curvature of each probe batch along its own gradient, averaged; NaN where such a gradient is zero.

    Left out, with one warning, where the probe's batches are not of the training's size (`chunk`, accumulation, DDP),
    or fewer than two.
    """
    objective = moment.objective
    if reason := batch_measures.other_size(objective, moment.setting.batch_size) or batch_measures.too_few(
        objective, "batch sharpness", 2
    ):
        return _left_out(moment, "batch_sharpness", reason)
    found = batch_measures.batch_sharpness(moment.objective)
    return Found({"batch_sharpness": float(found.value)}, {"batch_sharpness": float(found.sem)})


def gradient_noise_scale(moment: Moment) -> Found:
    """tr(Sigma)/|G|^2, in examples; left out, with one warning, where the probe has fewer than three batches."""
    if reason := batch_measures.too_few(moment.objective, "gradient noise scale", 3):
        return _left_out(moment, "gradient_noise_scale", reason)
    found = batch_measures.gradient_noise_scale(moment.objective)
    return Found({"gradient_noise_scale": float(found.value)}, {"gradient_noise_scale": float(found.sem)})


def _left_out(moment: Moment, name: str, reason: str) -> Found:
    if f"{name} left out" not in moment.memory.counts:
        warnings.warn(f"{name} is left out: {reason}", UserWarning, stacklevel=3)
    moment.memory.counts[f"{name} left out"] = 1
    return Found({}, {})


def critical_sharpness(moment: Moment) -> Found:
    """2/lr_c along the optimiser's next update at the probe's gradient; the search begins at the last lr_c."""
    model, objective = moment.objective.model, moment.objective
    named = dict(model.named_parameters())
    targets = [named[name] for name in objective.names]
    direction = next_update(moment.optimizer, targets, objective.split(moment.hessian.gradient))
    start = moment.memory.numbers.get("critical lr", next(rates.lr for rates in moment.rule.rates if rates.lr))
    found = search_critical(objective, direction, lr=start)
    if 0 < found.value < np.inf:
        moment.memory.numbers["critical lr"] = 2 / found.value
    return Found({"critical_sharpness": found.value}, {"critical_sharpness": found.bound})


def _sem(samples: np.ndarray) -> np.ndarray:
    return samples.std(axis=0, ddof=1) / len(samples) ** 0.5


DEFAULT: tuple[Measure, ...] = (normalised_sharpness, noise_kernel_norm)
EVERYTHING: tuple[Measure, ...] = (
    normalised_sharpness,
    sharpness,
    smallest_eigenvalue,
    group_normalised_sharpness,
    group_sharpness,
    noise_kernel_norm,
    hessian_trace,
    batch_sharpness,
    gradient_noise_scale,
    critical_sharpness,
)
