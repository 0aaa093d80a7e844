"""Data and parameters over the devices of a mesh: the operators of this room then run on all of them.

An operator is a function of its arrays, and XLA splits a compiled function the way its arrays are split. Nothing else
is needed: give `Hessian`, `GaussNewton`, `NTK`, `gram`, `Jacobian`, `trace`, `density`, `eigs`, the traces of
`noise_trace.py` and `jax.grad` data from here, under the jit that they bring or that you write.

| what is split | with | numbers |
|---|---|---|
| data, chunk by chunk, any number of examples | `spread_chunks` | those of one device to the rounding of a sum |
| data, whole (a network with BatchNorm) | `spread` | the same; examples a multiple of the devices |
| parameters (a model too large for one device) | `split` | the same; the image of a vector is split as the vector is |

Compiled products communicate one sum of the size of the parameters for each chunk.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from precipice._checks import InputError, at_least, one_of
from precipice.curvature.chunks import Chunks, in_chunks, num_examples


def spread(batch: PyTree, mesh: Mesh, *, axis: str) -> PyTree:
    """`batch` (a pytree with a leading axis of examples) with its examples dealt out evenly over the devices of `axis`.

    For losses whose examples act on each other, such as those of a network with BatchNorm; for a mean over examples
    `spread_chunks` takes any number of them and bounds the memory.

    Args:
        batch: arrays of JAX or numpy, leaves [n, ...]; numpy arrays go to the devices part by part.
        mesh: the devices; its other axes hold copies.
        axis: the name of the axis.

    Raises:
        InputError: n is no multiple of the devices, or the mesh has no such axis.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mesh = jax.make_mesh((1,), ("data",))
        >>> tuple(spread(jnp.arange(4.0), mesh, axis="data").sharding.spec)
        ('data',)
    """
    num = _devices(mesh, axis)
    if num_examples(batch) % num:
        raise InputError(
            f"number of examples must be a multiple of the {num} devices to be spread whole; got {num_examples(batch)} "
            "(spread_chunks takes any number)."
        )
    return _placed(batch, mesh, PartitionSpec(axis))


def spread_chunks(batch: PyTree, mesh: Mesh, *, axis: str, size: int | None = None) -> Chunks:
    """`batch` in weighted chunks, each dealt out evenly over the devices of `axis`: any number of examples, exact mean.

    Chunks of `size` examples a device, then one chunk of what still is a multiple of the devices, then fewer examples
    than devices, which every device computes. Means over the examples weight each by its number, as `chunked` says, and
    differ from one device's by the rounding of a sum in another order: a few units in the last place of its terms.

    Args:
        batch: arrays of JAX or numpy, leaves [n, ...]; numpy arrays go to the devices part by part.
        mesh: the devices; its other axes hold copies.
        axis: the name of the axis.
        size: examples that a device holds the activations of at a time; None for all of its own.

    Raises:
        InputError: `size` below 1, no examples, leaves of unequal length, or a mesh without such an axis.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pieces = spread_chunks(jnp.arange(7.0), jax.make_mesh((1,), ("data",)), axis="data", size=3)
        >>> pieces.body.shape, pieces.rest.body.shape, pieces.rest.rest
        ((2, 3), (1, 1), None)
    """
    num, total = _devices(mesh, axis), num_examples(batch)
    at_least("number of examples", total, 1)
    own = max(total // num, 1)
    size = own if size is None else size
    at_least("size of a chunk", size, 1)
    size = min(size, own)
    return in_chunks(_spread_chunks(batch, mesh, axis, [size * num, own % size * num]))


def _spread_chunks(batch: PyTree, mesh: Mesh, axis: str, widths: list[int]) -> Any:
    """Chunks of the first of `widths`, as many as there are, then of the next, and the rest on every device."""
    total = num_examples(batch)
    if not total:
        return None
    if not widths:
        return _placed(batch, mesh, PartitionSpec())
    width, *widths = widths
    num = total // width if width else 0
    rest = _spread_chunks(jax.tree.map(lambda a: a[num * width :], batch), mesh, axis, widths)
    body = jax.tree.map(lambda a: a[: num * width].reshape(num, width, *a.shape[1:]), batch) if num else None
    return Chunks(_placed(body, mesh, PartitionSpec(None, axis)), rest) if num else rest


def kept_spread(batch: PyTree, mesh: Mesh) -> PyTree:
    """Inside a compiled function: `batch` with its examples dealt out over the first axis of `mesh`."""
    sharding = NamedSharding(Mesh(mesh.devices, mesh.axis_names), PartitionSpec(mesh.axis_names[0]))
    return jax.lax.with_sharding_constraint(batch, sharding)


def copied(tree: PyTree, mesh: Mesh) -> PyTree:
    """`tree` with a copy of every leaf on every device of `mesh`: parameters beside spread data."""
    return _placed(tree, mesh, PartitionSpec())


def split(params: PyTree, mesh: Mesh, *, axis: str) -> PyTree:
    """`params` with each leaf cut over the devices of `axis`, along the longest of its axes that they divide.

    A leaf that they do not divide (a bias of few outputs) is copied. Products keep a vector's cut; `curvature.eigs`
    keeps its basis of flat vectors on the host, and needs room for one flat vector on each device.

    Args:
        params: a pytree of arrays.
        mesh: the devices.
        axis: the name of the axis.

    Raises:
        InputError: the mesh has no such axis.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> tuple(split(jnp.ones((2, 5)), jax.make_mesh((1,), ("model",)), axis="model").sharding.spec)
        (None, 'model')
    """
    num = _devices(mesh, axis)

    def place(leaf):
        lengths = [length if length % num == 0 else 0 for length in leaf.shape]
        if not any(lengths):
            return _placed(leaf, mesh, PartitionSpec())
        longest = lengths.index(max(lengths))
        return _placed(leaf, mesh, PartitionSpec(*[None] * longest, axis))

    return jax.tree.map(place, params)


def _devices(mesh: Mesh, axis: str) -> int:
    one_of("axis of the mesh", axis, mesh.axis_names)
    return mesh.shape[axis]


def _placed(tree: PyTree, mesh: Mesh, spec: PartitionSpec) -> PyTree:
    """`tree` on the mesh; its axes are of type Auto, so that XLA derives the placement of all that is computed."""
    sharding = NamedSharding(Mesh(mesh.devices, mesh.axis_names), spec)

    def place(leaf):
        if not isinstance(leaf, np.ndarray):
            return jax.device_put(leaf, sharding)
        # device_put takes a numpy array's own memory where it is aligned, may_alias=False or not: later writes show.
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: np.array(leaf[index]))

    return jax.tree.map(place, tree)
