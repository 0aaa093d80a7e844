"""The picture of agarwala2022/fig5."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("z1", "two-step", "eigenvalues")


def plot(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
    """z1 at every step, z1 at every other step, and the two largest kernel eigenvalues with the edge."""
    from precipice.figures import style

    names = PANELS if panel is None else (panel,)
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
    first = dataset.isel(seed=0)
    height = float(first["ntk_eigenvalue"].isel(eigenvalue=0, probe_step=0)) / float(first["edge"])
    reached = height >= settings["onset"] * (1 - 1e-3)  # to the tolerance of the measurements before the window
    where = (
        f"from step {int(first['window_start'])}, where lambda_1 first reached {settings['onset']:g} x 2/lr"
        if reached
        else f"from step {int(first['window_start'])}, when the wait for {settings['onset']:g} x 2/lr ended without it"
    )
    return (
        f"{style.network(settings)} (classes: {settings['classes']}), full-batch gradient descent at "
        f"lr = {settings['lr']:g}, {settings['precision']}; window of {settings['window']} steps "
        f"{where}; seed 0 of {settings['seeds']}; "
        f"scale {dataset.attrs.get('scale', 'custom')}."
    )
