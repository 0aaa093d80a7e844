"""The picture of precipice/self-stabilization."""

from typing import TYPE_CHECKING

import numpy as np

from precipice.papers.own.self_stabilization.claims import cycle, error

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("displacement", "excess", "error")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """Displacement and excess of seed 0, real and predicted, and the error of all seeds over their cycles."""
    from precipice.figures import style

    names, settings = PANELS if panel is None else (panel,), style.parameters(dataset)
    one = dataset.isel(seed=0)
    picture, axes = style.panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        if name == "error":
            _draw_error(ax, dataset)
        else:
            {"displacement": _draw_displacement, "excess": _draw_excess}[name](ax, one)
    style.caption(
        picture,
        f"{style.network(settings)} (classes: {settings['classes']}), {settings['precision']}. It reached 2/lr at "
        f"step {int(one['window_start'])}; from the nearest point with sharpness 2/lr and no gradient along the top "
        f"eigenvector u, displaced by {settings['displacement']:g} sqrt(2 alpha/beta), gradient descent at lr = "
        f"{settings['lr'] * settings['lr_factor']:g} and the prediction with alpha = "
        f"{float(one['stabilization_alpha']):.3g}, beta = {float(one['stabilization_beta']):.3g} of that point; seed 0 "
        f"of {settings['seeds']} (error: all); scale {dataset.attrs.get('scale', 'custom')}.",
    )
    return picture


def _draw_displacement(ax, one: "xarray.Dataset") -> None:
    from precipice.figures import style

    step = one["step"].values[:-1]
    for name, label, colour, line in (
        ("real_displacement", "gradient descent", style.COLOURS[0], "-"),
        ("top_displacement", "predicted", style.COLOURS[1], "--"),
    ):
        ax.plot(step, np.abs(np.diff(one[name])) / 2, color=colour, ls=line, label=label)
    turning = float(np.sqrt(2 * one["stabilization_alpha"] / one["stabilization_beta"]))
    ax.axhline(turning, color="#4a4a4a", lw=1.0, ls=":", label="sqrt(2 alpha/beta)")
    ax.set_yscale("log")
    ax.set_xlabel("gradient step from the edge")
    ax.set_ylabel("swing along u, |x_t - x_t+1| / 2 (parameters)")
    ax.set_title("displacement along the top eigenvector")
    ax.legend()


def _draw_excess(ax, one: "xarray.Dataset") -> None:
    from precipice.figures import style

    ax.plot(one["step"], one["real_sharpness_excess"], color="#999999", lw=0.7, label="measured sharpness - 2/lr")
    ax.plot(one["step"], one["real_excess"], color=style.COLOURS[0], label="y of gradient descent")
    ax.plot(one["step"], one["excess_sharpness"], color=style.COLOURS[1], ls="--", label="predicted y")
    ax.axhline(0, color="#4a4a4a", lw=1.0, ls="--", label="0: sharpness is 2/lr")
    ax.set_xlabel("gradient step from the edge")
    ax.set_ylabel("excess sharpness y (1/learning rate)")
    ax.set_title("sharpness above the edge")
    ax.legend(fontsize=8)


def _draw_error(ax, dataset: "xarray.Dataset") -> None:
    from precipice.figures import style

    for seed in range(dataset.sizes["seed"]):
        one = cycle(dataset.isel(seed=seed))
        if one is not None:
            ax.plot(error(one), color=style.COLOURS[3], **style.seed_line(seed))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("gradient step from the edge")
    ax.set_ylabel("|y - predicted| / range of the prediction")
    ax.set_title("error over the cycle")
