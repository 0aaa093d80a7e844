"""ahn2022/fig4: while the bias falls, the sharpness of the ReLU network comes to 2/lr and stays there."""

import dataclasses
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022.relu_network import (
    Settings,
    data_line,
    follow_all,
    oscillating,
    paper_of,
    settings_of,
    validate,
)
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("sharpness", "bias")


def control(settings: Settings) -> Settings:
    """A tenth of the learning rates, below the threshold."""
    lrs = ",".join(f"{lr / 10:.6g}" for lr in numbers(settings.lrs, "lrs", ascending=True))
    return dataclasses.replace(settings, lrs=lrs)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train at each learning rate, with the sharpness (3 x 3) at every step."""
    return follow_all(settings, sharpness=True)


# Claims -------------------------------------------------------------------------------------------------------------


def ratios(dataset: "xarray.Dataset") -> "np.ndarray":
    """Sharpness over 2/lr [lr, step]."""
    return dataset["sharpness"].values * dataset["lr"].values[:, None] / 2


def _distance(dataset: "xarray.Dataset") -> float:
    """Of each learning rate the median over the second half of the oscillation; all steps if there is none."""
    import numpy as np

    found = []
    for ratio, weight_sum in zip(ratios(dataset), dataset["weight_sum"].values, strict=True):
        end = oscillating(weight_sum)
        found.append(abs(np.median(ratio[end // 2 : end] if end >= 10 else ratio) - 1))
    return float(max(found))


def _speed_ratio(dataset: "xarray.Dataset") -> float | None:
    """Mean speed of the bias while A oscillates over that after; None where either part is too short."""
    found = []
    for bias, weight_sum in zip(dataset["bias"].values, dataset["weight_sum"].values, strict=True):
        end, last = oscillating(weight_sum), len(bias) - 1
        if end < 10 or last - end < 10:
            return None
        found.append((bias[end] - bias[0]) / end / ((bias[-1] - bias[end]) / (last - end)))
    return float(min(found))


def _last(dataset: "xarray.Dataset") -> float:
    return float(ratios(dataset)[:, -1].max())


CLAIMS = (
    Claim(
        "sharpness-is-at-the-edge-while-the-bias-falls",
        "In the phase in which the bias falls, the sharpness is close to 2/lr.",
        "ahn2022 figure 4",
        (0.0, 0.15),
        "distance from 1 of the median of sharpness lr/2 over the second half of the steps in which A oscillates, the "
        "worst learning rate; an oscillation between s and -s at the edge has sharpness s/sinh(s) below "
        "it, which tends to 1 as it dies",
        _distance,
    ),
    Claim(
        "bias-falls-during-the-oscillation",
        "The fast drop of the bias happens at the edge.",
        "ahn2022 figure 4",
        (3.0, 1e6),
        "mean speed of the bias while A oscillates over that after, the worst learning rate; afterwards it moves with "
        "the gradient flow, which figure 2 shows to be slow",
        _speed_ratio,
    ),
    Claim(
        "ends-below-the-edge",
        "The oscillation stops once the sharpness is below 2/lr.",
        "ahn2022 section 3.2",
        (0.0, 1.0),
        "largest last sharpness lr/2; an equilibrium above 1 would repel",
        _last,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Sharpness with the edges, and bias, of the first seed."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    first = dataset.isel(seed=0)
    for name, ax in zip(names, axes, strict=True):
        for index, lr in enumerate(dataset["lr"].values):
            colour = style.COLOURS[index % len(style.COLOURS)]
            ax.plot(dataset["step"], first[name].isel(lr=index), color=colour, lw=1.0, label=f"lr = {lr:.3g}")
            if name == "sharpness":
                style.edge_line(ax, 2 / lr, f"2/lr = {2 / lr:.4g}", colour)
        ax.set_xlabel("step")
        ax.set_ylabel({"sharpness": "sharpness", "bias": "bias b"}[name])
        ax.set_title(name)
        ax.legend(fontsize=8)
    style.caption(
        picture,
        f"{data_line(settings)}. Largest Hessian eigenvalue at every step, first of "
        f"{style.count(settings['seeds'], 'seed')}; learning rates and steps are ours; scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig4",
    title="The sharpness of the ReLU network is at the edge while its bias falls",
    panels=PANELS,
    scales={
        "quick": Scale(paper_of(settings_of("1.25e-3,2.5e-3", 1200)), "8 seconds", NO_DATA),
        "paper": Scale(paper_of(settings_of("8e-4,1.25e-3,2.5e-3", 4000, seeds=5)), "20 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="sharpness-is-at-the-edge-while-the-bias-falls",
    claim_panels={
        "sharpness-is-at-the-edge-while-the-bias-falls": "sharpness",
        "bias-falls-during-the-oscillation": "bias",
        "ends-below-the-edge": "sharpness",
    },
)
