"""Run a figure to a dataset and a picture on disk; resume what was interrupted."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError
from precipice.papers.figure import Context, Figure
from precipice.papers.request import Request as Request
from precipice.papers.request import check, check_panel
from precipice.papers.settings import from_json, to_json
from precipice.results import StoreError, check_writable, num_threads, parameters_key, write_bytes

if TYPE_CHECKING:
    import xarray

RUN_VERSION = 1
"""Raised when the meaning of a figure's settings changes: older interrupted runs are then not resumed."""

_MARKER = "run.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a run left: where, how long it took, and whether it was found complete."""

    store: Path
    picture: Path
    seconds: float
    kept: bool


def prepare(request: Request) -> None:
    """Everything that can be refused before work starts: settings, panel, the output folder.

    Raises:
        InputError: what was wrong, in one sentence.
    """
    check(request)
    check_writable(request.out)
    if request.store.is_file():
        raise InputError(f"Store '{request.store}' must be a folder, but there is a file of that name; move it away.")
    if request.store.is_dir() and any(request.store.iterdir()) and not (request.store / "zarr.json").exists():
        raise InputError(f"Store '{request.store}' must not be a folder of something else; there is one, move it away.")
    if request.picture.is_dir():
        raise InputError(
            f"Picture '{request.picture}' must be a file, but there is a folder of that name; move it away."
        )


def run(request: Request, progress: Any, say: Say) -> Outcome:
    """Run, save the dataset, draw the picture. A kill at any moment leaves the old store or a resumable run.

    Checkpoints lie in a hidden folder of `request.out` that is named by a hash of all that fixes the result, so that
    an interrupted run is continued by the same request only, and survives others.

    Args:
        request: see `Request`.
        progress: a `dynamics.progress.Progress`.
        say: told what is continued, kept, replaced or discarded.

    Raises:
        InputError: bad input; nothing has been computed then, and no checkpoint is left.
    """
    import jax

    prepare(request)
    fingerprint = _fingerprint(request)
    partial = _partial(request, fingerprint)
    if (kept := _kept(request, partial, say)) is not None:
        return kept
    started = time.monotonic()
    spent = _open_partial(request, partial, say)
    with jax.enable_x64(request.settings.precision == "float64"):  # whatever ran in this process before
        context = Context(partial, request.data_dir, fingerprint, progress, request.checkpoint_seconds)
        with _nothing_left_if_refused(partial):
            dataset = request.figure.run(request.settings, context)
        dataset.attrs.update(_attributes(request, spent + time.monotonic() - started))
    _save(request, dataset)
    shutil.rmtree(partial, ignore_errors=True)
    return Outcome(request.store, request.picture, spent + time.monotonic() - started, kept=False)


def draw(figure: Figure, dataset: "xarray.Dataset", path: Path, panel: str | None = None) -> None:
    """Draw a dataset's picture to a file.

    Raises:
        InputError: an unknown panel.
    """
    from precipice.figures import style

    check_panel(figure, panel)
    style.save(figure.picture(dataset, panel), path)


def settings_of(figure: Figure, dataset: "xarray.Dataset") -> Any:
    """The settings that a stored dataset was run with."""
    return from_json(type(figure.scales["paper"].settings(None)), dataset.attrs["parameters"])


def _fingerprint(request: Request) -> str:
    """Hash of all that fixes the bits of the result."""
    import jax

    return parameters_key(
        {
            "figure": request.stem,
            "settings": to_json(request.settings),
            "run_version": RUN_VERSION,
            "jax": version("jax"),
            "jaxlib": version("jaxlib"),
            "threads": num_threads(),
            "device": jax.devices()[0].device_kind,
        }
    )


def _partial(request: Request, fingerprint: str) -> Path:
    """Where checkpoints are kept until the run is complete."""
    return request.out / f".{request.stem}-{fingerprint[:12]}.partial"


def _open_partial(request: Request, partial: Path, say: Say) -> float:
    """Make or re-enter the folder of checkpoints; returns the seconds that earlier attempts spent."""
    marker, spent = partial / _MARKER, 0.0
    if marker.exists() and request.resume is False:
        say("discarding an interrupted run, as asked")
        shutil.rmtree(partial)
    elif marker.exists():
        say(f"continuing the interrupted run in {partial}")
        written = [*partial.iterdir(), *partial.glob("*.zarr/blocks")]  # checkpoints, and blocks of studies
        spent = max(0.0, max(path.stat().st_mtime for path in written) - _started(marker))
    elif others := sorted(request.out.glob(f".{request.stem}-*.partial/{_MARKER}")):
        say(f"an interrupted run with other settings, versions or threads is left alone: {others[0].parent}")
    write_bytes(marker, json.dumps({"figure": request.figure.id, "started": time.time() - spent}).encode())
    return spent


def _started(marker: Path) -> float:
    try:
        return float(json.loads(marker.read_text())["started"])
    except (OSError, ValueError, KeyError):
        return time.time()


@contextlib.contextmanager
def _nothing_left_if_refused(partial: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        if [path.name for path in partial.iterdir()] == [_MARKER]:
            shutil.rmtree(partial)
        raise


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
        extra={
            "scale": request.scale,
            "reduced": request.reduced or "no",
            "title": request.figure.title,
            "control": int(request.control),
        },
    )


def _save(request: Request, dataset: "xarray.Dataset") -> None:
    from precipice import results

    results.save(dataset, request.store)
    draw(request.figure, dataset, request.picture, request.panel)


def _kept(request: Request, partial: Path, say: Say) -> Outcome | None:
    """The complete run with the same settings, if it may be kept and the store holds one."""
    from precipice import results

    if not request.store.exists():
        return None
    try:
        dataset = results.open(request.store)
    except StoreError as error:
        say(f"{error} This run will replace it.")
        return None
    attrs = dataset.attrs
    same = attrs.get("study") == request.figure.id and attrs.get("parameters_key") == parameters_key(
        to_json(request.settings)
    )
    if not same:
        scale = attrs.get("scale", "unknown")
        say(f"{request.store} holds a run with other settings (scale {scale}), which this one will replace.")
    if not (same and request.resume) or partial.exists():
        return None
    say(f"{request.store} is complete with these settings: kept.")
    if not request.picture.exists():
        draw(request.figure, dataset, request.picture, request.panel)
    return Outcome(request.store, request.picture, float(attrs["wall_time_seconds"]), kept=True)
