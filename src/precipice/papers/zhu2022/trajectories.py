"""Gradient descent of a scalar network followed at each step, from several starts or at several learning rates."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.problems import ScalarNetwork


def follow(
    problem: "ScalarNetwork", starts: "np.ndarray", lrs: "np.ndarray", num_steps: int
) -> "dict[str, np.ndarray]":
    """``loss``, ``sharpness`` [r, step], ``entries`` [r, step, n] and ``status`` [r] of r runs.

    Args:
        problem: the network.
        starts: entries of each run [r, n].
        lrs: learning rate of each run [r].
        num_steps: steps of each run.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, measures

    def one(start, lr):
        process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
        probes = (measures.scalar_network_probe(problem),)
        run = dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=1, probes=probes)
        return {**run.saved, "status": run.status}

    found = jax.jit(jax.vmap(one))(jnp.asarray(starts), jnp.asarray(lrs))
    return {name: np.asarray(value) for name, value in found.items()}


def valley_sharpness(entries: "xarray.DataArray") -> "xarray.DataArray":
    """Sharpness sqrt((x^2 - y^2)^2 + 4) of the minimum of (1 - xy)^2/2 that gradient flow reaches from (x, y)."""
    x, y = entries.isel(entry=0), entries.isel(entry=1)
    return ((x**2 - y**2) ** 2 + 4) ** 0.5


def last(values: "xarray.DataArray") -> "xarray.DataArray":
    """The values at the last step."""
    return values.isel(step=-1)


def draw_orbit(ax, one: "xarray.Dataset", colour: str, label: str, entries: tuple[int, int] = (0, 1)) -> None:
    """The two-step view of one run: a line through the even steps and one through the odd ones, and the start."""
    x, y = (one["entries"].isel(entry=i).values for i in entries)
    for parity in (0, 1):
        ax.plot(x[parity::2], y[parity::2], ".-", color=colour, lw=0.7, ms=2, label=label if parity == 0 else None)
    ax.plot(x[0], y[0], "o", color=colour, ms=6, mfc="white")
    ax.plot(x[-1], y[-1], "s", color=colour, ms=5)


def draw_valley(ax, x: "np.ndarray") -> None:
    """The minima xy = 1, and the view limited to what was there before."""
    view = ax.get_ylim()
    ax.plot(x, 1 / x, color="#444444", lw=1.0, ls=":", label="minima xy = 1")
    ax.set_ylim(view)
