"""What precipice/mnist-second-moment claims of K and of the second moment on a network's kernel."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


def _ratio(dataset: "xarray.Dataset", stage: int) -> float | None:
    """The learning rate of K = 1 over that of radius 1, at the smallest batch size."""
    one = dataset.isel(stage=stage, batch_size=0)
    ratio = float(one["stochastic_edge_lr"] / one["second_moment_edge_lr"])
    return ratio if np.isfinite(ratio) else None


def _at_start(dataset: "xarray.Dataset") -> float | None:
    return _ratio(dataset, 0)


def _at_end(dataset: "xarray.Dataset") -> float | None:
    return _ratio(dataset, 1)


def _at_edge(dataset: "xarray.Dataset") -> "xarray.Dataset | None":
    ones = np.flatnonzero(dataset["relative_lr"].values == 1)
    return dataset.isel(relative_lr=ones[0]) if len(ones) else None


def _norm_at_edge(dataset: "xarray.Dataset") -> float | None:
    found = _at_edge(dataset)
    return None if found is None else float(found["linear_noise_kernel_norm"].isel(batch_size=0).mean())


def _radius_at_edge(dataset: "xarray.Dataset") -> float | None:
    found = _at_edge(dataset)
    return None if found is None else float(abs(found["second_moment_radius"] - 1).max())


def _sides(dataset: "xarray.Dataset") -> float | None:
    others = dataset.isel(relative_lr=dataset["relative_lr"].values != 1)
    right = (others["second_moment_radius"] > 1) == (others["relative_lr"] > 1)
    return float(right.mean()) if right.size else None


CLAIMS = (
    Claim(
        "the-edge-lies-below-K-of-one",
        "On the network's own kernel the second moment grows before K reaches 1.",
        "ours; K neglects pairs of modes (agarwala2024 section 2.3)",
        (1.03, 1.5),
        "at the start and the smallest batch size, the learning rate of K = 1 over that at which the radius of T is 1; "
        "1.03 in the paper's three random settings with entries of unit variance (SEOS-C10). A first try on 250 images "
        "had 1.19",
        _at_start,
    ),
    Claim(
        "and-after-training",
        "So it is after training.",
        "ours",
        (1.0, 1.5),
        "the same for the kernel at the end of the training",
        _at_end,
    ),
    Claim(
        "K-at-the-edge",
        "K at the true edge lies where the paper finds K in its trainings.",
        "ours; agarwala2024 section 4.1 has trainings hover at [0.7, 0.9]",
        (0.6, 1.0),
        "K where the radius is 1, smallest batch size, mean over start and end",
        _norm_at_edge,
    ),
    Claim(
        "the-edge-is-that-of-T",
        "The radius of T is 1 at the edge.",
        "derived; SEOS-4",
        (0.0, 1e-6),
        "largest distance from 1 over stages and batch sizes: a root solve over r at the learning rate that one over "
        "learning rates gave; both rest on the same norm (tests compare it with Lanczos on T, at 100 examples)",
        _radius_at_edge,
    ),
    Claim(
        "T-decides",
        "Below the edge the radius is below 1, and above it above.",
        "SEOS-4",
        (1.0, 1.0),
        "fraction of the other learning rates on the right side",
        _sides,
    ),
)
