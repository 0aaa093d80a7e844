"""The readings of a training, and the labelled dataset made of them."""

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice._checks import InputError
from precipice.monitor.reading import Reading, error_name
from precipice.monitor.setting import Setting
from precipice.monitor.spacing import Spacing

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class History:
    """What a monitor has found so far; each new reading makes a new history.

    Args:
        setting: what the numbers refer to.
        readings: in the order of their steps.
        spacing: the times, or None where nobody kept them.

    Raises:
        InputError: readings out of order, or with other groups than the setting names.

    Example:
        >>> from precipice.monitor.reading import Rates
        >>> history = History(Setting("squared", "sgd", batch_size=8, num_examples=100))
        >>> for step, sharpness in [(0, 5.0), (10, 8.0)]:
        ...     history = history.appended(Reading(step, (Rates(0.1, 20.0),), {"sharpness": sharpness}))
        >>> ds = history.dataset()
        >>> ds["sharpness"].dims, ds["group_edge"].sel(step=10).values.tolist(), ds["sharpness"].values.tolist()
        (('step',), [20.0], [5.0, 8.0])
    """

    setting: Setting
    readings: tuple[Reading, ...] = ()
    spacing: Spacing | None = None

    def __post_init__(self):
        steps = [reading.step for reading in self.readings[-2:]]
        if len(steps) == 2 and steps[1] <= steps[0]:
            raise InputError(f"step of a reading must be above the one before; got {steps[1]} after {steps[0]}.")
        if self.readings and len(self.readings[-1].rates) != len(self.setting.groups):
            raise InputError(
                f"rates must be one a group ({len(self.setting.groups)}); got {len(self.readings[-1].rates)} (after "
                "add_param_group a new monitor is needed)."
            )

    def appended(self, reading: Reading) -> "History":
        """With one more reading, at a later step."""
        return replace(self, readings=(*self.readings, reading))

    @property
    def last(self) -> Reading:
        """The latest reading.

        Raises:
            InputError: there is none yet.
        """
        if not self.readings:
            raise InputError(
                "history must hold at least one reading; the monitor has not measured yet (an adaptive "
                "optimiser is not measured before step 100: first= changes that)."
            )
        return self.readings[-1]

    def latest(self, name: str) -> Reading | None:
        """The latest reading that holds this value, or None."""
        return next((reading for reading in reversed(self.readings) if name in reading.values), None)

    @property
    def finite_part(self) -> "History":
        """The readings before the latest run of those that are not finite; all of them where the last one is."""
        num = len(self.readings)
        while num and not self.readings[num - 1].finite:
            num -= 1
        return replace(self, readings=self.readings[:num])

    def row(self, name: str) -> np.ndarray:
        """The value at each reading [readings], NaN where it was not measured."""
        return np.array([np.nan if reading.get(name) is None else reading[name] for reading in self.readings], float)

    def dataset(self) -> "xarray.Dataset":
        """All readings as one dataset with the axes ``step``, ``group`` and ``eigenvalue``; NaN where not measured.

        Errors stand under the vocabulary's names (``hessian_trace_sem``, ``normalised_sharpness_bound``). The names of
        the groups, the setting and the provenance are in the attributes.

        Raises:
            InputError: there is no reading yet.
        """
        from precipice.results import provenance, to_dataset

        last = self.last
        attrs = provenance(
            study="monitor",
            parameters=self.setting.parameters(),
            seed=0,
            precision=self.setting.precision,
            wall_time=last.training_seconds + last.measuring_seconds,
            extra={"groups": ", ".join(self.setting.groups), "convention": self.setting.convention},
        )
        coords = {"step": [reading.step for reading in self.readings], "group": range(len(self.setting.groups))}
        return to_dataset(self._columns(), coords=coords, attrs=attrs)

    def save(self, path: str | os.PathLike) -> None:
        """Write `dataset` with `results.save`: whole or not at all; `results.open` reads it."""
        from precipice.results import save

        save(self.dataset(), path)

    def _columns(self) -> dict[str, np.ndarray]:
        rows = [_row(reading) for reading in self.readings]
        names = sorted({name for row in rows for name in row})
        return {name: _stacked([row.get(name) for row in rows]) for name in names}


def _row(reading: Reading) -> dict[str, Any]:
    return {
        "current_lr": reading.lr,
        "group_lr": [rates.lr for rates in reading.rates],
        "group_edge": [rates.edge for rates in reading.rates],
        "training_seconds": reading.training_seconds,
        "measuring_seconds": reading.measuring_seconds,
        **reading.values,
        **{error_name(name): error for name, error in reading.errors.items()},
    }


def _stacked(entries: list[Any]) -> np.ndarray:
    """Entries [readings, *own], NaN for those that are missing or shorter than the longest."""
    arrays = [None if entry is None else np.asarray(entry, float) for entry in entries]
    shape = np.max([a.shape for a in arrays if a is not None], axis=0).astype(int)
    out = np.full((len(arrays), *shape), np.nan)
    for i, a in enumerate(arrays):
        if a is not None:
            out[(i, *(slice(n) for n in a.shape))] = a
    return out
