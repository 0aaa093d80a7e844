"""agarwala2022/fig14: loss and top residual of Taylor models of a network, from its start and near the edge."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim, only_where
from precipice.papers.agarwala2022.expansion import run
from precipice.papers.agarwala2022.expansion.reading import COLOURS, NAMES, NETWORK, ORDERS, caption, row, second_order
from precipice.papers.agarwala2022.expansion.settings import control, paper_settings, quick_settings, validate
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "z1", "third-order")

AT_SIZE = 5000
"""Images from which the claims about the length of the agreement and about later oscillations are judged."""


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The loss from the initialisation; z1 from near the edge, quadratic and then cubic beside the network."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    one = dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "loss":
            _plot_loss(ax, one)
        else:
            _plot_z1(ax, one, (NETWORK, second_order(one)) if name == "z1" else (NETWORK, 2, 3))
            ax.set_title(f"near the edge, {'quadratic' if name == 'z1' else 'cubic too'}, every other step")
        ax.legend(fontsize=8)
    style.caption(picture, caption(dataset))
    return picture


def _plot_loss(ax, one: "xarray.Dataset") -> None:
    for order in ORDERS:
        loss = row(one, "loss", order)
        if len(loss):
            ax.plot(loss, color=COLOURS[order], lw=1.0, label=NAMES[order])
    ax.axvline(int(one["window_start"]), color="#888888", lw=0.6, ls=":", label="near the edge")
    ax.set_yscale("log")
    ax.set_xlabel("gradient step")
    ax.set_ylabel("mean half squared error (the sum over n)")
    ax.set_title("expanded at the initialisation")


def _plot_z1(ax, one: "xarray.Dataset", orders: tuple[int, ...]) -> None:
    for order in orders:
        z1 = row(one, "window_projection", order)
        if len(z1):
            ax.plot(np.arange(len(z1))[::2], z1[::2], color=COLOURS[order], lw=1.1, label=NAMES[order])
    ax.axhline(0.0, color="#888888", lw=0.6)
    ax.set_xlabel("gradient step from the point of expansion")
    ax.set_ylabel("z1 (residual along the top NTK eigenvector)")


def _apart(one: "xarray.Dataset", until: float) -> float | None:
    """Largest relative difference of the quadratic model's loss from the network's, up to this part of the way."""
    model, network = row(one, "loss", second_order(one)), row(one, "loss", NETWORK)
    num = int(until * int(one["window_start"]))
    return float(np.abs(model[:num] / network[:num] - 1).max()) if 2 < num <= len(model) else None


def _only_the_network_rises(one: "xarray.Dataset") -> float:
    """How many steps raise the network's loss; 0 if any raises the quadratic model's."""
    network, model = (np.sum(np.diff(row(one, "loss", order)) > 0) for order in (NETWORK, second_order(one)))
    return 0.0 if model else float(network)


def peaks(z1: np.ndarray, apart: int = 10) -> list[int]:
    """Steps at which |z1|, the larger of two steps, is largest within `apart` and above a tenth of its maximum."""
    if len(z1) < 2:
        return []
    height = np.maximum(np.abs(z1[1:]), np.abs(z1[:-1]))
    high = np.flatnonzero(height > 0.1 * height.max())
    ends = (apart, len(height) - apart)  # what still rises at the end is no peak
    around = [t for t in high if ends[0] <= t < ends[1] and height[t] >= height[t - apart : t + apart + 1].max()]
    return [int(t) for i, t in enumerate(around) if i == 0 or t - around[i - 1] > apart]


def _height(one: "xarray.Dataset", order: int) -> tuple[float, int] | None:
    """(height, step) of the first peak of |z1|, or None."""
    z1 = row(one, "window_projection", order)
    found = peaks(z1)
    return (float(np.abs(z1[found[0] : found[0] + 2]).max()), found[0]) if found else None


def _first_peak(one: "xarray.Dataset") -> float | None:
    network, model = _height(one, NETWORK), _height(one, second_order(one))
    return None if network is None else (0.0 if model is None else model[0] / network[0])


def _error(one: "xarray.Dataset", order: int) -> float | None:
    """|log| of the ratios of height and time of the first peak to the network's, summed."""
    network, model = _height(one, NETWORK), _height(one, order)
    if network is None or model is None:
        return None
    return abs(np.log(model[0] / network[0])) + abs(np.log(model[1] / network[1]))


