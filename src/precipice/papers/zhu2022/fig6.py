"""zhu2022/fig6: degree 4 near the border of divergence, which is fractal: chaos, then the doublings are undone."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022.networks import check_degree, parse_starts, scalar_network

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("boundary", "trajectory", "bifurcation")

EVERY = 7
"""Steps between saved states: odd, to see both sides of the oscillation; not 3, for windows of period 3."""

AT_REST = 1e-12
"""A start of the grid whose loss comes below this does not diverge."""

FIRST_DOUBLING = 0.125
"""A at which the cubic map doubles its period first (MIN-12)."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        grid_lr: learning rate of the grid of starts.
        x_low: the grid's starts from this x ...
        x_high: ... to this.
        y_low: from this y ...
        y_high: ... to this.
        grid: starts along each axis before refinement.
        levels: doublings of the grid along the border.
        grid_steps: most steps from each start.
        lr: learning rate of the trajectory.
        start: "x,y", its start.
        num_steps: its steps, a multiple of 7.
        values: scaled offsets A of the bifurcation diagram, up to 1/4.
        transient: steps of the cubic map before its tail.
        precision: float64.
    """

    grid_lr: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    grid: int
    levels: int
    grid_steps: int
    lr: float
    start: str
    num_steps: int
    values: int
    transient: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rates and start; its window is not given."""
    return Settings(
        grid_lr=0.2,
        x_low=2.8,
        x_high=3.6,
        y_low=0.01,
        y_high=0.55,
        grid=65,
        levels=4,
        grid_steps=12_800,
        lr=0.01,
        start="12.5,0.05",
        num_steps=301_000,
        values=1001,
        transient=20_000,
    )


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """A finest grid of 257 x 257 starts in place of 1025 x 1025, 3,200 steps, and 251 values of A."""
    return dataclasses.replace(paper_settings(), grid=33, levels=3, grid_steps=3200, values=251, transient=4000)


def control(settings: Settings) -> Settings:
    """A start beside the edge minimum: there is no chaos to come out of."""
    return dataclasses.replace(settings, start="10.3,0.098")


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for lr in (settings.grid_lr, settings.lr):
        check_degree(4, lr, settings.precision)
    for axis in "xy":
        low, high = getattr(settings, f"{axis}_low"), getattr(settings, f"{axis}_high")
        positive(f"{axis}_low", low)
        if not low < high:
            raise InputError(f"{axis}_high must be above {axis}_low ({low}); got {high}.")
    if len(parse_starts(settings.start, "start")[0]) != 2 or len(parse_starts(settings.start, "start")) != 1:
        raise InputError(f"start must be one start of 2 entries; got {settings.start!r}.")
    if settings.num_steps % EVERY:
        raise InputError(f"num_steps must be a multiple of {EVERY}; got {settings.num_steps}.")
    for name, least in (("grid", 9), ("levels", 1), ("grid_steps", 1), ("num_steps", 30), ("values", 11)):
        at_least(name, getattr(settings, name), least)
    at_least("transient", settings.transient, 100)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """The basins over a grid, one trajectory, and the attractors of the cubic map."""
    return _boundary(settings, context).merge(_trajectory(settings)).merge(_diagram(settings))


def _boundary(settings: Settings, context: Context) -> "xarray.Dataset":
    import jax
    import numpy as np

    from precipice import dynamics
    from precipice.results import to_dataset

    check_every = max(steps for steps in range(1, 65) if settings.grid_steps % steps == 0)
    found = dynamics.basins(
        dynamics.Descent(scalar_network(4), dynamics.gradient_descent(settings.grid_lr)),
        np.linspace(settings.x_low, settings.x_high, settings.grid),
        np.linspace(settings.y_low, settings.y_high, settings.grid),
        key=jax.random.key(0),  # descent draws nothing
        converged=dynamics.LossBelow(AT_REST),
        num_steps=settings.grid_steps,
        levels=settings.levels,
        check_every=check_every,
        progress=context.progress,
    )
    saved = {"end_status": found.status, "start_computed": found.computed.astype(np.int8)}
    return to_dataset(saved, coords={"start_x": found.x, "start_y": found.y})


def _trajectory(settings: Settings) -> "xarray.Dataset":
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, measures
    from precipice.results import to_dataset

    process = dynamics.Descent(
        scalar_network(4), dynamics.gradient_descent(settings.lr), start=jnp.array(parse_starts(settings.start)[0])
    )

    def probe(state):
        return {"entries": state.params, "offsets": measures.degree_four_offset(jnp.abs(state.params), settings.lr)}

    found = dynamics.simulate(
        process, key=jax.random.key(0), num_steps=settings.num_steps, every=EVERY, probes=(probe,)
    )
    saved = {name: np.asarray(value) for name, value in found.saved.items()}
    saved["final_sharpness"] = np.asarray(measures.degree_four_eigenvalues(found.state.params)[0])
    return to_dataset(saved, coords={"step": np.asarray(found.step), "entry": range(2)})


