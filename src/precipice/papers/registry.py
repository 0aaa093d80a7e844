"""The figures that precipice reproduces, by id. Light: importing it loads neither jax nor matplotlib."""

from precipice._checks import InputError, one_of
from precipice.papers.agarwala2022.fig1 import FIGURE as AGARWALA2022_FIG1
from precipice.papers.agarwala2022.fig2 import FIGURE as AGARWALA2022_FIG2
from precipice.papers.agarwala2022.fig3 import FIGURE as AGARWALA2022_FIG3
from precipice.papers.agarwala2022.fig4 import FIGURE as AGARWALA2022_FIG4
from precipice.papers.agarwala2022.fig5 import FIGURE as AGARWALA2022_FIG5
from precipice.papers.agarwala2022.fig6 import FIGURE as AGARWALA2022_FIG6
from precipice.papers.agarwala2022.fig7 import FIGURE as AGARWALA2022_FIG7
from precipice.papers.agarwala2022.fig8 import FIGURE as AGARWALA2022_FIG8
from precipice.papers.agarwala2022.fig9 import FIGURE as AGARWALA2022_FIG9
from precipice.papers.agarwala2022.fig10 import FIGURE as AGARWALA2022_FIG10
from precipice.papers.agarwala2022.fig11 import FIGURE as AGARWALA2022_FIG11
from precipice.papers.agarwala2022.fig12 import FIGURE as AGARWALA2022_FIG12
from precipice.papers.agarwala2022.fig13 import FIGURE as AGARWALA2022_FIG13
from precipice.papers.agarwala2022.fig14 import FIGURE as AGARWALA2022_FIG14
from precipice.papers.agarwala2024.fig1 import FIGURE as AGARWALA2024_FIG1
from precipice.papers.agarwala2024.fig2 import FIGURE as AGARWALA2024_FIG2
from precipice.papers.agarwala2024.fig3 import FIGURE as AGARWALA2024_FIG3
from precipice.papers.agarwala2024.fig4 import FIGURE as AGARWALA2024_FIG4
from precipice.papers.agarwala2024.fig5 import FIGURE as AGARWALA2024_FIG5
from precipice.papers.agarwala2024.fig6 import FIGURE as AGARWALA2024_FIG6
from precipice.papers.agarwala2024.fig7 import FIGURE as AGARWALA2024_FIG7
from precipice.papers.agarwala2024.fig8 import FIGURE as AGARWALA2024_FIG8
from precipice.papers.agarwala2024.fig9 import FIGURE as AGARWALA2024_FIG9
from precipice.papers.agarwala2024.fig10 import FIGURE as AGARWALA2024_FIG10
from precipice.papers.agarwala2024.fig11 import FIGURE as AGARWALA2024_FIG11
from precipice.papers.agarwala2024.fig12 import FIGURE as AGARWALA2024_FIG12
from precipice.papers.agarwala2024.fig13 import FIGURE as AGARWALA2024_FIG13
from precipice.papers.agarwala2024.fig14 import FIGURE as AGARWALA2024_FIG14
from precipice.papers.agarwala2024.fig15 import FIGURE as AGARWALA2024_FIG15
from precipice.papers.agarwala2024.fig16 import FIGURE as AGARWALA2024_FIG16
from precipice.papers.ahn2022.fig1 import FIGURE as AHN2022_FIG1
from precipice.papers.ahn2022.fig2 import FIGURE as AHN2022_FIG2
from precipice.papers.ahn2022.fig3 import FIGURE as AHN2022_FIG3
from precipice.papers.ahn2022.fig3_bottom import FIGURE as AHN2022_FIG3_BOTTOM
from precipice.papers.ahn2022.fig4 import FIGURE as AHN2022_FIG4
from precipice.papers.ahn2022.fig5 import FIGURE as AHN2022_FIG5
from precipice.papers.ahn2022.fig6 import FIGURE as AHN2022_FIG6
from precipice.papers.ahn2022.fig7 import FIGURE as AHN2022_FIG7
from precipice.papers.ahn2022.fig8 import FIGURE as AHN2022_FIG8
from precipice.papers.ahn2022.fig9 import FIGURE as AHN2022_FIG9
from precipice.papers.ahn2022.fig10 import FIGURE as AHN2022_FIG10
from precipice.papers.ahn2022.fig11 import FIGURE as AHN2022_FIG11
from precipice.papers.ahn2022.fig12 import FIGURE as AHN2022_FIG12
from precipice.papers.ahn2022.fig12_right import FIGURE as AHN2022_FIG12_RIGHT
from precipice.papers.ahn2022.fig13 import FIGURE as AHN2022_FIG13
from precipice.papers.figure import Figure
from precipice.papers.own.adam_edge import FIGURE as ADAM_EDGE
from precipice.papers.own.mnist_second_moment import FIGURE as MNIST_SECOND_MOMENT
from precipice.papers.own.self_stabilization import FIGURE as SELF_STABILIZATION
from precipice.papers.shapira2023.fig1 import FIGURE as SHAPIRA2023_FIG1
from precipice.papers.shapira2023.fig2 import FIGURE as SHAPIRA2023_FIG2
from precipice.papers.shapira2023.sec5 import FIGURE as SHAPIRA2023_SEC5
from precipice.papers.zhu2022.fig1 import FIGURE as ZHU2022_FIG1
from precipice.papers.zhu2022.fig2 import FIGURE as ZHU2022_FIG2
from precipice.papers.zhu2022.fig3 import FIGURE as ZHU2022_FIG3
from precipice.papers.zhu2022.fig4 import FIGURE as ZHU2022_FIG4
from precipice.papers.zhu2022.fig5 import FIGURE as ZHU2022_FIG5
from precipice.papers.zhu2022.fig6 import FIGURE as ZHU2022_FIG6
from precipice.papers.zhu2022.fig7 import FIGURE as ZHU2022_FIG7
from precipice.papers.zhu2022.fig8 import FIGURE as ZHU2022_FIG8
from precipice.papers.zhu2022.fig9 import FIGURE as ZHU2022_FIG9
from precipice.papers.zhu2022.fig11 import FIGURE as ZHU2022_FIG11
from precipice.papers.zhu2022.fig12 import FIGURE as ZHU2022_FIG12
from precipice.papers.zhu2022.fig13 import FIGURE as ZHU2022_FIG13
from precipice.papers.zhu2022.fig14 import FIGURE as ZHU2022_FIG14
from precipice.papers.zhu2022.fig15 import FIGURE as ZHU2022_FIG15
from precipice.papers.zhu2022.fig16 import FIGURE as ZHU2022_FIG16
from precipice.papers.zhu2022.fig17 import FIGURE as ZHU2022_FIG17
from precipice.papers.zhu2022.fig18 import FIGURE as ZHU2022_FIG18
from precipice.papers.zhu2022.fig19 import FIGURE as ZHU2022_FIG19
from precipice.papers.zhu2022.fig20 import FIGURE as ZHU2022_FIG20
from precipice.papers.zhu2022.fig21 import FIGURE as ZHU2022_FIG21
from precipice.papers.zhu2022.fig22 import FIGURE as ZHU2022_FIG22
from precipice.papers.zhu2022.fig23 import FIGURE as ZHU2022_FIG23
from precipice.papers.zhu2022.fig24 import FIGURE as ZHU2022_FIG24
from precipice.papers.zhu2022.fig25 import FIGURE as ZHU2022_FIG25
from precipice.papers.zhu2022.fig26 import FIGURE as ZHU2022_FIG26
from precipice.papers.zhu2022.fig27 import FIGURE as ZHU2022_FIG27
from precipice.papers.zhu2022.fig28 import FIGURE as ZHU2022_FIG28
from precipice.papers.zhu2022.fig29 import FIGURE as ZHU2022_FIG29
from precipice.papers.zhu2022.fig30 import FIGURE as ZHU2022_FIG30

