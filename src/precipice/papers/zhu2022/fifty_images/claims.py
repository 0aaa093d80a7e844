"""What figures 7 and 23 to 26 of zhu2022 say, as functions of one seed's dataset."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from precipice.figures.claims import Claim, only_where

if TYPE_CHECKING:
    import xarray


PAPERS_WIDTH = 200
"""Hidden units."""


class Parabola(NamedTuple):
    """x = coefficient y^2 through movement x and oscillation y by least squares.

    Args:
        coefficient: of the fit.
        misfit: root mean square of what is left, over that of x.
    """

    coefficient: float
    misfit: float


def parabola(dataset: "xarray.Dataset") -> Parabola | None:
    """The fit to the local trajectory, or None for a run that diverged."""
    begin = _settings(dataset)["tip_step"]
    x, y = (dataset[name].values[begin:] for name in ("movement", "oscillation"))
    if not np.isfinite(x).all():
        return None
    coefficient = float(np.sum(x * y**2) / np.sum(y**4))
    left = x - coefficient * y**2
    return Parabola(coefficient, float(np.sqrt(np.mean(left**2) / np.mean(x**2))))


def _settings(dataset: "xarray.Dataset") -> dict:
    from precipice.figures import style

    return style.parameters(dataset)


def _number(value: float) -> float | None:
    """`value`, or None where it is NaN."""
    return value if np.isfinite(value) else None


def _gap(dataset: "xarray.Dataset") -> float | None:
    """How far below 2/lr it ends, over 2/lr."""
    return _number(float(1 - dataset["final_sharpness"] / dataset["edge"]))


def _loss(dataset: "xarray.Dataset") -> float | None:
    return _number(float(dataset["final_loss"]))


def _misfit(dataset: "xarray.Dataset") -> float | None:
    found = parabola(dataset)
    return None if found is None else found.misfit


def _coefficient(dataset: "xarray.Dataset") -> float | None:
    found = parabola(dataset)
    return None if found is None else found.coefficient


def _above(dataset: "xarray.Dataset") -> float | None:
    """The largest sharpness of the window minus 2/lr, over its range: 0 to 1 where it crosses 2/lr."""
    sharpness, edge = dataset["window_sharpness"].values, float(dataset["edge"])
    return _number(float((sharpness.max() - edge) / np.ptp(sharpness)))


def _raised(dataset: "xarray.Dataset") -> float | None:
    """Fraction of the window's steps that raise the loss."""
    steps = dataset["window_step"].values
    loss = dataset["loss"].values[steps[steps < dataset.sizes["step"]]]
    return float(np.mean(np.diff(loss) > 0)) if np.isfinite(loss).all() else None


def _outside(dataset: "xarray.Dataset") -> float | None:
    """Largest offset outside the plane from `plane_step` on, over the largest before."""
    outside, begin = dataset["outside_plane"].values, _settings(dataset)["plane_step"]
    return _number(float(outside[begin:].max() / outside[:begin].max()))


def _flips(dataset: "xarray.Dataset") -> float | None:
    """Fraction of the steps of the local trajectory that change the sign of the oscillation."""
    y = dataset["oscillation"].values[_settings(dataset)["tip_step"] :]
    return float(np.mean(y[1:] * y[:-1] < 0)) if np.isfinite(y).all() else None


def _forth(dataset: "xarray.Dataset") -> float | None:
    """Net two-step movement of the local trajectory over its length: 1 where it never turns back."""
    x = dataset["movement"].values[_settings(dataset)["tip_step"] :]
    moved = x[:-2] - x[2:]
    return float(moved.sum() / np.abs(moved).sum()) if np.isfinite(x).all() else None


def ends_below(figure: str) -> Claim:
    """The sharpness at the end."""
    return Claim(
        "ends-just-below-the-edge",
        "The sharpness converges to just below 2/lr.",
        f"zhu2022 {figure}",
        (0.0, 0.005),
        "1 - final sharpness lr/2; the paper ends at 199.97 of 200 (0.00015), and a trial of 2,000 steps was at 199.33 "
        "(0.0034) already; with a hundredth of the learning rate it is near 1",
        _gap,
    )


def memorises(figure: str) -> Claim:
    """The last loss."""
    return Claim(
        "loss-goes-to-zero",
        "The network memorises the data: the loss decreases to 0.",
        f"zhu2022 {figure}; appendix A.7.2",
        (0.0, 1e-8),
        "last loss; the paper gives 1e-8 for the same networks",
        _loss,
    )


def local_parabola(figure: str) -> Claim:
    """The fit near the minimum."""
    return Claim(
        "local-trajectory-is-a-parabola",
        "Near the minimum the trajectory is very well captured by a parabola.",
        f"zhu2022 {figure}",
        (0.0, 0.1),
        "root mean square of x - c y^2 over that of x, c by least squares; a tenth is a line's width in the figure",
        _misfit,
    )


def papers_coefficient(figure: str) -> Claim:
    """The coefficient of the fit."""
    return Claim(
        "parabola-is-as-narrow-as-the-papers",
        "The parabola is x = 7500 y^2.",
        f"zhu2022 figure 7, {figure}",
        (7500 / 3, 7500 * 3),
        "c of the fit; within a factor of 3, as initialisation and range of the pixels, which set the scale of the "
        "parameters, are not given; at the paper's width only, which sets it too",
        only_where(lambda dataset: _settings(dataset)["width"] == PAPERS_WIDTH, _coefficient),
    )


def oscillates(figure: str) -> Claim:
    """Sharpness in the window."""
    return Claim(
        "sharpness-oscillates-around-the-edge",
        "In a window of thirty steps the sharpness goes back and forth across 2/lr.",
        f"zhu2022 {figure}b",
        (0.05, 0.95),
        "(largest sharpness - 2/lr)/(largest - smallest): outside 0 to 1 it does not cross 2/lr",
        _above,
    )


def not_monotone(figure: str) -> Claim:
    """Loss in the window."""
    return Claim(
        "loss-is-not-monotone",
        "There the loss decreases non-monotonically.",
        f"zhu2022 {figure}b",
        (0.1, 0.6),
        "fraction of the window's steps that raise the loss; gradient flow has none, a loss that grows more than 0.6",
        _raised,
    )


def stays_in_the_plane(figure: str) -> Claim:
    """The offset outside the plane."""
    return Claim(
        "late-trajectory-lies-in-the-plane",
        "After 3,000 steps the offset outside the plane of movement and oscillation becomes very small.",
        f"zhu2022 {figure}c",
        (0.0, 0.05),
        "largest norm outside the plane from then on, over the largest before; a twentieth is invisible beside it",
        _outside,
    )


def period_two(figure: str) -> Claim:
    """The oscillation of the late steps."""
    return Claim(
        "oscillates-with-period-two",
        "The trajectory near the minimum goes back and forth along the oscillation direction at each step.",
        f"zhu2022 {figure}",
        (0.95, 1.0),
        "fraction of the late steps on which the oscillation changes sign; a few may miss it in the last digits",
        _flips,
    )


def moves_to_the_minimum(figure: str) -> Claim:
    """The two-step trajectory of the late steps."""
    return Claim(
        "two-step-trajectory-moves-towards-the-minimum",
        "After large oscillations the two-step trajectory moves smoothly along the movement direction to the minimum.",
        f"zhu2022 {figure}a",
        (0.9, 1.0),
        "net two-step movement over the length of its path, late steps; 1 is never turning back",
        _forth,
    )
