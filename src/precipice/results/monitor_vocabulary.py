"""Names of what a monitor measures beside a training loop. See `vocabulary.py`."""

from precipice.results.variable import Dimension, Variable

_COHEN = "Cohen et al., 2022, Adaptive gradient methods at the edge of stability, section 3"
_STOCHASTIC = "Agarwala and Pennington, 2024, eqs. 18 and 130, and the formula sheet's SEOS-26"
_HUTCHINSON = "Hutchinson, 1989, A stochastic estimator of the trace of the influence matrix"
_KALRA = "Kalra and Barkeshli, 2023, Phase diagram of early training dynamics in deep neural networks, critical lr"
_PARLETT = "Parlett, The symmetric eigenvalue problem, 1998, sections 4.5 and 11.7"
_MCCANDLISH = "McCandlish et al., 2018, An empirical model of large-batch training, eq. 2.9"

_STEP = ("probe_step",)
_RANKED = ("probe_step", "eigenvalue")
_GROUPED = ("probe_step", "group")

DIMENSIONS = (Dimension("group", "1", "Group of parameters of an optimiser, or any named part of them."),)

VARIABLES = (
    Variable("current_lr", _STEP, "1", "Learning rate of the first group at the measurement.", "definition"),
    Variable("training_seconds", _STEP, "s", "Seconds of training so far, measurements left out.", "definition"),
    Variable("measuring_seconds", _STEP, "s", "Seconds spent on measurements so far, this one included.", "definition"),
    Variable("group_lr", _GROUPED, "1", "Learning rate of each group at the measurement.", "definition"),
    Variable("group_edge", _GROUPED, "1", "Edge of each group's optimiser: of its preconditioned curvature.", _COHEN),
    Variable(
        "normalised_sharpness",
        _STEP,
        "1",
        "Largest eigenvalue of S^1/2 (H + l2 I) S^1/2, S = 1/(edge P) of each parameter's group, the preconditioner P "
        "held fixed: 1 where the optimiser is marginally stable on a quadratic.",
        _COHEN,
    ),
    Variable("normalised_sharpness_bound", _STEP, "1", "Error bound of normalised_sharpness.", _PARLETT),
    Variable(
        "preconditioned_sharpness",
        _STEP,
        "1",
        "Largest eigenvalue of P^-1/2 (H + l2 I) P^-1/2, P the optimiser's diagonal preconditioner.",
        _COHEN,
    ),
    Variable("preconditioned_sharpness_bound", _STEP, "1", "Error bound of preconditioned_sharpness.", _PARLETT),
    Variable("sharpness_bound", _STEP, "1", "Error bound of sharpness.", _PARLETT),
    Variable(
        "group_normalised_sharpness",
        _GROUPED,
        "1",
        "normalised_sharpness of each group's own block of the Hessian; at most that of all groups together.",
        _COHEN,
    ),
    Variable("group_normalised_sharpness_bound", _GROUPED, "1", "Its error bound.", _PARLETT),
    Variable("group_sharpness", _GROUPED, "1", "Largest eigenvalue of each group's own block of the Hessian.", _COHEN),
    Variable("group_sharpness_bound", _GROUPED, "1", "Error bound of group_sharpness.", _PARLETT),
    Variable("smallest_hessian_eigenvalue", _STEP, "1", "Smallest algebraic eigenvalue of the Hessian.", "definition"),
    Variable("smallest_hessian_eigenvalue_bound", _STEP, "1", "Its error bound.", _PARLETT),
    Variable(
        "gauss_newton_eigenvalue",
        _RANKED,
        "1",
        "The k largest eigenvalues of the Gauss-Newton matrix of the mean loss, descending.",
        "Schraudolph, 2002",
    ),
    Variable("gauss_newton_eigenvalue_bound", _RANKED, "1", "Its error bound.", _PARLETT),
    Variable(
        "gauss_newton_trace", _STEP, "1", "Estimate of the trace of the Gauss-Newton matrix of the loss.", _HUTCHINSON
    ),
    Variable("gauss_newton_trace_sem", _STEP, "1", "Its standard error.", _HUTCHINSON),
    Variable("group_trace", _GROUPED, "1", "Each group's part of the trace that K is estimated from.", _HUTCHINSON),
    Variable("group_trace_sem", _GROUPED, "1", "Its standard error.", _HUTCHINSON),
    Variable(
        "noise_kernel_norm_estimate",
        _STEP,
        "1",
        "K by its trace form, lr (1 - d) tr/(2 (1 - mu) B C) summed over groups: tr of the Gauss-Newton matrix or the "
        "Hessian of the mean loss (preconditioned for an adaptive optimiser), B examples a batch, C outputs counted; "
        "which, the attributes say.",
        _STOCHASTIC,
    ),
    Variable("noise_kernel_norm_estimate_sem", _STEP, "1", "Its standard error.", _STOCHASTIC),
    Variable("gradient_noise_scale_sem", _STEP, "1", "Standard error of gradient_noise_scale.", _MCCANDLISH),
    Variable(
        "critical_sharpness",
        _STEP,
        "1",
        "2/lr_c, lr_c the smallest learning rate at which a step along the update raises the loss: on a quadratic "
        "the curvature along the gradient (from forward passes only).",
        _KALRA,
    ),
    Variable("critical_sharpness_bound", _STEP, "1", "Half the bracket that the search for it ended with.", _KALRA),
)
