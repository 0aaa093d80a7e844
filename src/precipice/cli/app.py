"""The application: which commands there are, and an example for each."""

from typing import Annotated

import typer

import precipice
from precipice.cli.about import fetch, info, list_figures
from precipice.cli.check import check
from precipice.cli.demo import demo
from precipice.cli.grid import status
from precipice.cli.pictures import gallery, plot
from precipice.cli.run import run
from precipice.cli.stable_lr import stable_lr
from precipice.cli.study import study

app = typer.Typer(
    name="precipice",
    help="Figures of papers on the edge of stability: run, checked and drawn, each from one command.",
    epilog="Example: precipice demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"precipice {precipice.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("demo", epilog="Example: precipice demo --out out")(demo)
app.command("list", epilog="Example: precipice list --json")(list_figures)
app.command("run", epilog="Example: precipice run shapira2023/fig1 --scale quick --set seeds=1 --out out")(run)
app.command("check", epilog="Example: precipice check shapira2023/fig1 --out out")(check)
app.command("study", epilog="Example: precipice study sweep.toml --out sweep.zarr --limit-memory 2GiB --trust")(study)
app.command("status", epilog="Example: precipice status sweep.zarr --picture sweep.png")(status)
app.command("stable-lr", epilog="Example: precipice stable-lr digits --optimiser adam --set width=128")(stable_lr)
app.command("plot", epilog="Example: precipice plot out/shapira2023-fig1.zarr --panel sharpness")(plot)
app.command("gallery", epilog="Example: precipice gallery out")(gallery)
app.command("info", epilog="Example: precipice info")(info)
app.command("fetch", epilog="Example: precipice fetch cifar10 --data-dir data")(fetch)


def main() -> None:
    """Run the command line; the entry point ``precipice``."""
    app()
