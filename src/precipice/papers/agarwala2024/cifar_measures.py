"""What the claims of the CIFAR-10 figures are computed from: one seed's dataset of `cifar.run` -> a number or None."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Measure, only_where
from precipice.papers.agarwala2024.cifar_settings import Settings, at_size
from precipice.papers.settings import from_json

if TYPE_CHECKING:
    import xarray


NORM = "momentum_noise_kernel_norm_trace"
LATE = 0.9
"""Of the training: where the schedule has brought the learning rate to a fortieth of its peak."""


def settings_of(dataset: "xarray.Dataset") -> Settings:
    """The recorded settings."""
    return from_json(Settings, dataset.attrs["parameters"])


def only_at_size(measure: Measure) -> Measure:
    """`measure`, and None where network, images or epochs are not the paper's."""
    return only_where(lambda dataset: at_size(settings_of(dataset)), measure)


def alive(dataset: "xarray.Dataset") -> np.ndarray:
    """Which runs did not diverge [batch_size, lr_ratio]."""
    return dataset["diverged_at"].transpose("batch_size", "lr_ratio").values < 0


def courses(dataset: "xarray.Dataset", name: str) -> np.ndarray:
    """A result along each training [batch_size, lr_ratio, measurement]; NaN throughout where it diverged."""
    values = dataset[name].transpose("batch_size", "lr_ratio", "measurement").values
    return np.where(alive(dataset)[..., None], values, np.nan)


def medians(dataset: "xarray.Dataset", name: str = NORM) -> np.ndarray:
    """Median over the measurements [batch_size, lr_ratio]; NaN where the run diverged."""
    return np.median(courses(dataset, name), axis=-1)


def finals(dataset: "xarray.Dataset", name: str) -> np.ndarray:
    """The last measurement [batch_size, lr_ratio]; NaN where the run diverged."""
    return courses(dataset, name)[..., -1]


def lr_times_sharpness(dataset: "xarray.Dataset") -> np.ndarray:
    """lr_t lambda_max [batch_size, lr_ratio, measurement]."""
    return courses(dataset, "scheduled_lr") * courses(dataset, "training_sharpness")


def place(dataset: "xarray.Dataset", fraction: float) -> int:
    """Index of the measurement after this fraction of the training."""
    return round(fraction * (dataset.sizes["measurement"] - 1))


def best(dataset: "xarray.Dataset", name: str) -> int | None:
    """Index of the learning rate whose run, of the first batch size, ends with the lowest value of `name`."""
    ends = finals(dataset, name)[0]
    return int(np.nanargmin(ends)) if np.isfinite(ends).any() else None


def largest_norm(dataset: "xarray.Dataset") -> float | None:
    """The largest K along the runs of the first batch size that do not diverge."""
    found = courses(dataset, NORM)[0]
    return float(np.nanmax(found)) if np.isfinite(found).any() else None


def growth(dataset: "xarray.Dataset", values: np.ndarray) -> float | None:
    """Largest value within the first half over that at the start, of the run of lowest training loss."""
    number = best(dataset, "training_loss")
    if number is None:
        return None
    course = values[0, number]
    if not course[0] > 0:
        return None  # warm-up begins at lr 0
    return float(np.max(course[: place(dataset, 0.5) + 1]) / course[0])


def late_share(dataset: "xarray.Dataset", values: np.ndarray) -> float | None:
    """Value at `LATE` over the largest, of the run of lowest training loss."""
    number = best(dataset, "training_loss")
    return None if number is None else float(values[0, number, place(dataset, LATE)] / np.max(values[0, number]))


def exponent(dataset: "xarray.Dataset") -> float | None:
    """Slope of log median K against log lr over the runs of the first batch size that do not diverge."""
    norms, lrs = medians(dataset)[0], dataset["run_lr"].transpose("batch_size", "lr_ratio").values[0]
    kept = np.isfinite(norms)
    return float(np.polyfit(np.log(lrs[kept]), np.log(norms[kept]), 1)[0]) if kept.sum() > 1 else None


def disagreement(values: np.ndarray) -> np.ndarray:
    """(max - min)/mean over batch sizes [lr_ratio] of values [batch_size, lr_ratio]; NaN where one diverged."""
    return (values.max(axis=0) - values.min(axis=0)) / values.mean(axis=0)


def slow_start(dataset: "xarray.Dataset") -> float | None:
    """Test error halfway at the largest learning rate that does not diverge over the lowest at that time."""
    errors = courses(dataset, "test_error")[0, :, place(dataset, 0.5)]
    kept = errors[np.isfinite(errors)]
    return float(kept[-1] / kept.min()) if len(kept) > 1 else None


def median_of_best_error(dataset: "xarray.Dataset") -> float | None:
    """Median K of the run of the first batch size that ends with the lowest test error."""
    number = best(dataset, "test_error")
    return None if number is None else float(medians(dataset)[0, number])


def cost_of_slowness(dataset: "xarray.Dataset") -> float | None:
    """Final training loss at the smallest learning rate over the lowest of all."""
    losses = finals(dataset, "training_loss")[0]
    return float(losses[0] / np.nanmin(losses)) if np.isfinite(losses).any() else None
