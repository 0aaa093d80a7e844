"""shapira2023/sec5: exact recurrences of a two-layer linear network, and why its kernel grows (Li et al. 2022)."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import at_least, one_of, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import NO_DATA, Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("kernel", "overlap", "recurrences")


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        width: hidden units m.
        inputs: dimension d of the inputs, which are standard normal.
        num_examples: examples n, with targets +1 and -1.
        output_scale: standard deviation of the output weights at the start; the hidden weights have variance 1/d.
        lr: learning rate, on the mean squared error.
        num_steps: steps of gradient descent.
        seeds: draws of data and weights.
        precision: float64.
    """

    width: int
    inputs: int
    num_examples: int
    output_scale: float
    lr: float
    num_steps: int
    seeds: int
    precision: str = "float64"


def settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The section has no experiment; these numbers are ours."""
    return Settings(width=60, inputs=8, num_examples=6, output_scale=0.05, lr=0.05, num_steps=300, seeds=3)


def control(settings: Settings) -> Settings:
    """Output weights a hundred times as large: outputs begin beyond the targets, and the kernel falls."""
    return dataclasses.replace(settings, output_scale=100 * settings.output_scale, lr=settings.lr / 10)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    for name in ("width", "inputs", "num_examples", "seeds"):
        at_least(name, getattr(settings, name), 1)
    at_least("num_steps", settings.num_steps, 20)
    positive("output_scale", settings.output_scale)
    positive("lr", settings.lr)
    one_of("precision", settings.precision, ("float64",))


def run(settings: Settings, context: Context) -> "xarray.Dataset":  # noqa: ARG001
    """Gradient descent on the weights beside the recurrences in (D, |a|^2, M), for each draw."""
    import jax
    import jax.numpy as jnp

    from precipice.measures import fixed_kernel_overlap
    from precipice.results import to_dataset

    found = jax.vmap(lambda key: _one(settings, key))(jax.random.split(jax.random.key(0), settings.seeds))
    saved = {name: np.asarray(value) for name, value in found.items()}
    saved["edge"] = np.array(2 / settings.lr)
    example = fixed_kernel_overlap(jnp.array([1.6, 1.2, 0.3]), jnp.array([1.0, -1.0, 1.0]), 1.0, 1)
    saved["counterexample_overlap"] = np.asarray(example[1])
    steps = range(settings.num_steps + 1)
    return to_dataset(saved, coords={"seed": range(settings.seeds), "step": steps, "probe_step": steps})


def _one(settings: Settings, key) -> dict:
    import jax
    import jax.numpy as jnp

    from precipice import dynamics, measures, problems

    x_key, y_key, start_key = jax.random.split(key, 3)
    x = jax.random.normal(x_key, (settings.num_examples, settings.inputs))
    y = jnp.sign(jax.random.normal(y_key, (settings.num_examples,)))
    problem = problems.TwoLayerLinear(x, y, width=settings.width, output_scale=settings.output_scale)
    params = problem.init(start_key)

    def probe(state):
        now = measures.two_layer_linear_state(problem, state.params)
        along, top, bound = measures.two_layer_linear_gap(problem, state.params)
        return {"state": now, "along": along, "top": top, "bound": bound}

    process = dynamics.Descent(problem, dynamics.gradient_descent(settings.lr), start=params)
    real = dynamics.simulate(process, key=start_key, num_steps=settings.num_steps, every=1, probes=(_flat(probe),))
    saved = real.saved

    def recur(state, _):
        return measures.two_layer_linear_step(problem, state, settings.lr), state

    first = measures.two_layer_linear_state(problem, params)
    _, exact = jax.lax.scan(recur, first, None, length=settings.num_steps + 1)
    error = jnp.max(jnp.abs(exact.kernel - saved["kernel"]), axis=(1, 2))
    error = jnp.maximum(error, jnp.max(jnp.abs(exact.residual - saved["residual"]), axis=1))
    residual = saved["residual"]
    return {
        "loss": jnp.mean(residual**2, axis=1),
        "residual_overlap": jnp.sum((residual + y[None]) * residual, axis=1),
        "output_weight_norm": saved["norm"],
        "recurrence_error": jnp.maximum(error, jnp.abs(exact.output_norm - saved["norm"])),
        "ntk_eigenvalue": saved["top"][:, None],
        "kernel_along_data": saved["along"],
        "kernel_along_data_bound": saved["bound"],
        "status": real.status,
        "diverged_at": real.diverged_at,
    }


def _flat(probe):
    def flattened(state):
        found = probe(state)
        residual, norm, kernel = found.pop("state")
        return {"residual": residual, "norm": norm, "kernel": kernel, **found}

    return flattened


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """The kernel's top eigenvalue, the overlap that makes it grow, and the error of the recurrences."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"kernel": _draw_kernel, "overlap": _draw_overlap, "recurrences": _draw_error}[name](ax, dataset)
        ax.set_xlabel("gradient step")
    style.caption(
        picture,
        f"Two-layer linear network, width {settings['width']}, {settings['num_examples']} examples of dimension "
        f"{settings['inputs']}, lr = {settings['lr']:g}, output weights of standard deviation "
        f"{settings['output_scale']:g} at the start, {style.count(settings['seeds'], 'draw')}. Lemma 5 is used with "
        "the plus sign it needs (ERR-R5); <F, D> < 0 is certain for lr lambda_1 < 1, not < 2 (ERR-R7): with lr lambda "
        f"= (1.6, 1.2, 0.3) it is {float(dataset['counterexample_overlap']):+.2f}; "
        f"scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_kernel(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for seed in range(dataset.sizes["seed"]):
        one, line = dataset.isel(seed=seed), style.seed_line(seed)
        top = one["ntk_eigenvalue"].isel(eigenvalue=0)
        ax.plot(dataset["probe_step"], top, color=style.COLOURS[0], label="lambda_1(M)" if seed == 0 else None, **line)
        along = one["kernel_along_data"]
        ax.plot(
            dataset["probe_step"],
            along,
            color=style.COLOURS[1],
            ls="--",
            label="v1 . M v1" if seed == 0 else None,
            **line,
        )
    ax.set_ylabel("largest kernel eigenvalue (mean squared error)")
    ax.set_title(f"progressive sharpening (2/lr = {float(dataset['edge']):.4g})")
    ax.legend()


def _draw_overlap(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for seed in range(dataset.sizes["seed"]):
        one, line = dataset.isel(seed=seed), style.seed_line(seed)
        ax.plot(
            dataset["step"],
            one["residual_overlap"],
            color=style.COLOURS[2],
            label="<F, D>" if seed == 0 else None,
            **line,
        )
    ax.axhline(0, color="#4a4a4a", ls="--", lw=1.0, label="0: outputs reach the targets")
    ax.set_ylabel("<F, D> (outputs times residual)")
    ax.set_title("what makes it grow")
    ax.legend()


def _draw_error(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for seed in range(dataset.sizes["seed"]):
        error = dataset["recurrence_error"].isel(seed=seed)
        ax.plot(dataset["step"], np.maximum(error, 1e-18), color=style.COLOURS[3], **style.seed_line(seed))
    ax.set_yscale("log")
    ax.set_ylabel("largest difference in D, |a|^2 and M")
    ax.set_title("recurrences against gradient descent")


# Claims -------------------------------------------------------------------------------------------------------------


def _error(dataset: "xarray.Dataset") -> float | None:
    error = dataset["recurrence_error"].values
    return float(error.max()) if np.isfinite(error).all() else None


def _learning(dataset: "xarray.Dataset") -> np.ndarray:
    """The steps until the loss has fallen to 1 % of its largest."""
    loss = dataset["loss"].values
    return np.cumsum(loss < 0.01 * loss.max()) == 0


def _growth(dataset: "xarray.Dataset") -> float | None:
    top = dataset["ntk_eigenvalue"].isel(eigenvalue=0).values
    return float(top[-1] / top[0]) if np.isfinite(top).all() else None


def _agrees(dataset: "xarray.Dataset") -> float | None:
    """How often the top eigenvalue moves against the sign of <F, D>, while learning."""
    rising = np.diff(dataset["ntk_eigenvalue"].isel(eigenvalue=0).values) > 0
    below, learning = dataset["residual_overlap"].values[:-1] < 0, _learning(dataset)[:-1]
    return float(np.mean((rising == below)[learning])) if learning.sum() >= 20 else None


def _outputs_below(dataset: "xarray.Dataset") -> float | None:
    below, learning = dataset["residual_overlap"].values < 0, _learning(dataset)
    return float(np.mean(below[learning])) if learning.sum() >= 20 else None


def _gap(dataset: "xarray.Dataset") -> float | None:
    gap = dataset["ntk_eigenvalue"].isel(eigenvalue=0) - dataset["kernel_along_data"]
    return float((gap / dataset["kernel_along_data_bound"]).max())


CLAIMS = (
    Claim(
        "progressive-sharpening",
        "The kernel's top eigenvalue grows while the network learns.",
        "shapira2023 section 5; Li et al. 2022",
        (1.2, np.inf),
        "lambda_1(M) at the end over that at the start; 1 would be no growth",
        _growth,
    ),
    Claim(
        "recurrences-are-exact",
        "Residual, output weights' norm and kernel follow a closed map.",
        "shapira2023 lemmas 4 and 5 (REV-11 to 13, ERR-R5)",
        (0.0, 1e-10),
        "largest difference from gradient descent on the weights over the whole run; rounding only",
        _error,
    ),
    Claim(
        "outputs-stay-below-targets",
        "<F, D> is negative while the network learns.",
        "shapira2023 section 5 (REV-15, ERR-R7)",
        (0.9, 1.0),
        "fraction of the steps until the loss is 1 % of its largest; lr lambda_1 is below 1, and outputs begin near 0 "
        "but not at 0, so that a few first steps may differ",
        _outputs_below,
    ),
    Claim(
        "grows-while-below",
        "The kernel grows as long as <F, D> is negative.",
        "shapira2023 section 5 (REV-14)",
        (0.9, 1.0),
        "fraction of those steps on which lambda_1(M) rises if and only if <F, D> < 0; exact along an eigenvector of "
        "the data up to the term <v, F><v, D>",
        _agrees,
    ),
    Claim(
        "data-carry-the-top-eigenvector",
        "lambda_1(M) exceeds v1 . M v1, with v1 the data's top eigenvector, by 2 c/m at most.",
        "shapira2023 lemma 3 (REV-15, ERR-R6)",
        (0.0, 1.0),
        "largest gap over its bound",
        _gap,
    ),
    Claim(
        "condition-below-two-is-not-enough",
        "With lr lambda = (1.6, 1.2, 0.3), below 2, <F, D> turns positive.",
        "shapira2023 section 5, last claim, corrected (ERR-R7)",
        (0.5, np.inf),
        "<F, D> after one step with a kernel that stands still; the printed claim says it is below 0",
        lambda dataset: float(dataset["counterexample_overlap"]),
    ),
)

FIGURE = Figure(
    id="shapira2023/sec5",
    title="A two-layer linear network: exact recurrences and progressive sharpening",
    panels=PANELS,
    scales={"quick": Scale(settings, "4 seconds", NO_DATA), "paper": Scale(settings, "4 seconds", NO_DATA)},
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="progressive-sharpening",
    claim_panels={
        "progressive-sharpening": "kernel",
        "data-carry-the-top-eigenvector": "kernel",
        "outputs-stay-below-targets": "overlap",
        "grows-while-below": "overlap",
        "condition-below-two-is-not-enough": "overlap",
        "recurrences-are-exact": "recurrences",
    },
)
