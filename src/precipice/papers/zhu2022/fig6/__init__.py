"""zhu2022/fig6: degree 4 near the border of divergence, which is fractal: chaos, then the doublings are undone."""

from typing import TYPE_CHECKING

from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022.fig6.boundary import border
from precipice.papers.zhu2022.fig6.claims import CLAIMS
from precipice.papers.zhu2022.fig6.picture import PANELS, plot
from precipice.papers.zhu2022.fig6.settings import EVERY, Settings, control, paper_settings, quick_settings, validate
from precipice.papers.zhu2022.networks import parse_starts, scalar_network

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """The basins over a grid, one trajectory, and the attractors of the cubic map."""
    return border(settings, context).merge(_trajectory(settings)).merge(_diagram(settings))


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


FIGURE = Figure(
    id="zhu2022/fig6",
    title="Degree 4: fractal border of divergence, chaos, and the bifurcation diagram it comes out of",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "30 seconds", NO_DATA),
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
