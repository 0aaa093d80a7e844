"""zhu2022/fig27: with label noise the degree-4 network comes to the edge, then drifts to the flattest minimum."""

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
    """The paper's learning rate, noise and 10^6 steps; its start is not given."""
    return Settings(start="2.6,0.3", lr=0.2, scale=0.01, early_steps=200, num_steps=1_000_000, every=1000, seeds=3)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Descend with a fresh label at each step."""
    from precipice import dynamics

    return noise.run_noisy(dynamics.LabelNoise, settings)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss, sharpness, early and late trajectory."""
    return noise.plot(dataset, panel, "label")


def _early(dataset: "xarray.Dataset") -> float:
    return float(noise.valley(dataset)[noise.early_end(dataset)] / dataset["edge"])


def _last(dataset: "xarray.Dataset") -> float:
    return float(noise.valley(dataset)[-1] / 4)


def _distance(dataset: "xarray.Dataset") -> float:
    import numpy as np

    return float(np.abs(dataset["entries"].values[-1] - 1).max())


CLAIMS = (
    Claim(
        "comes-to-the-edge-first",
        "After about 200 steps the run is near the edge minimum.",
        "zhu2022 figure 27 (a, b)",
        (0.9, 1.01),
        "sharpness of the valley at step 200 over 2/lr; without noise it is 0.993, and noise adds a few percent",
        _early,
    ),
    Claim(
        "drifts-to-the-flattest-minimum",
        "It ends at the flattest minimum, of sharpness 4.",
        "zhu2022 figure 27 (c, d)",
        (1.0, 1.05),
        "last sharpness of the valley over 4, which it cannot fall below; a twentieth of that for the noise",
        _last,
    ),
    Claim(
        "ends-at-one-one",
        "The flattest minimum is (1, 1).",
        "zhu2022 figure 27 (d)",
        (0.0, 0.05),
        "largest last distance of an entry from 1; label noise of 0.01 scatters the entries by about that",
        _distance,
    ),
)

FIGURE = Figure(
    id="zhu2022/fig27",
    title="Degree 4 with label noise: to the edge, then to the flattest minimum",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "5 seconds", NO_DATA), "paper": Scale(settings_of, "5 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="drifts-to-the-flattest-minimum",
    claim_panels={
        "comes-to-the-edge-first": "early-trajectory",
        "drifts-to-the-flattest-minimum": "sharpness",
        "ends-at-one-one": "late-trajectory",
    },
)
