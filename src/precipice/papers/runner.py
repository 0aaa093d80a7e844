"""Run a figure to a dataset and a picture on disk; resume what was interrupted."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError
from precipice.papers.figure import Context, Figure
from precipice.papers.settings import from_json, to_json
from precipice.results import check_writable, parameters_key, write_bytes

if TYPE_CHECKING:
    import xarray

RUN_VERSION = 1
"""Raised when the meaning of a figure's settings changes: older interrupted runs are then not resumed."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        figure: the figure.
        settings: an instance of its settings.
        scale: the scale's name, or ``reduced`` where settings were changed.
        out: folder for the results.
        data_dir: the data directory, or None for the default.
        resume: None continues an interrupted run and replaces a complete one; True also keeps a complete one with the
            same settings; False starts afresh.
        control: whether the settings are those of the control (another file name).
    """

    figure: Figure
    settings: Any
    scale: str
    out: Path
    data_dir: Path | None = None
    resume: bool | None = None
    control: bool = False

    @property
    def stem(self) -> str:
        """The name of the files, without suffix."""
        return self.figure.stem + ("-control" if self.control else "")

    @property
    def store(self) -> Path:
        """Where the dataset goes."""
        return self.out / f"{self.stem}.zarr"

    @property
    def picture(self) -> Path:
        """Where the picture goes."""
        return self.out / f"{self.stem}.png"

    @property
    def partial(self) -> Path:
        """Where checkpoints are kept until the run is complete."""
        return self.out / f".{self.stem}.partial"


@dataclass(frozen=True)
class Outcome:
    """What a run left: where, how long it took, and whether it was found complete."""

    store: Path
    picture: Path
    seconds: float
    kept: bool


def prepare(request: Request) -> None:
    """Everything that can be refused before work starts: settings, the output folder.

    Raises:
        InputError: what was wrong, in one sentence.
    """
    request.figure.validate(request.settings)
    check_writable(request.out)


def run(request: Request, progress: Any, say: Callable[[str], None]) -> Outcome:
    """Run, save the dataset, draw the picture. A kill at any moment leaves the old store or a resumable run.

    Args:
        request: see `Request`.
        progress: a `dynamics.progress.Progress`.
        say: told what is continued, kept or discarded.

    Raises:
        InputError: bad input; nothing has been computed then.
    """
    prepare(request)
    if request.resume and (kept := _kept(request)) is not None:
        say(f"{request.store} is complete with these settings: kept.")
        return kept
    started = time.monotonic()
    fingerprint = _fingerprint(request)
    spent = _open_partial(request, fingerprint, say)
    _set_precision(request.settings.precision)
    context = Context(request.partial, request.data_dir, fingerprint, progress)
    dataset = request.figure.run(request.settings, context)
    dataset.attrs.update(_attributes(request, spent + time.monotonic() - started))
    _save(request, dataset)
    return Outcome(request.store, request.picture, spent + time.monotonic() - started, kept=False)


def draw(figure: Figure, dataset: "xarray.Dataset", path: Path, panel: str | None = None) -> None:
    """Draw a dataset's picture to a file.

    Raises:
        InputError: an unknown panel.
    """
    from precipice._checks import one_of
    from precipice.figures import style

    if panel is not None:
        one_of(f"panel of {figure.id}", panel, figure.panels)
    style.save(figure.plot(dataset, panel), path)


def settings_of(figure: Figure, dataset: "xarray.Dataset") -> Any:
    """The settings that a stored dataset was run with."""
    return from_json(type(figure.scales["paper"].settings(None)), dataset.attrs["parameters"])


def _set_precision(precision: str) -> None:
    import jax

    if precision == "float64":
        jax.config.update("jax_enable_x64", True)


def _fingerprint(request: Request) -> str:
    """Hash of all that fixes the bits of the result."""
    return parameters_key(
        {
            "figure": request.stem,
            "settings": to_json(request.settings),
            "run_version": RUN_VERSION,
            "jax": version("jax"),
            "jaxlib": version("jaxlib"),
            "threads": os.environ.get("NPROC") or len(os.sched_getaffinity(0)),
        }
    )


def _open_partial(request: Request, fingerprint: str, say: Callable[[str], None]) -> float:
    """Make or re-enter the folder of checkpoints; returns the seconds that earlier attempts spent."""
    marker = request.partial / "run.json"
    if marker.exists():
        found = _marker(marker)
        if request.resume is not False and found.get("fingerprint") == fingerprint:
            say(f"continuing the interrupted run in {request.partial}")
            return max(0.0, _last_written(request.partial) - float(found.get("started", time.time())))
        if request.resume:
            raise InputError(
                f"an interrupted run must have the same settings, versions and threads to be resumed; {request.partial} "
                "holds another (--fresh discards it)."
            )
        say(f"discarding an interrupted run {'as asked' if request.resume is False else 'with other settings'}")
    shutil.rmtree(request.partial, ignore_errors=True)
    request.partial.mkdir(parents=True)
    content = {"figure": request.figure.id, "fingerprint": fingerprint, "started": time.time()}
    write_bytes(marker, json.dumps(content).encode())
    return 0.0


def _marker(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _last_written(folder: Path) -> float:
    return max(path.stat().st_mtime for path in folder.iterdir())


def _attributes(request: Request, seconds: float) -> dict[str, Any]:
    import jax

    from precipice.results import provenance

    device = jax.devices()[0]
    return provenance(
        study=request.figure.id,
        parameters=to_json(request.settings),
        seed=0,
        precision=request.settings.precision,
        wall_time=seconds,
        device=f"{device.platform}: {device.device_kind}",
        extra={"scale": request.scale, "title": request.figure.title, "control": int(request.control)},
    )


def _save(request: Request, dataset: "xarray.Dataset") -> None:
    from precipice import results

    results.save(dataset, request.store)
    draw(request.figure, dataset, request.picture)
    shutil.rmtree(request.partial)


def _kept(request: Request) -> Outcome | None:
    """The complete run with the same settings, if the store holds one."""
    from precipice import results

    if not request.store.exists():
        return None
    dataset = results.open(request.store)
    recorded = json.loads(dataset.attrs["parameters"])
    if dataset.attrs["study"] != request.figure.id or recorded != to_json(request.settings):
        return None
    if not request.picture.exists():
        draw(request.figure, dataset, request.picture)
    return Outcome(request.store, request.picture, float(dataset.attrs["wall_time_seconds"]), kept=True)
