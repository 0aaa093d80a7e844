"""agarwala2022/fig13: what moves y in two steps falls with z1^2, but is no function of y and z1 alone."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2022.fig6 import settings as fig6
from precipice.papers.agarwala2022.fig6.claims import excess
from precipice.papers.agarwala2022.fig6.settings import Settings, control, validate
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("remainder", "quotient")

SMALL = 1e-3
"""Steps with |z1| below this fraction of its largest value give b. The paper has 1e-4, in units not given."""

VISIBLE = 0.05
"""Steps with |z1| above this fraction are looked at: the quotient by z1^2 magnifies what is left of b elsewhere."""


def quick_settings(data_dir: Path | None = None) -> Settings:
    """Those of figure 6."""
    return fig6.quick_settings(data_dir)


def paper_settings(data_dir: Path | None = None) -> Settings:
    """Those of figure 5."""
    return fig6.paper_settings(data_dir)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Figure 5's training: z1 and the top kernel eigenvalue at each step of the window."""
    from precipice import measures
    from precipice.papers.agarwala2022.near_edge import ends, window
    from precipice.papers.networks import LAYOUTS, class_pair, problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes), LAYOUTS[settings.layout])

    def track(problem, key):
        return measures.track_ntk(problem, key=key, num=1, rtol=settings.rtol)

    windows = [window(problem, settings, context, seed, track) for seed in range(settings.seeds)]
    names = ("residual_projection", "ntk_eigenvalue", "ntk_converged")
    saved = pad_runs([{name: w.training.saved[name] for name in names} for w in windows], "probe_step")
    saved |= ends(windows, settings.lr)
    coords = {"seed": range(settings.seeds), "probe_step": range(saved["residual_projection"].shape[1])}
    return to_dataset(saved, coords=coords)


class Remainder(NamedTuple):
    """What z1 does to y: y_(t+2) - y_t - b on the visible steps, with y and z1 there, and b."""

    value: np.ndarray
    y: np.ndarray
    z1: np.ndarray
    drift: float


def remainder(one: "xarray.Dataset") -> Remainder:
    """Take b as the mean two-step change of y on the steps of small z1, or on the tenth with the smallest."""
    y, z1 = excess(one), one["residual_projection"].values
    finite = np.isfinite(z1) & np.isfinite(y)
    y, z1 = y[finite], z1[finite]
    change, size = y[2:] - y[:-2], np.abs(z1[:-2])
    small = size < SMALL * np.abs(z1).max()
    if not small.any():
        small = size <= np.quantile(size, 0.1)
    seen = size > VISIBLE * np.abs(z1).max()
    drift = float(change[small].mean())
    return Remainder((change - drift)[seen], y[:-2][seen], z1[:-2][seen], drift)


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The remainder against z1^2, and their quotient against y."""
    from precipice.figures import style
    from precipice.papers.agarwala2022.fig5.picture import caption

    names = PANELS if panel is None else (panel,)
    found = remainder(dataset.isel(seed=0))
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "remainder":
            ax.plot(found.z1**2, found.value, ".", color=style.COLOURS[0], ms=4)
            ax.set_xlabel("z1^2")
            ax.set_ylabel("y two steps later, less y and b")
            ax.set_title("remainder of the change of y")
        else:
            ax.plot(found.y, found.value / found.z1**2, ".", color=style.COLOURS[1], ms=4)
            ax.set_xlabel("y = lr lambda_1 - 2")
            ax.set_ylabel("(y two steps later, less y and b) / z1^2")
            ax.set_title("is it a function of y?")
        ax.axhline(0.0, color="#888888", lw=0.6)
    words = f"b = {found.drift:.2g}; steps with |z1| above {VISIBLE:g} of its largest value."
    style.caption(picture, f"{caption(dataset)} {words}")
    return picture


def _correlation(one: "xarray.Dataset") -> float | None:
    found = remainder(one)
    if len(found.value) < 20 or not np.ptp(found.z1):
        return None
    return float(np.corrcoef(found.value, found.z1**2)[0, 1])


def _scatter(one: "xarray.Dataset") -> float | None:
    """Mean squared difference of the quotient between neighbours in y, over twice its variance."""
    found = remainder(one)
    if len(found.value) < 20:
        return None
    quotient = (found.value / found.z1**2)[np.argsort(found.y, kind="stable")]
    return float(np.mean(np.diff(quotient) ** 2) / (2 * quotient.var()))


CLAIMS = (
    Claim(
        "remainder-falls-with-z1-squared",
        "The two-step change of y, less b, is negatively correlated with z1^2.",
        "agarwala2022 figure 13, left",
        (-1.0, -0.3),
        "correlation on visible steps; 0 would be none, and 20 unrelated steps reach -0.3 once in ten times",
        _correlation,
    ),
    Claim(
        "not-a-function-of-y",
        "Over z1^2 it is not a single-valued function of y.",
        "agarwala2022 figure 13, right",
        (0.2, np.inf),
        "mean squared difference between neighbours in y over twice the variance: 0 for a smooth function of y sampled "
        "densely, 1 for no relation",
        _scatter,
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig13",
    title="Near the edge: two-step change of y less its drift, against z1 and y",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10"),
        "paper": Scale(paper_settings, "about 40 minutes", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="not-a-function-of-y",
    claim_panels={"remainder-falls-with-z1-squared": "remainder", "not-a-function-of-y": "quotient"},
)
