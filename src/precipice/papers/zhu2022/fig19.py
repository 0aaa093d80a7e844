"""zhu2022/fig19: in a 7-layer network a large entry falls nearly monotonically, a small one rises and oscillates."""

from pathlib import Path
from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022 import free_entries
from precipice.papers.zhu2022.coalescence import control
from precipice.papers.zhu2022.free_entries import Settings, run, validate

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("large", "small")

ENTRIES = {"large": 2, "small": 3}
"""x3 starts at 3 and x4 at 0.1 (the caption says x3 for both)."""


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's start and learning rate, until the oscillation has died."""
    return Settings(entries="2,2.5,3,0.1,0.2,0.3,0.4", lr=0.2, num_steps=4000)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """A large and a small entry over the steps."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        index = ENTRIES[name]
        ax.plot(dataset["step"], dataset["entries"].isel(entry=index), color=style.COLOURS[0], lw=0.7)
        ax.set_xlabel("gradient step")
        ax.set_ylabel(f"entry x{index + 1}")
        ax.set_title(f"{name} entry x{index + 1}")
    style.caption(picture, free_entries.caption(dataset, "the paper's caption calls x4 x3, too; "))
    return picture


def _net(dataset: "xarray.Dataset", name: str) -> float:
    """Net change of an entry over the length of its path: 1 or -1 where it is monotone, near 0 where it oscillates."""
    import numpy as np

    values = dataset["entries"].isel(entry=ENTRIES[name]).values
    return float((values[-1] - values[0]) / np.abs(np.diff(values)).sum())


def _rise(dataset: "xarray.Dataset") -> float:
    """The largest rise of the large entry above an earlier value, over its fall from start to end."""
    import numpy as np

    values = dataset["entries"].isel(entry=ENTRIES["large"]).values
    return float((values - np.minimum.accumulate(values)).max() / (values[0] - values[-1]))


CLAIMS = (
    Claim(
        "large-entry-falls",
        "The larger entry decreases in an approximately monotone manner.",
        "zhu2022 figure 19",
        (0.0, 0.2),
        "largest rise above an earlier value over the whole fall: 0 where it is monotone, and a fifth is approximate",
        _rise,
    ),
    Claim(
        "small-entry-rises-and-oscillates",
        "The small entry increases while oscillating.",
        "zhu2022 figure 19",
        (1e-4, 0.2),
        "net change over the length of the path: above 0, as it rises, and far below 1, as it goes back and forth",
        lambda dataset: _net(dataset, "small"),
    ),
)

FIGURE = Figure(
    id="zhu2022/fig19",
    title="Degree 7, free entries: a large and a small entry",
    panels=PANELS,
    scales={"quick": Scale(settings_of, "2 seconds", NO_DATA), "paper": Scale(settings_of, "2 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="small-entry-rises-and-oscillates",
    claim_panels={"large-entry-falls": "large", "small-entry-rises-and-oscillates": "small"},
)
