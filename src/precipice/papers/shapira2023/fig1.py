"""shapira2023/fig1: sharpness of a tanh network rises to 2/lr and hovers there (Cohen et al. 2021)."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, at_most, positive
from precipice.figures.claims import Claim
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: cifar10, mnist or digits.
        num_examples: the first so many training images.
        preprocess: see `problems.data`; statistics over the images used.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: tanh in the paper.
        initialisation: torch is PyTorch's default for linear layers, which the original code uses.
        lr: learning rate.
        lr_other: a second learning rate, half or twice the first, for the claim that compares heights.
        num_steps: the most steps at `lr`.
        num_steps_other: the most steps at `lr_other`.
        every: steps between measurements.
        stop_accuracy: training accuracy at which a training ends, asked at each measurement; 0 for none.
        seeds: trainings at `lr`, with different initialisations.
        seeds_other: trainings at `lr_other`; 0 leaves it out.
        num_eigenvalues: how many of each spectrum are measured.
        rtol: asked relative error of each.
        precision: float32 or float64.
    """

    dataset: str
    num_examples: int
    preprocess: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lr: float
    lr_other: float
    num_steps: int
    num_steps_other: int
    every: int
    stop_accuracy: float
    seeds: int
    seeds_other: int
    num_eigenvalues: int
    rtol: float
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The experiment itself; float32 as in the original code."""
    return Settings(
        dataset="cifar10",
        num_examples=5000,
        preprocess="standardise_channels",
        width=200,
        depth=2,
        activation="tanh",
        initialisation="torch",
        lr=0.01,
        lr_other=0.02,
        num_steps=30_000,
        num_steps_other=30_000,
        every=50,
        stop_accuracy=0.99,
        seeds=1,
        seeds_other=1,
        num_eigenvalues=2,
        rtol=1e-3,
        precision="float32",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """600 images and a narrower network; scikit-learn's digits where no CIFAR-10 is found.

    The images are centred, not standardised: with so few of them standardised inputs start at a sharpness of 75 to 95,
    and sharpness then has no room to grow before training ends.
    """
    from precipice.problems import found

    if "data_batch_1.bin" not in {Path(name).name for name in found(data_dir)["cifar10"].present}:
        return digits_settings()
    return dataclasses.replace(
        paper_settings(),
        num_examples=600,
        preprocess="centre_channels",
        width=64,
        lr=0.06,
        lr_other=0.03,
        num_steps=800,
        num_steps_other=2000,
        every=20,
        stop_accuracy=0.0,
        seeds=3,
        num_eigenvalues=1,
        precision="float64",
    )


def digits_settings() -> Settings:
    """The same phenomenon on data that scikit-learn carries."""
    return dataclasses.replace(
        paper_settings(),
        dataset="digits",
        num_examples=1000,
        preprocess="standardise_pixels",
        width=64,
        lr=0.4,
        lr_other=0.2,
        num_steps=800,
        num_steps_other=2000,
        every=20,
        stop_accuracy=0.0,
        seeds=3,
        num_eigenvalues=1,
        precision="float64",
    )


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.networks import check_network

    check_network(settings)
    positive("lr_other", settings.lr_other)
    if settings.lr_other == settings.lr:
        raise InputError(f"lr_other must differ from lr; both are {settings.lr:g}.")
    check_schedule(settings.num_steps, settings.every)
    check_schedule(settings.num_steps_other, settings.every)
    at_least("seeds", settings.seeds, 1)
    at_least("seeds_other", settings.seeds_other, 0)
    at_most("seeds_other", settings.seeds_other, settings.seeds, "the number of seeds")
    at_least("num_eigenvalues", settings.num_eigenvalues, 1)
    at_least("rtol", settings.rtol, 1e-12)
    at_least("stop_accuracy", settings.stop_accuracy, 0)
    at_most("stop_accuracy", settings.stop_accuracy, 1)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train at `lr` and at `lr_other`, measuring both spectra."""
    from precipice.papers.networks import cells, problem_for
    from precipice.results import to_dataset

    problem = problem_for(settings, context.data_dir)
    plan = (
        (settings.lr, settings.num_steps, settings.seeds),
        (settings.lr_other, settings.num_steps_other, settings.seeds_other),
    )
    trainings = [
        [
            _training(problem, settings, context, lr, steps, seed) if seed < seeds else None
            for seed in range(settings.seeds)
        ]
        for lr, steps, seeds in plan
    ]
    saved, coords = cells(trainings, MEASURED)
    rates = [lr for lr, _, _ in plan]
    saved["edge"] = 2 / np.array(rates)
    return to_dataset(saved, coords={"lr": rates, "seed": range(settings.seeds), **coords})


