"""zhu2022/fig28: with gradient noise the degree-4 network comes to the edge, then wanders between both edge minima."""

from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale
from precipice.papers.zhu2022 import noise
from precipice.papers.zhu2022.noise import PANELS, Settings, control, validate

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's learning rate and noise; 10^6 steps, as in figure 27 (its start and length are not given)."""
    return Settings(start="2.6,0.3", lr=0.2, scale=0.01, early_steps=200, num_steps=1_000_000, every=1000, seeds=3)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend with fresh noise on the gradient at each step."""
    from precipice import dynamics

    return noise.run_noisy(dynamics.GradientNoise, settings)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness, early and late trajectory."""
    return noise.plot(dataset, panel, "gradient")


def _early(dataset: "xarray.Dataset") -> float:
    return float(noise.valley(dataset)[noise.early_end(dataset)] / dataset["edge"])


def _range(dataset: "xarray.Dataset") -> float:
    late = noise.valley(dataset)[noise.early_end(dataset) + 1 :]
    return float((late.max() - late.min()) / (dataset["edge"] - 4))


def _highest(dataset: "xarray.Dataset") -> float:
    late = noise.valley(dataset)[noise.early_end(dataset) + 1 :]
    return float(late.max() / dataset["edge"])


def _crosses(dataset: "xarray.Dataset") -> float:
    import numpy as np

    late = dataset["entries"].values[noise.early_end(dataset) + 1 :]
    return float(min(np.mean(late[:, 0] > late[:, 1]), np.mean(late[:, 0] < late[:, 1])))


CLAIMS = (
    Claim(
        "comes-to-the-edge-first",
        "The run first comes near the edge minimum.",
        "zhu2022 figure 28 (a, b)",
        (0.9, 1.01),
        "sharpness of the valley at step 200 over 2/lr; without noise it is 0.993, and noise adds a few percent",
        _early,
    ),
    Claim(
        "wanders-along-the-valley",
        "It then traverses the valley of minima at random.",
        "zhu2022 figure 28 (c, d)",
        (0.6, 1.1),
        "range of the valley's sharpness at later records over 2/lr - 4, the whole range between the edge and (1, 1)",
        _range,
    ),
    Claim(
        "stays-between-the-edge-minima",
        "It stays between the two minima of sharpness 2/lr.",
        "zhu2022 figure 28 (c, d)",
        (0.0, 1.05),
        "largest sharpness of the valley at later records over 2/lr; beyond the edge it is soon driven back",
        _highest,
    ),
    Claim(
        "visits-both-sides",
        "It traverses the valley from one edge minimum to the other.",
        "zhu2022 figure 28 (d)",
        (0.02, 0.5),
        "the fraction of later records on the less visited side of x = y; never crossing gives 0",
        _crosses,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig28",
    title="Degree 4 with gradient noise: to the edge, then along the valley",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "5 seconds", NO_DATA), "paper": Scale(settings_of, "5 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="wanders-along-the-valley",
    claim_panels={
        "comes-to-the-edge-first": "early-trajectory",
        "wanders-along-the-valley": "sharpness",
        "stays-between-the-edge-minima": "sharpness",
        "visits-both-sides": "late-trajectory",
    },
)
