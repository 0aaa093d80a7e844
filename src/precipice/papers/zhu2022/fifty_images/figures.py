"""One of figures 7 and 23 to 26 of zhu2022, from its panels and claims: they differ in nothing else."""

from typing import TYPE_CHECKING

from precipice.figures.claims import Claim
from precipice.papers.figure import Figure, Scale
from precipice.papers.zhu2022.fifty_images.picture import plot
from precipice.papers.zhu2022.fifty_images.settings import DATA, at_paper, at_quick, control, validate
from precipice.papers.zhu2022.fifty_images.training import run

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


def figure(number: int, title: str, activation: str, panels: tuple[str, ...], claims: dict[Claim, str]) -> Figure:
    """The figure of this number.

    Args:
        number: in the paper.
        title: one line.
        activation: elu or tanh.
        panels: names of `picture.DRAW`.
        claims: to the panel that each is drawn in; the first is the one that the control breaks.
    """

    def draw(dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
        return plot(dataset, panels if panel is None else (panel,))

    return Figure(
        id=f"zhu2022/fig{number}",
        title=title,
        panels=panels,
        scales={
            "quick": Scale(at_quick(activation), "a minute", DATA),
            "paper": Scale(at_paper(activation), "10 minutes", "cifar10"),
        },
        validate=validate,
        run=run,
        plot=draw,
        claims=tuple(claims),
        control=control,
        main_claim=next(iter(claims)).name,
        claim_panels={claim.name: panel for claim, panel in claims.items()},
    )
