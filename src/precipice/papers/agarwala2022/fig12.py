"""agarwala2022/fig12: under gradient flow larger residuals raise the top kernel eigenvalue and speed the descent."""

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

FALLEN = 1e-3
"""The descent's speed is judged by when the loss first is below this part of its start."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        num_examples: d.
        num_params: p.
        scales: of the residuals at the start, times d.
        jacobian_scale: of the Jacobian, times (d p)^(1/4).
        duration: of the flow; a step of descent in figure 3 is one unit of time.
        num_times: times recorded.
        seeds: draws of the model; all scales of one share it.
        precision: float64.
    """

    num_examples: int
    num_params: int
    scales: str
    jacobian_scale: float
    duration: float
    num_times: int
    seeds: int
    precision: str = "float64"


def quick_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure gives neither its size nor its scales: half of figure 3's."""
    return Settings(
        num_examples=30,
        num_params=60,
        scales="0.1, 0.5, 1, 2",
        jacobian_scale=0.5,
        duration=60.0,
        num_times=121,
        seeds=3,
    )


def paper_settings(data_dir: Path | None = None) -> Settings:
    """The size of figure 3."""
    return dataclasses.replace(quick_settings(data_dir), num_examples=60, num_params=120, seeds=10)


def control(settings: Settings) -> Settings:
    """A fiftieth of the residuals: the kernel hardly moves."""
    text = ", ".join(f"{scale / 50:g}" for scale in models.scales(settings.scales))
    return dataclasses.replace(settings, scales=text)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    models.scales(settings.scales)
    positive("jacobian_scale", settings.jacobian_scale)
    positive("duration", settings.duration)
    at_least("num_times", settings.num_times, 4)
    for name in ("num_examples", "num_params", "seeds"):
        at_least(name, getattr(settings, name), 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """The flow from each scale, of each draw."""
    import jax

    from precipice.results import to_dataset

    scales, found = models.scales(settings.scales), []
    times = np.linspace(0, settings.duration, settings.num_times)
    with context.progress("draws", settings.seeds) as report:
        for seed in range(settings.seeds):
            unit = models.unit_rows(settings.num_examples, settings.num_params, jax.random.key(seed))
            found.append([_flow(settings, unit, scale, times) for scale in scales])
            report(seed + 1, "")
    saved = {name: np.array([[one[name] for one in row] for row in found]) for name in found[0][0]}
    return to_dataset(saved, coords={"seed": range(settings.seeds), "output_scale": scales, "time": times})


def _flow(settings: Settings, unit, scale: float, times: np.ndarray):
    """Loss, largest eigenvalue and status of one flow."""
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, measures
    from precipice.problems import QuadraticModel, Rows

    to = measures.rescaled_scales(
        settings.num_examples, settings.num_params, output=scale, jacobian=settings.jacobian_scale
    )
    model = QuadraticModel(Rows(to.output * unit.y, to.jacobian * unit.g, unit.q))
    found = dynamics.flow(model, jnp.zeros(settings.num_params), times, rtol=1e-6, atol=1e-9)

    def measured(model, thetas):
        top = lambda theta: jnp.linalg.eigvalsh(model.kernel(theta))[-1]  # noqa: E731
        return jax.vmap(model.loss)(thetas), jax.lax.map(top, thetas)

    loss, top = jax.jit(measured)(model, found.params)
    return {"flow_loss": loss, "flow_kernel": top, "status": found.status}


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss and lambda_max of one draw against time, a line a scale."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    one = dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        for index, scale in enumerate(one["output_scale"].values):
            values = one[f"flow_{name}"].isel(output_scale=index)
            values = values / values[0] if name == "loss" else values
            ax.plot(one["time"], values, color=style.COLOURS[index % 6], lw=1.3, label=f"{scale:g}")
        ax.set_xlabel("time (steps of figure 3)")
        if name == "loss":
            ax.set_yscale("log")
            ax.set_ylim(1e-8, 2)
        ax.set_ylabel({"loss": "loss over its start", "kernel": "lambda_max of J J^T"}[name])
        ax.set_title({"loss": "loss", "kernel": "largest kernel eigenvalue"}[name])
        ax.legend(title="residual scale", fontsize=8, loc="best" if name == "loss" else (0.7, 0.6))
    style.caption(
        picture,
        f"Quadratic regression with {models.label(settings['num_examples'], settings['num_params'])} under gradient "
        f"flow of the sum of half squares; residuals at the start of standard deviation (scale)/d, Jacobian "
        f"{settings['jacobian_scale']:g}/(d p)^(1/4), Q = (R + R^T)/sqrt(2); one draw of {settings['seeds']}. Size and "
        f"scales are not given in the paper; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _growth(dataset: "xarray.Dataset") -> np.ndarray:
    """Final over initial eigenvalue, by scale."""
    values = dataset["flow_kernel"].values
    return values[:, -1] / values[:, 0]


def _speeds(dataset: "xarray.Dataset") -> np.ndarray:
    """One over the time at which the loss has fallen to `FALLEN`, by scale; 0 where it has not."""
    losses, times = dataset["flow_loss"].values, dataset["time"].values
    fallen = losses < FALLEN * losses[:, :1]
    return np.where(fallen.any(axis=1), 1 / times[np.maximum(fallen.argmax(axis=1), 1)], 0)


def _late_change(dataset: "xarray.Dataset") -> float:
    values = dataset["flow_kernel"].values[-1]
    return float(abs(values[-1] / values[-max(2, len(values) // 4)] - 1))


CLAIMS = (
    Claim(
        "larger-residuals-raise-the-kernel",
        "With larger residuals the largest eigenvalue rises to a higher value.",
        "agarwala2022 figure 12, right; appendix C.1 (QR-35)",
        (1.5, np.inf),
        "final over initial eigenvalue at the largest scale: a scale of order 1 changes J by as much as it is",
        lambda dataset: float(_growth(dataset)[-1]),
    ),
    Claim(
        "the-kernel-rises-with-the-scale",
        "The larger the residuals, the more it rises.",
        "agarwala2022 figure 12, right",
        (1e-3, np.inf),
        "least difference of final over initial eigenvalue between successive scales",
        lambda dataset: float(np.diff(_growth(dataset)).min()),
    ),
    Claim(
        "the-loss-falls-faster",
        "Models with larger residuals converge faster.",
        "agarwala2022 figure 12, left",
        (1.2, np.inf),
        "1/time to a thousandth of the loss, at the largest over the smallest scale; equal speed would be 1",
        lambda dataset: float(_speeds(dataset)[-1] / _speeds(dataset)[0]) if _speeds(dataset)[0] > 0 else None,
    ),
    Claim(
        "then-it-stabilises",
        "The eigenvalue rises at first and then stays.",
        "agarwala2022 appendix C.1",
        (0.0, 0.05),
        "change over the last quarter of the time, over the value, at the largest scale: the loss is gone by then",
        _late_change,
    ),
)


FIGURE = Figure(
    id="agarwala2022/fig12",
    title="Gradient flow of quadratic models: larger residuals raise the kernel and speed the descent",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "10 seconds", NO_DATA),
        "paper": Scale(paper_settings, "1 minute", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="larger-residuals-raise-the-kernel",
    claim_panels={
        "larger-residuals-raise-the-kernel": "kernel",
        "the-kernel-rises-with-the-scale": "kernel",
        "the-loss-falls-faster": "loss",
        "then-it-stabilises": "kernel",
    },
)
