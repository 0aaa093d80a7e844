"""Names of the figures of theory: axes and results of models, by the paper that speaks of them. See `vocabulary.py`."""

from precipice.results.variable import Dimension, Status, Variable

_AGARWALA = "Agarwala, Pedregosa and Pennington, 2022, Second-order regression models exhibit progressive sharpening"
_DAMIAN = "Damian, Nichani and Lee, 2022, Self-stabilization"
_LI = "Li, Wang and Li, 2022, Analyzing sharpness along GD trajectory: progressive sharpening and edge of stability"
_AHN = "Ahn et al., 2023, Learning threshold neurons via the edge of stability"
_ZHU = "Zhu et al., 2023, Understanding edge-of-stability training dynamics with a minimalist example"

DIMENSIONS = (
    # zhu2022, layered networks
    Dimension("network", "1", "Index of a network of several.", sweep=True),
    # zhu2022, scalar networks
    Dimension("entry", "1", "Index of an entry of a scalar network."),
    Dimension("start", "1", "Index of a start of several.", sweep=True),
    Dimension("start_x", "1", "First entry x of the start of a run.", sweep=True),
    Dimension("start_y", "1", "Other entry y of the start of a run.", sweep=True),
    Dimension("minimum", "1", "Index of a minimum of sharpness 2/lr, the one with the largest x first.", sweep=True),
    Dimension("relative_large", "1", "Offset of a start in the larger entry of a minimum, over it.", sweep=True),
    Dimension("relative_small", "1", "Offset of a start in the smaller entry of a minimum, over it.", sweep=True),
    # agarwala2022, one-output quadratic models
    Dimension("plane_start_z", "1", "z of the start of a run.", sweep=True),
    Dimension("plane_start_t", "1", "T(0) of the start of a run.", sweep=True),
    Dimension("offset", "1", "E of a quadratic model, rescaled by the learning rate.", sweep=True),
    Dimension("second_eigenvalue", "1", "Second eigenvalue of a quadratic model; the first is 1.", sweep=True),
    Dimension("epsilon", "1", "The second eigenvalue of a quadratic model is -epsilon.", sweep=True),
    # ahn2022, single neuron
    Dimension("beta", "1", "Power of the loss l_beta.", sweep=True),
    Dimension("count_beta", "1", "Power of the loss l_beta of which bouncing steps are counted.", sweep=True),
    Dimension("rate_index", "1", "Index of a learning rate, which differs from one loss to another.", sweep=True),
    # ahn2022, networks and mean model
    Dimension("bias_point", "1", "Bias at which a function of it is evaluated.", sweep=True),
    Dimension("time", "1", "Steps taken times the learning rate: the time of the gradient flow."),
    # ahn2022, residual networks
    Dimension("epoch", "1", "Passes over the training examples taken so far."),
    # zhu2022, bifurcations
    Dimension("scaled_offset", "1", "A = a kappa, offset from the edge minimum at which a map is frozen.", sweep=True),
    Dimension("tail", "1", "Index of a state of an orbit's end.", sweep=True),
    # zhu2022, fifty images
    Dimension("window_step", "1", "Gradient step of a window in which each step is measured."),
)

