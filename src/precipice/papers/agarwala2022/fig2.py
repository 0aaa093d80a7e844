"""agarwala2022/fig2: with eigenvalues 1 and -epsilon the curvature settles at the edge, along the nullcline of z."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import plane
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision, numbers

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("curvature", "nullcline", "offset")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        epsilon: the second eigenvalue is -epsilon.
        starts: points "z,T; ..." (rescaled) from which the map is followed.
        lrs: learning rates at which parameters descend from the first of them.
        num_steps: steps of each run.
        precision: float64.
    """

    epsilon: float
    starts: str
    lrs: str
    num_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure's epsilon; starts and learning rates are not given."""
    return Settings(epsilon=5e-3, starts="-0.3,1.5; -0.5,1.2; -0.6,1.0; -0.2,1.7", lrs="0.5,1,2,4", num_steps=6000)


def control(settings: Settings) -> Settings:
    """A second eigenvalue of -1/2: runs settle where their starts lead, not at the edge."""
    return dataclasses.replace(settings, epsilon=0.5)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    plane.check_epsilon(settings.epsilon)
    plane.check_feasible(plane.points(settings.starts), -settings.epsilon)
    numbers(settings.lrs, "lrs")
    at_least("num_steps", settings.num_steps, 100)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """The map from every start; descent on parameters at every learning rate from the first."""
    import jax.numpy as jnp

    from precipice import measures
    from precipice.results import to_dataset

    starts = plane.points(settings.starts)
    saved = plane.orbits(starts, -settings.epsilon, settings.num_steps)
    of_z, _ = measures.two_step_nullclines(jnp.asarray(saved["plane_z"]), settings.epsilon)
    saved["plane_y"] = saved["plane_t"] - np.asarray(of_z)
    steps = range(settings.num_steps + 1)
    map_ = to_dataset(saved, coords={"start": range(len(starts)), "step": steps})
    rates = np.array(numbers(settings.lrs, "lrs"))
    kernel, error = _descended(settings, starts[0], rates, saved)
    descents = {"kernel": kernel, "rescaling_error": error, "edge": 2 / rates}
    return map_.merge(to_dataset(descents, coords={"lr": rates, "step": steps}))