def _cubic_over_quadratic(one: "xarray.Dataset") -> float | None:
    quadratic, cubic = _error(one, 2), _error(one, 3)
    return None if quadratic is None or cubic is None else float(cubic / max(quadratic, 1e-12))


def _at_size(one: "xarray.Dataset") -> bool:
    from precipice.figures import style

    return style.parameters(one)["num_examples"] >= AT_SIZE


def _later(one: "xarray.Dataset", what: str) -> float | None:
    """The network's over the quadratic model's: time between the first two peaks, or height of the second."""
    both = [row(one, "window_projection", order) for order in (NETWORK, second_order(one))]
    found = [peaks(z1) for z1 in both]
    if not _at_size(one) or min(len(steps) for steps in found) < 2:
        return None
    if what == "period":
        return (found[0][1] - found[0][0]) / (found[1][1] - found[1][0])
    heights = [np.abs(z1[steps[1] : steps[1] + 2]).max() for z1, steps in zip(both, found, strict=True)]
    return float(heights[0] / heights[1])


CLAIMS = (
    Claim(
        "loss-tracks-at-first",
        "From the initialisation, the quadratic model's loss is the network's at first.",
        "agarwala2022 figure 14, left (QR-F14)",
        (0.0, 0.1),
        "largest relative difference over the first quarter of the steps to the edge; the loss falls by half there",
        lambda one: _apart(one, 0.25),
    ),
    Claim(
        "loss-tracks-to-the-edge",
        "It tracks the network for the first 1,000 steps, until the edge.",
        "agarwala2022 figure 14, left; section D.2",
        (0.0, 0.1),
        f"the same over all steps to the edge, judged from {AT_SIZE:,} images: fewer are learnt by larger moves",
        only_where(_at_size, lambda one: _apart(one, 1.0)),
    ),
    Claim(
        "only-the-network-comes-to-the-edge",
        "Then edge-of-stability behaviour occurs in the network, not in that model.",
        "agarwala2022 figure 14, left",
        (1.0, np.inf),
        "steps that raise the network's loss; counted as 0 if any raises the model's",
        _only_the_network_rises,
    ),
    Claim(
        "first-peak-of-z1-matches",
        "From near the edge, the first peak of |z1| is the same up to a shift in time.",
        "agarwala2022 figure 14, middle",
        (0.67, 1.5),
        "its height in the quadratic model over the network's; 0 if there is none",
        _first_peak,
    ),
    Claim(
        "cubic-is-better",
        "The third-order model is better than the second.",
        "agarwala2022 figure 14, right",
        (0.0, 1.0),
        "its error over the quadratic model's: |log| of the ratios of height and time of the first peak to the "
        "network's, summed",
        _cubic_over_quadratic,
    ),
    Claim(
        "network-oscillates-faster",
        "The text: later oscillations are faster in the network.",
        "agarwala2022 section D.2",
        (0.0, 1.0),
        f"time between its first two peaks over the quadratic model's; judged from {AT_SIZE:,} images",
        lambda one: _later(one, "period"),
    ),
    Claim(
        "network-oscillates-more",
        "The caption: oscillations of z1 are larger in the network (the text: more damped).",
        "agarwala2022 figure 14, middle",
        (1.0, np.inf),
        f"height of its second peak over the quadratic model's; judged from {AT_SIZE:,} images",
        lambda one: _later(one, "height"),
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig14",
    title="Taylor models of a two-class network: loss from the initialisation, top residual near the edge",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10"),
        "paper": Scale(paper_settings, "hours", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="first-peak-of-z1-matches",
    claim_panels={
        "loss-tracks-at-first": "loss",
        "loss-tracks-to-the-edge": "loss",
        "only-the-network-comes-to-the-edge": "loss",
        "first-peak-of-z1-matches": "z1",
        "cubic-is-better": "third-order",
        "network-oscillates-faster": "z1",
        "network-oscillates-more": "z1",
    },
)