VARIABLES = (
    # shapira2023, self-stabilization
    Variable(
        "top_displacement",
        ("step",),
        "1",
        "x: displacement along the top Hessian eigenvector from a point whose sharpness is 2/lr.",
        _DAMIAN,
    ),
    Variable("excess_sharpness", ("step",), "1", "y: predicted sharpness minus 2/lr.", _DAMIAN),
    Variable("edge_displacement", ("probe_step",), "1", "x of an edge point: u^T (theta - theta_0).", _DAMIAN),
    Variable("edge_excess", ("probe_step",), "1", "y of an edge point: (P grad S)^T (theta - theta_0).", _DAMIAN),
    Variable("real_displacement", ("step",), "1", "edge_displacement of gradient descent before each step.", _DAMIAN),
    Variable("real_excess", ("step",), "1", "edge_excess of gradient descent before each step.", _DAMIAN),
    Variable("real_sharpness_excess", ("step",), "1", "Measured sharpness minus 2/lr before each step.", _DAMIAN),
    Variable("stabilization_alpha", (), "1", "alpha: -(grad L)^T grad S at the edge point.", _DAMIAN),
    Variable("stabilization_beta", (), "1", "beta: |P grad S|^2 at the edge point.", _DAMIAN),
    # shapira2023, two-layer linear network
    Variable("residual_overlap", ("step",), "1", "<F, D>: outputs times residuals, summed over examples.", _LI),
    Variable("output_weight_norm", ("step",), "1", "|a|^2, the squared norm of the output weights.", _LI),
    Variable(
        "recurrence_error",
        ("step",),
        "1",
        "Largest difference in D, |a|^2 and M between the recurrences and gradient descent on the weights.",
        "definition",
    ),
    Variable("kernel_along_data", ("probe_step",), "1", "v1^T M v1, v1 the top eigenvector of the data's Gram.", _LI),
    Variable("kernel_along_data_bound", ("probe_step",), "1", "2 c/m, the bound of lambda_1(M) - v1^T M v1.", _LI),
    Variable("counterexample_overlap", (), "1", "<F, D> after one step at lr lambda = (1.6, 1.2, 0.3).", _LI),
    # zhu2022, scalar networks
    Variable("entries", ("step", "entry"), "1", "Entries of a scalar network before the step is taken.", _ZHU),
    Variable("start_entries", ("entry",), "1", "Entries of a scalar network from which a run starts.", _ZHU),
    Variable("edge_entries", ("entry",), "1", "Entries (x, y) of a minimum of sharpness 2/lr.", _ZHU),
    Variable("two_step_movement", ("entry",), "1", "Change of the entries over the first two steps of a run.", _ZHU),
    Variable("final_sharpness", (), "1", "Largest Hessian eigenvalue at the last state of a run.", "definition"),
    Variable("final_loss", (), "1", "Training loss at the last state of a run.", "definition"),
    # zhu2022, offsets from the edge minimum
    Variable("orbit_a", ("time",), "1", "a along a solution of the limiting equation.", _ZHU),
    Variable("orbit_b", ("time",), "1", "b along a solution of the limiting equation.", _ZHU),
    Variable("offset_a", ("step",), "1", "a: offset from the edge minimum along the minima.", _ZHU),
    Variable("offset_b", ("step",), "1", "b: offset from the minima, xy - 1.", _ZHU),
    Variable("region", ("step",), "1", "Code of measures.DegreeFourRegion at the mean of two steps.", _ZHU),
    # agarwala2022, one-output quadratic models
    Variable("residual", ("step",), "1", "z: the residual of a one-output model before the step.", _AGARWALA),
    Variable("kernel", ("step",), "1", "NTK of a one-output model, |dz/dtheta|^2, before the step.", _AGARWALA),
    Variable("plane_z", ("step",), "1", "z, rescaled by the learning rate, before the step.", _AGARWALA),
    Variable("plane_t", ("step",), "1", "T(0): learning rate times NTK before the step.", _AGARWALA),
    Variable("plane_y", ("step",), "1", "y: T(0) less the two-step nullcline of z, before the step.", _AGARWALA),
    Variable("final_t", (), "1", "T(0) where a run has settled.", _AGARWALA),
    Variable("rescaling_error", (), "1", "Largest relative difference of rescaled orbits.", "definition"),
    Variable("final_y", (), "1", "T(0) - 2 where runs have settled, median over starts.", _AGARWALA),
    Variable("final_y_ode", (), "1", "y where the low-order differential equation has settled, median.", _AGARWALA),
    Variable("allowed", (), "1", "1 where a point (z, T(0)) belongs to a model, else 0.", _AGARWALA),
    Variable("nullcline_error", (), "1", "Largest change of a coordinate on its own nullcline.", "definition"),
    # ahn2022, single neuron
    Variable("flow_entries", ("time", "entry"), "1", "Gradient flow from the same start.", _AHN),
    Variable("envelope_x", ("step",), "1", "Quasi-static envelope at the second weight of each step.", _AHN),
    Variable("predicted_sharpness", (), "1", "Final sharpness to leading order, min(y0^2 - x0^2, 2/lr).", _AHN),
    Variable("counted_rate", (), "1", "Learning rate at which bouncing steps were counted.", "definition"),
    Variable("sharpness_gap", (), "1", "2/lr minus the final sharpness.", _AHN),
    Variable("bouncing_steps", (), "1", "Steps on which y^2 lies in [2/lr, 3/lr].", _AHN),
    # ahn2022, networks and mean model
    Variable("weight_sum", ("step",), "1", "A = d (a- + a+): d times the sum of the two output weights.", _AHN),
    Variable("bias", ("step",), "1", "b: the bias that all hidden units share.", _AHN),
    Variable("mean_model_weight_sum", ("step",), "1", "A of the mean model.", _AHN),
    Variable("mean_model_bias", ("step",), "1", "b of the mean model.", _AHN),
    Variable("loss_in_time", ("time",), "1", "Mean training loss at times of the gradient flow.", "definition"),
    Variable("weight_sum_in_time", ("time",), "1", "A = d (a- + a+) at times of the gradient flow.", _AHN),
    Variable("bias_in_time", ("time",), "1", "b at times of the gradient flow.", _AHN),
    Variable("loss_rises", (), "1", "How many steps of a run raised the loss.", "definition"),
    Variable("weight_sum_turns", (), "1", "How many steps of a run turned A back.", "definition"),
    Variable("final_bias", (), "1", "b at the last state of a run.", _AHN),
    Variable("test_accuracy", (), "1", "Fraction of fresh examples classified rightly at the end of a run.", _AHN),
    Variable("mean_output_weight_in_time", ("time",), "1", "Mean of the a_i at times of the gradient flow.", _AHN),
    Variable("mean_output_weight_turns", (), "1", "Times that the mean of the a_i turns back visibly in a run.", _AHN),
    Variable("smoothed_relu", (), "1", "g(b) = phi(b) + b Phi(b).", _AHN),
    Variable("smoothed_relu_slope", (), "1", "g'(b) = Phi(b).", _AHN),
    Variable("mean_relu", (), "1", "Mean of max(z + b, 0) over normal z, by quadrature.", _AHN),
    # ahn2022, residual networks
    Variable("epoch_loss", ("epoch",), "1", "Mean loss over all training examples at the end of an epoch.", _AHN),
    Variable("last_bias_median", ("epoch",), "1", "Median of the biases of the last BatchNorm's channels.", _AHN),
    Variable("mean_activation", ("epoch",), "1", "Mean last activation, over channels, places and examples.", _AHN),
    Variable("mean_logit", ("epoch",), "1", "Mean output over the training examples.", _AHN),
    # zhu2022, bifurcations and rank-one factorisation
    Variable("movement", ("step",), "1", "Offset from a trajectory's end along its movement direction.", _ZHU),
    Variable("oscillation", ("step",), "1", "Offset from a trajectory's end along its oscillation direction.", _ZHU),
    Variable("outside_plane", ("step",), "1", "Norm of the offset outside movement and oscillation.", _ZHU),
    Variable("window_sharpness", ("window_step",), "1", "Largest Hessian eigenvalue at each step of a window.", _ZHU),
    Variable("offsets", ("step", "entry"), "1", "Offset (a, b) of a degree-4 network from its edge minimum.", _ZHU),
    Variable("period", (), "1", "Steps after which an orbit returns; 0: none found; -1: diverged.", _ZHU),
    Variable("orbit_tail", (), "1", "A state b of an orbit of the cubic map after its transient.", _ZHU),
    Variable("end_status", (), "1", "What became of the run from a start of a grid.", "definition", codes=Status),
    Variable("start_computed", (), "1", "Whether a start was run; 0: its end is a neighbour's.", "definition"),
    Variable("excess_loss", ("step",), "1", "Loss above its minimum (d - 1)/4 before the step is taken.", _ZHU),
    Variable("alignment_gap", ("step",), "1", "xi = |x|^2 |y|^2 - (x^T y)^2 before the step is taken.", _ZHU),
    Variable("vector_norms", ("step", "entry"), "1", "Lengths (|x|, |y|) before the step is taken.", _ZHU),
)
