"""The interface of the room: symmetric linear operators on pytrees.

Implementations: `Hessian` (hessian.py), `GaussNewton` (gauss_newton.py), `NTK` (ntk.py), `ModelCurvature`
(model_curvature.py). `Jacobian` (jacobian.py) is
rectangular and stands beside them with `mv` and `rmv`.

To add one:
1. Write a final, frozen subclass of `AbstractOperator` in a file of its own; its docstring opens with the formula.
2. Its fields are function, point and data, nothing static, so that a new point never retraces.
3. Give it `like` and `mv`; `size` and `dense` follow.
4. Export it in `curvature/__init__.py` and add a row to `tests/cases.py`.
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from precipice._checks import at_most
from precipice.curvature.chunks import Chunks


class Linearised(NamedTuple):
    """An operator's product with all that does not depend on the vector computed once, and what that gave for free.

    Args:
        product: the linear function.
        direction: a vector likely to lie among the eigenvectors at the ends of the spectrum (the gradient of a loss),
            or None where the operator knows none.
    """

    product: Callable[[PyTree], PyTree]
    direction: PyTree | None


class AbstractOperator(eqx.Module):
    """A symmetric linear map on pytrees shaped like `like`, known only through products."""

    @property
    @abc.abstractmethod
    def like(self) -> PyTree:
        """A pytree of arrays, or of shapes, whose structure the vectors have."""

    @abc.abstractmethod
    def mv(self, v: PyTree) -> PyTree:
        """The product with one vector."""

    def linearise(self) -> Linearised:
        """Ready for many products: each then costs less, at the memory of the activations of all examples.

        An operator that takes its data in chunks keeps to one chunk: its product stays as it is.
        """
        if any(isinstance(leaf, Chunks) for leaf in jax.tree.leaves(self, is_leaf=lambda x: isinstance(x, Chunks))):
            return Linearised(self.mv, None)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.like)
        return Linearised(jax.linearize(self.mv, zeros)[1], None)

    @property
    def size(self) -> int:
        """The dimension of the space acted on."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.like))

    def dense(self) -> Float[Array, "size size"]:
        """The symmetric matrix, from `size` products; for tests and tiny problems.

        Raises:
            InputError: more than 10,000 rows (800 MB in float64).
        """
        at_most("size of an operator made dense", self.size, 10_000, "use eigs, trace or density instead")
        columns = _columns(self)
        return 0.5 * (columns + columns.T)


def dtype_of(op: AbstractOperator):
    """The precision of the vectors of `op`."""
    return jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(op.like)))


def unflatten(like: PyTree, flat: Float[Array, "size"]) -> PyTree:
    """A flat vector as a pytree shaped like `like`."""
    leaves, structure = jax.tree.flatten(like)
    parts, start = [], 0
    for leaf in leaves:
        parts.append(flat[start : start + leaf.size].reshape(leaf.shape))
        start += leaf.size
    return jax.tree.unflatten(structure, parts)


def flat_product(op: AbstractOperator, flat: Float[Array, "size"]) -> Float[Array, "size"]:
    """The product of `op` with a flat vector."""
    return ravel_pytree(op.mv(unflatten(op.like, flat)))[0]


@eqx.filter_jit
def _columns(op: AbstractOperator) -> Float[Array, "size size"]:
    """The product with each unit vector, one after the other."""
    return jax.lax.map(lambda row: flat_product(op, row), jnp.eye(op.size, dtype=dtype_of(op)))


@eqx.filter_jit
def linearised(op: AbstractOperator) -> Linearised:
    """`op.linearise`, compiled once for each function and shape: new points and new data of the same shape reuse it."""
    return op.linearise()


@eqx.filter_jit
def linear_product(linear: Linearised, like: PyTree, flat: Float[Array, "size"]) -> Float[Array, "size"]:
    """A linearised operator applied to a flat vector."""
    return ravel_pytree(linear.product(unflatten(like, flat)))[0]
