"""agarwala2022/fig7: the top kernel eigenvalue of Taylor models of a network, from its start and near the edge."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.figures.claims import Claim
from precipice.papers.agarwala2022.expansion import run
from precipice.papers.agarwala2022.expansion.reading import (
    COLOURS,
    NAMES,
    NETWORK,
    ORDERS,
    caption,
    excess,
    row,
    second_order,
    window_excess,
)
from precipice.papers.agarwala2022.expansion.settings import control, paper_settings, quick_settings, validate
from precipice.papers.figure import Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("initialisation", "near-edge", "two-branches")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The excess y from the initialisation; from near the edge at every other step; and there at even and odd steps."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    one = dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"initialisation": _plot_start, "near-edge": _plot_near, "two-branches": _plot_branches}[name](ax, one)
        ax.axhline(0.0, color="#888888", lw=0.6)
        ax.set_xlabel("gradient step" if name == "initialisation" else "gradient step from the point of expansion")
        ax.set_ylabel("y = lr lambda_1 - 2")
        ax.legend(fontsize=8)
    style.caption(picture, caption(dataset))
    return picture


def _plot_start(ax, one: "xarray.Dataset") -> None:
    for order in ORDERS:
        y = excess(one, order)
        if len(y):
            ax.plot(one["probe_step"].values[: len(y)], y, color=COLOURS[order], lw=1.2, label=NAMES[order])
    ax.set_title("expanded at the initialisation")


def _plot_near(ax, one: "xarray.Dataset") -> None:
    for order in ORDERS:
        y = window_excess(one, order)
        if len(y):
            ax.plot(np.arange(len(y))[::2], y[::2], color=COLOURS[order], lw=1.2, label=NAMES[order])
    ax.set_title("expanded near the edge, every other step")


def _plot_branches(ax, one: "xarray.Dataset") -> None:
    for order in (NETWORK, second_order(one)):
        y = window_excess(one, order)
        for parity, line in ((0, "-"), (1, ":")):
            steps = np.arange(len(y) // 2, len(y))
            steps = steps[steps % 2 == parity]
            label = f"{NAMES[order]}, {('even', 'odd')[parity]} steps"
            ax.plot(steps, y[steps], line, color=COLOURS[order], lw=1.0, label=label)
    ax.set_title("even and odd steps, later half")


def _together(one: "xarray.Dataset") -> np.ndarray:
    """lambda_1 of the quadratic model from the initialisation over the network's, up to the onset, at the probes."""
    model, network = excess(one, second_order(one)) + 2, excess(one, NETWORK) + 2
    probes = 1 + int(np.searchsorted(one["probe_step"].values, int(one["window_start"])))
    num = min(len(model), len(network), probes)
    return model[:num] / network[:num]


def _early(one: "xarray.Dataset") -> float | None:
    ratio = _together(one)
    quarter = ratio[: len(ratio) // 4 + 1]
    return float(np.abs(quarter - 1).max()) if len(quarter) > 2 else None


def _at_the_edge(one: "xarray.Dataset") -> float | None:
    ratio = _together(one)
    return float(ratio[-1]) if len(ratio) and window_excess(one, NETWORK).max() > 0 else None


def fall(y: np.ndarray) -> int | None:
    """The step at which y, seen at every other step, first falls below 0 again after it was above; None if never."""
    above = np.flatnonzero(y[::2] > 0)
    if not len(above):
        return None
    below = np.flatnonzero(y[::2][above[0] :] <= 0)
    return 2 * int(above[0] + below[0]) if len(below) else None


def _first_crossing(one: "xarray.Dataset") -> float | None:
    network, model = (fall(window_excess(one, order)) for order in (NETWORK, second_order(one)))
    return None if network is None else (0.0 if model is None else model / network)


def _later(one: "xarray.Dataset") -> float | None:
    """Root mean square difference of y, both counted from their first fall, over that of the network's y."""
    network, model = (window_excess(one, order) for order in (NETWORK, second_order(one)))
    if fall(network) is None or fall(model) is None:
        return None
    network, model = network[fall(network) :], model[fall(model) :]
    num = min(len(network), len(model))
    return float(np.sqrt(np.mean((network[:num] - model[:num]) ** 2) / np.mean(network[:num] ** 2)))


def _settled_mean(one: "xarray.Dataset", order: int) -> float | None:
    """Mean y over the last quarter of the window, if |z1| has settled to a fifth there and y was above 0 before."""
    y, z1 = window_excess(one, order), np.abs(row(one, "window_projection", order))
    eighth = len(z1) // 8
    if fall(y) is None or len(z1) < len(one["window_step"]) or eighth < 4:
        return None
    last, before = z1[-eighth:].max(), z1[-2 * eighth : -eighth].max()
    grown = last > 0.05 * z1.max()
    return float(y[-2 * eighth :].mean()) if grown and 0.8 < last / before < 1.25 else None


CLAIMS = (
    Claim(
        "quadratic-follows-at-first",
        "From the initialisation, the quadratic model has the network's top eigenvalue at early times.",
        "agarwala2022 figure 7, left (QR-F7)",
        (0.0, 0.1),
        "largest relative difference over the first quarter of the steps to the edge, in which the network's grows by "
        "half or more",
        _early,
    ),
    Claim(
        "quadratic-from-the-start-misses-the-sharpening",
        "It misses the sharpening to the edge.",
        "agarwala2022 figure 7, left",
        (0.0, 0.9),
        "its eigenvalue over the network's when that comes to the edge; 1 would be no miss",
        _at_the_edge,
    ),
    Claim(
        "first-crossing-captured",
        "From near the edge it captures the first crossing of y = 0 and the fall after it.",
        "agarwala2022 figure 7, middle",
        (0.67, 1.5),
        "steps from the expansion until y has been above 0 and falls below again, over the network's, seen at every "
        "other step; 0 if it never does",
        _first_crossing,
    ),
    Claim(
        "later-oscillation-differs",
        "Magnitude and period of the oscillation soon differ.",
        "agarwala2022 figure 7, middle",
        (0.1, np.inf),
        "root mean square difference of y from the network's, each counted from its own first fall, over the size of "
        "the network's y: a tenth; 0 would be the same oscillation later or earlier",
        _later,
    ),
    Claim(
        "network-settles-below-the-edge",
        "Even and odd steps settle on two branches with a negative mean y: the network.",
        "agarwala2022 figure 7, right",
        (-1.0, 0.0),
        "mean y over the last quarter of the window, where |z1| has settled to a fifth; else not evaluated",
        lambda one: _settled_mean(one, NETWORK),
    ),
    Claim(
        "quadratic-settles-below-the-edge",
        "Even and odd steps settle on two branches with a negative mean y: the quadratic model.",
        "agarwala2022 figure 7, right",
        (-1.0, 0.0),
        "the same of the quadratic model",
        lambda one: _settled_mean(one, second_order(one)),
    ),
)

FIGURE = Figure(
    id="agarwala2022/fig7",
    title="Taylor models of a two-class network: top kernel eigenvalue, from the initialisation and near the edge",
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
    main_claim="first-crossing-captured",
    claim_panels={
        "quadratic-follows-at-first": "initialisation",
        "quadratic-from-the-start-misses-the-sharpening": "initialisation",
        "first-crossing-captured": "near-edge",
        "later-oscillation-differs": "near-edge",
        "network-settles-below-the-edge": "two-branches",
        "quadratic-settles-below-the-edge": "two-branches",
    },
)
