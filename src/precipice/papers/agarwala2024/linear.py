"""Linear models under minibatch SGD: the kernels of three settings, their stability measures, and runs."""

from typing import TYPE_CHECKING, Any

from precipice._checks import InputError, at_least, at_most, positive
from precipice.papers.settings import check_precision, numbers

if TYPE_CHECKING:
    import numpy as np
    import xarray

SETTINGS = ("flat", "dispersed", "localized")

SATURATED = 10.0
"""Losses are drawn up to here, as in the paper."""


def check_model(settings: Any) -> None:
    """Refuse sizes and rates that no run has (fields num_examples, num_params, batch_size, rates, precision).

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    check_precision(settings.precision)
    at_least("num_examples", settings.num_examples, 2)
    at_least("num_params", settings.num_params, 1)
    at_least("batch_size", settings.batch_size, 1)
    at_most("batch_size", settings.batch_size, settings.num_examples, "num_examples")
    at_least("kernel_seed", settings.kernel_seed, 0)
    if len(numbers(settings.rates, "rates", ascending=True)) < 2:
        raise InputError(f"rates must be at least 2; got {settings.rates!r}.")


def check_localized(settings: Any) -> None:
    """Refuse scales of the localized kernel that are not positive (fields diagonal_scale, jacobian_scale)."""
    positive("diagonal_scale", settings.diagonal_scale)
    positive("jacobian_scale", settings.jacobian_scale)


def kernel_of(setting: str, settings: Any) -> "np.ndarray":
    """The kernel of a setting [D, D]: draws of numpy's PCG64 from `kernel_seed`.

    flat: J J^T/D with J standard normal [D, P]. dispersed: eigenvalues 1/(a^2 + 1), random orthogonal eigenvectors.
    localized: diag|s| + J0 J0^T/D, s and J0 normal of standard deviations `diagonal_scale` and `jacobian_scale`.
    """
    import numpy as np

    draw = np.random.Generator(np.random.PCG64(settings.kernel_seed))
    size = settings.num_examples
    if setting == "dispersed":
        q, upper = np.linalg.qr(draw.standard_normal((size, size)))
        vectors = q * np.sign(np.diag(upper))
        return (vectors / (np.arange(1, size + 1) ** 2 + 1.0)) @ vectors.T
    if setting == "flat":
        jacobian = draw.standard_normal((size, settings.num_params))
        return jacobian @ jacobian.T / size
    diagonal = settings.diagonal_scale * np.abs(draw.standard_normal(size))
    jacobian = settings.jacobian_scale * draw.standard_normal((size, settings.num_params))
    return np.diag(diagonal) + jacobian @ jacobian.T / size


def edges(kernel: "np.ndarray", batch_size: int) -> dict[str, float]:
    """Learning rates of the mean's, the second moment's and K's edge; NaN where there is none."""
    import numpy as np

    from precipice import measures

    return {
        "first_moment_edge_lr": float(measures.first_moment_edge_lr(np.linalg.eigvalsh(kernel))),
        "second_moment_edge_lr": float(measures.second_moment_edge_lr(kernel, batch_size=batch_size)),
        "stochastic_edge_lr": float(measures.stochastic_edge_lr(kernel, batch_size=batch_size)),
    }


def learning_rates(rates: "np.ndarray", found: dict[str, float]) -> "np.ndarray":
    """Relative rates times the second moment's edge, or the mean's where there is no other."""
    import numpy as np

    edge = found["second_moment_edge_lr"]
    return rates * (found["first_moment_edge_lr"] if np.isnan(edge) else edge)


def in_settings(names: "tuple[str, ...]", settings: Any) -> "tuple[np.ndarray, dict[str, np.ndarray]]":
    """Kernels [setting, D, D], and edges and measures of each [setting, rate], at `settings.rates` times its edge."""
    import numpy as np

    kernels = np.stack([kernel_of(name, settings) for name in names])
    found = [edges(kernel, settings.batch_size) for kernel in kernels]
    rates = np.array(numbers(settings.rates, "rates"))
    lrs = np.stack([learning_rates(rates, one) for one in found])
    saved = {name: np.array([one[name] for one in found]) for name in found[0]}
    return kernels, {**saved, **measured(kernels, lrs, settings.batch_size), "learning_rate": lrs}


