"""The picture of precipice/mnist-second-moment: K around the edge, and where K is 1 over batch sizes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("radius", "edge")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """K and its trace form against the learning rate over the edge; learning rates of K = 1 against the batch size."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    shown = PANELS if panel is None else (panel,)
    picture, axes = style.panels(len(shown))
    first = dataset.isel(seed=0)
    for ax, name in zip(axes, shown, strict=True):
        (_draw_norms if name == "radius" else _draw_edges)(ax, first)
        ax.legend(fontsize=7)
    style.caption(
        picture,
        f"Kernel of 2 hidden layers of {settings['width']} erf units (LeCun initialisation) on the first "
        f"{settings['num_examples']:,} images of {settings['dataset']}, odd against even, ZCA with epsilon "
        f"{settings['zca_epsilon']:g}: at the start, and after {settings['epochs']} epochs of SGD with batches of "
        f"{settings['train_batch']} at lr {settings['train_lr']:g}. The edge is where the spectral radius of the "
        f"second moment's operator T is 1. First of {style.count(settings['seeds'], 'seed')}, scale "
        f"{dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_norms(ax, first: "xarray.Dataset") -> None:
    from precipice.figures import style

    batch = int(first["batch_size"][0])
    for stage, words in enumerate(("start", "end")):
        one, colour = first.isel(stage=stage, batch_size=0), style.COLOURS[stage]
        ax.plot(one["relative_lr"], one["linear_noise_kernel_norm"], "o-", color=colour, label=f"K, {words}")
        ax.plot(one["relative_lr"], one["linear_noise_kernel_norm_trace"], "o:", color=colour, label=f"trace, {words}")
    ax.axhline(1.0, color="#444444", linewidth=1, linestyle="--")
    ax.axvline(1.0, color="#444444", linewidth=1, linestyle="--", label="edge of T")
    ax.set(xlabel="learning rate / edge of T", ylabel="noise kernel norm", title=f"K around the edge, B = {batch}")


def _draw_edges(ax, first: "xarray.Dataset") -> None:
    from precipice.figures import style

    for stage, words in enumerate(("start", "end")):
        one = first.isel(stage=stage)
        ratio = one["stochastic_edge_lr"] / one["second_moment_edge_lr"]
        ax.plot(one["batch_size"], ratio, "o-", color=style.COLOURS[stage], label=f"K = 1, {words}")
        mean = one["first_moment_edge_lr"] / one["second_moment_edge_lr"]
        kept = mean < 1.5
        ax.plot(one["batch_size"][kept], mean[kept], "s:", color=style.COLOURS[stage], label=f"2/lambda_max, {words}")
    ax.axhline(1.0, color="#444444", linewidth=1, linestyle="--")
    ax.set_xscale("log")
    ax.set(xlabel="batch size", ylabel="learning rate / edge of T", title="where K is 1")
