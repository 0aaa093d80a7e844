"""Names of quadratic models of many outputs and of the stochastic edge of stability. See `vocabulary.py`."""

from precipice.results.variable import Dimension, Variable

_AGARWALA = "Agarwala, Pedregosa and Pennington, 2022, Second-order regression models exhibit progressive sharpening"
_STOCHASTIC = "Agarwala and Pennington, 2024, High dimensional analysis reveals conservative sharpening"
_EDGE = "Agarwala and Pennington, 2024, sections 2.2 to 2.4, and the formula sheet's corrections"
_ANDREYEV = "Andreyev and Beneventano, 2024, Edge of stochastic stability"
_MCCANDLISH = "McCandlish et al., 2018, An empirical model of large-batch training, eq. 2.9"

DIMENSIONS = (
    # agarwala2022 and agarwala2024, quadratic models of many outputs
    Dimension("output_scale", "1", "Standard deviation of the residuals at the start, times d.", sweep=True),
    Dimension("residual_scale", "1", "Standard deviation of the residuals at the start.", sweep=True),
    Dimension("jacobian_scale_squared", "1", "Variance of the Jacobian at the start, times sqrt(d p).", sweep=True),
    Dimension("model_size", "1", "Index of a pair (outputs d, parameters p) of several.", sweep=True),
    Dimension("draw", "1", "Index of a random draw of a model.", sweep=True),
    Dimension("spectrum", "1", "Variance of the model curvature: 0: V = 1; 1: V = sigma, of unit mean.", sweep=True),
    Dimension("batch_size", "1", "Examples in a minibatch.", sweep=True),
    Dimension("mode", "1", "Rank of a singular value of the Jacobian at the start, the largest first."),
    # agarwala2024, training on images
    Dimension("lr_ratio", "1", "Learning rate over batch size, for batches up to a small one.", sweep=True),
    Dimension("measurement", "1", "Index of a measurement along a training, 0 at its start."),
    Dimension("stage", "1", "Of a training: 0 its start, 1 its end.", sweep=True),
    # agarwala2024, linear models under minibatch SGD
    Dimension("setting", "1", "Kernel: 0 flat spectrum, 1 dispersed spectrum, 2 localized eigenvectors.", sweep=True),
    Dimension(
        "relative_lr",
        "1",
        "Learning rate over the one at which the radius of the second moment is 1, or 2/lambda_max if there is none.",
        sweep=True,
    ),
)

