"""The second moment of a linear model's outputs under minibatch SGD: the operator T that takes it a step further.

Nothing is approximated here: T is exact for a linear model, whatever its kernel. S is E z z^T. Its spectral radius is
in `second_moment_radius.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, at_most, symmetric
from precipice._types import Number
from precipice.curvature import AbstractOperator
from precipice.curvature.operator import Linearised
from precipice.measures.kernel_modes import check_descent, check_kernel, kernel_modes, row_products, sampling_noise
from precipice.measures.labelled import MaybeLabelled, as_matrix

MAX_DENSE = 10_000
"""Rows of a T made dense at most: 800 MB in float64."""

Matrix = Float[Array, "n n"]


class OutputMoments(NamedTuple):
    """Second moments of outputs z and their velocity J v under the heavy ball.

    Args:
        zz: E z z^T [n, n].
        zv: E z (J v)^T [n, n].
        vv: E (J v)(J v)^T [n, n].
    """

    zz: Matrix
    zv: Matrix
    vv: Matrix


def second_moment_step(
    moment: MaybeLabelled,
    kernel: MaybeLabelled,
    *,
    lr: Number,
    batch_size: Number,
    l2: Number = 0.0,
    num_outputs: int = 1,
) -> Matrix:
    """T(S) = S - lr (Th S + S Th) + (1 - s) lr^2 Th S Th + s D lr^2 Th diag(S) Th, with s = (D - B)/(B (D - 1)).

    In the paper's letters 1 - s = bt/beta and s D = (1 - bt)/beta. diag keeps the blocks of the examples.

    Args:
        moment: S, symmetric.
        kernel: Th, the Gram matrix of the mean loss.
        lr: learning rate.
        batch_size: B examples, drawn without replacement.
        l2: rho; the mean's factor is then I - lr (Th + rho I).
        num_outputs: C outputs an example.

    Cost: four products of matrices of n rows.

    Raises:
        InputError: bad kernels, batches, learning rates; a moment of another shape, or not symmetric.

    References: agarwala2024, eqs. 7, 26, 80 and 94 (SEOS-2, SEOS-4; ERR-S1, ERR-S13).

    Example:
        >>> second_moment_step(jnp.eye(2), jnp.eye(2), lr=0.5, batch_size=1).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    moment, kernel = as_matrix(moment), as_matrix(kernel)
    check_kernel(kernel, num_outputs)
    _check_moment("moment", moment, kernel)
    check_descent(kernel.shape[0] // num_outputs, batch_size, lr, 0.0, l2)
    lr, rho, batch = (jnp.asarray(v, kernel.dtype) for v in (lr, l2, batch_size))
    half = moment - lr * (kernel @ moment + rho * moment)
    mean = half - lr * (half @ kernel + rho * half)
    return mean + lr**2 * _noise(moment, kernel, batch, num_outputs)


def momentum_second_moment_step(
    moments: OutputMoments,
    kernel: MaybeLabelled,
    *,
    lr: Number,
    batch_size: Number,
    momentum: Number,
    l2: Number = 0.0,
    num_outputs: int = 1,
) -> OutputMoments:
    """T of the heavy ball: v' = mu v - (D/B) Th P z - rho z and z' = z + lr v', in second moments.

    Args:
        moments: of z and v = J v.
        kernel: Th.
        lr: learning rate.
        batch_size: B.
        momentum: mu.
        l2: rho.
        num_outputs: C.

    Raises:
        InputError: as `second_moment_step`, momentum outside [0, 1).

    References: agarwala2024, eqs. 53 to 58 (SEOS-11; ERR-S7).

    Example:
        >>> eye = jnp.eye(2)
        >>> start = OutputMoments(eye, 0 * eye, 0 * eye)
        >>> found = momentum_second_moment_step(start, eye, lr=0.5, batch_size=2, momentum=0.9)
        >>> found.zz.tolist(), found.vv.tolist()
        ([[0.25, 0.0], [0.0, 0.25]], [[1.0, 0.0], [0.0, 1.0]])
    """
    moments, kernel = OutputMoments(*(as_matrix(part) for part in moments)), as_matrix(kernel)
    check_kernel(kernel, num_outputs)
    check_descent(kernel.shape[0] // num_outputs, batch_size, lr, momentum, l2)
    for name, part in zip(OutputMoments._fields, moments, strict=True):
        _check_moment(name, part, kernel, even=name != "zv")
    lr, mu, rho, batch = (jnp.asarray(v, kernel.dtype) for v in (lr, momentum, l2, batch_size))
    zz = (moments.zz + moments.zz.T) / 2  # a skew part, of rounding, would grow
    pulled = kernel @ zz + rho * zz  # G S with the mean pull G = Th + rho I
    cross = mu * (kernel @ moments.zv + rho * moments.zv)
    vv = mu**2 * moments.vv - cross - cross.T + pulled @ kernel + rho * pulled
    vv = vv + _noise(zz, kernel, batch, num_outputs)
    ahead = mu * moments.zv - pulled.T  # E z v'^T
    return OutputMoments(zz + lr * (ahead + ahead.T) + lr**2 * vv, ahead + lr * vv, vv)


def _check_moment(name: str, moment: Array, kernel: Array, even: bool = True) -> None:
    """Refuse what is no second moment of the kernel's outputs."""
    if moment.shape != kernel.shape:
        raise InputError(f"{name} must have the kernel's shape {kernel.shape}; got {moment.shape}.")
    if even and not isinstance(moment, Tracer):
        symmetric(name, np.asarray(moment))


def _noise(moment: Matrix, kernel: Matrix, batch_size: Array, num_outputs: int) -> Matrix:
    """S (D Th diag(S) Th - Th S Th): covariance of a step over lr, given z."""
    num_examples = kernel.shape[0] // num_outputs
    spread = num_examples * jnp.where(_same_example(kernel.shape[0], num_outputs), moment, 0) - moment
    return sampling_noise(num_examples, batch_size) * (kernel @ spread @ kernel)


def _same_example(size: int, num_outputs: int) -> np.ndarray:
    example = np.arange(size) // num_outputs
    return example[:, None] == example[None, :]


def dense_second_moment(
    kernel: MaybeLabelled,
    *,
    lr: Number,
    batch_size: Number,
    momentum: Number | None = None,
    l2: Number = 0.0,
    num_outputs: int = 1,
) -> Float[Array, "m m"]:
    """T as a matrix on the entries of S in row-major order [n^2, n^2], for tests and small kernels.

    Args:
        kernel: Th [n, n].
        lr: learning rate.
        batch_size: B.
        momentum: mu, or None. With momentum T acts on the moments of (z, J v) [2n, 2n], and has (2n)^2 rows.
        l2: rho.
        num_outputs: C.

    Raises:
        InputError: more than 10,000 rows, with their number; bad kernels and numbers.

    References: agarwala2024, eqs. 28 to 30 (SEOS-4, SEOS-5).

    Example:
        >>> dense_second_moment(jnp.array([[1.0]]), lr=0.5, batch_size=1).tolist()
        [[0.25]]
    """
    kernel = as_matrix(kernel)
    n = kernel.shape[0] * (1 if momentum is None else 2)
    rows, why = n**2, "second_moment_radius and SecondMoment need no matrix of that size"
    at_most("rows of the second moment made dense", rows, MAX_DENSE, why)
    kernel_modes(kernel, num_outputs)  # refuses what is not positive
    numbers = {"lr": lr, "batch_size": batch_size, "l2": l2, "num_outputs": num_outputs}

    def image(entries):
        moment = entries.reshape(n, n)
        if momentum is None:
            return second_moment_step(moment, kernel, **numbers).ravel()
        h = n // 2
        blocks = OutputMoments(moment[:h, :h], moment[:h, h:], moment[h:, h:])
        new = momentum_second_moment_step(blocks, kernel, momentum=momentum, **numbers)
        return jnp.block([[new.zz, new.zv], [new.zv.T, new.vv]]).ravel()

    return jax.lax.map(image, jnp.eye(rows, dtype=kernel.dtype)).T


class SecondMoment(AbstractOperator):
    """T in symmetric form, Y -> (1 - h_m)(1 - h_n) Y_mn - s lr^2 l_m l_n Y_mn + s D lr^2 R^T diag(R Y R^T) R.

    S = R Y R^T with R = V L^(1/2): similar to T where the kernel is not 0, and symmetric, so that its spectrum is real
    and Lanczos applies. T maps positive semi-definite matrices to such, so that its spectral radius is its largest
    eigenvalue, ``curvature.eigs(op, key=key).values[0]``. Modes of eigenvalue 0 are left out: they never move.

    Args:
        kernel: Th [n, n], the Gram matrix of the mean loss.
        lr: learning rate.
        batch_size: B.
        l2: rho.
        num_outputs: C.

    Cost: an eigendecomposition at the start; two products of matrices of n rows each time. Memory n^2, not n^4.

    Raises:
        InputError: bad kernels and numbers, as `noise_kernel_norm`.

    References: agarwala2024, eqs. 28 to 30 (SEOS-4, SEOS-5).

    Example:
        >>> op = SecondMoment(jnp.eye(2), lr=0.5, batch_size=1)
        >>> op.size, op.mv(jnp.eye(2)).tolist()
        (4, [[0.5, 0.0], [0.0, 0.5]])
    """

    decay: Float[Array, "r r"]
    root: Float[Array, "d c r"]
    noise: Float[Array, ""]

    def __init__(
        self, kernel: MaybeLabelled, *, lr: Number, batch_size: Number, l2: Number = 0.0, num_outputs: int = 1
    ):
        kernel = as_matrix(kernel)
        check_kernel(kernel, num_outputs)
        num_examples = kernel.shape[0] // num_outputs
        check_descent(num_examples, batch_size, lr, 0.0, l2)
        eigenvalues, vectors = kernel_modes(kernel, num_outputs)
        lr, rho, batch = (jnp.asarray(v, kernel.dtype) for v in (lr, l2, batch_size))
        sampling = sampling_noise(num_examples, batch)
        factors, steps, moves = 1 - lr * (eigenvalues + rho), lr * eigenvalues, eigenvalues > 0
        alone = jnp.outer(factors, factors) - sampling * jnp.outer(steps, steps)
        self.decay = jnp.where(jnp.outer(moves, moves), alone, 0)
        self.root = vectors * jnp.sqrt(eigenvalues)[None, None]
        self.noise = sampling * num_examples * lr**2

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        """An n x n matrix."""
        return jax.ShapeDtypeStruct(self.decay.shape, self.decay.dtype)

    def linearise(self) -> Linearised:
        """The product as it is: it is linear, and nothing in it is worth computing once (JAX's own form is slower)."""
        return Linearised(self.mv, None)

    def mv(self, v: Float[Array, "r r"]) -> Float[Array, "r r"]:
        """The image of the symmetric part of `v`."""
        even, size = (v + v.T) / 2, self.decay.shape[0]
        half = (self.root.reshape(-1, size) @ even).reshape(self.root.shape)  # R Y
        blocks = row_products(half, self.root)  # diag(R Y R^T)
        spread = jnp.einsum("dij,djr->dir", blocks, self.root).reshape(-1, size)
        return self.decay * even + self.noise * (self.root.reshape(-1, size).T @ spread)