def _descended(settings: Settings, start: np.ndarray, rates: np.ndarray, orbit: dict) -> tuple[np.ndarray, np.ndarray]:
    """(NTK [lr, step], largest relative difference of the rescaled orbit from the map [lr])."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, measures, problems

    problem = problems.QuadraticRegression(jnp.array([1.0, -settings.epsilon]))
    squares = np.array(measures.two_eigenvalue_modes(start[0], start[1], -settings.epsilon))

    def one(lr):
        params = jnp.sqrt(squares / lr) / jnp.array([1.0, -settings.epsilon])
        process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=params)
        probe = lambda s: {"z": lr * problem.output(s.params), "k": problem.kernel(s.params)}  # noqa: E731
        return dynamics.simulate(
            process, key=jax.random.key(0), num_steps=settings.num_steps, every=1, probes=(probe,)
        ).saved

    found = jax.jit(jax.vmap(one))(jnp.asarray(rates))
    kernel = np.asarray(found["k"])
    z, t = orbit["plane_z"][:1], orbit["plane_t"][:1]
    error = np.maximum(
        np.abs(found["z"] - z).max(axis=1) / np.abs(z).max(), np.abs(kernel * rates[:, None] / t - 1).max(axis=1)
    )
    return kernel, error


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Curvature at each learning rate, the plane at even steps with the nullcline, and y against z."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"curvature": _draw_curvature, "nullcline": _draw_nullcline, "offset": _draw_offset}[name](
            ax, dataset, settings
        )
    style.caption(
        picture,
        f"Quadratic regression with eigenvalues 1 and -{settings['epsilon']:g}, E = 0, {settings['num_steps']:,} "
        f"steps; left: parameters at {dataset.sizes['lr']} learning rates from the same rescaled (z, T(0)); middle and "
        f"right: every other step from {dataset.sizes['start']} starts (circles). Starts and rates are not given in "
        f"the paper; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_curvature(ax, dataset: "xarray.Dataset", settings: dict) -> None:  # noqa: ARG001
    from precipice.figures import style

    for index, lr in enumerate(dataset["lr"].values):
        one, colour = dataset.isel(lr=index), style.COLOURS[index % len(style.COLOURS)]
        ax.plot(dataset["step"], one["kernel"], color=colour, lw=1.0, label=f"lr = {lr:g}")
        style.edge_line(ax, float(one["edge"]), "2/lr" if index == 0 else "", colour)
    ax.set_xlabel("gradient step")
    ax.set_ylabel("NTK (sharpness at the minimum)")
    ax.set_xscale("symlog", linthresh=10)
    ax.set_xlim(left=0)
    ax.set_title("curvature")
    ax.legend(loc="upper right")


def _even(dataset: "xarray.Dataset", index: int, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    one = dataset.isel(start=index, step=slice(None, None, 2))
    return one[names[0]].values, one[names[1]].values


def _draw_nullcline(ax, dataset: "xarray.Dataset", settings: dict) -> None:
    import jax.numpy as jnp

    from precipice import measures
    from precipice.figures import style

    for index in range(dataset.sizes["start"]):
        z, t = _even(dataset, index, ("plane_z", "plane_t"))
        ax.plot(z, t, ".-", ms=2, lw=0.5, color=style.COLOURS[index % len(style.COLOURS)])
        ax.plot(z[0], t[0], "o", mfc="white", color=style.COLOURS[index % len(style.COLOURS)])
    z = np.linspace(1.05 * float(np.nanmin(dataset["plane_z"][:, ::2])), 0.05, 201)
    of_z, of_t = measures.two_step_nullclines(jnp.asarray(z), settings["epsilon"])
    ax.plot(z, of_z, color="#4a4a4a", lw=1.2, ls="--", label="z stands still over two steps")
    ax.plot(z, of_t, color="#4a4a4a", lw=1.0, ls=":", label="T(0) stands still over two steps")
    ax.set_xlabel(plane.LABEL_Z)
    ax.set_ylabel(plane.LABEL_T)
    ax.set_title("every other step")
    ax.legend(fontsize=8)


def _draw_offset(ax, dataset: "xarray.Dataset", settings: dict) -> None:
    from precipice.figures import style

    for index in range(dataset.sizes["start"]):
        z, y = _even(dataset, index, ("plane_z", "plane_y"))
        ax.plot(np.abs(z), y, ".-", ms=2, lw=0.5, color=style.COLOURS[index % len(style.COLOURS)])
    epsilon = settings["epsilon"]
    ax.axhline(-epsilon / 2, color="#4a4a4a", ls="--", lw=1.0, label="-epsilon/2")
    ax.set_ylim(-6 * epsilon, 6 * epsilon)
    ax.set_xscale("log")
    ax.set_xlim(1e-4, 1)
    ax.set_xlabel("|z| (learning rate x residual)")
    ax.set_ylabel("y (T(0) less the nullcline of z)")
    ax.set_title("distance from the nullcline")
    ax.legend(fontsize=8)


# Claims -------------------------------------------------------------------------------------------------------------


def _final(dataset: "xarray.Dataset") -> float | None:
    """The final T(0) that lies farthest from 2 - epsilon/2, over the starts, if all have settled."""
    from precipice.figures import style

    last = dataset.isel(step=-1)
    if not (np.abs(last["plane_z"]) < 1e-3).all():
        return None
    t = last["plane_t"].values
    return float(t[np.argmax(np.abs(t - 2 + style.parameters(dataset)["epsilon"] / 2))])


def _hugs(dataset: "xarray.Dataset") -> float | None:
    """Median |y| over the even steps of the slow phase, |z| from 0.2 down to 0.02."""
    z, y = (dataset[name].values[:, ::2] for name in ("plane_z", "plane_y"))
    slow = (np.abs(z) < 0.2) & (np.abs(z) > 0.02) & np.isfinite(y)
    late = slow & (np.cumsum(np.abs(dataset["plane_t"].values[:, ::2] - 2) < 0.2, axis=1) > 10)
    return float(np.median(np.abs(y[late]))) if late.sum() > 20 else None


def _ratio(dataset: "xarray.Dataset") -> float | None:
    from precipice.figures import style

    final = _final(dataset)
    return None if final is None else float((final - 2) / (-style.parameters(dataset)["epsilon"] / 2))


CLAIMS = (
    Claim(
        "settles-at-the-edge",
        "The curvature settles just below 2/lr.",
        "agarwala2022 figure 2, left; theorem 2.1 (QR-23)",
        (1.98, 2.0),
        "final T(0) farthest from 2 - epsilon/2 over the starts; 2 is the edge",
        _final,
    ),
    Claim(
        "same-up-to-scaling",
        "Trajectories at all learning rates are the same up to scaling.",
        "agarwala2022 figure 2, left; eqs. 5 to 9 (QR-5)",
        (0.0, 1e-9),
        "largest relative difference of a rescaled descent from the map; 1e-12 a step, grown over thousands of steps",
        lambda dataset: float(dataset["rescaling_error"].max()),
    ),
    Claim(
        "even-steps-hug-the-nullcline",
        "Every other step stays near the nullcline of z.",
        "agarwala2022 figure 2, middle (QR-17)",
        (0.0, 0.02),
        "median |T(0) - f_z| in the slow phase, after T(0) has come within 0.2 of 2; it moved through 0.5 to 1 before",
        _hugs,
    ),
    Claim(
        "offset-concentrates",
        "y concentrates at -epsilon/2.",
        "agarwala2022 figure 2, right; theorem B.3 (QR-22)",
        (0.9, 1.1),
        "final y of the same start over -epsilon/2; the next order adds 1.7 epsilon relatively",
        _ratio,
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig2",
    title="Two eigenvalues 1 and -epsilon: progressive sharpening to the edge, and the nullcline it follows",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "5 seconds", NO_DATA), "paper": Scale(paper_settings, "5 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="settles-at-the-edge",
    claim_panels={
        "settles-at-the-edge": "curvature",
        "same-up-to-scaling": "curvature",
        "even-steps-hug-the-nullcline": "nullcline",
        "offset-concentrates": "offset",
    },
)
