"""What the single-neuron figures share: losses by name, trajectories with their flow, ends of many starts."""

from typing import TYPE_CHECKING

from precipice._checks import one_of

if TYPE_CHECKING:
    import numpy as np
    import xarray

    from precipice.problems import AbstractEvenLoss

LOSSES = ("sqrt", "tanh", "huber")


def check(loss: str, precision: str) -> None:
    """Refuse a loss without a name here, and single precision.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    one_of("loss", loss, LOSSES)
    one_of("precision", precision, ("float64",))


def loss_of(name: str) -> "AbstractEvenLoss":
    """The loss of one of the names."""
    from precipice import problems

    return {"sqrt": problems.SquareRootLoss, "tanh": problems.LogCoshLoss, "huber": problems.HuberLoss}[name]()


def follow(
    loss: "AbstractEvenLoss", starts: "np.ndarray", lrs: "np.ndarray", num_steps: int
) -> "dict[str, np.ndarray]":
    """``entries`` [r, step, 2], ``loss`` and ``sharpness`` [r, step], ``status`` and ``diverged_at`` [r] of r runs."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, measures, problems

    problem = problems.SingleNeuron(loss)

    def probe(state):
        hessian = measures.single_neuron_hessian(loss, *state.params)
        return {
            "entries": state.params,
            "loss": problem.loss(state.params),
            "sharpness": jnp.linalg.eigvalsh(hessian)[-1],
        }

    def one(start, lr):
        process = dynamics.Descent(problem, dynamics.gradient_descent(lr), start=start)
        run = dynamics.simulate(process, key=jax.random.key(0), num_steps=num_steps, every=1, probes=(probe,))
        return {**run.saved, "status": run.status, "diverged_at": run.diverged_at}

    found = jax.jit(jax.vmap(one))(jnp.asarray(starts), jnp.asarray(lrs))
    return {name: np.asarray(value) for name, value in found.items()}


def flows(loss: "AbstractEvenLoss", starts: "np.ndarray", times: "np.ndarray") -> "np.ndarray":
    """Gradient flow from each start at the times [r, time, 2]."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, problems

    problem = problems.SingleNeuron(loss)
    return np.asarray(jax.vmap(lambda start: dynamics.flow(problem, start, times).params)(jnp.asarray(starts)))


def ends(
    loss: "AbstractEvenLoss", starts: "np.ndarray", lr: float, num_steps: int, tolerance: float = 1e-10
) -> "dict[str, np.ndarray]":
    """``final_sharpness``, ``status`` and ``stop_reason`` [r] of gradient descent until |x| is below `tolerance`.

    A run that spends its steps first has no final sharpness (NaN): it is still on its way.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics, problems
    from precipice.results import StopReason

    found = dynamics.settle(
        dynamics.Descent(problems.SingleNeuron(loss), dynamics.gradient_descent(lr)),
        jnp.asarray(starts),
        key=jax.random.key(0),  # descent draws nothing
        converged=dynamics.EntryBelow(tolerance),
        num_steps=-(-num_steps // 64) * 64,
    )
    x, y = np.asarray(found.params).T
    settled = found.stop_reason == int(StopReason.VALUE_REACHED)
    return {
        "final_sharpness": np.where(settled, x**2 + y**2, np.nan),
        "status": found.status,
        "stop_reason": found.stop_reason,
    }


def draw_edge(ax, x: "np.ndarray", lr: float) -> None:
    """The hyperbola y^2 - x^2 = 2/lr that parts the two regimes."""
    import numpy as np

    ax.plot(x, np.sqrt(2 / lr + x**2), color="#4a4a4a", lw=1.0, ls="--", label="y^2 - x^2 = 2/lr")


def axis_labels(ax) -> None:
    """The two weights."""
    ax.set_xlabel("x (first weight)")
    ax.set_ylabel("y (second weight)")


def last_sharpness(one: "xarray.Dataset") -> float | None:
    """Sharpness at the last step of one run, if its displacement x has gone to 0."""
    import numpy as np

    x = abs(float(one["entries"].isel(entry=0, step=-1)))
    return float(one["sharpness"].isel(step=-1)) if np.isfinite(x) and x < 1e-3 else None
