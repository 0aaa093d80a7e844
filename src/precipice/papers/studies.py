"""The studies of the papers by id, for ``precipice study ID``; light, as `registry` is: modules are imported on use.

To add one:

1. Give the module of a figure ``study(settings, data_dir=None) -> studies.Study``, and let the figure's ``run`` use it
   through `studied`.
2. Add a row to `_STUDIES`.
"""

import dataclasses
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from precipice._checks import one_of

if TYPE_CHECKING:
    from precipice.studies import Study


class _Source(NamedTuple):
    """Where a study comes from.

    Args:
        figure: id of the figure whose settings it has.
        module: whose ``study(settings, data_dir)`` declares it.
    """

    figure: str
    module: str


_ROOM = "precipice.papers"

_STUDIES: dict[str, _Source] = {
    "agarwala2022/fig4": _Source("agarwala2022/fig4", f"{_ROOM}.agarwala2022.fig4"),
    "agarwala2024/fig3": _Source("agarwala2024/fig3", f"{_ROOM}.agarwala2024.mnist"),
    "agarwala2024/fig4": _Source("agarwala2024/fig4", f"{_ROOM}.agarwala2024.mnist"),
    "agarwala2024/fig5": _Source("agarwala2024/fig5", f"{_ROOM}.agarwala2024.mnist"),
    "agarwala2024/fig10": _Source("agarwala2024/fig10", f"{_ROOM}.agarwala2024.mnist"),
    "agarwala2024/fig6": _Source("agarwala2024/fig6", f"{_ROOM}.agarwala2024.cifar"),
    "agarwala2024/fig11": _Source("agarwala2024/fig11", f"{_ROOM}.agarwala2024.cifar"),
    "agarwala2024/fig12": _Source("agarwala2024/fig12", f"{_ROOM}.agarwala2024.cifar"),
    "agarwala2024/fig13": _Source("agarwala2024/fig13", f"{_ROOM}.agarwala2024.cifar"),
    "agarwala2024/fig14": _Source("agarwala2024/fig14", f"{_ROOM}.agarwala2024.cifar"),
    "agarwala2024/fig15": _Source("agarwala2024/fig15", f"{_ROOM}.agarwala2024.cifar"),
    "precipice/mnist-second-moment": _Source("precipice/mnist-second-moment", f"{_ROOM}.own.mnist_second_moment"),
    "zhu2022/fig2b": _Source("zhu2022/fig2", f"{_ROOM}.zhu2022.start_tiles"),
    "zhu2022/fig6a": _Source("zhu2022/fig6", f"{_ROOM}.zhu2022.fig6.boundary"),
    "zhu2022/fig29": _Source("zhu2022/fig29", f"{_ROOM}.zhu2022.fig29.study"),
}


def names() -> tuple[str, ...]:
    """The ids of all studies.

    Example:
        >>> "zhu2022/fig2b" in names()
        True
    """
    return tuple(_STUDIES)


def study(study_id: str, scale: str, data_dir: Path | None = None, assignments: Sequence[str] = ()) -> "Study":
    """The study of this id, with the settings of its figure at a scale.

    Args:
        study_id: one of `names`.
        scale: ``quick`` or ``paper``.
        data_dir: the data directory, or None for the default.
        assignments: ``name=value`` strings that change the figure's settings.

    Raises:
        InputError: an unknown id (the nearest are offered), scale or setting, a value that the figure refuses, or
            absent data that were asked for.

    Example:
        >>> study("zhu2022/fig2b", "paper").shape
        (4, 4)
    """
    from precipice.papers import registry
    from precipice.papers.request import choose

    one_of("study", study_id, _STUDIES)
    source = _STUDIES[study_id]
    figure = registry.figure(source.figure)
    settings = choose(figure, scale, assignments, data_dir).settings
    figure.validate(settings)
    found = importlib.import_module(source.module).study(settings, data_dir)
    return dataclasses.replace(found, name=study_id)
