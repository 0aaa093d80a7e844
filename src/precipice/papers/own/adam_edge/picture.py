"""The picture of precipice/adam-edge."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.own.adam_edge.claims import measured
from precipice.papers.own.adam_edge.settings import Run

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("edge", "sharpness", "loss")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Preconditioned sharpness over its edge, plain sharpness and loss of the three trainings."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    said = _runs(dataset, settings)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        {"edge": _draw_edge, "sharpness": _draw_sharpness, "loss": _draw_loss}[name](ax, dataset, said)
        ax.set_xlabel("step of Adam")
    style.caption(
        picture,
        f"{style.network(settings)}, full-batch Adam (beta2 = {settings['beta2']:g}), {settings['precision']}, "
        f"{style.count(settings['seeds'], 'seed')}, measured every {settings['every']} steps; P is Adam's diagonal "
        f"preconditioner at that step. Scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _runs(dataset: "xarray.Dataset", settings) -> list[tuple[Run, str]]:
    """The trainings, in words."""
    betas = (settings["beta1"], settings["beta1"], settings["other_beta1"])
    found = [Run(float(lr), beta) for lr, beta in zip(dataset["lr"].values, betas, strict=True)]
    return [(run, f"lr = {run.lr:g}, beta1 = {run.beta1:g}") for run in found]


def _draw(ax, dataset: "xarray.Dataset", name: str, labels: list[str]) -> None:
    from precipice.figures import style

    for index, label in enumerate(labels):
        for seed in range(dataset.sizes["seed"]):
            steps, values = measured(dataset.isel(seed=seed), index, name)
            words = label if seed == 0 else None
            ax.plot(steps, values, color=style.COLOURS[index], label=words, **style.seed_line(seed))
    ax.legend(fontsize=8)


def _draw_edge(ax, dataset: "xarray.Dataset", said) -> None:
    edges = dataset["edge"].values
    labels = [f"{words}: edge {edge * run.lr:.3g}/lr" for (run, words), edge in zip(said, edges, strict=True)]
    ax.axhline(1.0, color="#444444", linewidth=1.0, linestyle="--", label="edge")
    _draw(ax, dataset, "normalised_sharpness", labels)
    ax.set_ylim(0, 1.5)
    ax.set_ylabel("largest eigenvalue of P^-1/2 H P^-1/2 / edge")
    ax.set_title("preconditioned sharpness over the edge")


def _draw_sharpness(ax, dataset: "xarray.Dataset", said) -> None:
    _draw(ax, dataset, "hessian_eigenvalue", [words for _, words in said])
    ax.set_ylim(bottom=0)
    ax.set_ylabel("sharpness (largest Hessian eigenvalue)")
    ax.set_title("plain sharpness")


def _draw_loss(ax, dataset: "xarray.Dataset", said) -> None:
    from precipice.figures import style

    for index, (_, words) in enumerate(said):
        for seed in range(dataset.sizes["seed"]):
            loss = dataset["loss"].isel(lr=index, seed=seed)
            if np.isfinite(loss).any():
                label = words if seed == 0 else None
                ax.plot(dataset["step"], loss, color=style.COLOURS[index], label=label, **style.seed_line(seed))
    ax.set_yscale("log")
    ax.set_ylabel("training loss (mean half squared error)")
    ax.set_title("loss")
    ax.legend(fontsize=8)
