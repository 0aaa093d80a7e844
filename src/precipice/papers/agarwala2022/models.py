"""What the figures of quadratic models of many outputs share: draws, runs of many that share one Q, sizes as text."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from precipice._checks import InputError, at_least
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    from precipice.problems import Rows

CONVERGED = 1e-10
"""A run has converged when half the sum of its squared residuals is below this."""

DIVERGED = 1e10
"""A run has diverged when that is above this."""

BLOCK = 20
"""Steps between tests of whether all runs have ended."""


def sizes(text: str) -> list[tuple[int, int]]:
    """Pairs (outputs d, parameters p) written as "60x120; 30x60".

    Raises:
        InputError: not of this form, or a number below 1.
    """
    try:
        found = [(int(d), int(p)) for d, p in (pair.split("x") for pair in text.split(";"))]
    except ValueError:
        raise InputError(f"sizes must be pairs such as '60x120; 30x60'; got {text!r}.") from None
    for pair in found:
        for number in pair:
            at_least("each of sizes", number, 1)
    return found


def scales(text: str, name: str = "scales") -> list[float]:
    """Positive numbers, ascending, at least two.

    Raises:
        InputError: not so.
    """
    found = numbers(text, name, ascending=True)
    at_least(f"how many {name}", len(found), 2)
    return found


def unit_rows(num_examples: int, num_params: int, key: Any, *, symmetric: bool = True) -> "Rows":
    """A draw with unit scales, to be multiplied by others."""
    from precipice.problems import gaussian_rows

    return gaussian_rows(num_examples, num_params, output_scale=1.0, jacobian_scale=1.0, symmetric=symmetric, key=key)


def label(d: int, p: int) -> str:
    """The size of a model in words."""
    return f"{d} outputs, {p} parameters"


class Ends(NamedTuple):
    """How runs ended, each [cells] (or with further axes in front).

    Args:
        start: largest eigenvalue of J J^T at the start.
        end: at the last state.
        loss: half the sum of squares there; NaN or inf where the run diverged.
        steps: taken.
    """

    start: Any
    end: Any
    loss: Any
    steps: Any


def ends(rows: "Rows", output: Any, jacobian: Any, num_steps: int) -> Ends:
    """Descent at lr = 1 from `rows` with y and G multiplied by pairs of scales [cells], until it ends.

    All cells share Q, so that a step is one matrix product over them. A cell stands still once it has converged or
    diverged; blocks of steps are taken until all have, or `num_steps` are spent.
    """
    import jax
    import jax.numpy as jnp

    from precipice.dynamics import Descent, gradient_descent
    from precipice.problems import QuadraticModel, Rows

    def model(scale_y, scale_g):
        return QuadraticModel(Rows(scale_y * rows.y, scale_g * rows.g, rows.q))

    def top(scale_y, scale_g, theta):
        return jnp.linalg.eigvalsh(model(scale_y, scale_g).kernel(theta))[-1]

    def one(scale_y, scale_g, state):
        problem = model(scale_y, scale_g)
        loss = problem.loss(state.params)
        going = (loss > CONVERGED) & (loss < DIVERGED) & (state.step < num_steps)
        new = Descent(problem, gradient_descent(1.0)).step(state)
        return jax.tree.map(lambda a, b: jnp.where(going, a, b), new, state), going

    def block(carry):
        return jax.lax.fori_loop(0, BLOCK, lambda _, c: jax.vmap(one)(output, jacobian, c[0]), carry)

    def started(scale_y, scale_g):
        return Descent(model(scale_y, scale_g), gradient_descent(1.0)).init(jax.random.key(0))

    first = jax.vmap(started)(output, jacobian)
    state, _ = jax.lax.while_loop(lambda c: jnp.any(c[1]), block, (first, jnp.ones(output.shape, bool)))
    losses = jax.vmap(lambda y, g, theta: model(y, g).loss(theta))(output, jacobian, state.params)
    finite = jnp.where(losses[:, None] < DIVERGED, state.params, 0)  # eigenvalues of what overflowed would not be
    found = jnp.where(losses < DIVERGED, jax.vmap(top)(output, jacobian, finite), jnp.nan)
    return Ends(jax.vmap(top)(output, jacobian, jnp.zeros_like(state.params)), found, losses, state.step)


def end(rows: "Rows", output: Any, jacobian: Any, num_steps: int) -> Ends:
    """`ends` of one cell, to be mapped over scales and draws: what depends on `rows` alone is computed once."""
    import jax
    import jax.numpy as jnp

    found = ends(rows, jnp.asarray(output)[None], jnp.asarray(jacobian)[None], num_steps)
    return jax.tree.map(lambda leaf: leaf[0], found)


def diverged(found: Ends) -> np.ndarray:
    """Which runs diverged."""
    return ~(np.asarray(found.loss) < DIVERGED)
