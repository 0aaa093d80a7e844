"""The names of results: born here, or in the vocabularies of theory, each with its dimensions, units and meaning."""

from collections.abc import Sequence

from precipice._checks import InputError, one_of
from precipice.results import monitor_vocabulary, near_edge_vocabulary, stochastic_vocabulary, theory_vocabulary
from precipice.results.variable import Dimension, Status, StopReason, Variable

_DIMENSIONS = (
    Dimension("step", "1", "Gradient step: values are those before the step of this number is taken."),
    Dimension("probe_step", "1", "Gradient step at which the probes ran."),
    Dimension("eigenvalue", "1", "Rank of an eigenvalue from 0, in descending algebraic order."),
    Dimension("example", "1", "Index of a training example."),
    Dimension("output", "1", "Index of an output of the network."),
    Dimension("run", "1", "One training of several.", sweep=True),
    Dimension("seed", "1", "Seed of a run's random numbers.", sweep=True),
    Dimension("lr", "1", "Learning rate of a run.", sweep=True),
)

DIMENSIONS: dict[str, Dimension] = {
    d.name: d
    for d in (
        *_DIMENSIONS,
        *theory_vocabulary.DIMENSIONS,
        *stochastic_vocabulary.DIMENSIONS,
        *monitor_vocabulary.DIMENSIONS,
        *near_edge_vocabulary.DIMENSIONS,
    )
}
"""Known axes by name. A sweep may add axes of any other name (width, batch_size, ...)."""

_COHEN = "Cohen et al., 2021, Gradient descent on neural networks typically occurs at the edge of stability"
_PARLETT = "Parlett, The symmetric eigenvalue problem, 1998, sections 4.5 and 11.7"
_AGARWALA = "Agarwala, Pedregosa and Pennington, 2022, Second-order regression models exhibit progressive sharpening"
_HUTCHINSON = "Hutchinson, 1989, A stochastic estimator of the trace of the influence matrix"


_RANKED = ("probe_step", "eigenvalue")

