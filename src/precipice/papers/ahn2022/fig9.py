"""ahn2022/fig9: two starts of the single neuron, one that follows the flow and one that goes through the edge."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import single_neuron
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("gradient-flow", "edge-of-stability")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        loss: sqrt, tanh or huber.
        lr: learning rate.
        x: first weight of both starts.
        y_flow: second weight of the start in the gradient-flow regime.
        y_edge: second weight of the start in the edge-of-stability regime.
        num_steps: steps of both runs.
        precision: float64.
    """

    loss: str
    lr: float
    x: float
    y_flow: float
    y_edge: float
    num_steps: int
    precision: str = "float64"


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The figure's own numbers."""
    return Settings(loss="sqrt", lr=0.25, x=3.0, y_flow=4.0, y_edge=6.0, num_steps=600)


def control(settings: Settings) -> Settings:
    """The second start below the edge too."""
    return dataclasses.replace(settings, y_edge=settings.y_flow)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    single_neuron.check(settings.loss, settings.precision)
    positive("lr", settings.lr)
    positive("x", settings.x)
    for name in ("y_flow", "y_edge"):
        value = getattr(settings, name)
        if not (np.isfinite(value) and value > settings.x):
            raise InputError(f"{name} must be above x ({settings.x:g}), as the theory needs; got {value}.")
    at_least("num_steps", settings.num_steps, 20)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend from both starts, flow from both, and the envelope."""
    import jax.numpy as jnp

    from precipice import measures
    from precipice.results import to_dataset

    loss = single_neuron.loss_of(settings.loss)
    starts = np.array([[settings.x, settings.y_flow], [settings.x, settings.y_edge]])
    saved = single_neuron.follow(loss, starts, np.full(2, settings.lr), settings.num_steps)
    times = settings.lr * settings.num_steps * np.linspace(0, 1, 1001) ** 3  # dense at first, where it moves
    saved["flow_entries"] = single_neuron.flows(loss, starts, times)
    saved["envelope_x"] = np.asarray(
        measures.quasi_static_envelope(loss, jnp.asarray(saved["entries"][..., 1]), settings.lr).x
    )
    saved["edge"] = np.array(2 / settings.lr)
    coords = {"start": range(2), "step": range(settings.num_steps + 1), "entry": range(2), "time": times}
    return to_dataset(saved, coords=coords)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The trajectories in the plane of the weights."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        one = dataset.isel(start=PANELS.index(name))
        _draw(ax, one, settings["lr"])
        ax.set_title(f"{name.replace('-', ' ')}: from ({settings['x']:g}, {float(one['entries'][0, 1]):g})")
    style.caption(
        picture,
        f"Single neuron l(xy), {settings['loss']} loss, lr = {settings['lr']:g}, {settings['num_steps']} steps of "
        f"gradient descent and the gradient flow for the same time. The limit of the second regime is (0, sqrt(2/lr)), "
        f"not (0, 2/lr) as section 2.2 prints (ERR-T1); scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def phases(one: "xarray.Dataset") -> np.ndarray:
    """Of each step: 0 before it bounces, 1 while y^2 is above 2/lr and x changes sign, 2 after."""
    x, y = one["entries"].values.T
    above = y**2 >= float(one["edge"])
    flips = np.append(x[1:] * x[:-1] < 0, False)
    bounced = np.cumsum(flips) > 0
    return np.where(above, np.where(bounced, 1, 0), 2 if above[0] else 0)


def _draw(ax, one: "xarray.Dataset", lr: float) -> None:
    from precipice.figures import style

    x, y = one["entries"].values.T
    phase = phases(one)
    for number, (label, colour) in enumerate(
        (("gradient descent", style.COLOURS[0]), ("bouncing", style.COLOURS[1]), ("converging", "#b02a30"))
    ):
        here = phase == number
        if here.any():
            ax.plot(x[here], y[here], ".", ms=4, color=colour, label=label)
    ax.plot(x, y, color="#999999", lw=0.3)
    ax.plot(*one["flow_entries"].values.T, color=style.COLOURS[2], lw=1.2, label="gradient flow")
    grid = np.linspace(-1.1 * np.abs(x).max(), 1.1 * np.abs(x).max(), 200)
    single_neuron.draw_edge(ax, grid, lr)
    hugging = np.isfinite(one["envelope_x"].values) & (phase == 1)
    if hugging.any():
        order = np.argsort(y[hugging])
        for sign in (1, -1):
            label = "quasi-static envelope" if sign == 1 else None
            envelope = sign * one["envelope_x"].values[hugging][order]
            ax.plot(envelope, y[hugging][order], color=style.COLOURS[3], lw=1.0, label=label)
    single_neuron.axis_labels(ax)
    ax.legend(fontsize=8, loc="upper left")


def _relative_end(dataset: "xarray.Dataset", start: int) -> float | None:
    found = single_neuron.last_sharpness(dataset.isel(start=start))
    return None if found is None else found / float(dataset["edge"])


def _below_flow(dataset: "xarray.Dataset") -> float | None:
    one = dataset.isel(start=0)
    found, flow = single_neuron.last_sharpness(one), one["flow_entries"].isel(time=-1).values
    return None if found is None else float(found / (flow**2).sum())


def _hugs(dataset: "xarray.Dataset") -> float | None:
    one = dataset.isel(start=1)
    bouncing = phases(one) == 1
    ratio = np.abs(one["entries"].isel(entry=0).values) / one["envelope_x"].values
    later = bouncing & np.isfinite(ratio)
    later[: int(np.argmax(later)) + later.sum() // 4] = False  # the first quarter, on its way to the envelope
    return float(np.median(np.abs(ratio[later] - 1))) if later.sum() >= 8 else None


def _conserved(dataset: "xarray.Dataset") -> float | None:
    x, y = dataset["flow_entries"].values.T
    squares = y**2 - x**2
    return float(np.abs(squares / squares[:1] - 1).max()) if np.isfinite(squares).all() else None


CLAIMS = (
    Claim(
        "edge-start-ends-just-below-2-over-lr",
        "The start above the edge ends with a sharpness just below 2/lr.",
        "ahn2022 figure 9 right; theorem 2 (TN-7)",
        (0.9, 1.0),
        "final sharpness over 2/lr; the gap is about lr here (TN-9b), 3 % of 2/lr",
        lambda dataset: _relative_end(dataset, 1),
    ),
    Claim(
        "flow-start-ends-below-the-edge",
        "The start below the edge ends away from it.",
        "ahn2022 figure 9 left; theorem 1 (TN-6)",
        (0.0, 0.9),
        "final sharpness over 2/lr; the flow would give 7/8",
        lambda dataset: _relative_end(dataset, 0),
    ),
    Claim(
        "descent-tracks-the-flow",
        "Below the edge gradient descent ends near the end of the flow, on its flatter side.",
        "ahn2022 figure 9 left; theorem 1 (TN-6)",
        (0.7, 1.0),
        "final sharpness of descent over that of the flow; y^2 - x^2 shrinks in each step, by 20 % at so large a rate",
        _below_flow,
    ),
    Claim(
        "bouncing-hugs-the-envelope",
        "While it bounces, gradient descent tracks the quasi-static envelope.",
        "ahn2022 figure 9 right; eq. 13 (TN-8)",
        (0.0, 0.15),
        "median of the relative distance of |x| from the envelope, after the first quarter of the bouncing steps; the "
        "envelope itself moves by 10 % in a few steps at so large a rate",
        _hugs,
    ),
    Claim(
        "flow-conserves",
        "The flow conserves y^2 - x^2.",
        "ahn2022 section 2.1 (TN-4)",
        (0.0, 1e-6),
        "largest relative change of it along both flows; the integrator's tolerance is 1e-8",
        _conserved,
    ),
)

FIGURE = Figure(
    id="ahn2022/fig9",
    title="Two regimes of a single neuron: gradient flow, and the edge of stability",
    panels=PANELS,
    scales={"quick": Scale(paper_settings, "4 seconds", NO_DATA), "paper": Scale(paper_settings, "4 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="edge-start-ends-just-below-2-over-lr",
    claim_panels={
        "edge-start-ends-just-below-2-over-lr": "edge-of-stability",
        "bouncing-hugs-the-envelope": "edge-of-stability",
        "flow-start-ends-below-the-edge": "gradient-flow",
        "descent-tracks-the-flow": "gradient-flow",
        "flow-conserves": "gradient-flow",
    },
)
