"""agarwala2022/fig10: the final distance from the edge, T(0) - 2, is -epsilon/2, of the map and of its equation."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import plane
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("final-y", "deviation")
COUNTED = (1.9, 2.0)
"""Runs that end with T(0) outside did not go through the edge of stability; the paper leaves them out too."""

SOLVED = 3
"""Starts, about, from which the differential equation is solved at each epsilon: all end at the same y."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        low: smallest epsilon.
        high: largest.
        epsilons: how many between them.
        z_low: starts have z from this ...
        z_high: ... to this, below 0 ...
        t_low: ... and T(0) from this ...
        t_high: ... to this.
        grid: starts along each axis.
        num_steps: the most steps of each.
        precision: float64.
    """

    low: float
    high: float
    epsilons: int
    z_low: float
    z_high: float
    t_low: float
    t_high: float
    grid: int
    num_steps: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure gives neither its starts nor its epsilons."""
    return Settings(
        low=1e-3,
        high=0.05,
        epsilons=8,
        z_low=-0.6,
        z_high=-0.25,
        t_low=1.3,
        t_high=1.8,
        grid=6,
        num_steps=200_000,
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """More epsilons and starts."""
    return dataclasses.replace(quick_settings(data_dir), low=3e-4, epsilons=14, grid=10, num_steps=1_000_000)


def control(settings: Settings) -> Settings:
    """Starts on the other side, above the nullcline's mirror: they come to rest further below 2."""
    return dataclasses.replace(settings, z_low=0.25, z_high=0.35, t_low=2.5, t_high=2.65)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    plane.check_epsilon(settings.low, "low")
    plane.check_epsilon(settings.high, "high")
    for low, high in (("low", "high"), ("z_low", "z_high"), ("t_low", "t_high")):
        if not getattr(settings, low) < getattr(settings, high):
            raise InputError(f"{high} must be above {low} ({getattr(settings, low):g}); got {getattr(settings, high)}.")
    at_least("epsilons", settings.epsilons, 4)
    at_least("grid", settings.grid, 1)
    at_least("num_steps", settings.num_steps, 64)
    plane.check_feasible(_starts(settings).reshape(-1, 2), -settings.low)


def _starts(settings: Settings) -> np.ndarray:
    z, t = plane.grid((settings.z_low, settings.z_high), (settings.t_low, settings.t_high), settings.grid)
    return np.stack(np.meshgrid(z, t, indexing="ij"), axis=-1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """The end of the map and of the low-order equation from each start, at each epsilon."""
    from precipice.results import to_dataset

    epsilons = np.geomspace(settings.low, settings.high, settings.epsilons)
    starts = _starts(settings).reshape(-1, 2)
    maps, equations = [], []
    with context.progress("epsilons", len(epsilons)) as report:
        for epsilon in epsilons:
            ends = plane.ends(starts, -float(epsilon), settings.num_steps)["final_t"]
            counted = (ends >= COUNTED[0]) & (ends <= COUNTED[1])
            maps.append(np.median(ends[counted]) - 2 if counted.any() else np.nan)
            equations.append(_equation(float(epsilon), starts[counted][:: max(1, counted.sum() // SOLVED)]))
            report(len(maps), f"epsilon {epsilon:.3g}")
    return to_dataset({"final_y": np.array(maps), "final_y_ode": np.array(equations)}, coords={"epsilon": epsilons})


def _equation(epsilon: float, starts: np.ndarray) -> float:
    """Median end y of the low-order equation, from where the map comes within |y| < 0.1 of the nullcline."""
    import jax.numpy as jnp
    from scipy.integrate import solve_ivp

    from precipice import measures
    from precipice.dynamics import low_order_rate

    if not len(starts):
        return np.nan
    orbits = plane.orbits(starts, -epsilon, max(400, 2 * int(1 / epsilon)))
    z, t = orbits["plane_z"][:, ::2], orbits["plane_t"][:, ::2]
    y = t - np.asarray(measures.two_step_nullclines(jnp.asarray(z), epsilon)[0])
    found = []
    for one_z, one_y in zip(z, y, strict=True):
        near = np.flatnonzero((np.abs(one_y) < 0.1) & (np.abs(one_z) < 0.3))
        if len(near):
            entry = [one_z[near[0]], one_y[near[0]]]
            rate = lambda _, point: np.asarray(low_order_rate(jnp.asarray(point), epsilon))  # noqa: E731
            end = solve_ivp(rate, (0, 40 / epsilon), entry, method="LSODA", rtol=1e-9, atol=1e-12)
            found.append(end.y[1, -1])
    return float(np.median(found)) if found else np.nan


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Final y, and its distance from -epsilon/2, against epsilon."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    epsilons = dataset["epsilon"].values
    for name, ax in zip(names, axes, strict=True):
        for index, (variable, label) in enumerate((("final_y", "map"), ("final_y_ode", "low-order equation"))):
            values = dataset[variable].values
            shown = -values if name == "final-y" else np.abs(values + epsilons / 2)
            ax.plot(epsilons, shown, "os"[index], mfc="none", color=style.COLOURS[index], label=label)
        law = epsilons / 2 if name == "final-y" else 0.84 * epsilons**2
        ax.plot(epsilons, law, color="#4a4a4a", ls="--", label="epsilon/2" if name == "final-y" else "0.84 epsilon^2")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("epsilon (second eigenvalue is -epsilon)")
        ax.set_ylabel("2 - T(0) at the end" if name == "final-y" else "|T(0) - 2 + epsilon/2| at the end")
        ax.set_title("final distance from the edge" if name == "final-y" else "deviation from epsilon/2")
        ax.legend()
    style.caption(
        picture,
        f"Quadratic regression with eigenvalues 1 and -epsilon, E = 0: median over {settings['grid']} x "
        f"{settings['grid']} starts of those that end with T(0) in [{COUNTED[0]:g}, {COUNTED[1]:g}], for the map of "
        f"gradient descent and for the low-order differential equation from a few of them (one unit of time is two "
        f"steps). Starts are not given in the paper; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _fit(dataset: "xarray.Dataset", variable: str) -> float | None:
    """Slope of the final y against epsilon through 0, over the smaller half of the epsilons."""
    epsilons, values = dataset["epsilon"].values, dataset[variable].values
    used = np.isfinite(values) & (epsilons <= np.median(epsilons))
    return float((values * epsilons)[used].sum() / (epsilons**2)[used].sum()) if used.sum() >= 3 else None


def _power(dataset: "xarray.Dataset") -> float | None:
    epsilons, values = dataset["epsilon"].values, np.abs(dataset["final_y"].values + dataset["epsilon"].values / 2)
    used = np.isfinite(values) & (values > 1e-9)
    return float(np.polyfit(np.log(epsilons[used]), np.log(values[used]), 1)[0]) if used.sum() >= 4 else None


CLAIMS = (
    Claim(
        "slope-one-half",
        "The final deviation from T(0) = 2 is well approximated by epsilon/2.",
        "agarwala2022 figure 10, left; theorem B.3 (QR-22)",
        (-0.52, -0.48),
        "slope of the final y against epsilon, over the smaller half of the epsilons",
        lambda dataset: _fit(dataset, "final_y"),
    ),
    Claim(
        "deviation-is-quadratic",
        "Deviations from epsilon/2 are of the order epsilon^2.",
        "agarwala2022 figure 10, right",
        (1.8, 2.2),
        "fitted power of |y + epsilon/2|",
        _power,
    ),
    Claim(
        "equation-agrees",
        "The differential equation gives the same slope.",
        "agarwala2022 figure 10, left; eqs. 133 and 134 (QR-20)",
        (-0.52, -0.48),
        "slope of its final y; its fixed ratio is -epsilon/2 + O(epsilon^2) (QR-21)",
        lambda dataset: _fit(dataset, "final_y_ode"),
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig10",
    title="Final distance from the edge against the second eigenvalue, map and differential equation",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "15 seconds", NO_DATA),
        "paper": Scale(paper_settings, "1 minute", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="slope-one-half",
    claim_panels={
        "slope-one-half": "final-y",
        "equation-agrees": "final-y",
        "deviation-is-quadratic": "deviation",
    },
)
