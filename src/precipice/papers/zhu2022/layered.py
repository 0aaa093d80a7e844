"""Networks on the synthetic linear task, their layers rescaled, as figures 1 and 15 of zhu2022 train them."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from precipice._types import Params
    from precipice.problems import AbstractProblem, Supervised


def network_on_task(width: int, layers: int, activation: str, loss: str = "mean_squared_error") -> "Supervised":
    """No biases, Xavier initialisation of gain 1; loss by default (1/n) sum |f - y|^2, n = width examples (MIN-21)."""
    import jax
    import jax.numpy as jnp

    from precipice import problems

    data = problems.rescaled_layers_task(width, key=jax.random.key(0), dtype=jnp.float64)
    network = problems.FullyConnected(
        (width,) * (layers + 1),
        activation=getattr(problems, activation),
        bias=False,
        initialisation=problems.XAVIER,
    )
    return problems.Supervised(network, data, getattr(problems, loss))


def rescaled(params: "Params", factors: list[float]) -> "Params":
    """Each layer's weights times its factor."""
    return tuple({"weight": layer["weight"] * factor} for layer, factor in zip(params, factors, strict=True))


def training(problem: "AbstractProblem", start: "Params", lr: float, num_steps: int, every: int) -> dict[str, Any]:
    """Gradient descent from `start`: loss and sharpness at the probed steps, and how it ended."""
    import jax.numpy as jnp

    found = _compiled(num_steps, every)(problem, start, jnp.asarray(lr))
    return {
        "sharpness": np.asarray(found.saved["sharpness"]),
        "probe_loss": np.asarray(found.saved["probe_loss"]),
        "status": int(found.status),
        "diverged_at": int(found.diverged_at),
    }


@functools.cache
def _compiled(num_steps: int, every: int) -> Callable:
    """The training as a function of problem, start and lr, compiled once for each shape."""
    import equinox as eqx
    import jax

    from precipice import dynamics, measures

    @eqx.filter_jit
    def run(problem, start, lr):
        size = sum(leaf.size for leaf in jax.tree.leaves(start))
        probes = (
            measures.sharpness(problem, key=jax.random.key(1), depth=min(40, size)),
            lambda state: {"probe_loss": problem.loss(state.params)},
        )
        process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
        return dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=every, probes=probes)

    return run


def sharpness_axes(ax) -> None:
    """Labels of an axis with sharpness against the step, early steps in full, later ones by their logarithm."""
    ax.set_xscale("symlog", linthresh=100)
    ax.set_xlim(left=0)
    ax.set_xlabel("gradient step")
    ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
    ax.legend(fontsize=8)


def initial_sharpness(problem: "AbstractProblem", start: "Params") -> float:
    """The largest Hessian eigenvalue at the start."""
    import jax

    from precipice import curvature

    op = curvature.Hessian(problem.loss, start)
    return float(curvature.eigs(op, key=jax.random.key(2), rtol=1e-6).values[0])


def stacked(cells: list[list[list[dict[str, Any]]]]) -> dict[str, np.ndarray]:
    """Nested trainings [a][b][c] as one array a name, with their axes in front."""
    return {
        name: np.array([[[cell[name] for cell in row] for row in block] for block in cells]) for name in cells[0][0][0]
    }
