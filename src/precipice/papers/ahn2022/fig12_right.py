"""ahn2022/fig12-right: the mean logit of ResNet-18 oscillates under full-batch descent."""

from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import fig3_bottom, residual
from precipice.papers.ahn2022.full_model import visible_turns
from precipice.papers.ahn2022.residual import Settings, slower, validate
from precipice.papers.figure import Context, Figure

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("logit",)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train at each learning rate, measure at each step."""
    return residual.run(settings, context)


# Claims -------------------------------------------------------------------------------------------------------------


def _turns(dataset: "xarray.Dataset") -> float:
    return visible_turns(dataset["mean_logit"].isel(lr=-1, batch_size=0).values)


def _size(dataset: "xarray.Dataset") -> float:
    """Range of the mean logit at the largest learning rate over that at the smallest."""
    mean = dataset["mean_logit"].isel(batch_size=0)
    spread = (mean.max("epoch") - mean.min("epoch")).values
    return float(spread[-1] / spread[0])


CLAIMS = (
    Claim(
        "mean-logit-oscillates",
        "The logit, averaged over the training set, oscillates.",
        "ahn2022 figure 12 (right)",
        (3.0, 1e6),
        "times that two visible moves in a row (5 % of the largest or more) are opposite, at the largest learning "
        "rate; once is an overshoot, three times an oscillation, as in the left panel",
        _turns,
    ),
    Claim(
        "oscillation-is-large",
        "It moves much further than at the smallest learning rate.",
        "ahn2022 figure 12 (right)",
        (2.0, 1e6),
        "range of the mean logit at the largest learning rate over that at the smallest; a factor of two is plain",
        _size,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """The mean logit against the steps."""
    from precipice.figures import style

    picture, (ax,) = style.panels(1)
    residual.draw(ax, dataset.isel(batch_size=0), "mean_logit", "mean logit over the training set")
    ax.set_xlabel("epoch (one full-batch step)")
    ax.set_title("logit")
    style.caption(picture, residual.sizes_line(dataset, "the paper: all 10,000 images, learning rates not given") + ".")
    return picture


FIGURE = Figure(
    id="ahn2022/fig12-right",
    title="ResNet-18 by full-batch descent: the mean logit oscillates",
    panels=PANELS,
    scales=fig3_bottom.FIGURE.scales,
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=slower,
    main_claim="mean-logit-oscillates",
    claim_panels={claim.name: PANELS[0] for claim in CLAIMS},
)
