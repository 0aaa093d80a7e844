"""The claims of zhu2022/fig6, each with its measure."""

from typing import TYPE_CHECKING

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray


def scaled(dataset: "xarray.Dataset"):
    """(A = a kappa, b) of the trajectory at its saved steps, those that are finite."""
    import numpy as np

    from precipice.figures import style

    a, b = dataset["offsets"].transpose("entry", "step").values
    finite = np.isfinite(a) & np.isfinite(b)
    return a[finite] * style.parameters(dataset)["lr"] ** 0.5, b[finite]


def _settles_at(dataset: "xarray.Dataset") -> float | None:
    """A at the last saved step whose b differs by more than a tenth from 14 steps before, on the same side; or 0."""
    import numpy as np

    scale, b = scaled(dataset)
    if len(b) < 10:
        return None
    irregular = np.abs(b[2:] - b[:-2]) > 0.1 * np.abs(b[:-2])
    return float(scale[2:][irregular][-1]) if irregular.any() else 0.0


def _first_doubling(dataset: "xarray.Dataset") -> float | None:
    """A of the first period that is not 1, off the ends of the doubling's slow approach."""
    periods, values = dataset["period"].values, dataset["scaled_offset"].values
    later = values[(periods != 1) & (values > 0.01)]
    return float(later[0]) if len(later) else None


def _gap(dataset: "xarray.Dataset") -> float | None:
    from precipice.figures import style

    lr, final = style.parameters(dataset)["lr"], float(dataset["final_sharpness"])
    return (2 / lr - final) / lr


def _dimension(dataset: "xarray.Dataset") -> float | None:
    from precipice import measures

    labels = dataset["end_status"].transpose("start_x", "start_y").values
    sizes = tuple(size for size in (1, 2, 4, 8, 16, 32) if size <= (min(labels.shape) - 1) // 8)
    return measures.box_dimension(labels, sizes=sizes).value if len(sizes) >= 3 else None


CLAIMS = (
    Claim(
        "chaos-ends-near-the-first-doubling",
        "The run oscillates chaotically, then the doublings are undone as a falls, as in the map at frozen a.",
        "zhu2022 section 5, figure 6b and c",
        (0.09, 0.16),
        "A = a kappa where b last changed by more than a tenth between equal sides of the oscillation; the map's first "
        "doubling is at 1/8, and is of leading order in kappa = 0.1; without chaos there is none, or only its growth",
        _settles_at,
    ),
    Claim(
        "first-doubling-at-one-eighth",
        "The map b' = b(1 + 8A - 16b^2) bifurcates like the trajectory.",
        "zhu2022 figure 6c; MIN-12",
        (0.12, 0.13),
        "smallest A whose orbit is not of period 1; exactly 1/8, beside which the approach is slow",
        _first_doubling,
    ),
    Claim(
        "ends-just-below-the-edge",
        "It converges close to the edge minimum (10, 0.1).",
        "zhu2022 figure 6b, corollary 3.1",
        (0.4, 0.6),
        "(2/lr - final sharpness)/lr; the law has 1/2, the reference run 0.4996 (MIN-C02)",
        _gap,
    ),
    Claim(
        "boundary-is-fractal",
        "The border between starts that converge and diverge is fractal.",
        "zhu2022 section 5, figure 6a",
        (1.1, 1.95),
        "box-counting dimension of the border over the sizes of the grid; a smooth line has 1 and scattered points 2",
        _dimension,
    ),
)