_VARIABLES = (
    Variable("loss", ("step",), "1", "Mean training loss before the step is taken.", "definition"),
    Variable("probe_loss", ("probe_step",), "1", "Mean loss over the examples that are probed.", "definition"),
    Variable(
        "accuracy",
        ("probe_step",),
        "1",
        "Fraction of the training examples that are classified rightly.",
        "definition",
    ),
    Variable("held_out_loss", ("probe_step",), "1", "Mean loss on examples that are not trained on.", "definition"),
    Variable(
        "held_out_accuracy",
        ("probe_step",),
        "1",
        "Fraction of examples not trained on that are classified rightly.",
        "definition",
    ),
    Variable(
        "gradient_norm",
        ("probe_step",),
        "1",
        "Euclidean norm of the gradient of the mean training loss.",
        "definition",
    ),
    Variable(
        "hessian_eigenvalue",
        _RANKED,
        "1",
        "The k largest algebraic eigenvalues of the Hessian of the mean training loss, descending.",
        _COHEN,
    ),
    Variable(
        "hessian_eigenvalue_bound",
        _RANKED,
        "1",
        "Error bound of hessian_eigenvalue, the least of residual, residual^2/gap and its block form.",
        _PARLETT,
    ),
    Variable(
        "sharpness",
        ("probe_step",),
        "1",
        "The largest algebraic eigenvalue of the Hessian of the mean training loss.",
        _COHEN,
    ),
    Variable(
        "sharpness_residual",
        ("probe_step",),
        "1",
        "Residual norm of the pair behind sharpness: an eigenvalue of the Hessian lies that near.",
        _PARLETT,
    ),
    Variable(
        "ntk_eigenvalue",
        _RANKED,
        "1",
        "The k largest eigenvalues of the Gauss-Newton Gram matrix of the training loss, descending, "
        "so that their edge is 2/lr whatever the reduction of the loss.",
        _AGARWALA,
    ),
    Variable(
        "ntk_eigenvalue_bound",
        _RANKED,
        "1",
        "Error bound of ntk_eigenvalue, the least of residual, residual^2/gap and its block form.",
        _PARLETT,
    ),
    Variable(
        "ntk_eigenvalue_raw",
        _RANKED,
        "1",
        "The k largest eigenvalues of J J^T, J the Jacobian of all outputs on all training examples, "
        "descending, with no factor of the loss.",
        _AGARWALA,
    ),
    Variable(
        "residual_projection",
        ("probe_step",),
        "1",
        "z1: the residual f - y projected on the unit eigenvector of the largest NTK eigenvalue, whose sign "
        "is fixed by continuity from probe to probe.",
        _AGARWALA,
    ),
    Variable(
        "edge",
        (),
        "1",
        "The sharpness at which the optimiser becomes unstable on a quadratic: 2/lr for gradient descent.",
        _COHEN,
    ),
    Variable("learning_rate", (), "1", "Learning rate of the optimiser.", "definition"),
    Variable(
        "hessian_products",
        ("probe_step",),
        "1",
        "Number of products with the Hessian that the measurement of its eigenvalues spent.",
        "definition",
    ),
    Variable(
        "hessian_converged",
        ("probe_step",),
        "1",
        "1 if every bound of hessian_eigenvalue met the tolerance asked for, else 0.",
        "definition",
    ),
    Variable(
        "ntk_products",
        ("probe_step",),
        "1",
        "Number of products with the Gauss-Newton Gram matrix that the measurement of its eigenvalues spent.",
        "definition",
    ),
    Variable(
        "ntk_converged",
        ("probe_step",),
        "1",
        "1 if every bound of ntk_eigenvalue met the tolerance asked for, else 0.",
        "definition",
    ),
    Variable(
        "hessian_trace",
        ("probe_step",),
        "1",
        "Stochastic estimate of the trace of the Hessian of the mean training loss.",
        _HUTCHINSON,
    ),
    Variable(
        "hessian_trace_sem",
        ("probe_step",),
        "1",
        "Standard error of the mean of hessian_trace over its probe vectors.",
        _HUTCHINSON,
    ),
    Variable(
        "window_start",
        (),
        "1",
        "Gradient step of the training from which step and probe_step are counted.",
        "definition",
    ),
    Variable("status", (), "1", "What became of the run.", "definition", codes=Status),
    Variable("stop_reason", (), "1", "Why the run ended.", "definition", codes=StopReason),
    Variable(
        "diverged_at",
        (),
        "1",
        "Step that would have made a parameter non-finite, or at which curvature overflowed; -1 if there is none.",
        "definition",
    ),
    Variable(
        "last_finite_step",
        (),
        "1",
        "Last step at which the loss was finite, -1 if there is none.",
        "definition",
    ),
)

VARIABLES: dict[str, Variable] = {
    v.name: v
    for v in (
        *_VARIABLES,
        *theory_vocabulary.VARIABLES,
        *stochastic_vocabulary.VARIABLES,
        *monitor_vocabulary.VARIABLES,
        *near_edge_vocabulary.VARIABLES,
    )
}
"""Every result that precipice itself writes, by name."""


def variable(name: str, *, extra: Sequence[Variable] = ()) -> Variable:
    """The `Variable` of this name, from the vocabulary or from `extra`.

    Raises:
        InputError: the name is unknown (the message offers the nearest ones), or an `extra` variable takes a
            name of the vocabulary for something else.

    Example:
        >>> variable("sharpness").dims
        ('probe_step',)
        >>> variable("acuracy")
        Traceback (most recent call last):
        ...
        precipice._checks.InputError: Variable 'acuracy' is unknown; did you mean accuracy or ...
    """
    known = known_variables(extra)
    one_of("Variable", name, known)
    return known[name]


def known_variables(extra: Sequence[Variable] = ()) -> dict[str, Variable]:
    """The vocabulary and `extra` by name.

    Raises:
        InputError: an `extra` variable takes a name that already means something else.
    """
    known = dict(VARIABLES)
    for v in extra:
        if known.setdefault(v.name, v) != v:
            raise InputError(f"Extra variable {v.name!r} must not redefine a known variable; choose another name.")
    return known
