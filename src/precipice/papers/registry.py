"""The figures that precipice reproduces, by id. Light: importing it loads neither jax nor matplotlib."""

from precipice._checks import InputError, one_of
from precipice.papers.agarwala2022.fig5 import FIGURE as AGARWALA2022_FIG5
from precipice.papers.figure import Figure
from precipice.papers.shapira2023.fig1 import FIGURE as SHAPIRA2023_FIG1

FIGURES: dict[str, Figure] = {figure.id: figure for figure in (AGARWALA2022_FIG5, SHAPIRA2023_FIG1)}
"""All figures by id."""


def figure(figure_id: str) -> Figure:
    """The figure of this id.

    Raises:
        InputError: there is none; the nearest ids are offered.
    """
    one_of("figure", figure_id, FIGURES)
    return FIGURES[figure_id]


def figures_of(paper: str) -> list[Figure]:
    """All figures of a paper, by its citation key.

    Raises:
        InputError: no figure of that paper is here.
    """
    found = [f for f in FIGURES.values() if f.paper == paper]
    if not found:
        papers = sorted({f.paper for f in FIGURES.values()})
        raise InputError(f"paper must be one of {', '.join(papers)}; got {paper!r}.")
    return found
