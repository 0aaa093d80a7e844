"""The largest eigenvalue of a nonnegative symmetric matrix against LAPACK: dense, degenerate blocks, zero, gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precipice.measures.noise_kernel import largest_of_nonnegative


def drawn(n, seed=0):
    matrix = np.random.default_rng(seed).uniform(0, 1, (n, n))
    return matrix + matrix.T


def blocks(one, other):
    n = len(one)
    whole = np.zeros((2 * n, 2 * n))
    whole[:n, :n], whole[n:, n:] = one, other
    return whole


@pytest.mark.parametrize(
    "matrix",
    [
        drawn(40),
        blocks(drawn(20), drawn(20)),
        blocks(drawn(20), drawn(20) * (1 + 1e-6)),
        blocks(1e-3 * drawn(20), drawn(20)),
        np.diag(np.linspace(0, 1, 30)),
        np.array([[0.0, 1.0], [1.0, 0.0]]),
        np.zeros((5, 5)),
    ],
    ids=["dense", "equal blocks", "nearly equal blocks", "a faint block", "diagonal", "opposite values", "zero"],
)
def test_against_lapack(matrix):
    wanted = np.linalg.eigvalsh(matrix)[-1]
    np.testing.assert_allclose(largest_of_nonnegative(jnp.asarray(matrix)), wanted, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(jax.jit(largest_of_nonnegative)(jnp.asarray(matrix)), wanted, rtol=1e-13, atol=1e-15)


def test_gradient_is_that_of_first_order_perturbation():
    matrix, change = jnp.asarray(drawn(12)), jnp.asarray(drawn(12, 1))
    _, slope = jax.jvp(largest_of_nonnegative, (matrix,), (change,))
    vector = np.linalg.eigh(matrix)[1][:, -1]
    np.testing.assert_allclose(slope, vector @ change @ vector, rtol=1e-7)
    reverse = jax.grad(largest_of_nonnegative)(matrix)
    np.testing.assert_allclose(jnp.sum(reverse * change), slope, rtol=1e-12)
