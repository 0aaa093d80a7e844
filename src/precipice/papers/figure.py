"""A reproduced figure: settings at each scale, a run, panels, a plot, claims and a control.

To add one:
1. Write `papers/<paper>/<figure>.py` (our own in `papers/own/`; past 300 lines a folder: settings, claims, picture)
   with a frozen settings dataclass, `run`, `plot`, the claims and one `FIGURE`; it imports jax, xarray and matplotlib
   inside its functions only, so that `precipice list` stays quick.
2. Write each band with its reason before the run that it judges, and a control under which the main claim fails.
3. Add it to `papers/registry.py`.
4. Run it at scale `quick`, look at the picture, and note in `design/claims.md` any band that changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice.figures.claims import Claim

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Picture


CHECKPOINT_SECONDS = 20.0
"""Between checkpoints of a training, unless something else is asked for."""


NO_DATA = "none"
"""The data of a figure that is theory alone."""


def dataset_of(settings: Any) -> str:
    """The data set that settings name, or `NO_DATA`."""
    return getattr(settings, "dataset", NO_DATA)


@dataclass(frozen=True)
class Context:
    """What a run is given beside its settings.

    Args:
        folder: where it keeps checkpoints until it is complete.
        data_dir: the data directory, or None for the default.
        fingerprint: hash of all that fixes the result; checkpoints of another are refused.
        progress: a `dynamics.progress.Progress`.
        checkpoint_seconds: between checkpoints; 0 writes one at every measurement.
    """

    folder: Path
    data_dir: Path | None
    fingerprint: str
    progress: Any
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@dataclass(frozen=True)
class Scale:
    """One size of a figure.

    Args:
        settings: ``settings(data_dir) -> Settings``, with the field ``precision`` among others, and ``dataset`` where
            the figure uses data; may choose by what data is found.
        time: estimate on two cores, in words.
        data: data sets needed, the preferred one first: ``cifar10 (else digits)``; `NO_DATA` where there is none.
    """

    settings: Callable[[Path | None], Any]
    time: str
    data: str

    @property
    def preferred(self) -> str:
        """The data set that is used where it is found."""
        return self.data.split()[0]


@dataclass(frozen=True)
class Figure:
    """One figure of a paper.

    Args:
        id: ``paper/figN``.
        title: one line.
        panels: names for ``--panel``.
        scales: by name, ``quick`` and ``paper``.
        validate: ``validate(settings)``, raising `InputError` before any work starts.
        run: ``run(settings, context) -> Dataset``.
        plot: ``plot(dataset, panel or None) -> matplotlib figure``.
        claims: see `figures.claims`.
        control: ``control(settings) -> settings`` under which `main_claim` must not hold.
        main_claim: name of the claim that the control must break.
        claim_panels: the panel that each claim is drawn in, by claim name.
    """

    id: str
    title: str
    panels: tuple[str, ...]
    scales: Mapping[str, Scale]
    validate: Callable[[Any], None]
    run: "Callable[[Any, Context], xarray.Dataset]"
    plot: "Callable[[xarray.Dataset, str | None], Picture]"
    claims: tuple[Claim, ...]
    control: Callable[[Any], Any]
    main_claim: str
    claim_panels: Mapping[str, str]

    def picture(self, dataset: "xarray.Dataset", panel: str | None = None) -> "Picture":
        """What `plot` draws, without the values of a diverged run that no axis can show; the caption then says so."""
        from precipice.figures import style

        shown, cut = style.drawable(dataset)
        picture = self.plot(shown, panel)
        if cut:
            words = " ".join(picture.get_supxlabel().split())
            style.caption(picture, f"{words} Values beyond {style.DRAWN:.0e} are not drawn.")
        return picture

    @property
    def paper(self) -> str:
        """The paper's citation key."""
        return self.id.split("/")[0]

    @property
    def stem(self) -> str:
        """The name of its files, without suffix."""
        return self.id.replace("/", "-")
