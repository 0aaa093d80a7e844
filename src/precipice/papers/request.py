"""What is asked of a figure: its settings at a scale, with what was changed, and where the files go."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from precipice._checks import at_least, one_of
from precipice.papers.figure import CHECKPOINT_SECONDS, Figure, Scale, dataset_of
from precipice.papers.settings import changed

_NO_DATA = Path(os.devnull)
"""A data directory in which nothing is found."""


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
        reduced: what differs from the scale's own settings, in words; empty where nothing does.
        panel: the only panel to draw, or None for all of them; the dataset is the same.
        checkpoint_seconds: between checkpoints; 0 writes one at every measurement.
    """

    figure: Figure
    settings: Any
    scale: str
    out: Path
    data_dir: Path | None = None
    resume: bool | None = None
    control: bool = False
    reduced: str = ""
    panel: str | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS

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
        return picture_beside(self.store, self.panel)


def picture_beside(store: Path, panel: str | None = None, folder: Path | None = None) -> Path:
    """Where the picture of a store goes: ``<stem>.png``, or ``<stem>-<panel>.png`` for one panel."""
    return (folder or store.parent) / f"{store.stem}{f'-{panel}' if panel else ''}.png"


def check(request: Request) -> None:
    """Refuse what can be refused without touching the disk.

    Raises:
        InputError: settings that cannot be run, an unknown panel, a negative time between checkpoints.
    """
    request.figure.validate(request.settings)
    check_panel(request.figure, request.panel)
    at_least("checkpoint_seconds", request.checkpoint_seconds, 0)


def check_panel(figure: Figure, panel: str | None) -> None:
    """Refuse a panel that the figure does not have; None stands for all."""
    if panel is not None:
        one_of(f"panel of {figure.id}", panel, figure.panels)


class Choice(NamedTuple):
    """Settings chosen for a figure.

    Args:
        settings: an instance of the figure's settings.
        scale: the scale's name, or ``reduced``.
        reduced: what differs from the scale's own settings, in words.
        note: what a reader should know about the data, or empty.
    """

    settings: Any
    scale: str
    reduced: str
    note: str


def choose(figure: Figure, scale: str, assignments: Sequence[str] = (), data_dir: Path | None = None) -> Choice:
    """The settings of a figure at a scale, with ``name=value`` strings applied.

    A scale may fall back to other data where its own are not found, but only if nobody asked for data: with an
    explicit `data_dir`, or with ``dataset=...`` among the assignments, absent data are an error.

    Raises:
        InputError: an unknown scale, setting or value, or absent data that were asked for.
    """
    one_of("scale", scale, figure.scales)
    chosen = figure.scales[scale]
    asked = [text.partition("=")[2].strip() for text in assignments if text.partition("=")[0].strip() == "dataset"]
    if asked:
        changed(chosen.settings(_NO_DATA), assignments)  # a mistyped setting is refused before a download begins
    base = chosen.settings(_NO_DATA if asked and asked[-1] == "digits" else data_dir)
    if dataset_of(base) != chosen.preferred and (asked[-1:] == [chosen.preferred] or (data_dir and not asked)):
        require(chosen.preferred, data_dir)
        base = chosen.settings(data_dir)
    settings = changed(base, assignments)
    reduced = difference(settings, base, scale)
    return Choice(settings, "reduced" if reduced else scale, reduced, "" if asked else _note(chosen, base, data_dir))


def difference(settings: Any, base: Any, name: str) -> str:
    """``width=32 (quick 64), ...``: what differs between settings and those called `name`; empty if nothing does."""
    pairs = ((f.name, getattr(settings, f.name), getattr(base, f.name)) for f in dataclasses.fields(settings))
    return ", ".join(f"{field}={new} ({name} {old})" for field, new, old in pairs if new != old)


def is_found(dataset: str, data_dir: Path | None) -> bool:
    """Whether the first training file of a data set is in the data directory; always, for those without files."""
    from precipice.problems import found
    from precipice.problems.data.imagenet import FOLDER, has_imagenet
    from precipice.problems.data.releases import RELEASES

    if dataset == FOLDER:
        return has_imagenet(data_dir)

    if dataset not in RELEASES:
        return True
    return RELEASES[dataset].splits["train"][0] in {Path(name).name for name in found(data_dir)[dataset].present}


def require(dataset: str, data_dir: Path | None) -> None:
    """See to it that the first training file of a data set is there (in the user's cache, by download).

    Raises:
        InputError: it is not; the sentence says where it was looked for and which command gets it.
    """
    from precipice.problems.data.files import locate
    from precipice.problems.data.releases import RELEASES

    if dataset in RELEASES:
        locate(RELEASES[dataset], RELEASES[dataset].splits["train"][0], data_dir)


def _note(scale: Scale, settings: Any, data_dir: Path | None) -> str:
    if dataset_of(settings) == scale.preferred:
        return ""
    from precipice.problems import found

    folder = found(data_dir)[scale.preferred].folder
    return (
        f"{scale.preferred} is not in {folder}: running on {dataset_of(settings)} instead "
        f"(`precipice fetch {scale.preferred}` downloads it)."
    )
