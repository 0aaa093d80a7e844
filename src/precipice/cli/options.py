"""Options that commands share, and those too long for a signature."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the results.")]

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data directory; by default the variable PRECIPICE_DATA, else a cache of the user. With --data, absent "
        "data are an error, never replaced by other data.",
        show_default=False,
    ),
]

Panel = Annotated[
    str | None, typer.Option("--panel", metavar="NAME", help="Only this panel; `list` shows them.", show_default=False)
]

Stores = Annotated[
    list[str],
    typer.Argument(metavar="PATH|ID...", help="Datasets (folders ending in .zarr), or figure ids found in --out."),
]


Size = Annotated[str, typer.Option("--scale", metavar="quick|paper", help="Size of the experiment.")]

Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, in each figure; may be repeated."),
]

Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--fresh",
        help="Keep a complete run with the same settings, or discard an interrupted one. By default an interrupted "
        "run is continued and a complete one is replaced.",
        show_default=False,
    ),
]

DEFAULT_OUT = Path("out")
