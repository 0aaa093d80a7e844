"""What the claims of the MNIST figures are computed from: one seed's dataset of `mnist.run` -> a number or None."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.agarwala2024.mnist import plans
from precipice.papers.settings import from_json

if TYPE_CHECKING:
    import xarray


def settings_of(dataset: "xarray.Dataset"):
    """The recorded settings."""
    from precipice.papers.agarwala2024.mnist import Settings

    return from_json(Settings, dataset.attrs["parameters"])


def finals(dataset: "xarray.Dataset", name: str) -> np.ndarray:
    """The last measurement [batch_size, lr_ratio]; NaN where the run diverged."""
    return dataset[name].isel(measurement=-1).transpose("batch_size", "lr_ratio").values


def small(dataset: "xarray.Dataset") -> np.ndarray:
    """Which batch sizes count as small [batch_size]: those trained for a number of epochs."""
    return dataset["batch_size"].values <= settings_of(dataset).small_batch


def lr_times_top(dataset: "xarray.Dataset") -> np.ndarray:
    """The learning rate times lambda_max at the end [batch_size, lr_ratio]."""
    return dataset["run_lr"].transpose("batch_size", "lr_ratio").values * finals(dataset, "kernel_top_eigenvalue")


def best(dataset: "xarray.Dataset", values: np.ndarray) -> np.ndarray:
    """`values` [batch_size, lr_ratio] of the run of lowest final loss, for each small batch size that has one."""
    losses, rows = finals(dataset, "training_loss"), []
    for loss, value in zip(losses[small(dataset)], values[small(dataset)], strict=True):
        if np.isfinite(loss).any():
            rows.append(value[np.nanargmin(loss)])
    return np.array(rows)


def disagreement(dataset: "xarray.Dataset", values: np.ndarray, top: float = np.inf) -> float | None:
    """Largest (max - min)/mean over the small batch sizes at one lr/B; of lr/B up to `top` of K at the start."""
    rows = values[small(dataset)]
    if len(rows) < 2:
        return None
    start = dataset["noise_kernel_norm_trace"].isel(measurement=0).transpose("batch_size", "lr_ratio").values[0]
    kept = np.isfinite(rows).all(axis=0) & (start <= top)
    if not kept.any():
        return None
    rows = rows[:, kept]
    return float(np.max((rows.max(axis=0) - rows.min(axis=0)) / rows.mean(axis=0)))


def plateau(dataset: "xarray.Dataset", low: float, high: float) -> float | None:
    """At batch size 1: by which factor lr varies over neighbouring runs that end with K in [low, high]."""
    if dataset["batch_size"].values[0] != 1:
        return None
    norms, ratios = finals(dataset, "noise_kernel_norm")[0], dataset["lr_ratio"].values
    longest, first = 0.0, None
    for i, norm in enumerate(norms):
        if low <= norm <= high:
            first = i if first is None else first
            longest = max(longest, ratios[i] / ratios[first])
        else:
            first = None
    return longest


def survivors(dataset: "xarray.Dataset") -> np.ndarray:
    """Largest lr whose run did not diverge [batch_size]; NaN if all did."""
    lrs = dataset["run_lr"].transpose("batch_size", "lr_ratio").values
    alive = np.isfinite(finals(dataset, "training_loss"))
    return np.array([lr[a].max() if a.any() else np.nan for lr, a in zip(lrs, alive, strict=True)])


def setting_line(settings: dict) -> str:
    """Data, network and training in one clause, from recorded settings."""
    from precipice.papers.agarwala2024.mnist import Settings

    steps = ", ".join(f"{plan.num_steps:,} (B = {plan.batch_size})" for plan in plans(Settings(**settings)))
    return (
        f"{settings['depth']} hidden layers of {settings['width']} erf units (LeCun initialisation), first "
        f"{settings['num_examples']:,} images of {settings['dataset']}, odd against even, ZCA with epsilon "
        f"{settings['zca_epsilon']:g}, mean half squared error; steps: {steps}. Initialisation, epsilon and learning "
        "rates are ours, the paper gives none. K counts one output an example."
    )
