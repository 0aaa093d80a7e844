"""ahn2022/fig6: the ReLU network in the plane of its weight sum and its bias: the sum bounces while the bias falls."""

import dataclasses
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022.relu_network import (
    Settings,
    data_line,
    follow_all,
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

PANELS = ("trajectory",)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate, below the threshold."""
    lrs = ",".join(f"{lr / 10:.6g}" for lr in numbers(settings.lrs, "lrs", ascending=True))
    return dataclasses.replace(settings, lrs=lrs)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train at the learning rate."""
    return follow_all(settings)


# Claims -------------------------------------------------------------------------------------------------------------


def bouncing(dataset: "xarray.Dataset") -> "tuple[np.ndarray, np.ndarray]":
    """Weight sum and bias at the last learning rate until half of the fall of the bias is done, and 10 steps more."""
    import numpy as np

    weight_sum, bias = dataset["weight_sum"].values[-1], dataset["bias"].values[-1]
    end = int(np.argmax(bias <= bias[-1] / 2)) + 10
    return weight_sum[:end], bias[:end]


def _turns(dataset: "xarray.Dataset") -> float:
    import numpy as np

    moves = np.diff(bouncing(dataset)[0])
    return float(np.mean(moves[1:] * moves[:-1] < 0))


def _crossings(dataset: "xarray.Dataset") -> float:
    import numpy as np

    weight_sum = bouncing(dataset)[0][5:]
    return float(np.mean(weight_sum[1:] * weight_sum[:-1] < 0))


def _falls(dataset: "xarray.Dataset") -> float:
    import numpy as np

    return float(np.mean(np.diff(bouncing(dataset)[1]) < 0))


CLAIMS = (
    Claim(
        "weight-sum-oscillates",
        "The sum of weights bounces back at every step.",
        "ahn2022 figure 6",
        (0.9, 1.0),
        "fraction of the steps, up to half of the fall of the bias, after which A turns back; the first steps down "
        "from the start need not",
        _turns,
    ),
    Claim(
        "across-zero",
        "It bounces from one side of 0 to the other.",
        "ahn2022 figure 6",
        (0.9, 1.0),
        "fraction of those steps, but for the first five, on which A changes sign",
        _crossings,
    ),
    Claim(
        "bias-falls-meanwhile",
        "Meanwhile the bias decreases.",
        "ahn2022 figure 6; in the mean model it never rises (section 3.2)",
        (0.9, 1.0),
        "fraction of those steps that lower b; noise of finite d and n can raise it where A is near 0",
        _falls,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """The trajectory of the first seed."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    picture, (ax,) = style.panels(1)
    one = dataset.isel(seed=0, lr=-1)
    ax.plot(one["weight_sum"], one["bias"], "-", color=style.COLOURS[0], lw=0.4, alpha=0.6)
    ax.plot(one["weight_sum"], one["bias"], ".", color=style.COLOURS[0], ms=3, label="gradient descent")
    ax.plot(one["weight_sum"][0], one["bias"][0], "o", color=style.COLOURS[1], ms=7, label="start")
    ax.plot(one["weight_sum"][-1], one["bias"][-1], "s", color=style.COLOURS[2], ms=6, label="end")
    ax.axvline(0, color="#888888", lw=0.6)
    ax.set_xlabel("weight sum A = d (a- + a+)")
    ax.set_ylabel("bias b")
    ax.set_title(f"lr = {float(one['lr']):.3g}")
    ax.legend(fontsize=8, loc="lower right")
    style.caption(
        picture,
        f"{data_line(settings)}. {settings['num_steps']:,} steps, first of {style.count(settings['seeds'], 'seed')}; "
        f"learning rate as in figure 2; scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig6",
    title="The weight sum of the ReLU network bounces while its bias falls",
    panels=PANELS,
    scales={
        "quick": Scale(paper_of(settings_of("2.5e-3", 500)), "5 seconds", NO_DATA),
        "paper": Scale(paper_of(settings_of("2.5e-3", 1000, seeds=5)), "6 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="weight-sum-oscillates",
    claim_panels={claim.name: PANELS[0] for claim in CLAIMS},
)
