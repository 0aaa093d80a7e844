"""Numbers of a problem spread over eight devices beside those of one: run by test_mesh.py in a process of its own.

Prints one JSON object: `errors` (layout -> number -> largest difference over the largest entry), and the rest.
"""

import json
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from oracles import point
from precipice import curvature, problems
from precipice._checks import InputError
from precipice.curvature.chunks import in_chunks, weighted_mean

WIDTHS = (6, 16, 8)
KEY = jax.random.key(1)


def problem_of(total):
    """A network with logistic outputs on random examples: the root of its output Hessian is well conditioned."""
    rng = np.random.default_rng(total)
    x, y = rng.normal(size=(total, WIDTHS[0])), rng.choice([-1.0, 1.0], (total, WIDTHS[-1]))
    data = problems.from_arrays(x, y)
    network = problems.FullyConnected(WIDTHS, activation=problems.gelu)
    return problems.Supervised(network, data, problems.mean_logistic)


class Case(eqx.Module):
    """A problem, a point, data wherever they lie, and vectors to multiply."""

    problem: problems.Supervised
    params: Any
    data: Any
    v: Any
    u: jax.Array

    @property
    def chunks(self):
        return self.data if isinstance(self.data, curvature.Chunks) else None

    @property
    def loss(self):
        if self.chunks is not None:
            return self.problem.loss
        return eqx.tree_at(lambda p: p.data, self.problem, self.data).loss

    @property
    def hessian(self):
        return curvature.Hessian(self.loss, self.params, self.chunks)

    @property
    def functions(self):
        return self.problem.outputs, self.problem.loss_of_outputs, self.params, self.data

    @property
    def gram(self):
        return curvature.gram(*self.functions)


def _sampled(c):
    sample, loss = problems.target_sampler(c.problem.output_loss), c.problem.output_loss
    return curvature.gram_trace_bartlett(c.problem.outputs, loss, sample, c.params, c.data, key=KEY, num=3)


def _top(operator):
    return curvature.eigs(operator, key=KEY, rtol=1e-10, max_products=60).values


def _gradient(c):
    return weighted_mean(lambda batch: jax.grad(c.problem.loss)(c.params, batch), in_chunks(c.data))


NUMBERS = {
    "gradient": _gradient,
    "Hessian": lambda c: c.hessian.mv(c.v),
    "Gauss-Newton": lambda c: curvature.GaussNewton(*c.functions).mv(c.v),
    "model curvature": lambda c: curvature.ModelCurvature(c.problem.outputs, c.params, c.data, c.u).mv(c.v),
    "Jacobian": lambda c: curvature.Jacobian(c.problem.outputs, c.params, c.data).mv(c.v),
    "transposed Jacobian": lambda c: curvature.Jacobian(c.problem.outputs, c.params, c.data).rmv(c.u),
    "NTK": lambda c: curvature.NTK(c.problem.outputs, c.params, c.data).mv(c.u),
    "Gram matrix": lambda c: c.gram.mv(c.u),
    "third derivative": lambda c: curvature.third_derivative(c.loss, c.params, c.v, c.chunks),
    "trace of the Hessian": lambda c: curvature.trace(c.hessian, key=KEY, num=3),
    "density of the Hessian": lambda c: curvature.density(c.hessian, key=KEY, num=2, depth=3).nodes,
    "trace of the Gram matrix": lambda c: curvature.gram_trace(*c.functions),
    "its Hutchinson estimate": lambda c: curvature.gram_trace_hutchinson(*c.functions, key=KEY, num=3),
    "its Bartlett estimate": _sampled,
}
SOLVED = {
    "top eigenvalue of the Hessian": lambda c: _top(c.hessian),
    "top eigenvalue of the Gram matrix": lambda c: _top(c.gram),
}
"""Driven from the host: not inside a jit."""

SAMPLED = ("its Hutchinson estimate", "its Bartlett estimate")
"""Random signs depend on the cut into chunks: compared with the same chunks on one device, the others with all data."""

LAYOUTS = {"whole": 56, "chunks": 48, "uneven chunks": 61, "fewer than devices": 5, "parameters split": 48}
"""Examples of each; 61 are two chunks of 24, one of 8 and 5 that every device computes."""

FEW = ("Hessian", "Gram matrix", "top eigenvalue of the Hessian")


def asked(layout):
    """All numbers of data in chunks, and a few of other kinds under the other layouts."""
    return [*NUMBERS, *SOLVED] if layout == "chunks" else FEW


