"""zhu2022/fig20: a 4-layer network whose small entries do not coalesce and whose sharpness ends just below 2/lr."""

from pathlib import Path

from precipice.papers.figure import NO_DATA, Figure, Scale
from precipice.papers.zhu2022.coalescence import CLAIM_PANELS, concentration, control, stay_apart
from precipice.papers.zhu2022.free_entries import TRAINING_PANELS, Settings, plot_training, run, validate


def settings_of(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's start and learning rate."""
    return Settings(entries="6,0.7,0.3,0.2", lr=0.2, num_steps=20_000)


CLAIMS = (*concentration("figure 20"), stay_apart("figure 20", (2, 3)))

FIGURE = Figure(
    id="zhu2022/fig20",
    title="Degree 4, free entries (6, 0.7, 0.3, 0.2)",
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