def _diagram(settings: Settings) -> "xarray.Dataset":
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics
    from precipice.results import to_dataset

    values = jnp.linspace(0.0, 0.25, settings.values)
    found = dynamics.bifurcation(
        dynamics.CubicMap, values, key=jax.random.key(0), num_steps=settings.transient, max_period=32
    )
    saved = {"period": np.asarray(found.period), "orbit_tail": np.asarray(found.tail)}
    return to_dataset(saved, coords={"scaled_offset": np.asarray(values), "tail": range(64)})


# Claims -------------------------------------------------------------------------------------------------------------


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


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Where starts diverge; every other step in (x, y); the trajectory over the map's bifurcation diagram."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    draw = {"boundary": draw_boundary, "trajectory": draw_trajectory, "bifurcation": draw_diagram}
    for name, ax in zip(names, axes, strict=True):
        draw[name](ax, dataset)
    computed = float(dataset["start_computed"].mean())
    style.caption(
        picture,
        f"Coupled degree-4 network, (1 - x^2 y^2)^2/4. Boundary: lr = {settings['grid_lr']:g}, up to "
        f"{settings['grid_steps']:,} steps; {dataset.sizes['start_x']} x {dataset.sizes['start_y']} starts, of which "
        f"{computed:.0%} were run, where neighbours differ. Trajectory: lr = {settings['lr']:g} from "
        f"({settings['start']}), {settings['num_steps']:,} steps, every seventh drawn. "
        f"Bifurcation: grey, orbits of b' = b(1 + 8A - 16b^2) and their mirror images; colour, the trajectory. The "
        f"window is ours; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def draw_boundary(ax, dataset: "xarray.Dataset") -> None:
    """Starts that converge in colour, those that diverge in white."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    from precipice.figures import style
    from precipice.results import Status

    diverged = (dataset["end_status"] == int(Status.DIVERGED)).transpose("start_y", "start_x")
    ax.pcolormesh(
        dataset["start_x"],
        dataset["start_y"],
        diverged.astype(float),
        cmap=ListedColormap([style.COLOURS[0], "white"]),
        shading="nearest",
        vmin=0,
        vmax=1,
    )
    ax.grid(visible=False)
    ax.set_xlabel("start x")
    ax.set_ylabel("start y")
    ax.set_title("border of divergence")
    handles = [
        Patch(facecolor=style.COLOURS[0], label="does not diverge"),
        Patch(facecolor="white", edgecolor="black", label="diverges"),
    ]
    ax.legend(handles=handles, fontsize=8, loc="upper right")


def draw_trajectory(ax, dataset: "xarray.Dataset") -> None:
    """The entries, dots joined in no way."""
    import numpy as np

    from precipice.figures import style
    from precipice.papers.zhu2022.trajectories import draw_valley

    x, y = np.abs(dataset["entries"].transpose("entry", "step").values)
    ax.plot(x, y, ".", color=style.COLOURS[0], ms=1, rasterized=True)
    ax.plot(x[0], y[0], "o", color=style.COLOURS[1], mfc="white", label="start")
    ax.plot(x[-1], y[-1], "s", color=style.COLOURS[1], label=f"end ({x[-1]:.4g}, {y[-1]:.3g})")
    draw_valley(ax, np.linspace(np.nanmin(x), np.nanmax(x), 100))
    ax.set_xlabel("entry x")
    ax.set_ylabel("entry y")
    ax.set_title("from close to the border")
    ax.legend(fontsize=8, loc="lower left")


def draw_diagram(ax, dataset: "xarray.Dataset") -> None:
    """The map's tails, mirrored, and the trajectory."""
    import numpy as np

    from precipice.figures import style

    tail = dataset["orbit_tail"].transpose("scaled_offset", "tail").values
    values = np.repeat(dataset["scaled_offset"].values, tail.shape[1])
    for sign in (1, -1):
        label = "cubic map" if sign > 0 else None
        ax.plot(values, sign * tail.ravel(), ".", color="#999999", ms=1, label=label, rasterized=True)
    scale, b = scaled(dataset)
    ax.plot(scale, b, ".", color=style.COLOURS[1], ms=1, alpha=0.5, label="gradient descent", rasterized=True)
    ax.axvline(FIRST_DOUBLING, color="black", lw=1.0, ls="--", label="A = 1/8")
    ax.set_xlabel("A = a κ")
    ax.set_ylabel("b = xy - 1")
    ax.set_title("against the map at frozen a")
    ax.legend(fontsize=8, loc="lower left", markerscale=6)


FIGURE = Figure(
    id="zhu2022/fig6",
    title="Degree 4: fractal border of divergence, chaos, and the bifurcation diagram it comes out of",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "a minute", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="chaos-ends-near-the-first-doubling",
    claim_panels={
        "chaos-ends-near-the-first-doubling": "bifurcation",
        "first-doubling-at-one-eighth": "bifurcation",
        "ends-just-below-the-edge": "trajectory",
        "boundary-is-fractal": "boundary",
    },
)
