"""shapira2023/sec5: exact recurrences of a two-layer linear network, and why its kernel grows (Li et al. 2022)."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.shapira2023.sec5.claims import CLAIMS
from precipice.papers.shapira2023.sec5.picture import PANELS, plot
from precipice.papers.shapira2023.sec5.settings import Settings, control, paper_settings, validate

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Gradient descent on the weights beside the recurrences in (D, |a|^2, M), for each draw."""
    import jax
    import jax.numpy as jnp

    from precipice.measures import fixed_kernel_overlap
    from precipice.results import to_dataset

    found = jax.vmap(lambda key: _one(settings, key))(jax.random.split(jax.random.key(0), settings.seeds))
    saved = {name: np.asarray(value) for name, value in found.items()}
    saved["edge"] = np.array(2 / settings.lr)
    example = fixed_kernel_overlap(jnp.array([1.6, 1.2, 0.3]), jnp.array([1.0, -1.0, 1.0]), 1.0, 1)
    saved["counterexample_overlap"] = np.asarray(example[1])
    steps = range(settings.num_steps + 1)
    return to_dataset(saved, coords={"seed": range(settings.seeds), "step": steps, "probe_step": steps})


def _one(settings: Settings, key) -> dict:
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, measures, problems

    x_key, y_key, start_key = jax.random.split(key, 3)
    x = jax.random.normal(x_key, (settings.num_examples, settings.inputs))
    y = jnp.sign(jax.random.normal(y_key, (settings.num_examples,)))
    problem = problems.TwoLayerLinear(x, y, width=settings.width, output_scale=settings.output_scale)
    params = problem.init(start_key)

    def probe(state):
        now = measures.two_layer_linear_state(problem, state.params)
        along, top, bound = measures.two_layer_linear_gap(problem, state.params)
        return {"state": now, "along": along, "top": top, "bound": bound}

    process = dynamics.Descent(problem, dynamics.gradient_descent(settings.lr), start=params)
    real = dynamics.simulate(process, key=start_key, num_steps=settings.num_steps, every=1, probes=(_flat(probe),))
    saved = real.saved

    def recur(state, _):
        return measures.two_layer_linear_step(problem, state, settings.lr), state

    first = measures.two_layer_linear_state(problem, params)
    _, exact = jax.lax.scan(recur, first, None, length=settings.num_steps + 1)
    error = jnp.max(jnp.abs(exact.kernel - saved["kernel"]), axis=(1, 2))
    error = jnp.maximum(error, jnp.max(jnp.abs(exact.residual - saved["residual"]), axis=1))
    residual = saved["residual"]
    return {
        "loss": jnp.mean(residual**2, axis=1),
        "residual_overlap": jnp.sum((residual + y[None]) * residual, axis=1),
        "output_weight_norm": saved["norm"],
        "recurrence_error": jnp.maximum(error, jnp.abs(exact.output_norm - saved["norm"])),
        "ntk_eigenvalue": saved["top"][:, None],
        "kernel_along_data": saved["along"],
        "kernel_along_data_bound": saved["bound"],
        "status": real.status,
        "diverged_at": real.diverged_at,
    }


def _flat(probe):
    def flattened(state):
        found = probe(state)
        residual, norm, kernel = found.pop("state")
        return {"residual": residual, "norm": norm, "kernel": kernel, **found}

    return flattened


FIGURE = Figure(
    id="shapira2023/sec5",
    title="A two-layer linear network: exact recurrences and progressive sharpening",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "4 seconds", NO_DATA), "paper": Scale(paper_settings, "4 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="progressive-sharpening",
    claim_panels={
        "progressive-sharpening": "kernel",
        "data-carry-the-top-eigenvector": "kernel",
        "outputs-stay-below-targets": "overlap",
        "grows-while-below": "overlap",
        "condition-below-two-is-not-enough": "overlap",
        "recurrences-are-exact": "recurrences",
    },
)