VARIABLES = (
    # agarwala2022 and agarwala2024, quadratic models of many outputs
    Variable("model_outputs", (), "1", "d: outputs of a quadratic model.", "definition"),
    Variable("model_params", (), "1", "p: parameters of a quadratic model.", "definition"),
    Variable("sum_loss", ("probe_step",), "1", "Half the sum of the squared residuals.", _AGARWALA),
    Variable("rescaled_kernel", ("probe_step",), "1", "lr times the largest eigenvalue of J J^T.", _AGARWALA),
    Variable("rescaled_kernel_start", (), "1", "lr times the largest eigenvalue of J J^T at the start.", _AGARWALA),
    Variable("rescaled_kernel_end", (), "1", "lr times the largest eigenvalue of J J^T at the end.", _AGARWALA),
    Variable("steps_taken", (), "1", "Steps until a run ended.", "definition"),
    Variable("flow_loss", ("time",), "1", "Half the sum of the squared residuals along the flow.", _AGARWALA),
    Variable("flow_kernel", ("time",), "1", "Largest eigenvalue of J J^T along the flow.", _AGARWALA),
    Variable("kernel_rate", (), "1", "First time derivative of lambda_1 of J J^T at the start.", _AGARWALA),
    Variable("kernel_acceleration", (), "1", "Its second time derivative at the start.", _AGARWALA),
    # agarwala2024, training on images
    Variable("run_lr", (), "1", "Learning rate of a run.", "definition"),
    Variable("measured_at", ("measurement",), "1", "Gradient step of a measurement.", "definition"),
    Variable("training_loss", ("measurement",), "1", "Mean half squared error over all the examples.", "definition"),
    Variable(
        "noise_kernel_norm",
        ("measurement",),
        "1",
        "K of SGD at the run's learning rate and batch size, one output an example; NaN where the mean is unstable.",
        _STOCHASTIC + ", eq. 9",
    ),
    Variable(
        "noise_kernel_norm_trace",
        ("measurement",),
        "1",
        "lr tr(Theta)/(2 B) with Theta the Gram matrix of the mean loss, one output an example.",
        _STOCHASTIC + ", eq. 11",
    ),
    Variable(
        "kernel_top_eigenvalue",
        ("measurement",),
        "1",
        "Largest eigenvalue of the Gram matrix of the mean loss; its edge is 2/lr.",
        _STOCHASTIC,
    ),
    Variable("scheduled_lr", ("measurement",), "1", "Learning rate of the next step at a measurement.", "definition"),
    Variable(
        "test_error", ("measurement",), "1", "Fraction of held-out examples that are classified wrongly.", "definition"
    ),
    Variable(
        "kernel_trace",
        ("measurement",),
        "1",
        "Trace of the Gram matrix of the mean loss (edge 2/lr), mean over a subset of the training examples.",
        _STOCHASTIC + ", appendix D.3",
    ),
    Variable(
        "kernel_trace_sem",
        ("measurement",),
        "1",
        "Standard error of kernel_trace as that of all the training examples; 0 where the subset is all of them.",
        "definition",
    ),
    Variable(
        "momentum_noise_kernel_norm_trace",
        ("measurement",),
        "1",
        "lr_t tr(Theta)/(2 (1 - mu) B C): Theta the Gram matrix of the mean loss, B examples a batch, C outputs each.",
        _STOCHASTIC + ", eq. 18, with the number of outputs",
    ),
    Variable(
        "training_sharpness",
        ("measurement",),
        "1",
        "Largest eigenvalue of the Hessian of the mean loss and the L2 term, over a subset of the training examples.",
        _STOCHASTIC + ", appendix D.4",
    ),
    Variable(
        "training_hessian_trace",
        ("measurement",),
        "1",
        "Trace of the Hessian of the mean loss without the L2 term, over the same subset.",
        _STOCHASTIC + ", appendix D.5",
    ),
    Variable(
        "training_hessian_trace_sem",
        ("measurement",),
        "1",
        "Standard error of training_hessian_trace over its random signs.",
        "definition",
    ),
    # agarwala2024, training on ImageNet
    Variable(
        "training_gauss_newton_trace",
        ("measurement",),
        "1",
        "Trace of the Gauss-Newton matrix of the mean loss over a subset of the training examples, by sampled targets.",
        _STOCHASTIC + ", appendix D.7",
    ),
    Variable(
        "training_gauss_newton_trace_sem",
        ("measurement",),
        "1",
        "Standard error of training_gauss_newton_trace over the sampled targets; the subset is taken as given.",
        "definition",
    ),
    Variable(
        "gauss_newton_noise_kernel_norm",
        ("measurement",),
        "1",
        "lr_t tr(H_GN)/(2 (1 - mu) B): H_GN the Gauss-Newton matrix of the mean loss, B examples a batch.",
        _STOCHASTIC + ", eq. 130",
    ),
    Variable("num_params", (), "1", "Parameters of the network.", "definition"),
    # agarwala2024, linear models under minibatch SGD: one output an example, B examples a batch, kernel J J^T/D
    Variable("linear_noise_kernel_norm", (), "1", "K of a linear model: largest eigenvalue of (I-A)^-1 B.", _EDGE),
    Variable("linear_noise_kernel_norm_high_dimensional", (), "1", "K_HD = (lr/B) sum l/(2 - lr l).", _EDGE),
    Variable("linear_noise_kernel_norm_finite_size", (), "1", "s sum lr l/(2 - (1 - s) lr l): K of even modes.", _EDGE),
    Variable("linear_noise_kernel_norm_trace", (), "1", "K_tr = lr tr(J J^T/D)/(2 B).", _EDGE),
    Variable("second_moment_norm", (), "1", "Noise kernel norm of the whole second moment: 1 at its edge.", "derived"),
    Variable("second_moment_radius", (), "1", "Spectral radius of T, the step of E z z^T.", _EDGE),
    Variable("diagonal_moment_radius", (), "1", "Largest eigenvalue of A + B, the step of the modes alone.", _EDGE),
    Variable("mean_margin", (), "1", "lr lambda_max/2: 1 where the mean becomes unstable.", _EDGE),
    Variable("kernel_eigenvalue", ("mode",), "1", "Eigenvalues of the kernel, descending.", "definition"),
    Variable("first_moment_edge_lr", (), "1", "2/lambda_max: learning rate at which the mean turns unstable.", _EDGE),
    Variable("second_moment_edge_lr", (), "1", "Learning rate at which the radius of T is 1; NaN: none.", _EDGE),
    Variable("stochastic_edge_lr", (), "1", "Learning rate at which K is 1; NaN: none below 2/lambda_max.", _EDGE),
    Variable("diagonal_radius_at_stochastic_edge", (), "1", "Largest eigenvalue of A + B where K is 1.", _EDGE),
    Variable("start_loss", (), "1", "Loss at the start of a run.", "definition"),
    # agarwala2024, quadratic models under minibatch SGD
    Variable("hessian_top", ("probe_step",), "1", "Largest Hessian eigenvalue of the mean loss.", "definition"),
    Variable(
        "eigenvalue_first_difference",
        ("mode",),
        "1",
        "First change of |J^T w|^2, w a left singular vector of J at the start.",
        "measures.frozen_modes",
    ),
    Variable("eigenvalue_first_difference_law", ("mode",), "1", "Its mean, in theory.", "agarwala2024, eq. 16"),
    Variable(
        "singular_value_second_difference",
        ("mode",),
        "1",
        "Second change of w J v, w and v singular vectors of J at the start, less that of the full batch.",
        "measures.frozen_modes",
    ),
    Variable("singular_value_second_difference_law", ("mode",), "1", "Its mean, in theory.", "agarwala2024, eq. 17"),
    # stochastic measures of a training, to set beside the noise kernel norm
    Variable(
        "batch_sharpness",
        ("probe_step",),
        "1",
        "Mean over minibatches of the batch Hessian's Rayleigh quotient along the batch gradient; SGD's edge is 2/lr.",
        _ANDREYEV,
    ),
    Variable(
        "batch_sharpness_sem",
        ("probe_step",),
        "1",
        "Standard error of the mean of batch_sharpness over its sampled batches.",
        _ANDREYEV,
    ),
    Variable(
        "gradient_noise_scale",
        ("probe_step",),
        "1",
        "tr(Sigma)/|G|^2 in examples: Sigma the covariance of one example's gradient, G the full gradient.",
        _MCCANDLISH,
    ),
    Variable(
        "ntk_trace",
        ("probe_step",),
        "1",
        "Trace of the Gauss-Newton Gram matrix of the mean training loss (edge 2/lr), exact.",
        _STOCHASTIC + ", eq. 11",
    ),
)
