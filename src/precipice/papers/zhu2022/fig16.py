"""zhu2022/fig16: a 3-layer network: the two small entries coalesce and its sharpness ends just below the edge."""

from pathlib import Path

from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022.coalescence import CLAIM_PANELS, coalesce, concentration, control
from precipice.papers.zhu2022.free_entries import TRAINING_PANELS, Settings, plot_training, run, validate


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's start and learning rate."""
    return Settings(entries="6,0.1,0.4", lr=0.2, num_steps=20_000)


CLAIMS = (*concentration("figure 16"), coalesce("figure 16", (2,)))

FIGURE = Figure(
    id="zhu2022/fig16",
    title="Degree 3, free entries (6, 0.1, 0.4)",
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
