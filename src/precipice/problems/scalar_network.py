"""A network of scalar weights on one example: loss = weight (1 - prod_i x_i^{p_i})^2, the minimalist example."""

import functools
import operator

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least, positive
from precipice._types import Number, PRNGKey, Scalar, floating
from precipice.problems.problem import AbstractProblem


class ScalarNetwork(AbstractProblem):
    """loss(x) = weight (1 - prod_i x_i^{p_i})^2 with entries x [n].

    A network of `degree` layers of width 1 without activations, on the example (1, 1). Free entries have all powers 1.
    Entries that gradient descent keeps equal may be held once, with their power: (1 - x^2 y^2)^2/4 moves as the
    degree-4 network (1 - x y z w)^2/2 does from z = x, w = y, at the same learning rate, and its Hessian is that of the
    network on the symmetric subspace. (An entry of power p has a p times larger gradient: only where all powers are
    equal can one weight make up for it.)

    Args:
        powers: p_i of each entry; (1, 1) is degree 2, (2, 2) the coupled degree-4 network.
        weight: 1/2 for free entries, 1/4 for the coupled degree-4 network.

    References: zhu2022, eqs. 1 and 17 (MIN-1, MIN-15 to 17).

    Example:
        >>> problem = ScalarNetwork((2, 2), 0.25)
        >>> float(problem.loss(jnp.array([2.0, 0.25])))
        0.140625
    """

    powers: tuple[int, ...] = eqx.field(static=True)
    weight: Array = eqx.field(converter=jnp.asarray)

    def __init__(self, powers: tuple[int, ...], weight: Number = 0.5):
        at_least("number of powers", len(powers), 1)
        for power in powers:
            at_least("power", power, 1)
        if not isinstance(weight, Tracer):
            positive("weight", float(weight))
        self.powers = tuple(powers)
        self.weight = jnp.asarray(weight)

    @property
    def degree(self) -> int:
        """The number of layers of the network: the sum of the powers."""
        return sum(self.powers)

    def init(self, key: PRNGKey) -> Float[Array, "n"]:
        """Entries uniform in [0.5, 1.5]: near the minimum, all positive."""
        return jax.random.uniform(key, (len(self.powers),), minval=0.5, maxval=1.5)

    def output(self, params: Float[Array, "n"]) -> Scalar:
        """prod_i x_i^{p_i}, which is 1 at a minimum."""
        params = floating(params)
        if params.ndim == 0 or params.shape[0] != len(self.powers):
            raise InputError(f"params must be {len(self.powers)} entries, one for each power; got {params.shape}.")
        entries = zip(jnp.unstack(params), self.powers, strict=True)
        return functools.reduce(operator.mul, (x**power for x, power in entries))

    def loss(self, params: Float[Array, "n"], batch: Number | None = None) -> Scalar:
        """The loss at `params`, weight (label - output)^2; `batch` is the label of the one example, by default 1."""
        params = floating(params)
        label = 1 if batch is None else jnp.asarray(batch, params.dtype)
        return self.weight.astype(params.dtype) * (label - self.output(params)) ** 2
