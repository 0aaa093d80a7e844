"""``precipice list``, ``info`` and ``fetch``: what there is, what it runs on, and getting data."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import precipice
from precipice.cli import text
from precipice.cli.options import Data
from precipice.cli.status import reported

if TYPE_CHECKING:
    from precipice.papers.figure import Figure, Scale
    from precipice.problems.data.files import Found

_PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "xarray", "zarr", "matplotlib")


@reported
def list_figures(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, data: Data = None
) -> None:
    """List the figures: titles, panels, scales, data and times."""
    from precipice.papers.registry import FIGURES

    figures = [_described(figure, data) for figure in FIGURES.values()]
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    for figure in figures:
        typer.secho(figure["id"], bold=True, nl=False)
        typer.echo(f"  {figure['title']}")
        typer.echo(f"    panels: {', '.join(figure['panels'])}")
        for name, scale in figure["scales"].items():
            found = "found" if scale["found"] else f"not found, {_instead(scale)}"
            typer.echo(f"    --scale {name}: {scale['time']}; data: {scale['data']}; {found}")
        typer.echo()
    typer.echo("precipice run ID runs one; precipice info says where data are looked for.")


def _instead(scale: dict[str, Any]) -> str:
    if scale["runs"]:
        return f"will use {scale['uses']}"
    if scale["uses"] == "imagenet":
        return "imagenet/train and imagenet/val of the data directory, from its owners"
    return f"`precipice fetch {scale['uses']}` downloads it"


def _described(figure: "Figure", data: Path | None) -> dict[str, Any]:
    return {
        "id": figure.id,
        "title": figure.title,
        "panels": list(figure.panels),
        "claims": [claim.name for claim in figure.claims],
        "scales": {name: _scale(scale, data) for name, scale in figure.scales.items()},
    }


def _scale(scale: "Scale", data: Path | None) -> dict[str, Any]:
    from precipice.papers.figure import dataset_of
    from precipice.papers.request import is_found

    uses = dataset_of(scale.settings(data))
    return {
        "time": scale.time,
        "data": scale.data,
        "found": is_found(scale.preferred, data),
        "uses": uses,
        "runs": is_found(uses, data),
    }


@reported
def info(data: Data = None) -> None:
    """Print versions, devices, precision, threads, and the data found."""
    import os

    import jax
    import jax.numpy as jnp

    from precipice.problems import found
    from precipice.results import num_threads

    pinned = "from NPROC" if os.environ.get("NPROC", "").isdigit() else "all that this process may use; NPROC=n pins it"
    text.lines(
        [
            ("precipice", precipice.__version__),
            ("python", platform.python_version()),
            *((name, version(name)) for name in _PACKAGES),
            ("devices", ", ".join(f"{d.platform}: {d.device_kind}" for d in jax.devices())),
            ("precision", f"as each figure's settings say; JAX's default here is {jnp.result_type(float)}"),
            ("threads", f"{num_threads()} ({pinned})"),
            *((f"data {name}", _files(name, where)) for name, where in found(data, md5=True).items()),
            ("data digits", "comes with scikit-learn"),
        ]
    )


def _files(name: str, where: "Found") -> str:
    total = len(where.present) + len(where.missing)
    if not where.present:
        return f"not found in {where.folder}"
    wrong = f"; wrong md5: {', '.join(where.wrong)} (`precipice fetch {name}` replaces it)" if where.wrong else ""
    return f"{len(where.present)} of {total} files in {where.folder}{wrong}"


@reported
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cifar10 or mnist.")],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            "--data",
            metavar="DIR",
            help="Where to put it; by default the variable PRECIPICE_DATA, else a cache of the user.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Download the official files of a data set."""
    import sys

    from precipice import problems

    typer.echo(problems.fetch(name, data_dir, progress=sys.stderr.isatty()))
