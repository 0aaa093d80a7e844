"""The claims of precipice/adam-edge, each with its measure."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray

SETTLING_STEPS = 50
"""Steps after which the preconditioner has left its start, where it is nearly nothing wherever gradients are small."""


def measured(dataset: "xarray.Dataset", run: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of training number `run` after the preconditioner has settled, finite ones only."""
    one = dataset.isel(lr=run)
    values = one[name].isel(eigenvalue=0) if "eigenvalue" in one[name].dims else one[name]
    values, steps = values.values.astype(float), dataset["probe_step"].values
    kept = np.isfinite(values) & (steps >= SETTLING_STEPS)
    return steps[kept], values[kept]


def late(dataset: "xarray.Dataset", run: int, name: str) -> np.ndarray | None:
    """The values in the last third of the training, or None where there are fewer than five."""
    steps, values = measured(dataset, run, name)
    values = values[steps >= 2 / 3 * float(dataset["step"].values[-1])]
    return values if len(values) >= 5 else None


def _level(dataset: "xarray.Dataset", run: int, name: str) -> float | None:
    values = late(dataset, run, name)
    return None if values is None else float(np.median(values))


def _hovers(dataset: "xarray.Dataset") -> float | None:
    return _level(dataset, 0, "normalised_sharpness")


def _other_hovers(dataset: "xarray.Dataset") -> float | None:
    return _level(dataset, 2, "normalised_sharpness")


def _stays(dataset: "xarray.Dataset") -> float | None:
    values = late(dataset, 0, "normalised_sharpness")
    return None if values is None else float(np.mean((values > 0.8) & (values < 1.25)))


def _begins(dataset: "xarray.Dataset") -> float | None:
    _, values = measured(dataset, 0, "normalised_sharpness")
    return float(values[0]) if len(values) else None


def _ratio(dataset: "xarray.Dataset", name: str) -> float | None:
    """Level of the second training over the first's, times the ratio of learning rates: 1 where it goes as 1/lr."""
    one, other = _level(dataset, 0, name), _level(dataset, 1, name)
    lr, lr_other = dataset["lr"].values[:2]
    return None if one is None or other is None else float(other / one * lr_other / lr)


def _height(dataset: "xarray.Dataset") -> float | None:
    return _ratio(dataset, "preconditioned_sharpness")


def _plain(dataset: "xarray.Dataset") -> float | None:
    return _ratio(dataset, "hessian_eigenvalue")


def _late_losses(dataset: "xarray.Dataset") -> np.ndarray | None:
    losses = dataset["loss"].isel(lr=0).values.astype(float)
    losses = losses[2 * len(losses) // 3 :]
    return losses if len(losses) >= 100 and np.isfinite(losses).all() else None


def _raised(dataset: "xarray.Dataset") -> float | None:
    losses = _late_losses(dataset)
    return None if losses is None else float(np.mean(np.diff(losses) > 0))


def _falls(dataset: "xarray.Dataset") -> float | None:
    losses = _late_losses(dataset)
    return None if losses is None else float(np.mean(losses[-50:]) / np.mean(losses[:50]))


CLAIMS = (
    Claim(
        "hovers-at-the-edge",
        "Adam's preconditioned sharpness comes to 38/lr (beta1 = 0.9) and stays about there.",
        "precipice; Cohen et al. 2022, section 3",
        (0.9, 1.15),
        "median of preconditioned sharpness over its edge in the last third; the edge is that of a fixed "
        "preconditioner, which moves by some per cent within a cycle. A pilot (300 images, one seed) had 1.01",
        _hovers,
    ),
    Claim(
        "stays-there",
        "It does not run away beyond the edge.",
        "precipice; Cohen et al. 2022, section 3",
        (0.9, 1.0),
        "fraction of the measurements in the last third between 0.8 and 1.25 of the edge",
        _stays,
    ),
    Claim(
        "rises-to-it",
        "It begins far below.",
        "precipice; Cohen et al. 2022, section 3",
        (0.0, 0.5),
        "the first measurement after 50 steps, over the edge: a number that is at the edge from the start would say "
        "nothing about training",
        _begins,
    ),
    Claim(
        "half-lr-twice-as-high",
        "Half the learning rate hovers twice as high.",
        "precipice; Cohen et al. 2022, section 3",
        (0.9, 1.15),
        "ratio of the preconditioned sharpness of the second training to the first's in the last third, times the "
        "ratio of learning rates; as for hovers-at-the-edge",
        _height,
    ),
    Claim(
        "beta1-sets-the-factor",
        "With beta1 = 0.5 the edge is 6/lr, not 38/lr.",
        "precipice; derived (measures.adam_edge)",
        (0.9, 1.25),
        "median over 2 (1 + beta1)/((1 - beta1) lr) in the last third of the third training; 38/lr would make it 0.16. "
        "A little wider above: gradient descent itself, without averaging, hovers up to 1.2 times its edge",
        _other_hovers,
    ),
    Claim(
        "plain-sharpness-is-not-held",
        "The sharpness itself is not what the learning rate sets.",
        "precipice; Cohen et al. 2022, section 3",
        (0.4, 0.8),
        "ratio of the plain sharpness of the second training to the first's, times the ratio of learning rates: 1 if "
        "it were held as under gradient descent, 0.5 if the learning rate were nothing to it",
        _plain,
    ),
    Claim(
        "loss-is-not-monotone",
        "At the edge the loss rises at many steps.",
        "precipice; Cohen et al. 2022, section 3",
        (0.1, 0.7),
        "fraction of the steps in the last third that raise it",
        _raised,
    ),
    Claim(
        "loss-still-falls",
        "And falls in the long run.",
        "precipice; Cohen et al. 2022, section 3",
        (0.0, 0.8),
        "mean loss of the last 50 steps over that of the first 50 of the last third",
        _falls,
    ),
)
