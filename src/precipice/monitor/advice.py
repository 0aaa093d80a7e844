"""What follows from the measurements: each advice with its number, its reason and its caveat.

To add one:
1. Write a function ``(history) -> Advice | None`` here, None where what it needs was not measured.
2. Compute its number in `limits.py`, with a test against the formula of `measures`.
3. Enter it in `_ADVICES`; name loss, estimator and convention in its sentences.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from precipice.monitor.history import History
from precipice.monitor.limits import balanced_batch_size, curvature_factor
from precipice.monitor.phase import with_error
from precipice.monitor.reading import Reading

SQUARED_BAND = (0.4, 0.8)
"""Median trace estimate of the best test errors: ResNet-18 on CIFAR-10, squared loss (agarwala2024, figure 6)."""

CROSS_ENTROPY_BAND = (0.5, 2.0)
"""Outside of it inefficient or unstable: ResNet-50 and ViT on ImageNet (agarwala2024, appendix D.7)."""


@dataclass(frozen=True)
class Advice:
    """A sentence to act on.

    Args:
        name: what it is about: ``largest_stable_lr``, ``noise_limit_lr``, ``lr_range``, ``balanced_batch_size``, or
            ``not_finite`` (its value the step).
        value: the number, or (low, high); of the first group that moves where there are several.
        text: the advice.
        reason: the measured numbers and the formula.
        caveat: what it does not know.
    """

    name: str
    value: float | tuple[float, float]
    text: str
    reason: str
    caveat: str

    def __str__(self) -> str:
        return f"{self.text} Why: {self.reason} But: {self.caveat}"


def advice(history: History) -> tuple[Advice, ...]:
    """All advice that the latest measurements allow.

    Where the last of them are not finite, this is said first, and all other advice is of the last reading before.

    Raises:
        InputError: the history holds no reading.

    Example:
        >>> from precipice.monitor.reading import Rates
        >>> from precipice.monitor.setting import Setting
        >>> reading = Reading(9, (Rates(0.1, 20.0),), {"normalised_sharpness": 0.4, "noise_kernel_norm_estimate": 0.2})
        >>> history = History(Setting("squared", "sgd", batch_size=32, num_examples=1000), (reading,))
        >>> for one in advice(history):
        ...     print(one.name, np.round(one.value, 9).tolist())
        largest_stable_lr 0.25
        noise_limit_lr 0.5
        lr_range [0.2, 0.25]
        balanced_batch_size 16.0
    """
    before, first = history.finite_part, not_finite(history)
    found = [one(before) for one in _ADVICES] if before.readings else []
    return tuple(one for one in (first, *found) if one is not None)


def not_finite(history: History) -> Advice | None:
    """That the latest readings are not finite, since when, and of which step all other numbers are; None if they are.

    Raises:
        InputError: the history holds no reading.
    """
    if history.last.finite:
        return None
    before = history.finite_part.readings
    step = history.readings[len(before)].step
    rest = f"all other numbers here are of step {before[-1].step} or earlier" if before else "no earlier one is known"
    return Advice(
        "not_finite",
        float(step),
        f"The loss or its curvature is not finite since step {step}; {rest}.",
        f"the readings from step {step} to {history.last.step} hold NaN or inf.",
        "a loss that overflows in one batch may recover; then measure again.",
    )


def _largest_stable_lr(history: History) -> Advice | None:
    reading, setting = history.latest("normalised_sharpness"), history.setting
    if reading is None or not np.isfinite(reading["normalised_sharpness"]):
        return None
    value, factor = _curvature_limit(reading)
    noise = "The batch is all the data: no noise." if setting.full_batch else "The noise of batches is another limit."
    limit = "no direction of positive curvature sets a limit" if np.isinf(factor) else f"{value:.3g} at most"
    adaptive = "preconditioner" if "preconditioned_sharpness" in reading.values else ""
    return Advice(
        "largest_stable_lr",
        value,
        f"Learning rate: {limit}{_others(reading, factor)}, by the curvature of the mean loss at step {reading.step}.",
        f"the normalised sharpness of {setting.optimiser} is {with_error(reading, 'normalised_sharpness')} (1 is its "
        f"edge; Hessian of the {setting.loss} loss on {setting.num_examples:,} probe examples, {setting.mode}); the "
        f"edge goes as 1/lr.",
        "the sharpness moves towards the edge as training goes on (progressive sharpening), and trainings at the edge "
        "often converge; clipping of gradients or updates, which moves the limit out, is not seen"
        + (f"; it holds for the {adaptive} as it is now, which adapts" if adaptive else "")
        + f". {noise}"
        + _beyond(history, value),
    )


def _noise_limit_lr(history: History) -> Advice | None:
    reading, setting = _noisy(history), history.setting
    if reading is None:
        return None
    value = reading.lr / reading["noise_kernel_norm_estimate"]
    caveat = "the estimate is for small learning rates and eigenvectors that favour no example; the true edge is lower"
    if setting.loss == "cross-entropy":
        caveat = (
            "under cross-entropy the measured threshold of this estimate was near 2, not 1 (agarwala2024, appendix D.7:"
            " ResNet-50, ViT, SGD with momentum)"
        )
    caveat += "."
    if setting.num_training is None:
        caveat += (
            " It is for batches that are a small part of the data (num_training says): the full batch has no noise."
        )
    return Advice(
        "noise_limit_lr",
        value,
        f"Learning rate: {value:.3g} at most{_others(reading, value / reading.lr)}, by the noise of batches of "
        f"{setting.batch_size:,}.",
        f"K is {with_error(reading, 'noise_kernel_norm_estimate')} at step {reading.step} and 1 at the stochastic edge;"
        f" {setting.convention}; K goes as lr.",
        caveat + _untested(reading),
    )


def _lr_range(history: History) -> Advice | None:
    reading, setting, full = _noisy(history), history.setting, _band(history)
    sharp = history.latest("normalised_sharpness")
    measured = sharp is not None and np.isfinite(sharp["normalised_sharpness"])
    largest = _curvature_limit(sharp)[0] if sharp is not None and measured else np.inf
    if reading is None or full is None or full[0] >= largest:
        return None
    value = (full[0], min(full[1], largest))
    now = reading["noise_kernel_norm_estimate"]
    median = float(np.nanmedian(history.row("noise_kernel_norm_estimate")))
    band = tuple(lr * now / reading.lr for lr in value)
    cut = "" if value == full else f" (cut at the largest stable one by curvature; K would allow {full[1]:.3g})"
    unknown = "" if measured else "the curvature, which may allow less, was not measured; "
    source = {
        "squared": "the best test errors of ResNet-18 on CIFAR-10 with squared loss (SGD with momentum, cosine "
        "schedule) had a median trace estimate in [0.4, 0.8] (agarwala2024, figure 6); for the exact K at the end of "
        "training on two-class MNIST the good range was [0.6, 0.8] (figure 5)",
        "cross-entropy": "ResNet-50 and ViT on ImageNet with cross-entropy trained inefficiently below a trace estimate"
        " of 0.5 and unstably above 2 (agarwala2024, appendix D.7)",
    }[setting.loss]
    return Advice(
        "lr_range",
        value,
        f"Learning rate: {value[0]:.3g} to {value[1]:.3g}{cut} puts K into [{band[0]:.3g}, {band[1]:.3g}]; K is "
        f"{now:.2g} now, its median so far {median:.2g}.",
        f"{source}; {setting.convention}.",
        f"{unknown}a range seen in a few trainings, not a law; the trace itself changes with the learning rate over a "
        "training; the papers do not say how they count outputs, which can be a factor of C." + _untested(reading),
    )


def _band(history: History) -> tuple[float, float] | None:
    """The learning rates that put K into the range of the papers, whatever the curvature; None without K or range."""
    reading, bands = _noisy(history), {"squared": SQUARED_BAND, "cross-entropy": CROSS_ENTROPY_BAND}
    if reading is None or history.setting.loss not in bands:
        return None
    low, high = bands[history.setting.loss]
    now = reading["noise_kernel_norm_estimate"]
    return reading.lr * low / now, reading.lr * high / now


def _beyond(history: History, largest: float) -> str:
    """That no `lr_range` is given, where it lies above the limit of curvature."""
    band = _band(history)
    if band is None or band[0] < largest:
        return ""
    return f" No range for K is given: it begins at a learning rate of {band[0]:.3g}, above this limit."


def _curvature_limit(reading: Reading) -> tuple[float, float]:
    """The largest stable learning rate by curvature, and the factor that leads to it."""
    factor = curvature_factor(reading["normalised_sharpness"], reading.rates)
    return reading.lr * factor, factor


def _balanced_batch_size(history: History) -> Advice | None:
    reading, setting = _noisy(history), history.setting
    sharp = history.latest("normalised_sharpness")
    if reading is None or sharp is None or not sharp["normalised_sharpness"] > 0:
        return None
    now = reading["noise_kernel_norm_estimate"] * sharp.lr / reading.lr  # where the two were measured at other steps
    sizes = {"batch_size": setting.batch_size, "num_training": setting.num_training}
    value = balanced_batch_size(now, sharp["normalised_sharpness"], sharp.rates, **sizes)
    law = "lr/B" if setting.num_training is None else "lr (1/B - 1/D)"
    first = "noise" if setting.batch_size < value else "curvature"
    caveat = "both limits move as training goes on, and the estimate of K is one for small learning rates."
    if setting.loss == "cross-entropy":
        half = "half as large" if setting.num_training is None else "about half as large where that is far below D"
        caveat += f" If the threshold of K is 2, as measured under cross-entropy, this batch size is {half}."
    return Advice(
        "balanced_batch_size",
        value,
        f"Batch size: at about {value:.3g} examples noise and curvature limit the learning rate alike; at the present "
        f"{setting.batch_size:,} the first limit is {first}.",
        f"K {with_error(reading, 'noise_kernel_norm_estimate')} goes as {law} and the normalised "
        f"sharpness {with_error(sharp, 'normalised_sharpness')} as lr: both are 1 at that B; {setting.convention}.",
        caveat + _untested(reading),
    )


def _noisy(history: History) -> Reading | None:
    """The latest reading with a usable K: not of the full batch, whose K is 0."""
    reading = history.latest("noise_kernel_norm_estimate")
    usable = reading is not None and 0 < reading["noise_kernel_norm_estimate"] < np.inf
    return reading if usable else None


def _others(reading: Reading, factor: float) -> str:
    """What the other groups' learning rates become."""
    if len(reading.rates) == 1 or np.isinf(factor):
        return ""
    place = "first" if reading.first == 0 else "first moving"
    others = ", ".join(f"{rates.lr * factor:.3g}" for rates in reading.rates[reading.first + 1 :])
    return f" in the {place} group (the others, scaled alike: {others})"


def _untested(reading: Reading) -> str:
    if "preconditioned_sharpness" not in reading.values:
        return ""
    return " For an adaptive optimiser K is our extension (preconditioner held fixed); no paper has tested its range."


_ADVICES: tuple[Callable[[History], Advice | None], ...] = (
    _largest_stable_lr,
    _noise_limit_lr,
    _lr_range,
    _balanced_batch_size,
)
