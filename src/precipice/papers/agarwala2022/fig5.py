"""agarwala2022/fig5: near the edge the residual's top mode oscillates and the kernel's top eigenvalue crosses 2/lr."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from precipice._checks import InputError, at_least, positive
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
        classes: "all", or two class numbers such as "0,1": then one output with targets +1 and -1.
        preprocess: see `problems.data`; statistics over the images used.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: tanh in the paper.
        initialisation: not given in the paper.
        lr: learning rate.
        max_steps_before: the most steps until the window begins.
        every_before: steps between measurements until then.
        onset: the window begins when the top kernel eigenvalue reaches this fraction of the edge.
        window: steps in the window; the kernel is measured at each.
        seeds: trainings with different initialisations.
        rtol: asked relative error of the kernel's eigenvalues; small, because z1 needs the vector.
        precision: float32 or float64.
    """

    dataset: str
    num_examples: int
    classes: str
    preprocess: str
    width: int
    depth: int
    activation: str
    initialisation: str
    lr: float
    max_steps_before: int
    every_before: int
    onset: float
    window: int
    seeds: int
    rtol: float
    precision: str


def paper_settings(data_dir: Path | None = None) -> Settings:  # noqa: ARG001
    """The paper's network and learning rate; 700 steps from the onset, as its 3,200 to 3,900."""
    return Settings(
        dataset="cifar10",
        num_examples=5000,
        classes="all",
        preprocess="standardise_channels",
        width=200,
        depth=2,
        activation="tanh",
        initialisation="torch",
        lr=0.01,
        max_steps_before=20_000,
        every_before=50,
        onset=0.97,
        window=700,
        seeds=1,
        rtol=1e-5,
        precision="float32",
    )


def quick_settings(data_dir: Path | None = None) -> Settings:
    """500 images of two classes and a narrower network; scikit-learn's digits where no CIFAR-10 is found.

    Two classes, because ten outputs on so few images give ten top eigenvalues within 20 % of each other: the second
    follows the first across the edge for some seeds. With one output it lies at half the first.
    """
    from precipice.problems import found

    base = dataclasses.replace(
        paper_settings(),
        num_examples=500,
        width=64,
        every_before=10,
        max_steps_before=1000,
        window=200,
        seeds=3,
        rtol=1e-6,
        precision="float64",
    )
    if "data_batch_1.bin" not in {Path(name).name for name in found(data_dir)["cifar10"].present}:
        digits = dataclasses.replace(base, dataset="digits", preprocess="standardise_pixels", num_examples=300)
        return dataclasses.replace(digits, classes="3,8", lr=0.3)
    return dataclasses.replace(base, classes="0,1", preprocess="centre_channels", lr=0.03)


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.dynamics.simulate import check_schedule
    from precipice.papers.networks import check_network

    check_network(settings)
    class_pair(settings.classes)
    check_schedule(settings.max_steps_before, settings.every_before)
    positive("onset", settings.onset)
    at_least("window", settings.window, 20)
    at_least("seeds", settings.seeds, 1)
    positive("rtol", settings.rtol)


