"""ahn2022/fig12, panel left: the mean output weight of the network that learns the basis oscillates."""

from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import full_model
from precipice.papers.ahn2022.full_model import Settings, control, paper_settings, quick_settings, sizes_line, validate
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("left",)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train at each learning rate for the same time."""
    return full_model.run(settings)


# Claims -------------------------------------------------------------------------------------------------------------


def _turns(dataset: "xarray.Dataset") -> float:
    return float(dataset["mean_output_weight_turns"].values[1:].min())


def _turns_small(dataset: "xarray.Dataset") -> float:
    return float(dataset["mean_output_weight_turns"].values[0])


def _size(dataset: "xarray.Dataset") -> float:
    """Range of the mean weight at the largest learning rate over that at the smallest."""
    mean = dataset["mean_output_weight_in_time"]
    spread = (mean.max("time") - mean.min("time")).values
    return float(spread[-1] / spread[0])


CLAIMS = (
    Claim(
        "mean-weight-oscillates",
        "The mean of the second-layer weights oscillates at large learning rates.",
        "ahn2022 figure 12 (left)",
        (3.0, 1e6),
        "times that two visible moves in a row (5 % of the largest or more) are opposite, the least of the two larger "
        "learning rates; once is an overshoot, three times an oscillation",
        _turns,
    ),
    Claim(
        "mean-weight-does-not-oscillate-below-the-edge",
        "At the smallest it does not.",
        "ahn2022 figure 12 (left)",
        (0.0, 1.0),
        "the same count; an overshoot of gradient flow would be one",
        _turns_small,
    ),
    Claim(
        "oscillation-is-large",
        "The oscillation is much larger than what the smallest learning rate does.",
        "ahn2022 figure 12 (left)",
        (3.0, 1e6),
        "range of the mean weight at the largest learning rate over that at the smallest",
        _size,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """The mean weight against the time."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    picture, (ax,) = style.panels(1)
    full_model.draw(ax, dataset, "mean_output_weight_in_time", "mean output weight")
    ax.set_title("mean of the second-layer weights")
    style.caption(
        picture,
        f"{sizes_line(settings)}; first of {style.count(settings['seeds'], 'seed')}, scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig12",
    title="With an unknown basis too, the mean output weight oscillates",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "22 seconds", NO_DATA),
        "paper": Scale(paper_settings, "2400 seconds", NO_DATA),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="mean-weight-oscillates",
    claim_panels={claim.name: PANELS[0] for claim in CLAIMS},
)
