"""What the figures of quadratic models under minibatch SGD share: spectra of Q, draws, differences of large modes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from precipice.problems import Rows

SPECTRA = ("flat", "shaped")
"""V(sigma) = 1, and V(sigma) = sigma over its mean: the same mean variance, more of it in the large modes."""

AT_ONCE = 16
"""Batches whose steps are one product with Q: enough for the product's speed, few enough for memory."""

TITLES = {"flat": "V(sigma) = 1", "shaped": "V(sigma) = sigma/mean"}


def variance(spectrum: Any) -> Callable[[Any], Any]:
    """V of a spectrum, by its place in `SPECTRA`, for `problems.structured_rows`; the place may be traced."""
    import jax.numpy as jnp

    return lambda sigma: jnp.where(spectrum == 0, 1.0, sigma / jnp.mean(sigma))


def rows(
    spectrum: Any, num_examples: int, num_params: int, *, output_scale: float, jacobian_scale: float, key
) -> "Rows":
    """One draw."""
    from precipice.problems import structured_rows

    return structured_rows(
        num_examples,
        num_params,
        variance(spectrum),
        output_scale=output_scale,
        jacobian_scale=jacobian_scale,
        key=key,
    )


def batches(text: str, num_examples: int) -> list[int]:
    """Batch sizes written as "2, 5, 20", ascending and not above the number of examples.

    Raises:
        InputError: not so.
    """
    from precipice._checks import InputError
    from precipice.papers.settings import numbers

    found = numbers(text, "batch_sizes", ascending=True)
    for value in found:
        if value != int(value) or value > num_examples:
            raise InputError(f"each of batch_sizes must be a whole number up to {num_examples}; got {value:g}.")
    if len(found) < 2:
        raise InputError(f"batch_sizes must be at least two; got {text!r}.")
    return [int(value) for value in found]


def differences(rows: "Rows", batch_size: int, modes: int, *, lr: float, key: Any) -> tuple[Any, Any]:
    """(first differences of the eigenvalues, second of the singular values), means over batches and signs [modes].

    The first batches are all those of one random partition of the examples. Over the second batch the mean is exact:
    J moves in proportion to its gradient, whose mean is that of all examples. The model with -Q is the one with -z
    mirrored, so that both signs share Q and the steps of all batches are one product with it.
    """
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, measures

    num_examples = rows.y.shape[0]

    def one(sign, chosen):
        points = [dynamics.OutputJacobian(sign * rows.y, rows.g)]
        for batch in (chosen, jnp.arange(num_examples)):
            z, jacobian = points[-1]
            gradient = z[batch] @ jacobian[batch] / batch.size
            points.append(dynamics.quadratic_move(rows.q, points[-1], -lr * gradient))
        jacobians = jnp.stack([point.jacobian for point in points])
        found = jax.vmap(lambda jacobian: measures.frozen_modes(rows.g, jacobian))(jacobians)
        eigenvalue, sigma = found.eigenvalue[:, :modes], found.sigma[:, :modes]
        return eigenvalue[1] - eigenvalue[0], sigma[2] - 2 * sigma[1] + sigma[0]

    num = num_examples // batch_size
    partition = jax.random.permutation(key, num_examples)[: num * batch_size].reshape(num, batch_size)
    both_signs = jax.vmap(one, (0, None))
    both = jax.lax.map(
        lambda chosen: both_signs(jnp.array([1.0, -1.0]), chosen), partition, batch_size=min(num, AT_ONCE)
    )
    return jnp.mean(both[0], axis=(0, 1)), jnp.mean(both[1], axis=(0, 1))
