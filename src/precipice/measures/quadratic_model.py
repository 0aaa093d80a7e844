"""What is known of quadratic models of d outputs and p parameters: early sharpening, size of the non-linear term.

Laws hold for independent Gaussian z, J and Q as `problems.gaussian_rows` draws them, with the sum of half squares
unless a batch size is given. They take numbers, or arrays of them that broadcast.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from precipice._types import Number, Numbers, Scalar
from precipice.problems import Rows
from precipice.problems.quadratic_model import contracted


class KernelDerivatives(NamedTuple):
    """The largest eigenvalue of J J^T along the gradient flow, at its start.

    Args:
        value: lambda_1.
        first: its first derivative in time.
        second: its second derivative in time.
    """

    value: Scalar
    first: Scalar
    second: Scalar


def top_kernel_derivatives(rows: Rows) -> KernelDerivatives:
    """lambda_1 of J J^T and its exact first two time derivatives under the flow of the sum of half squares.

    lambda_1' = w1 . K' w1 and lambda_1'' = w1 . K'' w1 + 2 sum_{b>1} (w_b . K' w1)^2/(lambda_1 - lambda_b), with
    K = J J^T, J' = -Q(g, .), J'' = -Q(g', .), g = J^T z. The largest eigenvalue must be simple. Reads Q twice.

    Args:
        rows: z, J and Q at the start.

    References: agarwala2022, appendix C.1 (QR-36).

    Example:
        >>> one = Rows(jnp.array([1.0]), jnp.array([[2.0]]), jnp.ones((1, 1, 1)))
        >>> [float(v) for v in top_kernel_derivatives(one)]
        [4.0, -8.0, 48.0]
    """
    z, j, q = rows
    kernel = j @ j.T
    values, vectors = jnp.linalg.eigh(kernel)
    top, rest = vectors[:, -1], vectors[:, :-1]
    g = z @ j
    turn = -contracted(q, g)
    g_rate = z @ turn - (kernel @ z) @ j
    turn_rate = -contracted(q, g_rate)
    rate = turn @ j.T + j @ turn.T
    rate_rate = turn_rate @ j.T + j @ turn_rate.T + 2 * turn @ turn.T
    repulsion = 2 * jnp.sum((rest.T @ (rate @ top)) ** 2 / (values[-1] - values[:-1]))
    return KernelDerivatives(values[-1], top @ rate @ top, top @ rate_rate @ top + repulsion)


def top_kernel_acceleration(
    num_examples: Numbers, num_params: Numbers, *, output_scale: Numbers, jacobian_scale: Numbers
) -> Numbers:
    """2 s_z^2 s_J^2 d p^2 (1 + sqrt(d/p))^2: the mean of lambda_1''(0), to leading order in large d and p.

    That is 2 d p s_z^2 times the mean of lambda_1; the mean of lambda_1'(0) is 0. The theorem as printed lacks the
    factor 2 of the repulsion between eigenvalues, and its ratio the factor d p (ERR-Q11).

    Args:
        num_examples: d.
        num_params: p.
        output_scale: s_z, standard deviation of z.
        jacobian_scale: s_J, standard deviation of the entries of J.

    References: agarwala2022, theorem 3.1, corrected (QR-35).

    Example:
        >>> top_kernel_acceleration(4, 4, output_scale=1.0, jacobian_scale=0.5)
        128.0
    """
    edge = (1 + (num_examples / num_params) ** 0.5) ** 2
    return 2 * output_scale**2 * jacobian_scale**2 * num_examples * num_params**2 * edge


class StepTerms(NamedTuple):
    """Squared lengths of the two terms by which a step moves the residuals; the ratio of their means is r_NL^2.

    Args:
        nonlinear: |lr^2 Q(g, g)/2|^2.
        linear: |lr J g|^2, with g = J^T z.
    """

    nonlinear: Scalar
    linear: Scalar


def step_terms(rows: Rows, *, lr: Number) -> StepTerms:
    """What the non-linear and the linear term of one step from `rows` measure; average each over draws.

    References: agarwala2022, eqs. 25 and 27 (QR-37).

    Example:
        >>> step_terms(Rows(jnp.array([1.0]), jnp.array([[2.0]]), jnp.ones((1, 1, 1))), lr=1.0)._asdict()
        {'nonlinear': Array(4., dtype=...), 'linear': Array(16., dtype=...)}
    """
    z, j, q = rows
    g, rate = z @ j, jnp.asarray(lr, z.dtype)
    return StepTerms(
        jnp.sum((rate**2 * (contracted(q, g) @ g) / 2) ** 2),
        jnp.sum((rate * (j @ g)) ** 2),
    )


def nonlinear_ratio(
    num_examples: Numbers, num_params: Numbers, *, output_scale: Numbers, lr: Numbers, symmetric: bool = True
) -> Numbers:
    """r_NL = sqrt((kappa/4) lr^2 s_z^2 d (d + 2)(p + 2)/(p + d + 1)): size of the non-linear term of the first step.

    The square root of the ratio of mean squared lengths. kappa is 2 for (R + R^T)/sqrt(2) and 1 for (R + R^T)/2; the
    printed lr s_z d/2 is the latter for d far below p (ERR-Q12).

    Args:
        num_examples: d.
        num_params: p.
        output_scale: s_z.
        lr: learning rate.
        symmetric: which Q, as for `problems.gaussian_rows`.

    References: agarwala2022, eq. 27 and appendix C.2, corrected (QR-37).

    Example:
        >>> round(nonlinear_ratio(60, 120, output_scale=1.0, lr=1.0), 2)
        35.41
    """
    d, p = num_examples, num_params
    kappa = 2 if symmetric else 1
    return lr * output_scale * (kappa * d * (d + 2) * (p + 2) / (p + d + 1)) ** 0.5 / 2


class Scales(NamedTuple):
    """Standard deviations of z and of the entries of J."""

    output: Numbers
    jacobian: Numbers


def rescaled_scales(num_examples: Numbers, num_params: Numbers, *, output: Numbers, jacobian: Numbers) -> Scales:
    """s_z = output/d and s_J = jacobian/(d p)^(1/4): the scales under which models of different size compare at lr = 1.

    Then r_NL is (output/2) sqrt(kappa p/(p + d)) for large d and p (the text says output, ERR-Q13), and lambda_1 is
    about jacobian^2 sqrt(p/d) (1 + sqrt(d/p))^2 (`rescaled_top_kernel`).

    References: agarwala2022, eq. 29 (QR-38).

    Example:
        >>> rescaled_scales(4, 4, output=2.0, jacobian=1.0)
        Scales(output=0.5, jacobian=0.5)
    """
    return Scales(output / num_examples, jacobian / (num_examples * num_params) ** 0.25)


def rescaled_top_kernel(num_examples: Numbers, num_params: Numbers, *, jacobian: Numbers) -> Numbers:
    """jacobian^2 sqrt(p/d) (1 + sqrt(d/p))^2: lambda_1 of J J^T at the start under `rescaled_scales`, for large d, p.

    References: agarwala2022, eq. 29; Marchenko and Pastur 1967 (QR-38).

    Example:
        >>> rescaled_top_kernel(4, 4, jacobian=1.0)
        4.0
    """
    ratio = num_examples / num_params
    return jacobian**2 * ratio**-0.5 * (1 + ratio**0.5) ** 2


class FrozenModes(NamedTuple):
    """Singular values and kernel eigenvalues read along the singular vectors of an earlier Jacobian.

    Args:
        sigma: w_a . J v_a [k], k the lesser of d and p; descending at the earlier Jacobian.
        eigenvalue: |J^T w_a|^2 [k], of J J^T.
    """

    sigma: Float[Array, "k"]
    eigenvalue: Float[Array, "k"]


def frozen_modes(start: Float[Array, "d p"], jacobian: Float[Array, "d p"]) -> FrozenModes:
    """Estimates of the singular values of J and eigenvalues of J J^T, along the singular vectors of J at the start.

    Exact at the start, and to first order in the change. The theorem's discrete derivatives are differences of these
    from step to step: x' - x and x'' - 2 x' + x.

    References: agarwala2024, eqs. 14 and 15 (SEOS-22).

    Example:
        >>> modes = frozen_modes(jnp.diag(jnp.array([2.0, 1.0])), jnp.diag(jnp.array([3.0, 1.0])))
        >>> modes.sigma.tolist(), modes.eigenvalue.tolist()
        ([3.0, 1.0], [9.0, 1.0])
    """
    left, _, right = jnp.linalg.svd(start, full_matrices=False)
    return FrozenModes(jnp.einsum("da,dp,ap->a", left, jacobian, right), jnp.sum((left.T @ jacobian) ** 2, axis=1))


def eigenvalue_first_difference(
    ntk_trace: Numbers,
    num_params: Numbers,
    *,
    lr: Numbers,
    batch_size: Numbers,
    output_variance: Numbers,
    curvature_variance: Numbers,
) -> Numbers:
    """(lr^2/B)(p + 1) V_z tr(J J^T/d) V: mean first change of an eigenvalue of J J^T under minibatch SGD.

    Of `frozen_modes` from the start, over z, Q and batches, for z independent of J and Q = sum_a w_a (x) M_a with
    M_a = sqrt(V)(R + R^T)/sqrt(2); the paper has p for p + 1, which leaves out the diagonal's variance. It is the
    same for all batch sizes times 1/B, the full batch included.

    Args:
        ntk_trace: tr(J J^T)/d.
        num_params: p.
        lr: learning rate of the mean loss over a batch.
        batch_size: B.
        output_variance: V_z, variance of the entries of z.
        curvature_variance: V(sigma_a), variance of M_a off its diagonal.

    References: agarwala2024, theorem 3.1, eq. 16 (SEOS-23; eq. 117 has d^2 for d, ERR-S14).

    Example:
        >>> eigenvalue_first_difference(2.0, 9, lr=0.1, batch_size=5, output_variance=1.0, curvature_variance=1.0)
        0.04...
    """
    return lr**2 / batch_size * (num_params + 1) * output_variance * ntk_trace * curvature_variance


def singular_value_second_difference(
    sigma: Numbers,
    num_examples: Numbers,
    num_params: Numbers,
    *,
    lr: Numbers,
    batch_size: Numbers,
    output_variance: Numbers,
    curvature_variance: Numbers,
) -> Numbers:
    """-(1 - B/d)(p + 2) lr^3 sigma^3 V V_z/(B d^2): mean second change of a singular value less the full batch's.

    To order lr^3, of `frozen_modes`, for the same draws as in `eigenvalue_first_difference`. The paper has p for p + 2
    and no factor 1 - B/d (ERR-S15). The smaller the batch and the larger the mode, the more its growth is held back.

    Args:
        sigma: the singular value of J.
        num_examples: d.
        num_params: p.
        lr: learning rate of the mean loss over a batch.
        batch_size: B.
        output_variance: V_z.
        curvature_variance: V(sigma).

    References: agarwala2024, theorem 3.1, eq. 17, corrected (SEOS-24).

    Example:
        >>> args = {"lr": 0.1, "batch_size": 2, "output_variance": 1.0, "curvature_variance": 1.0}
        >>> round(singular_value_second_difference(2.0, 4, 6, **args), 6)
        -0.001
    """
    held_back = (1 - batch_size / num_examples) * (num_params + 2) * lr**3 * sigma**3 / (batch_size * num_examples**2)
    return -held_back * curvature_variance * output_variance