_ALL = (
    AGARWALA2022_FIG1,
    AGARWALA2022_FIG2,
    AGARWALA2022_FIG3,
    AGARWALA2022_FIG4,
    AGARWALA2022_FIG5,
    AGARWALA2022_FIG6,
    AGARWALA2022_FIG7,
    AGARWALA2022_FIG8,
    AGARWALA2022_FIG9,
    AGARWALA2022_FIG10,
    AGARWALA2022_FIG11,
    AGARWALA2022_FIG12,
    AGARWALA2022_FIG13,
    AGARWALA2022_FIG14,
    AGARWALA2024_FIG1,
    AGARWALA2024_FIG2,
    AGARWALA2024_FIG3,
    AGARWALA2024_FIG4,
    AGARWALA2024_FIG5,
    AGARWALA2024_FIG10,
    AGARWALA2024_FIG7,
    AGARWALA2024_FIG8,
    AGARWALA2024_FIG9,
    AGARWALA2024_FIG6,
    AGARWALA2024_FIG11,
    AGARWALA2024_FIG12,
    AGARWALA2024_FIG13,
    AGARWALA2024_FIG14,
    AGARWALA2024_FIG15,
    AGARWALA2024_FIG16,
    AHN2022_FIG1,
    AHN2022_FIG2,
    AHN2022_FIG3,
    AHN2022_FIG3_BOTTOM,
    AHN2022_FIG4,
    AHN2022_FIG5,
    AHN2022_FIG6,
    AHN2022_FIG7,
    AHN2022_FIG8,
    AHN2022_FIG9,
    AHN2022_FIG10,
    AHN2022_FIG11,
    AHN2022_FIG12,
    AHN2022_FIG12_RIGHT,
    AHN2022_FIG13,
    SELF_STABILIZATION,
    ADAM_EDGE,
    MNIST_SECOND_MOMENT,
    SHAPIRA2023_FIG1,
    SHAPIRA2023_FIG2,
    SHAPIRA2023_SEC5,
    ZHU2022_FIG1,
    ZHU2022_FIG2,
    ZHU2022_FIG3,
    ZHU2022_FIG4,
    ZHU2022_FIG5,
    ZHU2022_FIG6,
    ZHU2022_FIG7,
    ZHU2022_FIG8,
    ZHU2022_FIG9,
    ZHU2022_FIG11,
    ZHU2022_FIG12,
    ZHU2022_FIG13,
    ZHU2022_FIG14,
    ZHU2022_FIG15,
    ZHU2022_FIG16,
    ZHU2022_FIG17,
    ZHU2022_FIG18,
    ZHU2022_FIG19,
    ZHU2022_FIG20,
    ZHU2022_FIG21,
    ZHU2022_FIG22,
    ZHU2022_FIG23,
    ZHU2022_FIG24,
    ZHU2022_FIG25,
    ZHU2022_FIG26,
    ZHU2022_FIG27,
    ZHU2022_FIG28,
    ZHU2022_FIG29,
    ZHU2022_FIG30,
)

FIGURES: dict[str, Figure] = {figure.id: figure for figure in _ALL}
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
