"""The degree-4 scalar network under noise over many steps: figures 27 and 28 of zhu2022 share run and views."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError, at_least
from precipice.papers.zhu2022.networks import check_degree, edge_minima, parse_starts, scalar_network

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "sharpness", "early-trajectory", "late-trajectory")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        start: "x,y".
        lr: learning rate.
        scale: standard deviation of the noise.
        early_steps: steps recorded one by one.
        num_steps: steps in all, a multiple of every.
        every: steps between records after the early ones.
        seeds: runs with different noise.
        precision: float64.
    """

    start: str
    lr: float
    scale: float
    early_steps: int
    num_steps: int
    every: int
    seeds: int
    precision: str = "float64"


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule

    check_degree(4, settings.lr, settings.precision)
    starts = parse_starts(settings.start, "start")
    if len(starts) > 1 or len(starts[0]) != 2:
        raise InputError(f"start must have 2 entries; got {settings.start!r}.")
    at_least("scale", settings.scale, 0)
    at_least("early_steps", settings.early_steps, 10)
    check_schedule(settings.num_steps, settings.every)
    at_least("num_steps", settings.num_steps, settings.early_steps)
    at_least("seeds", settings.seeds, 1)


def control(settings: Settings) -> Settings:
    """No noise: the run stays at the minimum that it converges to, just below the edge."""
    return dataclasses.replace(settings, scale=0.0, seeds=1)


def run_noisy(process: Callable[..., Any], settings: Settings) -> "xarray.Dataset":
    """Record the early steps one by one, then every so many, for each seed.

    Args:
        process: `dynamics.LabelNoise` or `dynamics.GradientNoise`.
        settings: see there.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, measures
    from precipice.results import to_dataset

    problem = scalar_network(4)
    noisy = process(problem, settings.lr, settings.scale, start=jnp.asarray(parse_starts(settings.start, "start")[0]))
    probes = (measures.scalar_network_probe(problem),)
    keys = jax.vmap(jax.random.key)(jnp.arange(settings.seeds))

    def record(num_steps: int, every: int):
        return jax.vmap(lambda key: dynamics.simulate(noisy, key=key, num_steps=num_steps, every=every, probes=probes))(
            keys
        )

    early, whole = record(settings.early_steps, 1), record(settings.num_steps, settings.every)
    late = np.asarray(whole.step[0]) > settings.early_steps
    saved = {
        name: np.concatenate([early.saved[name], np.asarray(whole.saved[name])[:, late]], axis=1)
        for name in ("loss", "sharpness", "entries")
    }
    saved |= {"status": np.asarray(whole.status), "edge": np.full(settings.seeds, 2 / settings.lr)}
    steps = np.concatenate([np.arange(settings.early_steps + 1), np.asarray(whole.step[0])[late]])
    return to_dataset(saved, coords={"seed": range(settings.seeds), "step": steps})


def valley(dataset: "xarray.Dataset") -> "np.ndarray":
    """Sharpness 2 sqrt((x^2 - y^2)^2 + 4) of the minimum that gradient flow reaches from (x, y), at each record."""
    import numpy as np

    entries = dataset["entries"].values
    return 2 * np.sqrt((entries[..., 0] ** 2 - entries[..., 1] ** 2) ** 2 + 4)


def early_end(dataset: "xarray.Dataset") -> int:
    """Index of the last record of the early steps."""
    from precipice.figures import style

    return style.parameters(dataset)["early_steps"]


def plot(dataset: "xarray.Dataset", panel: str | None, noise: str) -> "Picture":
    """Loss and sharpness over all steps, the early trajectory and the late one."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    one, edge = dataset.isel(seed=0), float(dataset["edge"][0])
    for name, ax in zip(names, axes, strict=True):
        if name in ("loss", "sharpness"):
            _draw_steps(ax, one, name)
        else:
            _draw_trajectory(picture, ax, one, name)
        if name == "sharpness":
            style.edge_line(ax, edge, f"2/lr = {edge:.4g}", style.COLOURS[1])
            ax.axhline(4, color=style.COLOURS[2], ls=":", lw=1.0, label="flattest minimum")
            ax.legend(fontsize=8)
    settings = style.parameters(dataset)
    style.caption(
        picture,
        f"Coupled degree-4 scalar network, (1 - x^2 y^2)^2/4, from ({settings['start']}), gradient descent at "
        f"lr = {settings['lr']:g} with {noise} noise of standard deviation {settings['scale']:g} for "
        f"{settings['num_steps']:,} steps; recorded at each of the first {settings['early_steps']} steps, then every "
        f"{settings['every']:,}; sharpness: largest Hessian eigenvalue at the point; seed 0 of {settings['seeds']}; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_steps(ax, one: "xarray.Dataset", name: str) -> None:
    from precipice.figures import style

    later = one.isel(step=slice(1, None))
    ax.plot(later["step"], later[name], color=style.COLOURS[0], lw=0.6)
    ax.axvline(early_end(one), color="#888888", lw=0.8)
    ax.set_xscale("log")
    ax.set_yscale("log" if name == "loss" else "linear")
    ax.set_xlabel("gradient step (each step left of the line)")
    ax.set_ylabel("loss" if name == "loss" else "sharpness (largest Hessian eigenvalue)")
    ax.set_title(name)


def _draw_trajectory(picture, ax, one: "xarray.Dataset", name: str) -> None:
    import numpy as np

    end = early_end(one) + 1
    part = one.isel(step=slice(0, end) if name == "early-trajectory" else slice(end, None))
    x, y = part["entries"].values.T
    dots = ax.scatter(x, y, c=part["step"].values, s=5, cmap="viridis")
    picture.colorbar(dots, ax=ax, label="gradient step")
    minima = edge_minima(4, 2 / float(one["edge"]))
    both = np.concatenate([minima, minima[:, ::-1]])
    shown = minima if name == "early-trajectory" else both
    ax.plot(*shown.T, "*", color="black", ms=10, linestyle="none", label="minimum of sharpness 2/lr")
    across = np.linspace(min(x.min(), shown[:, 0].min()), max(x.max(), shown[:, 0].max()), 200)
    ax.plot(across, 1 / across, color="#d1622b", lw=0.8, label="minima xy = 1")
    ax.set_xlabel("entry x")
    ax.set_ylabel("entry y")
    ax.set_title(name.replace("-", " "))
    ax.legend(fontsize=8)
