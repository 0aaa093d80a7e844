"""The claims of shapira2023/fig2, each with its measure."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


def displacements(dataset: "xarray.Dataset") -> tuple[np.ndarray, np.ndarray, dict]:
    """(x, y) at the steps that are finite, and the settings."""
    from precipice.figures import style

    x, y = dataset["top_displacement"].values.astype(float), dataset["excess_sharpness"].values.astype(float)
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite], style.parameters(dataset)


def returns(y: np.ndarray) -> np.ndarray:
    """The steps at which the excess sharpness rises above 0 again."""
    return np.flatnonzero((y[1:] > 0) & (y[:-1] <= 0))[1:] + 1


def first_peak(y: np.ndarray) -> int | None:
    """The step of the first local maximum of the excess sharpness, or None."""
    found = np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:]))
    return int(found[0]) + 1 if len(found) else None


def _number_of_returns(dataset: "xarray.Dataset") -> float | None:
    _, y, _ = displacements(dataset)
    return float(len(returns(y))) if len(y) >= 10 else None


def _grows_where_unstable(dataset: "xarray.Dataset") -> float | None:
    x, y, _ = displacements(dataset)
    moved = y[:-1] != 0
    return float(np.mean(((np.abs(x[1:]) > np.abs(x[:-1])) == (y[:-1] > 0))[moved])) if moved.any() else None


def _in_order(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    x, y, settings = displacements(dataset)
    large = np.abs(x) > measures.turning_displacement(settings["alpha"], settings["beta"])
    phase = np.where(y > 0, np.where(large, 1, 0), np.where(large, 2, 3))
    moves = np.diff(phase)[np.diff(phase) != 0] % 4
    return float(np.mean(moves == 1)) if len(moves) >= 4 else None


def _alternates(dataset: "xarray.Dataset") -> float | None:
    x, _, _ = displacements(dataset)
    return float(np.mean(x[1:] * x[:-1] < 0)) if len(x) >= 10 else None


def _turns_at(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    x, y, settings = displacements(dataset)
    peak = first_peak(y)
    if peak is None:
        return None
    return float(np.abs(x[peak]) / measures.turning_displacement(settings["alpha"], settings["beta"]))


def _peak_height(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    _, y, settings = displacements(dataset)
    peak, law = first_peak(y), measures.peak_excess(settings["x"], settings["alpha"], settings["beta"])
    return None if peak is None or not law else float(y[peak] / law)


CLAIMS = (
    Claim(
        "returns",
        "The excess sharpness falls below 0 and comes back: the four phases repeat.",
        "shapira2023 figure 2e, 2f",
        (2, np.inf),
        "times that y rises above 0 again; two show a cycle that repeats",
        _number_of_returns,
    ),
    Claim(
        "grows-where-unstable",
        "x grows exactly while the sharpness is above 2/lr.",
        "shapira2023 figure 2b, 2d; REV-5",
        (1.0, 1.0),
        "fraction of the steps on which |x| grows if and only if y > 0; exact for y > -1/lr",
        _grows_where_unstable,
    ),
    Claim(
        "phases-in-order",
        "The four phases follow each other in order.",
        "shapira2023 figure 2a to 2d",
        (1.0, 1.0),
        "fraction of the changes of phase (y above or below 0, |x| below or above sqrt(2 alpha/beta)) that lead to the "
        "next one: small x at y > 0, large x at y > 0, large x at y < 0, small x at y < 0",
        _in_order,
    ),
    Claim(
        "alternates",
        "x changes its sign at every step.",
        "shapira2023 figure 2b; REV-6",
        (1.0, 1.0),
        "fraction of the steps on which x changes sign",
        _alternates,
    ),
    Claim(
        "turns-at-sqrt-2-alpha-over-beta",
        "Sharpness begins to fall once |x| passes sqrt(2 alpha/beta).",
        "shapira2023 figure 2c; REV-5",
        (0.9, 1.1),
        "|x| at the first peak of y over sqrt(2 alpha/beta); one step changes |x| by lr y, 4 % here",
        _turns_at,
    ),
    Claim(
        "peak-height",
        "The peak of the excess sharpness is that of the cycle in the limit of small steps.",
        "shapira2023 definition 4.1; law derived (REV-7)",
        (0.97, 1.03),
        "first peak over its law; the map spirals outwards by about 1 % a cycle at this learning rate",
        _peak_height,
    ),
)
