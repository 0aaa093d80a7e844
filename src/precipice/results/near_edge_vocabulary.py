"""Names of the papers' networks near the edge of stability. See `vocabulary.py`."""

from precipice.results.variable import Dimension, Variable

_AGARWALA = "Agarwala, Pedregosa and Pennington, 2022, Second-order regression models exhibit progressive sharpening"

DIMENSIONS = (
    # agarwala2022, spectrum of the model curvature
    Dimension("projection", "1", "Direction of the outputs: 0, 1: top kernel eigenvector, early and late; 2: random."),
    Dimension("random_vector", "1", "Index of a random vector of an estimate."),
    Dimension("node", "1", "Index of a node of a quadrature, ascending."),
    # agarwala2022, Taylor models of a network
    Dimension("taylor_order", "1", "Order of a Taylor model; 0: the network itself.", sweep=True),
)

VARIABLES = (
    # agarwala2022, spectrum of the model curvature
    Variable(
        "top_mode_curvature",
        ("probe_step",),
        "1",
        "Q1(J^T z1 v1, J^T z1 v1), Q1 = v1^T Q the Hessian of the outputs summed with weights v1; bare J.",
        _AGARWALA + ", section 4",
    ),
    Variable(
        "model_curvature_node",
        ("projection", "random_vector", "node"),
        "1",
        "Nodes of the Lanczos quadrature of the spectrum of v^T Q, for unit vectors v of the outputs.",
        _AGARWALA + ", figure 6",
    ),
    Variable(
        "model_curvature_weight",
        ("projection", "random_vector", "node"),
        "1",
        "Weights of model_curvature_node: shares of the spectrum, which sum to 1.",
        _AGARWALA + ", figure 6",
    ),
    # agarwala2022, Taylor models of a network
    Variable(
        "window_projection",
        ("window_step",),
        "1",
        "residual_projection z1 at each step from the point of expansion, of the network's sign there.",
        _AGARWALA + ", figure 14",
    ),
    Variable(
        "window_eigenvalue",
        ("window_step",),
        "1",
        "Largest eigenvalue of the Gram matrix of the mean loss (edge 2/lr) at each step from there.",
        _AGARWALA + ", figure 7",
    ),
)
