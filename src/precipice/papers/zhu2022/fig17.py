"""zhu2022/fig17: a 7-layer network: the four small entries coalesce and its sharpness ends just below the edge."""

from pathlib import Path

from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022.coalescence import CLAIM_PANELS, coalesce, concentration, control
from precipice.papers.zhu2022.free_entries import TRAINING_PANELS, Settings, plot_training, run, validate


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's start and learning rate."""
    return Settings(entries="2,2.5,3,0.1,0.2,0.3,0.4", lr=0.2, num_steps=20_000)


CLAIMS = (*concentration("figure 17"), coalesce("figure 17", (4, 5, 6)))

FIGURE = Figure(
    id="zhu2022/fig17",
    title="Degree 7, free entries: loss, sharpness, distances",
    panels=TRAINING_PANELS,
    scales={"quick": Scale(settings_of, "3 seconds", NO_DATA), "paper": Scale(settings_of, "3 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot_training,
    claims=CLAIMS,
    control=control,
    main_claim="ends-just-below-the-edge",
    claim_panels={claim.name: CLAIM_PANELS[claim.name] for claim in CLAIMS},
)
