"""Datasets named on the command line, by path or by figure id."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from precipice._checks import InputError

if TYPE_CHECKING:
    import xarray

    from precipice.papers.figure import Figure


class Opened(NamedTuple):
    """A dataset that was opened, every byte of it checked, and the figure it is of."""

    path: Path
    dataset: "xarray.Dataset"
    figure: "Figure"

    @property
    def is_control(self) -> bool:
        """Whether it is the run of a control."""
        return bool(self.dataset.attrs.get("control", 0))

    @property
    def data(self) -> str:
        """The data set that it was run on."""
        from precipice.papers.figure import NO_DATA

        return json.loads(self.dataset.attrs["parameters"]).get("dataset", NO_DATA)

    @property
    def size(self) -> str:
        """What it was run on and at which scale, to follow a name."""
        from precipice.papers.figure import NO_DATA

        return ("" if self.data == NO_DATA else f" on {self.data}") + f", scale {self.scale}"

    @property
    def scale(self) -> str:
        """The recorded scale."""
        return self.dataset.attrs.get("scale", "custom")

    @property
    def heading(self) -> str:
        """The figure's id, marked where this is its control."""
        return self.figure.id + (" (control)" if self.is_control else "")


def open_store(word: str, out: Path) -> Opened:
    """The dataset that `word` names: a figure id, looked for in `out`, or a path.

    Raises:
        InputError: an unknown figure; a store that is absent, damaged, or of no figure of this version.
    """
    from precipice import results

    path = _path(word, out)
    dataset = results.open(path)
    return Opened(path, dataset, _figure_of(path, dataset))


def open_stores(words: Sequence[str], out: Path) -> list[Opened]:
    """All datasets that are named; refused if one of them cannot be opened."""
    return [open_store(word, out) for word in words]


def _path(word: str, out: Path) -> Path:
    from precipice.papers.registry import FIGURES, figure

    if word in FIGURES:
        return out / f"{FIGURES[word].stem}.zarr"
    path = Path(word)
    if path.suffix != ".zarr" and not path.exists():
        figure(word)  # raises, with the nearest ids
    return path


def _figure_of(path: Path, dataset: "xarray.Dataset") -> "Figure":
    from precipice.papers.registry import FIGURES

    study = dataset.attrs.get("study")
    if study not in FIGURES or "parameters" not in dataset.attrs:
        raise InputError(f"Store '{path}' must hold a figure that this version knows; it holds {study!r}.")
    return FIGURES[study]