MEASURED = (
    "accuracy",
    "gradient_norm",
    "hessian_eigenvalue",
    "hessian_eigenvalue_bound",
    "hessian_products",
    "hessian_converged",
    "ntk_eigenvalue",
    "ntk_eigenvalue_bound",
    "ntk_products",
    "ntk_converged",
)


def _training(problem, settings: Settings, context: Context, lr: float, num_steps: int, seed: int):
    from precipice import dynamics, measures
    from precipice.papers.networks import both_spectra, checkpoint_in, seed_keys

    key, tracker_key = seed_keys(seed, 2)
    stops = (dynamics.accuracy_at_least(settings.stop_accuracy),) if settings.stop_accuracy > 0 else ()
    return dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(lr)),
        key=key,
        num_steps=num_steps,
        every=settings.every,
        probes=(measures.accuracy(problem), measures.gradient_norm(problem)),
        trackers=both_spectra(problem, tracker_key, settings.num_eigenvalues, settings.rtol),
        stops=stops,
        checkpoint=checkpoint_in(context, f"lr-{lr!r}-seed-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"lr {lr:g}, seed {seed}",
        progress=context.progress,
    )


# Claims -------------------------------------------------------------------------------------------------------------

SETTLING_STEPS = 50
"""Steps after which sharpness has left its first, falling transient ("after the first tens of steps")."""