def _laid_out(layout, problem, params):
    if layout == "parameters split":
        mesh = jax.make_mesh((2, 4), ("data", "model"))
        chunks = curvature.spread_chunks(problem.data, mesh, axis="data", size=12)
        return curvature.split(params, mesh, axis="model"), chunks
    mesh = jax.make_mesh((8,), ("data",))
    if layout == "whole":
        return curvature.copied(params, mesh), curvature.spread(problem.data, mesh, axis="data")
    size = None if layout == "fewer than devices" else 3
    return curvature.copied(params, mesh), curvature.spread_chunks(problem.data, mesh, axis="data", size=size)


def case(layout):
    """The problem over the devices."""
    problem = problem_of(LAYOUTS[layout])
    params, data = _laid_out(layout, problem, point(problem))
    rng = np.random.default_rng(9)
    v = jax.tree.map(lambda a: jax.device_put(rng.normal(size=a.shape), a.sharding), params)
    return Case(problem, params, data, v, jnp.asarray(rng.normal(size=(LAYOUTS[layout], WIDTHS[-1]))))


def on_one(many):
    """A case on the first device."""
    return jax.tree.map(lambda a: jnp.array(np.asarray(a)) if eqx.is_array(a) else a, many)


def error(got, wanted):
    """The largest difference over the largest entry."""
    got, wanted = (np.concatenate([np.asarray(a).ravel() for a in jax.tree.leaves(t)]) for t in (got, wanted))
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def _value(name, case):
    return SOLVED[name](case) if name in SOLVED else eqx.filter_jit(NUMBERS[name])(case)


def _errors(layout):
    many = case(layout)
    same_cut = on_one(many)
    whole = eqx.tree_at(lambda c: c.data, same_cut, same_cut.problem.data)
    pairs = [(name, same_cut if name in SAMPLED else whole) for name in asked(layout)]
    return {name: error(_value(name, many), _value(name, one)) for name, one in pairs}


def _kernel():
    problem = problem_of(56)
    params, mesh = point(problem), jax.make_mesh((8,), ("data",))
    made = curvature.spread_kernel(problem.outputs, params, problem.data, mesh, axis="data", chunk=3)
    wanted = curvature.kernel_matrix(problem.outputs, params, problem.data, chunk=56)
    return {"error": error(made, wanted), "parts": _parts(made)}


def _parts(tree):
    """The shape of each leaf's part on each device; one where all agree."""
    shapes = [{shard.data.shape for shard in leaf.addressable_shards} for leaf in jax.tree.leaves(tree)]
    assert all(len(of_leaf) == 1 for of_leaf in shapes)
    return [list(of_leaf.pop()) for of_leaf in shapes]


def _product_memory(total):
    """Bytes that a device needs for one Hessian product beside its arguments, with 3 examples a device at a time."""
    problem, mesh = problem_of(total), jax.make_mesh((8,), ("data",))
    data = curvature.spread_chunks(problem.data, mesh, axis="data", size=3)
    operator = curvature.Hessian(problem.loss, curvature.copied(point(problem), mesh), data)
    product: Any = eqx.filter_jit(lambda op: op.mv(op.params))
    compiled = product.lower(operator).compile().compiled
    return compiled.memory_analysis().temp_size_in_bytes


def _memory():
    chunks = case("uneven chunks")
    return {
        "whole": _parts(case("whole").data.x),
        "body": _parts(chunks.data.body.x),
        "next": _parts(chunks.data.rest.body.x),
        "rest": _parts(chunks.data.rest.rest.x),
        "products": [_product_memory(72), _product_memory(2400)],
    }


def _cuts():
    """Parts of parameters that are split, and of the image of a vector that is split like them."""
    many = case("parameters split")
    products = [many.hessian, curvature.GaussNewton(*many.functions)]
    images = [eqx.filter_jit(lambda op, v: op.mv(v))(op, many.v) for op in products]
    return {"params": _parts(many.params), "images": [_parts(image) for image in images]}


def _said(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except InputError as error:
        return str(error)
    return "nothing"


def _refusals():
    mesh, problem = jax.make_mesh((8,), ("data",)), problem_of(61)
    kernel = (problem.outputs, point(problem), problem.data, mesh)
    return {
        "spread": _said(curvature.spread, problem.data, mesh, axis="data"),
        "kernel": _said(curvature.spread_kernel, *kernel, axis="data", chunk=2),
    }


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    report = {
        "errors": {layout: _errors(layout) for layout in LAYOUTS},
        "kernel": _kernel(),
        "memory": _memory(),
        "cuts": _cuts(),
        "refusals": _refusals(),
    }
    sys.stdout.write(json.dumps(report))
