"""agarwala2022/fig3: larger residuals sharpen more, up to the edge, where the loss rises and falls but goes to 0."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.agarwala2022 import models
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import check_precision

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "kernel")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        num_examples: d, the paper's 60.
        num_params: p, the paper's 120.
        scales: of the residuals at the start, times d; the paper's tilde sigma_z.
        jacobian_scale: of the Jacobian, times (d p)^(1/4); the paper's tilde sigma_J, which the figure does not give.
        num_steps: of each run.
        every: steps between measurements; odd, so that both branches of an oscillation are seen.
        seeds: draws of the model; all scales of one share it.
        precision: float64.
    """

    num_examples: int
    num_params: int
    scales: str
    jacobian_scale: float
    num_steps: int
    every: int
    seeds: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's size; its scales are not given."""
    return Settings(
        num_examples=60,
        num_params=120,
        scales="0.01, 0.1, 0.2, 0.3",
        jacobian_scale=0.5,
        num_steps=1500,
        every=5,
        seeds=3,
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """Longer, every step recorded, more draws."""
    return dataclasses.replace(quick_settings(data_dir), num_steps=6000, every=1, seeds=10)


def control(settings: Settings) -> Settings:
    """A tenth of the residuals: too small to sharpen as far as the edge."""
    text = ", ".join(f"{scale / 10:g}" for scale in models.scales(settings.scales))
    return dataclasses.replace(settings, scales=text, num_steps=500 - 500 % settings.every)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule

    check_precision(settings.precision)
    models.scales(settings.scales)
    positive("jacobian_scale", settings.jacobian_scale)
    check_schedule(settings.num_steps, settings.every)
    for name in ("num_examples", "num_params", "seeds"):
        at_least(name, getattr(settings, name), 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Descent at lr = 1 from each scale, of each draw."""
    import jax

    from precipice.results import to_dataset

    scales = models.scales(settings.scales)
    one_draw, saved = jax.jit(lambda key: _trajectories(settings, scales, key)), []
    with context.progress("draws", settings.seeds) as report:
        for seed in range(settings.seeds):
            saved.append(jax.device_get(one_draw(jax.random.key(seed))))
            report(seed + 1, "")
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *saved)
    steps = range(0, settings.num_steps + 1, settings.every)
    coords = {"seed": range(settings.seeds), "output_scale": scales, "probe_step": steps}
    return to_dataset(stacked, coords=coords)


def _trajectories(settings: Settings, scales: list[float], key):
    """Loss and largest eigenvalue along the run of each scale; all scales share one Q."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, measures
    from precipice.problems import QuadraticModel, Rows

    size = (settings.num_examples, settings.num_params)
    unit = models.unit_rows(*size, key)

    def one(scale):
        to = measures.rescaled_scales(*size, output=scale, jacobian=settings.jacobian_scale)
        model = QuadraticModel(Rows(jnp.asarray(to.output) * unit.y, jnp.asarray(to.jacobian) * unit.g, unit.q))

        def probe(state):
            top = jnp.linalg.eigvalsh(model.kernel(state.params))[-1]
            return {"sum_loss": model.loss(state.params), "rescaled_kernel": top}

        return dynamics.simulate(
            dynamics.Descent(model, dynamics.gradient_descent(1.0)),
            key=key,
            num_steps=settings.num_steps,
            every=settings.every,
            probes=(probe,),
        ).saved

    return jax.vmap(one)(jnp.array(scales))


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss and lr lambda_max of one draw against the step, a line a scale."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    one = dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        variable = {"loss": "sum_loss", "kernel": "rescaled_kernel"}[name]
        for index, scale in enumerate(one["output_scale"].values):
            values = one[variable].isel(output_scale=index)
            if name == "loss":
                values = values / values[0]
            ax.plot(one["probe_step"] + 1, values, color=style.COLOURS[index % 6], lw=1.2, label=f"{scale:g}")
        ax.set_xscale("log")
        ax.set_xlabel("gradient step + 1")
        if name == "loss":
            ax.set_yscale("log")
            ax.set_ylim(1e-10, None)
            ax.set_ylabel("loss over its start")
        else:
            style.edge_line(ax, 2.0, "2: the edge", "#4a4a4a")
            ax.set_ylabel("lr x lambda_max of J J^T")
        ax.set_title({"loss": "loss", "kernel": "largest kernel eigenvalue"}[name])
        ax.legend(title="residual scale", fontsize=8)
    style.caption(
        picture,
        f"Quadratic regression with {models.label(settings['num_examples'], settings['num_params'])}, lr = 1, sum of "
        f"half squares; residuals at the start of standard deviation (scale)/d, Jacobian {settings['jacobian_scale']:g}"
        f"/(d p)^(1/4), Q = (R + R^T)/sqrt(2); one draw of {settings['seeds']}. The paper gives neither scale; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _growth(dataset: "xarray.Dataset") -> np.ndarray:
    """Final over initial eigenvalue, by scale."""
    values = dataset["rescaled_kernel"].values
    return values[:, -1] / values[:, 0]


def _last_loss(dataset: "xarray.Dataset") -> float:
    values = dataset["sum_loss"].values[-1]
    return float(np.log10(max(values[-1] / values[0], 1e-300)))


CLAIMS = (
    Claim(
        "held-at-the-edge",
        "Sharpening drives lr lambda_max near 2, where it stays.",
        "agarwala2022 figure 3, right",
        (1.95, 2.01),
        "lr lambda_max at the end for the largest scale: converged runs of the reference end within 0.02 below 2, "
        "unfinished ones alternate about it by less than that",
        lambda dataset: float(dataset["rescaled_kernel"].values[-1, -1]),
    ),
    Claim(
        "larger-residuals-sharpen-more",
        "As the residuals' variance grows, so does the curvature at convergence.",
        "agarwala2022 figure 3, right; theorem 3.1 (QR-35)",
        (1e-3, np.inf),
        "least difference of final over initial eigenvalue between successive scales; 0 would be none",
        lambda dataset: float(np.diff(_growth(dataset)).min()),
    ),
    Claim(
        "small-residuals-do-not-sharpen",
        "With the smallest residuals the curvature stays what it was.",
        "agarwala2022 figure 3, right",
        (0.97, 1.05),
        "final over initial eigenvalue at the smallest scale; the change is of the order of the scale, 0.01",
        lambda dataset: float(_growth(dataset)[0]),
    ),
    Claim(
        "loss-is-not-monotone",
        "At the edge the loss goes up and down.",
        "agarwala2022 figure 3, left",
        (1, np.inf),
        "recorded rises of the loss at the largest scale",
        lambda dataset: int((np.diff(dataset["sum_loss"].values[-1]) > 0).sum()),
    ),
    Claim(
        "loss-still-converges",
        "It still converges to 0.",
        "agarwala2022 figure 3, left",
        (-np.inf, -3.0),
        "decades between the loss at the end and at the start, at the largest scale: a cycle that did not decay has 0",
        _last_loss,
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig3",
    title="Descent on quadratic models: larger residuals sharpen up to the edge of stability",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "5 minutes", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="held-at-the-edge",
    claim_panels={
        "held-at-the-edge": "kernel",
        "larger-residuals-sharpen-more": "kernel",
        "small-residuals-do-not-sharpen": "kernel",
        "loss-is-not-monotone": "loss",
        "loss-still-converges": "loss",
    },
)
