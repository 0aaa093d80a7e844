"""The dense kernel J J^T over the devices of a mesh: each device makes and keeps the rows of its own examples."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from precipice._checks import at_least
from precipice._types import Params
from precipice.curvature.chunks import num_examples
from precipice.curvature.coupled import check_uncoupled
from precipice.curvature.kernel_matrix import check_rows, jacobian_rows
from precipice.curvature.mesh import copied, spread


def spread_kernel(
    outputs: Callable[..., Any], params: Params, data: Any, mesh: Mesh, *, axis: str, chunk: int
) -> Float[Array, "N N"]:
    """`kernel_matrix` with its rows dealt out over the devices of `axis`: the same [n C, n C], n C / devices rows each.

    Every device holds a copy of the inputs and of the parameters, two blocks of `chunk` x C rows of the Jacobian and
    up to three times its rows of the kernel. The symmetry is not used, so that all devices together multiply twice what
    `kernel_matrix` does: it pays from three devices on, or where one cannot hold the kernel.

    Args:
        outputs: ``outputs(params, batch) -> [n, C]``; an example's outputs may not depend on the rest of its batch.
        params: the point.
        data: a batch with a leading axis of examples.
        mesh: the devices.
        axis: the name of the axis.
        chunk: how many examples a block holds.

    Raises:
        InputError: a chunk below 1, n no multiple of the devices, or what `kernel_matrix` refuses.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, mesh = jnp.array([[1.0, 0.0], [1.0, 2.0]]), jax.make_mesh((1,), ("data",))
        >>> spread_kernel(lambda w, x: (x @ w)[:, None], jnp.ones(2), x, mesh, axis="data", chunk=1).tolist()
        [[1.0, 1.0], [1.0, 5.0]]
    """
    at_least("chunk", chunk, 1)
    check_uncoupled(outputs, "a per-example kernel")
    like = jax.eval_shape(outputs, params, data)
    check_rows(like.shape[0] * like.shape[1], like.dtype)
    mine = spread(data, mesh, axis=axis)
    num = mesh.shape[axis]
    place = NamedSharding(Mesh(mesh.devices, mesh.axis_names), PartitionSpec(axis))
    return _kernel(
        outputs, copied(params, mesh), mine, copied(data, mesh), min(chunk, like.shape[0] // num), num, place
    )


@eqx.filter_jit
def _kernel(
    outputs: Callable[..., Any], params: Params, mine: Any, data: Any, chunk: int, num: int, place: NamedSharding
) -> Array:
    """The rows of every device under one vmap over the devices, which XLA splits as `mine` is split."""
    parts = jax.tree.map(lambda a: a.reshape(num, -1, *a.shape[1:]), mine)
    parts = jax.lax.with_sharding_constraint(parts, place)
    rows = jax.vmap(lambda part: _cross(outputs, params, part, data, chunk))(parts)
    rows = jax.lax.with_sharding_constraint(rows, place)
    return rows.reshape(-1, rows.shape[-1])


def _cross(outputs: Callable[..., Any], params: Params, left: Any, right: Any, chunk: int) -> Float[Array, "m N"]:
    """J_left J_right^T, block by block."""

    def over(left_block):
        def product(right_block):
            columns = jacobian_rows(outputs, params, right_block)
            return functools.reduce(jnp.add, jax.tree.leaves(jax.tree.map(lambda a, b: b @ a.T, left_rows, columns)))

        left_rows = jacobian_rows(outputs, params, left_block)
        return _joined(jax.lax.map(product, _blocks(right, chunk)), num_examples(right), chunk).T

    return _joined(jax.lax.map(over, _blocks(left, chunk)), num_examples(left), chunk)


def _blocks(batch: Any, chunk: int) -> Any:
    """Blocks [num, chunk, ...] of the batch; the last one repeats the last example."""
    total = num_examples(batch)
    picked = jnp.minimum(jnp.arange(-(-total // chunk) * chunk), total - 1).reshape(-1, chunk)
    return jax.tree.map(lambda a: a[picked], batch)


def _joined(blocks: Float[Array, "num rows width"], total: int, chunk: int) -> Float[Array, "m width"]:
    """The rows of `total` examples from blocks of `chunk` of them, without the repeated ones."""
    num, rows, width = blocks.shape
    return blocks.reshape(num * rows, width)[: total * (rows // chunk)]
