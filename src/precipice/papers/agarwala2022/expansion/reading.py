"""Reading a dataset of Taylor models: its rows by order, their names and colours, and the caption."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

NETWORK = 0
"""The "order" of the network itself."""

ORDERS = (NETWORK, 1, 2, 3)

COLOURS = {NETWORK: "#4a4a4a", 1: "#8a6d3b", 2: "#1f5fa8", 3: "#d1622b"}

NAMES = {NETWORK: "network", 1: "linear", 2: "quadratic", 3: "cubic"}


def row(one: "xarray.Dataset", name: str, order: int) -> np.ndarray:
    """A result of one seed and order, up to its last finite value; empty where that order was not run."""
    values = one[name].sel(taylor_order=order).values
    values = values[..., 0] if name == "ntk_eigenvalue" else values
    finite = np.flatnonzero(np.isfinite(values))
    return values[: finite[-1] + 1] if len(finite) else values[:0]


def excess(one: "xarray.Dataset", order: int) -> np.ndarray:
    """The excess y = lr lambda_1 - 2 along a model from the initialisation, at its probes."""
    return 2 * row(one, "ntk_eigenvalue", order) / float(one["edge"]) - 2


def window_excess(one: "xarray.Dataset", order: int) -> np.ndarray:
    """The excess y along a model from the point near the edge, at each step."""
    return 2 * row(one, "window_eigenvalue", order) / float(one["edge"]) - 2


def caption(dataset: "xarray.Dataset") -> str:
    """What was run."""
    from precipice.figures import style

    settings, first = style.parameters(dataset), dataset.isel(seed=0)
    network = style.network(settings).replace("mean half squared error", "half the sum of squared errors")
    span = " Inputs: the images in coordinates of their span." if settings["layout"] == "span" else ""
    return (
        f"{network}, classes {settings['classes']}, full-batch gradient descent at lr = {settings['lr']:g} of the sum, "
        f"{settings['precision']}; second expansion at step {int(first['window_start'])}, where lambda_1 first reached "
        f"{settings['onset']:g} x 2/lr; seed 0 of {settings['seeds']}.{span} The paper has 5,000 images and 256 units; "
        f"scale {dataset.attrs.get('scale', 'custom')}."
    )


def second_order(one: "xarray.Dataset") -> int:
    """2, or 1 where only linear models were run (the control)."""
    return 2 if len(row(one, "window_projection", 2)) else 1
