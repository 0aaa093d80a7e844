"""The picture of shapira2023/sec5."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture

PANELS = ("kernel", "overlap", "recurrences")


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
