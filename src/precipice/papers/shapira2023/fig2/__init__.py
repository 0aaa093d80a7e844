"""shapira2023/fig2: the predicted dynamics at the edge go through four phases, again and again."""

from typing import TYPE_CHECKING

from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.shapira2023.fig2.claims import CLAIMS
from precipice.papers.shapira2023.fig2.picture import PANELS, plot
from precipice.papers.shapira2023.fig2.settings import Settings, control, paper_settings, validate

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Iterate the map."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics
    from precipice.results import to_dataset

    start = jnp.asarray(settings.x, settings.precision)
    process = dynamics.SelfStabilization(settings.lr, settings.alpha, settings.beta, x=start)
    found = dynamics.simulate(
        process,
        key=jax.random.key(0),
        num_steps=settings.num_steps,
        every=1,
        probes=(lambda state: {"top_displacement": state.params[0], "excess_sharpness": state.params[1]},),
    )
    saved = {**found.saved, "status": found.status, "diverged_at": found.diverged_at}
    return to_dataset(saved, coords={"step": found.step})


FIGURE = Figure(
    id="shapira2023/fig2",
    title="Self-stabilization: the four phases of the predicted dynamics",
    panels=PANELS,
    scales={
        "quick": Scale(paper_settings, "2 seconds", NO_DATA),
        "paper": Scale(paper_settings, "2 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="returns",
    claim_panels={
        "returns": "cycles",
        "grows-where-unstable": "phases",
        "phases-in-order": "phases",
        "alternates": "phases",
        "turns-at-sqrt-2-alpha-over-beta": "plane",
        "peak-height": "plane",
    },
)
