"""A study run within a figure: its store lies among the figure's checkpoints, so that what finished is kept."""

import re
from typing import TYPE_CHECKING

from precipice._checks import InputError
from precipice.papers.figure import Context

if TYPE_CHECKING:
    import xarray

    from precipice.results import CellStore
    from precipice.studies import Study


def studied(study: "Study", context: Context) -> "xarray.Dataset":
    """The results of a study, run in this process; killed and called again, it goes on with the blocks that it has.

    Args:
        study: what to compute.
        context: of the figure; the store is ``<name of the study>.zarr`` in its folder.

    Returns:
        The dataset in memory, dims ``[*axes, *own]``, with `results.Status` of each cell as ``status``.

    Raises:
        InputError: cells that failed, with the first one's message (the next call computes them again); or the store
            is of other settings.
        WriteError: the disk refused; what was committed is kept.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from precipice.dynamics import quiet
        >>> from precipice.studies import Axis, Study
        >>> def halving(key, *, lr):
        ...     return {"final_loss": (1 - lr) ** 2}
        >>> study = Study("demo/halving", halving, [Axis("lr", (0.5, 0.75))], ["final_loss"], chunk={"lr": 2})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     studied(study, Context(Path(folder), None, "", quiet))["final_loss"].values
        array([0.25  , 0.0625])
    """
    from precipice.studies import open_study, retry_failed, run_local

    path = context.folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', study.name)}.zarr"
    store = open_study(study, path).store
    if store.failures():
        retry_failed(study, store, progress=context.progress)
    run_local(study, store, progress=context.progress)
    _check_failures(study, store)
    return store.dataset().load()


def _check_failures(study: "Study", store: "CellStore") -> None:
    """Refuse a study with cells that failed: a figure is drawn of all of them."""
    failures = store.failures()
    if failures:
        cell, message = min(failures.items())
        axes = store.layout.axes.items()
        where = ", ".join(f"{name}={values[i]:g}" for (name, values), i in zip(axes, cell, strict=True))
        raise InputError(
            f"All cells of study {study.name!r} must be computed; {len(failures)} failed, first at {where}: {message}."
        )
