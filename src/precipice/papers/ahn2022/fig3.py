"""ahn2022/fig3, panel top: the network that learns the basis too: its bias falls more at larger learning rates."""

from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.ahn2022 import full_model
from precipice.papers.ahn2022.full_model import Settings, control, paper_settings, quick_settings, sizes_line, validate
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("top",)


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Train at each learning rate for the same time."""
    return full_model.run(settings)


# Claims -------------------------------------------------------------------------------------------------------------


def _fall(dataset: "xarray.Dataset") -> float:
    last = dataset["bias_in_time"].isel(time=-1).values
    return float(last[-1] - last[0])


def _steps(dataset: "xarray.Dataset") -> float:
    return float(dataset["bias_in_time"].isel(time=-1).diff("lr").max())


def _rises(dataset: "xarray.Dataset") -> float:
    return float(dataset["loss_rises"].values[-1])


def _rises_small(dataset: "xarray.Dataset") -> float:
    return float(dataset["loss_rises"].values[0])


CLAIMS = (
    Claim(
        "bias-falls-more-at-the-largest-learning-rate",
        "The bias decreases more with the large learning rate.",
        "ahn2022 figure 3 (top) and appendix B.1",
        (-10.0, -0.2),
        "last bias at the largest learning rate minus that at the smallest, in the same time; inputs of the units "
        "scatter by about 1; one draw, followed to choose the learning rates, had -0.2 to -0.7",
        _fall,
    ),
    Claim(
        "every-larger-learning-rate-ends-lower",
        "The larger the learning rate, the lower the bias.",
        "ahn2022 figure 3 (top)",
        (-10.0, 0.0),
        "largest change of the last bias from one learning rate to the next",
        _steps,
    ),
    Claim(
        "loss-is-not-monotone",
        "The loss is not monotone at the largest.",
        "ahn2022 figure 3 (top)",
        (1.0, 1e6),
        "how many steps raise the loss there; one suffices",
        _rises,
    ),
    Claim(
        "loss-is-monotone-below-the-edge",
        "It is monotone at the smallest.",
        "ahn2022 figure 3 (top)",
        (0.0, 0.0),
        "how many steps raise the loss there; 2/lr is about twice the sharpness at the start, so none should",
        _rises_small,
    ),
)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":  # noqa: ARG001
    """Loss and bias against the time."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    picture, (left, right) = style.panels(2)
    full_model.draw(left, dataset, "loss_in_time", "training loss")
    full_model.draw(right, dataset, "bias_in_time", "bias b")
    left.set_title("loss")
    right.set_title("bias")
    style.caption(
        picture,
        f"{sizes_line(settings)}. After its drop the bias rises slowly here, where the paper speaks of a steady fall; "
        f"first of {style.count(settings['seeds'], 'seed')}, scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


FIGURE = Figure(
    id="ahn2022/fig3",
    title="With an unknown basis too, the bias falls more at larger learning rates",
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
    main_claim="bias-falls-more-at-the-largest-learning-rate",
    claim_panels={claim.name: PANELS[0] for claim in CLAIMS},
)
