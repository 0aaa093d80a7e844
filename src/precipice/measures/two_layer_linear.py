"""Exact recurrences of gradient descent on the two-layer linear network: a closed map of residual and kernel."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from precipice._types import Number, Scalar
from precipice.problems import TwoLayerLinear
from precipice.problems.two_layer_linear import LinearLayers


class LinearNetworkState(NamedTuple):
    """What the recurrences move.

    Args:
        residual: D = F - y [n].
        output_norm: |a|^2.
        kernel: M = (2/n) dF dF^T [n, n]; its eigenvalues other than 0 are those of the Gauss-Newton matrix of the
            mean squared error, so that the edge of its largest is 2/lr.
    """

    residual: Float[Array, "n"]
    output_norm: Scalar
    kernel: Float[Array, "n n"]


def two_layer_linear_state(problem: TwoLayerLinear, params: LinearLayers) -> LinearNetworkState:
    """(D, |a|^2, M) of parameters, M = (2/(m n)) (|a|^2 Sigma + X W^T W X^T), Sigma = X X^T (examples in rows).

    References: shapira2023, section 5 (REV-8, REV-9 with the transposes of ERR-R4).

    Example:
        >>> problem = TwoLayerLinear(jnp.eye(2), jnp.array([1.0, -1.0]), width=4)
        >>> state = two_layer_linear_state(problem, {"a": jnp.ones(4), "w": jnp.ones((4, 2))})
        >>> state.residual.tolist(), float(state.output_norm), state.kernel.tolist()
        ([1.0, 3.0], 4.0, [[2.0, 1.0], [1.0, 2.0]])
    """
    a, hidden = params["a"], problem.x @ params["w"].T
    n, m = hidden.shape
    norm = a @ a
    kernel = 2 / (m * n) * (norm * (problem.x @ problem.x.T) + hidden @ hidden.T)
    return LinearNetworkState(problem.outputs(params) - problem.y, norm, kernel)


def two_layer_linear_step(problem: TwoLayerLinear, state: LinearNetworkState, lr: Number) -> LinearNetworkState:
    """One step of gradient descent on (D, |a|^2, M), exact for any learning rate, width and data.

    D' = D - lr M D + (4 lr^2/(n^2 m)) <F,D> Sigma D;
    |a'|^2 = |a|^2 - (4 lr/n) <F,D> + (4 lr^2/(n^2 m)) |W X D|^2;
    M' = M - (4 lr/(n^2 m)) (2 <F,D> Sigma + F D^T Sigma + Sigma D F^T)
    + (8 lr^2/(n^3 m^2)) (|W X D|^2 Sigma + |a|^2 Sigma D D^T Sigma).
    |W X D|^2 is D^T (m n/2 M - |a|^2 Sigma) D, so that the map is closed.

    References: shapira2023, lemmas 4 and 5 (REV-11 to 13; in lemma 5 the last term of first order has a plus, ERR-R5).
    """
    d, norm, kernel = state
    n, m = d.shape[0], problem.width
    sigma = problem.x @ problem.x.T
    outputs, pushed = d + problem.y, sigma @ d
    overlap = outputs @ d
    hidden = m * n / 2 * (d @ kernel @ d) - norm * (d @ pushed)
    first = 2 * overlap * sigma + jnp.outer(outputs, pushed) + jnp.outer(pushed, outputs)
    second = hidden * sigma + norm * jnp.outer(pushed, pushed)
    return LinearNetworkState(
        d - lr * kernel @ d + 4 * lr**2 / (n**2 * m) * overlap * pushed,
        norm - 4 * lr / n * overlap + 4 * lr**2 / (n**2 * m) * hidden,
        kernel - 4 * lr / (n**2 * m) * first + 8 * lr**2 / (n**3 * m**2) * second,
    )


def two_layer_linear_sharpening(
    problem: TwoLayerLinear, state: LinearNetworkState, lr: Number
) -> tuple[Float[Array, "n"], Float[Array, "n n"], Float[Array, "n"]]:
    """The change v^T (M' - M) v in one step along each eigenvector v of Sigma.

    -(8 s lr/(n^2 m)) (<F,D> + <v,F><v,D>) + (8 s lr^2/(n^3 m^2)) (|W X D|^2 + s |a|^2 <v,D>^2), with s the eigenvalue:
    the kernel grows along v as long as the outputs have not reached the targets (<F,D> below 0).

    Returns:
        Eigenvalues of Sigma (ascending), eigenvectors in columns, changes.

    References: shapira2023, section 5 (REV-14).
    """
    d, norm, kernel = state
    n, m = d.shape[0], problem.width
    values, vectors = jnp.linalg.eigh(problem.x @ problem.x.T)
    outputs = d + problem.y
    hidden = m * n / 2 * (d @ kernel @ d) - norm * jnp.sum(values * (vectors.T @ d) ** 2)
    of_f, of_d = vectors.T @ outputs, vectors.T @ d
    first = -8 * values * lr / (n**2 * m) * (outputs @ d + of_f * of_d)
    second = 8 * values * lr**2 / (n**3 * m**2) * (hidden + values * norm * of_d**2)
    return values, vectors, first + second


def fixed_kernel_overlap(
    eigenvalues: ArrayLike, targets: ArrayLike, lr: Number, num_steps: int
) -> Float[Array, "steps"]:
    """<F, D> at steps 0 to num_steps if the kernel stood still and outputs began at 0: D_t = -prod (1 - lr M) y.

    It is below 0 at every step if lr times every eigenvalue is below 1; the paper's condition, below 2, is not enough.

    Args:
        eigenvalues: of M [n].
        targets: y in M's eigenbasis [n].
        lr: learning rate.
        num_steps: how many steps.

    References: shapira2023, section 5 (REV-15; ERR-R7).

    Example:
        >>> fixed_kernel_overlap(jnp.array([1.6, 1.2, 0.3]), jnp.array([1.0, -1.0, 1.0]), 1.0, 1).round(2).tolist()
        [0.0, 0.99]
    """
    rates, wanted = lr * jnp.asarray(eigenvalues), jnp.asarray(targets)
    steps = jnp.arange(num_steps + 1, dtype=rates.dtype)[:, None]
    residual = -((1 - rates[None]) ** steps) * wanted[None]
    return jnp.sum((residual + wanted[None]) * residual, axis=1)


def two_layer_linear_gap(problem: TwoLayerLinear, params: LinearLayers) -> tuple[Scalar, Scalar, Scalar]:
    """(v1^T M v1, lambda_1(M), the bound on their difference 2 c/m) with v1 the top eigenvector of Sigma.

    c is the smallest number with |X W^T W X^T - (m/d) Sigma| <= c n/2 in spectral norm: where W^T W is nearly a
    multiple of the identity the kernel's top eigenvector is that of the data.

    References: shapira2023, assumption 5 and lemma 3 (REV-15, with the minus of ERR-R6).
    """
    state = two_layer_linear_state(problem, params)
    n, d = problem.x.shape
    sigma, hidden = problem.x @ problem.x.T, problem.x @ params["w"].T
    off = jnp.max(jnp.abs(jnp.linalg.eigvalsh(hidden @ hidden.T - problem.width / d * sigma)))
    v = jnp.linalg.eigh(sigma)[1][:, -1]
    return v @ state.kernel @ v, jnp.linalg.eigvalsh(state.kernel)[-1], 2 * (2 * off / n) / problem.width