def class_pair(classes: str) -> tuple[int, ...] | None:
    """The two class numbers of a setting such as "0,1", or None for "all".

    Raises:
        InputError: neither form.
    """
    if classes == "all":
        return None
    parts = [part.strip() for part in classes.split(",")]
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise InputError(f"classes must be 'all' or two class numbers such as '0,1'; got {classes!r}.")
    return int(parts[0]), int(parts[1])


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train to the onset of the edge, then measure the kernel at every step of the window."""
    from precipice.papers.networks import problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes))
    windows = [_window(problem, settings, context, seed) for seed in range(settings.seeds)]
    runs = [{"loss": w.loss, **{name: w.saved[name] for name in MEASURED}} for _, w in windows]
    saved = pad_runs(runs, "step", "probe_step")
    saved["window_start"] = np.array([start for start, _ in windows])
    saved["status"] = np.array([int(w.status) for _, w in windows])
    saved["diverged_at"] = np.array([w.diverged_at for _, w in windows])
    saved["edge"] = np.full(settings.seeds, 2 / settings.lr)
    lengths = {"step": saved["loss"].shape[1], "probe_step": saved["residual_projection"].shape[1]}
    coords = {name: range(length) for name, length in lengths.items()}
    return to_dataset(saved, coords={"seed": range(settings.seeds), **coords})


MEASURED = ("residual_projection", "ntk_eigenvalue", "ntk_eigenvalue_bound", "ntk_products", "ntk_converged")


def _window(problem, settings: Settings, context: Context, seed: int):
    """(step at which the window begins, the training through it)."""
    from precipice import dynamics, measures
    from precipice.papers.networks import checkpoint_in, seed_keys

    key, before_key, window_key = seed_keys(seed, 3)
    optimiser = dynamics.gradient_descent(settings.lr)
    onset = settings.onset * 2 / settings.lr
    before = dynamics.train(
        dynamics.Descent(problem, optimiser),
        key=key,
        num_steps=settings.max_steps_before,
        every=settings.every_before,
        trackers=(measures.track_ntk(problem, key=before_key, num=1, rtol=1e-3),),
        stops=(dynamics.at_least("ntk_eigenvalue", onset),),
        checkpoint=checkpoint_in(context, f"before-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, to the onset at {onset:.4g}",
        progress=context.progress,
    )
    window = dynamics.train(
        dynamics.Descent(problem, optimiser, start=before.state.params),
        key=key,
        num_steps=settings.window,
        every=1,
        trackers=(measures.track_ntk(problem, key=window_key, num=2, rtol=settings.rtol),),
        checkpoint=checkpoint_in(context, f"window-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, window",
        progress=context.progress,
    )
    return int(before.state.step), window


# Claims -------------------------------------------------------------------------------------------------------------


def _z1(dataset: "xarray.Dataset") -> np.ndarray:
    values = dataset["residual_projection"].values.astype(float)
    return values[np.isfinite(values)]


def _lambda(dataset: "xarray.Dataset", rank: int) -> np.ndarray:
    values = dataset["ntk_eigenvalue"].isel(eigenvalue=rank).values.astype(float)
    return values[np.isfinite(values)]


def _growth(dataset: "xarray.Dataset") -> float | None:
    z1 = np.abs(_z1(dataset))
    tenth = max(len(z1) // 10, 2)
    return float(z1.max() / np.median(z1[:tenth])) if len(z1) >= 20 else None


VISIBLE = 0.01
"""Steps with |z1| above this fraction of its largest value: below it z1 follows slow drift, not its own oscillation."""


def _flips(dataset: "xarray.Dataset") -> float | None:
    z1 = _z1(dataset)
    if len(z1) < 20:
        return None
    visible = np.abs(z1[1:]) > VISIBLE * np.abs(z1).max()
    return float(np.mean((z1[1:] * z1[:-1] < 0)[visible]))


def _turns(dataset: "xarray.Dataset") -> float | None:
    """How often successive two-step changes of z1 differ in sign, on visible steps; 1 at every step of a zigzag."""
    z1 = _z1(dataset)
    if len(z1) < 20:
        return None
    change = z1[2:] - z1[:-2]
    visible = np.abs(z1[2:-2]) > VISIBLE * np.abs(z1).max()
    return float(np.mean((change[2:] * change[:-2] < 0)[visible]))


def _crossings(dataset: "xarray.Dataset") -> float | None:
    above = _lambda(dataset, 0) >= float(dataset["edge"])
    return float(np.sum(above[1:] != above[:-1])) if len(above) >= 20 else None


def _second(dataset: "xarray.Dataset") -> float | None:
    values = _lambda(dataset, 1)
    return float(values.max() / float(dataset["edge"])) if len(values) >= 20 else None


CLAIMS = (
    Claim(
        "z1-grows",
        "z1, the residual along the top kernel eigenvector, grows in size.",
        "agarwala2022 figure 5, left",
        (3.0, np.inf),
        "largest |z1| of the window over the median of its first tenth; 1 would be no growth",
        _growth,
    ),
    Claim(
        "z1-oscillates",
        "z1 oscillates around 0 from step to step.",
        "agarwala2022 figure 5, left",
        (0.8, 1.0),
        "fraction of visible steps on which z1 changes sign; its factor 1 - lr lambda_1 is near -1 at the edge",
        _flips,
    ),
    Claim(
        "every-other-step-is-smooth",
        "Seen at every other step the fast oscillation is gone.",
        "agarwala2022 figure 5, middle",
        (0.0, 0.25),
        "how often successive two-step changes differ in sign on visible steps: at turning points only; a zigzag has 1",
        _turns,
    ),
    Claim(
        "lambda1-crosses-more-than-once",
        "The top kernel eigenvalue crosses 2/lr more than once.",
        "agarwala2022 figure 5, right",
        (2, np.inf),
        "number of steps on which lambda_1 changes sides of the edge",
        _crossings,
    ),
    Claim(
        "lambda2-stays-below",
        "The second kernel eigenvalue stays below 2/lr in the window.",
        "agarwala2022 figure 5, right",
        (0.0, 1.0 - 1e-6),
        "largest lambda_2 of the window over 2/lr",
        _second,
    ),
)


def control(settings: Settings) -> Settings:
    """A tenth of the learning rate: 1 - lr lambda_1 stays positive, so z1 does not change sign from step to step."""
    return dataclasses.replace(settings, lr=settings.lr / 10, seeds=1)


# Picture ------------------------------------------------------------------------------------------------------------


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """z1 at every step, z1 at every other step, and the two largest kernel eigenvalues with the edge."""
    from precipice.figures import style

    names = FIGURE.panels if panel is None else (panel,)
    one = dataset.isel(seed=0)
    start = int(one["window_start"])
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"z1": _plot_z1, "two-step": _plot_two_step, "eigenvalues": _plot_eigenvalues}[name](ax, one, start)
        ax.set_xlabel("gradient step")
    style.caption(picture, caption(dataset))
    return picture


def _plot_z1(ax, one: "xarray.Dataset", start: int) -> None:
    from precipice.figures import style

    ax.plot(start + one["probe_step"], one["residual_projection"], color=style.COLOURS[0], lw=0.8)
    ax.axhline(0, color="#888888", lw=0.6)
    ax.set_ylabel("z1 (residual along the top NTK eigenvector)")
    ax.set_title("every step")


def _plot_two_step(ax, one: "xarray.Dataset", start: int) -> None:
    from precipice.figures import style

    for parity, label in ((0, "even steps"), (1, "odd steps")):
        half = one.isel(probe_step=slice((start + parity) % 2, None, 2))
        ax.plot(
            start + half["probe_step"], half["residual_projection"], color=style.COLOURS[parity], lw=1.0, label=label
        )
    ax.axhline(0, color="#888888", lw=0.6)
    ax.set_ylabel("z1 (residual along the top NTK eigenvector)")
    ax.set_title("every other step")
    ax.legend()


def _plot_eigenvalues(ax, one: "xarray.Dataset", start: int) -> None:
    from precipice.figures import style

    for rank in range(one.sizes["eigenvalue"]):
        values = one["ntk_eigenvalue"].isel(eigenvalue=rank)
        ax.plot(start + one["probe_step"], values, color=style.COLOURS[rank], lw=1.0, label=f"lambda_{rank + 1}")
    edge = float(one["edge"])
    style.edge_line(ax, edge, f"2/lr = {edge:.4g}", "#4a4a4a")
    ax.set_ylabel("NTK eigenvalue (Gauss-Newton Gram, mean loss)")
    ax.set_title("kernel eigenvalues")
    ax.legend()


def caption(dataset: "xarray.Dataset") -> str:
    """What was run, in one sentence."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    return (
        f"{style.network(settings)} (classes: {settings['classes']}), full-batch gradient descent at "
        f"lr = {settings['lr']:g}, {settings['precision']}; window of {settings['window']} steps from where lambda_1 "
        f"first reached {settings['onset']:g} x 2/lr; seed 0 of {settings['seeds']}; "
        f"scale {dataset.attrs.get('scale', 'custom')}."
    )


FIGURE = Figure(
    id="agarwala2022/fig5",
    title="Near the onset of the edge: residual along the top kernel mode, and kernel eigenvalues",
    panels=("z1", "two-step", "eigenvalues"),
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "about 40 minutes", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="z1-oscillates",
    claim_panels={
        "z1-grows": "z1",
        "z1-oscillates": "z1",
        "every-other-step-is-smooth": "two-step",
        "lambda1-crosses-more-than-once": "eigenvalues",
        "lambda2-stays-below": "eigenvalues",
    },
)