def measured(kernels: "np.ndarray", lrs: "np.ndarray", batch_size: int) -> "dict[str, np.ndarray]":
    """Every measure of stability [setting, rate]; K and its forms are NaN where the mean is unstable."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import measures

    def one(theta, lr):
        at, values = {"lr": lr, "batch_size": batch_size}, jnp.linalg.eigvalsh(theta)
        diagonal = measures.diagonal_second_moment(theta, **at)
        return {
            "linear_noise_kernel_norm": measures.noise_kernel_norm(theta, **at),
            "linear_noise_kernel_norm_high_dimensional": measures.noise_kernel_norm_high_dimensional(values, **at),
            "linear_noise_kernel_norm_finite_size": measures.noise_kernel_norm_finite_size(
                values, num_examples=theta.shape[0], **at
            ),
            "linear_noise_kernel_norm_trace": measures.noise_kernel_norm_trace(jnp.sum(values), **at),
            "diagonal_moment_radius": jnp.linalg.eigvalsh(diagonal)[-1],
            "mean_margin": lr * values[-1] / 2,
        }

    def each(theta, row):
        return jax.lax.map(lambda lr: one(theta, lr), row)

    found = jax.jit(lambda k, r: jax.lax.map(lambda pair: each(*pair), (k, r)))(jnp.asarray(kernels), jnp.asarray(lrs))
    radius = [
        [measures.second_moment_radius(kernel, lr=float(lr), batch_size=batch_size) for lr in row]
        for kernel, row in zip(kernels, lrs, strict=True)
    ]
    return {**{name: np.asarray(value) for name, value in found.items()}, "second_moment_radius": np.array(radius)}


def losses(kernels: "np.ndarray", lrs: "np.ndarray", settings: Any, every: int) -> "dict[str, np.ndarray]":
    """``loss`` [setting, rate, seed, step] of SGD, and ``start_loss``, ``final_loss``, ``status`` without the steps.

    The seed draws start and batches, the same at all rates and kernels. The last loss of a diverged run is infinite.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from precipice import dynamics
    from precipice.results import Status

    def one(theta, lr, seed):
        draw, key = jax.random.split(jax.random.key(seed))
        process = dynamics.LinearSgd(theta, lr, settings.batch_size, jax.random.normal(draw, theta.shape[:1]))
        probe = (lambda state: {"loss": jnp.mean(state.params.z**2) / 2},)
        run = dynamics.simulate(process, key=key, num_steps=settings.num_steps, every=every, probes=probe)
        return {"loss": run.saved["loss"], "status": run.status}

    of_rates = jax.vmap(one, (None, 0, None))
    of_kernels = jax.vmap(of_rates, (0, 0, None))
    of_seeds = jax.jit(jax.vmap(of_kernels, (None, None, 0), out_axes=2))
    found = of_seeds(jnp.asarray(kernels), jnp.asarray(lrs), jnp.arange(settings.seeds))
    found = {name: np.asarray(value) for name, value in found.items()}
    diverged = found["status"] == int(Status.DIVERGED)
    last = np.where(diverged, np.inf, found["loss"][..., -1])
    return {**found, "start_loss": found["loss"][..., 0], "final_loss": last}


def transition(dataset: "xarray.Dataset") -> "np.ndarray":
    """Index of the first learning rate from which on all runs end above the loss at their start, by setting.

    The number of rates where none does.
    """
    import numpy as np

    grows = ~(dataset["final_loss"] <= dataset["start_loss"]).values
    holds = np.logical_and.accumulate(grows[..., ::-1], axis=-1)[..., ::-1]
    return grows.shape[-1] - holds.sum(-1)


def at_transition(dataset: "xarray.Dataset", name: str) -> "np.ndarray":
    """A measure where the loss after the run turns from falling to growing, by setting.

    The geometric mean of its values at the last learning rate whose loss falls and the first whose loss grows; at the
    last of all where none grows.
    """
    import numpy as np

    values, first = dataset[name].values, np.atleast_1d(transition(dataset))
    rows = values.reshape(first.size, -1)
    found = []
    for row, index in zip(rows, first, strict=True):
        ends = row[max(index - 1, 0)], row[min(index, row.size - 1)]
        found.append(np.sqrt(ends[0] * ends[1]))
    return np.array(found)


def saturated(loss: "xarray.DataArray") -> "xarray.DataArray":
    """Losses as they are drawn: up to `SATURATED`, which also stands for those that were too large to keep."""
    return loss.fillna(SATURATED).clip(min=1e-12, max=SATURATED)
