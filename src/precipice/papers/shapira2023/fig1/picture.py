"""The picture of shapira2023/fig1."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("loss", "sharpness")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Loss (a) and sharpness (b) against the step, the edge 2/lr as a dashed line."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
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
        if not np.isfinite(dataset["hessian_eigenvalue"].isel(lr=index)).any():
            continue  # not run
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
    runs = [(settings["seeds"], settings["lr"]), (settings["seeds_other"], settings["lr_other"])]
    said = " and ".join(f"{style.count(seeds, 'seed')} at lr = {lr:g}" for seeds, lr in runs if seeds)
    return (
        f"{style.network(settings)}, full-batch gradient descent, {said}, {settings['precision']}, "
        f"measured every {settings['every']} steps; scale {dataset.attrs.get('scale', 'custom')}."
    )
