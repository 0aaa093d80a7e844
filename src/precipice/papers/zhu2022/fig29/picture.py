"""The picture of zhu2022/fig29."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("sharpness", "steps")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Final sharpness, and how long it took, against the batch size: mean and standard deviation over starts."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        (draw_sharpness if name == "sharpness" else draw_steps)(ax, dataset)
        ax.set_xscale("log")
        ax.set_xticks(dataset["batch_size"].values, [f"{batch}" for batch in dataset["batch_size"].values])
        ax.minorticks_off()
        ax.set_xlabel("batch size")
    style.caption(picture, caption(dataset))
    return picture


def draw_sharpness(ax, dataset: "xarray.Dataset") -> None:
    """Mean, standard deviation and each run; 2/lr dashed."""
    from precipice.figures import style

    batches = dataset["batch_size"].values
    for index, lr in enumerate(dataset["lr"].values):
        colour = style.COLOURS[index % len(style.COLOURS)]
        values = dataset["final_sharpness"].isel(lr=index).transpose("batch_size", "draw").values
        some = np.isfinite(values).any(axis=1)
        mean, spread = np.nanmean(values[some], axis=1), np.nanstd(values[some], axis=1)
        ax.fill_between(batches[some], mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
        ax.plot(batches[some], mean, "o-", color=colour, ms=4, lw=1.2, label=f"lr = {lr:g}")
        ax.plot(np.repeat(batches, values.shape[1]), values.ravel(), ".", color=colour, ms=3, alpha=0.4)
        style.edge_line(ax, 2 / lr, f"2/lr = {2 / lr:.4g}", colour)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("sharpness at the end")
    ax.set_title("converging sharpness")
    ax.legend(fontsize=8, loc="upper left")


def draw_steps(ax, dataset: "xarray.Dataset") -> None:
    """Epochs that each run took."""
    from precipice.figures import style

    batches = dataset["batch_size"].values
    epochs = dataset["steps_taken"] * dataset["batch_size"] / style.parameters(dataset)["num_examples"]
    for index, lr in enumerate(dataset["lr"].values):
        colour = style.COLOURS[index % len(style.COLOURS)]
        values = epochs.isel(lr=index).transpose("batch_size", "draw").values
        ax.plot(batches, values.mean(axis=1), "o-", color=colour, ms=4, lw=1.2, label=f"lr = {lr:g}")
        ax.plot(np.repeat(batches, values.shape[1]), values.ravel(), ".", color=colour, ms=3, alpha=0.4)
    ax.set_yscale("log")
    ax.set_ylabel("epochs taken")
    worst = float(dataset["final_loss"].max())
    ax.set_title("epochs until the end" + (f" (losses there at most {worst:.1e})" if np.isfinite(worst) else ""))
    ax.legend(fontsize=8)


def caption(dataset: "xarray.Dataset") -> str:
    """What was run, in a few sentences."""
    from precipice.figures import style
    from precipice.papers.zhu2022.fifty_images.picture import network
    from precipice.results import Status

    settings = style.parameters(dataset)
    diverged = int((dataset["status"] == int(Status.DIVERGED)).sum())
    return (
        f"{network(settings)}; minibatch SGD in shuffled epochs until the loss over all images is "
        f"{settings['stop_loss']:g}, at most {settings['epochs']:,} epochs, {settings['precision']}. Mean and standard "
        f"deviation over {style.count(settings['draws'], 'start')}, dots are runs; {diverged} of "
        f"{dataset['status'].size} diverged. Batch sizes, initialisation and range of the pixels are not given in the "
        f"paper; scale {dataset.attrs.get('scale', 'custom')}."
    )
