"""The convergence diagram of the degree-4 network in (a, b): figures 4 and 30 of zhu2022."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least, positive
from precipice.papers.zhu2022.networks import check_degree

if TYPE_CHECKING:
    import xarray

    from precipice.papers.figure import Context


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        lr: learning rate; kappa is its square root.
        a_limit: starts have a up to this times kappa^3 ...
        b_limit: ... and b up to this.
        side: right of the edge minimum (a above 0), or left of it.
        starts: starts along each axis.
        num_steps: steps of each run, two at a time.
        precision: float64.
    """

    lr: float
    a_limit: float
    b_limit: float
    side: str
    starts: int
    num_steps: int
    precision: str = "float64"


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice._checks import one_of

    check_degree(4, settings.lr, settings.precision)
    one_of("side", settings.side, ("right", "left"))
    positive("a_limit", settings.a_limit)
    positive("b_limit", settings.b_limit)
    at_least("starts", settings.starts, 2)
    at_least("num_steps", settings.num_steps, 20)


def run(settings: Settings, context: "Context") -> "xarray.Dataset":  # noqa: ARG001
    """Follow the exact map in (a, b), every other step, from a grid of starts."""
    import jax
    import jax.numpy as jnp

    from precipice.measures import degree_four_region, degree_four_step
    from precipice.results import to_dataset

    kappa = settings.lr**0.5
    at = (np.arange(settings.starts) + 1) / settings.starts
    a = at * settings.a_limit * kappa**3 * (1 if settings.side == "right" else -1)
    starts = np.stack(np.meshgrid(a, at * settings.b_limit, indexing="ij"), axis=-1).reshape(-1, 2)

    def two(point, _):
        middle = degree_four_step(point, settings.lr)
        return degree_four_step(middle, settings.lr), (point, middle)

    points, middles = jax.jit(
        lambda first: jax.vmap(lambda p: jax.lax.scan(two, p, None, length=settings.num_steps // 2)[1])(first)
    )(jnp.asarray(starts))
    mean = jnp.stack([points[..., 0], (jnp.abs(points[..., 1]) + jnp.abs(middles[..., 1])) / 2], axis=-1)
    region = jax.jit(jax.vmap(jax.vmap(lambda p: degree_four_region(p, settings.lr))))(mean)
    saved = {
        "offset_a": np.asarray(points[..., 0]),
        "offset_b": np.asarray(points[..., 1]),
        "region": np.asarray(region),
    }
    steps = np.arange(0, 2 * (settings.num_steps // 2), 2)
    return to_dataset(saved, coords={"start": range(len(starts)), "step": steps})


def window(dataset: "xarray.Dataset") -> tuple[np.ndarray, np.ndarray]:
    """Axes of a grid over the starts' window, reaching a little to the other side."""
    a, b = dataset["offset_a"].values[:, 0], dataset["offset_b"].values[:, 0]
    return np.linspace(min(a.min(), -0.1 * np.abs(a).max()), a.max(), 22), np.linspace(-b.max(), b.max(), 21)


def movement(dataset: "xarray.Dataset", lr: float):
    """The exact two-step movement over that window: an object with x, y, dx and dy."""
    import jax
    import jax.numpy as jnp

    from precipice.dynamics import Field
    from precipice.measures import degree_four_step

    a, b = window(dataset)
    grid = jnp.asarray(np.stack(np.meshgrid(a, b), axis=-1))
    twice = jax.vmap(jax.vmap(lambda p: degree_four_step(degree_four_step(p, lr), lr)))(grid)
    change = np.asarray(twice - grid)
    return Field(a, b, change[..., 0], change[..., 1])


def draw(ax, dataset: "xarray.Dataset", *, every: int = 1) -> None:
    """Arrows of the two-step movement, borders of the regions, and every so many trajectories."""
    import jax.numpy as jnp

    from precipice.figures import phase_portrait, style
    from precipice.measures import degree_four_parabola

    lr = style.parameters(dataset)["lr"]
    kappa = lr**0.5
    phase_portrait.draw_field(ax, movement(dataset, lr), colour="#999999")
    a, _ = window(dataset)
    grid = np.linspace(0, a[-1], 200)
    for factor, line, label in ((2, "-", "b^2 = 2 a kappa"), (0.25, "--", "b^2 = a kappa/4")):
        for sign in (1, -1):
            border = sign * np.sqrt(np.where(grid >= 0, factor * grid * kappa, np.nan))
            ax.plot(grid, border, color="#4a4a4a", ls=line, lw=0.9, label=label if sign == 1 else None)
    for factor in (1, 2):
        label = "a = kappa^(5/2), 2 kappa^(5/2)" if factor == 1 else None
        ax.axvline(factor * kappa**2.5, color=style.COLOURS[4], ls=":", lw=0.9, label=label)
    fine = np.linspace(-(kappa**3) / 8, a[-1], 300)
    parabola = np.sqrt(np.maximum(np.asarray(degree_four_parabola(jnp.asarray(fine), lr)), 0))
    for sign in (1, -1):
        ax.plot(fine, sign * parabola, color=style.COLOURS[1], lw=1.3, label="parabola" if sign == 1 else None)
    for index in range(0, dataset.sizes["start"], every):
        one = dataset.isel(start=index)
        ax.plot(one["offset_a"], one["offset_b"], ".-", ms=2, lw=0.5, color=style.COLOURS[0])
    ax.set_xlabel("a (offset along the minima)")
    ax.set_ylabel("b (offset from the minima, xy - 1)")
    ax.legend(fontsize=7, loc="lower right")


def ends_in_units(dataset: "xarray.Dataset") -> np.ndarray | None:
    """Final a over kappa^3 of each start, if all have come to rest."""
    from precipice.figures import style

    last, lr = dataset.isel(step=-1), style.parameters(dataset)["lr"]
    if not (np.abs(last["offset_b"]) < lr / 100).all():
        return None
    return last["offset_a"].values / lr**1.5