def _sharpness(dataset: "xarray.Dataset", index: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """(steps, sharpness, edge) of the training at learning rate number `index`, measured steps only."""
    one = dataset.isel(lr=index)
    values = one["hessian_eigenvalue"].isel(eigenvalue=0).values.astype(float)
    finite = np.isfinite(values)
    return dataset["probe_step"].values[finite], values[finite], float(one["edge"])


def crossing(dataset: "xarray.Dataset", index: int = 0) -> int | None:
    """The first measured step at which sharpness is at or above the edge, or None."""
    steps, sharpness, edge = _sharpness(dataset, index)
    above = np.flatnonzero(sharpness >= edge)
    return int(steps[above[0]]) if len(above) else None


def _rise(dataset: "xarray.Dataset") -> float | None:
    from scipy.stats import rankdata

    steps, sharpness, _ = _sharpness(dataset)
    if not len(steps):
        return None
    first = crossing(dataset)
    rising = (steps >= SETTLING_STEPS) & (steps <= (steps[-1] if first is None else first))
    if rising.sum() < 5:
        return None
    return float(np.corrcoef(rankdata(steps[rising]), rankdata(sharpness[rising]))[0, 1])


def _crossing_step(dataset: "xarray.Dataset") -> float | None:
    first = crossing(dataset)
    return None if first is None else float(first)


def _level(dataset: "xarray.Dataset", index: int = 0) -> float | None:
    """Median sharpness from the first crossing on, over the edge; where it never crosses, the largest over the edge."""
    steps, sharpness, edge = _sharpness(dataset, index)
    if not len(steps):
        return None
    first = crossing(dataset, index)
    return float((sharpness.max() if first is None else np.median(sharpness[steps >= first])) / edge)


def _later_losses(dataset: "xarray.Dataset") -> np.ndarray | None:
    first = crossing(dataset)
    if first is None:
        return None
    losses = dataset["loss"].isel(lr=0).values.astype(float)[first:]
    losses = losses[np.isfinite(losses)]
    return losses if len(losses) >= 100 else None


def _raised(dataset: "xarray.Dataset") -> float | None:
    losses = _later_losses(dataset)
    return None if losses is None else float(np.mean(np.diff(losses) > 0))


def _loss_ratio(dataset: "xarray.Dataset") -> float | None:
    losses = _later_losses(dataset)
    if losses is None:
        return None
    tenth = len(losses) // 10
    return float(losses[-tenth:].mean() / losses[:tenth].mean())


def _double(dataset: "xarray.Dataset") -> float | None:
    """Median sharpness at the smaller of two learning rates, one twice the other, over that at the larger."""
    rates = dataset["lr"].values
    levels = (_level(dataset, 0), _level(dataset, 1))
    if crossing(dataset, 0) is None or crossing(dataset, 1) is None or None in levels:
        return None
    if not np.isclose(abs(np.log2(rates[1] / rates[0])), 1):
        return None
    heights = np.array(levels, float) * 2 / rates
    small, large = heights[np.argsort(rates)]
    return float(small / large)


CLAIMS = (
    Claim(
        "progressive-sharpening",
        "After the first tens of steps sharpness grows until it first reaches 2/lr.",
        "shapira2023 figure 1b; Cohen et al. 2021, section 3.1",
        (0.9, 1.0),
        "rank correlation of sharpness with the step from step 50 to the first crossing; 1 is steady growth, 0 is none",
        _rise,
    ),
    Claim(
        "reaches-the-edge",
        "Sharpness reaches 2/lr after hundreds of steps or more, not at once.",
        "shapira2023 figure 1b",
        (100, np.inf),
        "step of the first crossing; below 100 the run would have started at the edge",
        _crossing_step,
    ),
    Claim(
        "hovering",
        "From then on sharpness hovers at or just above 2/lr.",
        "shapira2023 figure 1b; Cohen et al. 2021, section 3.2",
        (1.0, 1.2),
        "median sharpness after the first crossing over 2/lr; Cohen et al. describe it as just above 2/lr",
        _level,
    ),
    Claim(
        "loss-is-not-monotone",
        "At the edge the loss goes up and down from step to step.",
        "shapira2023 figure 1a",
        (0.1, 1.0),
        "fraction of the steps after the first crossing that raise the loss; gradient flow has none",
        _raised,
    ),
    Claim(
        "loss-still-falls",
        "Over long times the loss decreases all the same.",
        "shapira2023 figure 1a",
        (0.0, 1.0 - 1e-6),
        "mean loss of the last tenth of the later steps over that of the first tenth; below 1 is a decrease",
        _loss_ratio,
    ),
    Claim(
        "half-lr-twice-as-sharp",
        "Half the learning rate hovers at twice the height.",
        "Cohen et al. 2021, figure 1",
        (1.8, 2.2),
        "median sharpness after the crossing at the smaller rate over that at the larger; 2 to within a tenth",
        _double,
    ),
)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate for the same number of steps: the edge is ten times as high and is not reached."""
    return dataclasses.replace(
        settings, lr=settings.lr / 10, lr_other=settings.lr, seeds=1, seeds_other=0, every=_coarser(settings)
    )


def _coarser(settings: Settings) -> int:
    """Five times fewer measurements, where the number of steps allows it."""
    return settings.every * 5 if settings.num_steps % (settings.every * 5) == 0 else settings.every


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss (a) and sharpness (b) against the step, the edge 2/lr as a dashed line."""
    from precipice.figures import style

    names = FIGURE.panels if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        (_plot_loss if name == "loss" else _plot_sharpness)(ax, dataset)
    style.caption(picture, caption(dataset))
    return picture


def _plot_loss(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for index, lr in enumerate(dataset["lr"].values):
        for seed in range(dataset.sizes["seed"]):
            loss = dataset["loss"].isel(lr=index, seed=seed)
            if not np.isfinite(loss).any():
                continue
            label = f"lr = {lr:g}" if seed == 0 else None
            ax.plot(dataset["step"], loss, color=style.COLOURS[index], label=label, **style.seed_line(seed))
    ax.set_yscale("log")
    ax.set_xlabel("gradient step")
    ax.set_ylabel("training loss (mean half squared error)")
    ax.set_title("loss")
    ax.legend()


def _plot_sharpness(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for index, lr in enumerate(dataset["lr"].values):
        colour = style.COLOURS[index]
        for seed in range(dataset.sizes["seed"]):
            one = dataset.isel(lr=index, seed=seed)
            sharpness, kernel = (one[n].isel(eigenvalue=0) for n in ("hessian_eigenvalue", "ntk_eigenvalue"))
            if not np.isfinite(sharpness).any():
                continue
            label = f"lr = {lr:g}" if seed == 0 else None
            ax.plot(dataset["probe_step"], sharpness, color=colour, label=label, **style.seed_line(seed))
            if seed == 0:
                kernel_label = "NTK (Gauss-Newton)" if index == 0 else None
                ax.plot(dataset["probe_step"], kernel, color=colour, lw=0.8, ls=":", label=kernel_label)
        style.edge_line(ax, float(dataset["edge"].isel(lr=index)), f"2/lr = {2 / lr:.4g}", colour)
    ax.set_xlabel("gradient step")
    ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
    ax.set_title("sharpness")
    ax.legend()


def caption(dataset: "xarray.Dataset") -> str:
    """What was run, in one sentence."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    return (
        f"{style.network(settings)}, full-batch gradient descent, {settings['seeds']} seed(s) at "
        f"lr = {settings['lr']:g} and {settings['seeds_other']} at {settings['lr_other']:g}, {settings['precision']}, "
        f"measured every {settings['every']} steps; scale {dataset.attrs.get('scale', 'custom')}."
    )


FIGURE = Figure(
    id="shapira2023/fig1",
    title="A tanh network at the edge of stability: loss and sharpness under gradient descent",
    panels=("loss", "sharpness"),
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "about an hour", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="hovering",
    claim_panels={
        "progressive-sharpening": "sharpness",
        "reaches-the-edge": "sharpness",
        "hovering": "sharpness",
        "half-lr-twice-as-sharp": "sharpness",
        "loss-is-not-monotone": "loss",
        "loss-still-falls": "loss",
    },
)
