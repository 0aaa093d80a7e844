"""``precipice demo``: the whole road on data that need no download, in under a minute."""

from typing import TYPE_CHECKING

import typer

from precipice.cli import text
from precipice.cli.options import DEFAULT_OUT, Out
from precipice.cli.status import reported

if TYPE_CHECKING:
    import xarray

    from precipice.cli.status import Exit
    from precipice.cli.stores import Opened
    from precipice.papers.runner import Request


@reported
def demo(out: Out = DEFAULT_OUT) -> None:
    """The whole road in under a minute, on data that need no download.

    A small network is trained on scikit-learn's digits to the edge of
    stability, measured on the way, stored, checked and drawn.

    Exit status 0: the claims hold. 1: one fails. 3: none could be evaluated.
    """
    from precipice.cli.display import display
    from precipice.cli.stores import open_store
    from precipice.papers import runner
    from precipice.papers.registry import figure
    from precipice.papers.shapira2023.fig1.settings import digits_settings

    request = runner.Request(figure("shapira2023/fig1"), digits_settings(), "quick", out)
    runner.prepare(request)
    _announce(request)
    with display() as shown:
        outcome = runner.run(request, shown.progress, shown.say)
    opened = open_store(str(outcome.store), out)
    _training(opened.dataset)
    _spectra(opened.dataset)
    _stage("dataset", f"{outcome.store} ({len(opened.dataset.data_vars)} variables with units, checksums, provenance)")
    status = _claims(opened)
    _stage("picture", str(outcome.picture))
    typer.echo(f"\n{outcome.seconds:.0f} s. Next: precipice list, precipice gallery {out}, precipice run --help.")
    raise typer.Exit(status)


def _announce(request: "Request") -> None:
    """What will be run."""
    import dataclasses

    from precipice.figures import style

    settings = request.settings
    typer.echo("Gradient descent with learning rate lr drives the sharpness of a network up to 2/lr, where it hovers.")
    _stage("problem", f"{style.network(dataclasses.asdict(settings))}.")
    _stage("training", f"full-batch gradient descent at lr {settings.lr:g} and {settings.lr_other:g}")


def _claims(opened: "Opened") -> "Exit":
    """What the papers say, and the verdicts."""
    from precipice.cli.check import judged, status_of
    from precipice.figures import report

    verdicts = judged(opened)
    _stage("claims", "what the papers say, each as a number with a band that was written down before the run")
    text.lines((row.claim, row.says) for row in report.rows(verdicts))
    return status_of(verdicts, opened)


def _stage(name: str, words: str) -> None:
    typer.secho(f"\n{name}", bold=True)
    typer.echo(words)


def _training(dataset: "xarray.Dataset") -> None:
    """How the loss fell in each training."""
    import numpy as np

    for index, lr in enumerate(dataset["lr"].values):
        for seed in range(dataset.sizes["seed"]):
            loss = dataset["loss"].isel(lr=index, seed=seed).values
            loss = loss[np.isfinite(loss)]
            if len(loss):
                typer.echo(f"lr {lr:g}, seed {seed}: {len(loss)} steps, loss {loss[0]:.3g} to {loss[-1]:.3g}")


def _spectra(dataset: "xarray.Dataset") -> None:
    """The last sharpness of each learning rate, with its error bound, and what it cost."""
    import numpy as np

    _stage("spectra", "sharpness, the largest Hessian eigenvalue, with an error bound, against the edge 2/lr")
    for index, lr in enumerate(dataset["lr"].values):
        one = dataset.isel(lr=index, seed=0)
        value, bound = (one[n].isel(eigenvalue=0).values for n in ("hessian_eigenvalue", "hessian_eigenvalue_bound"))
        value, bound = value[np.isfinite(value)], bound[np.isfinite(value)]
        products = np.median(one["hessian_products"].values[: len(value)])
        typer.echo(
            f"lr {lr:g}: {value[0]:.4g} at the start, {value[-1]:.4g} +- {bound[-1]:.1g} at the end, edge "
            f"{float(one['edge']):.4g}; {len(value)} measurements, median cost {products:.0f} Hessian-vector products"
        )
